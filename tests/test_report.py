"""The page of a study: its text here, what a browser makes of it below."""

import json
import os
import re
import shutil
import tomllib
from base64 import b64decode
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from pandas import DataFrame, concat, read_csv

from assigned import ROOT, SMOKE, read_study
from earlyphase.errors import InvalidInput
from earlyphase.results.claims import expected_false, judge
from earlyphase.results.report import figures as shown_figures
from earlyphase.results.report.claims import LONG, numbers, read_text, read_verdicts, rows_of
from earlyphase.results.report.page import report_page
from earlyphase.results.report.provenance import means_of, read_records, times_of
from earlyphase.study.fingerprints import definitions
from earlyphase.study.jobs import all_jobs
from test_claims import make_tables

FOLDER = ROOT / "src/earlyphase/results/report"
HOSTILE = (
    '<script>alert("x")</script> & "quoted" \'it\' <img src="http://example.org/x.png" onerror="alert(1)">'
)
APART = {"td", "th", "tr", "dt", "dd", "li", "p", "h2", "h3", "h4", "caption", "summary"}  # not within a line
VOID = {"meta", "link", "img", "input", "br", "hr"}
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="700" height="400" viewBox="0 0 700 400">
<defs><clipPath id="same"><rect width="{width}" height="400"/></clipPath></defs>
<rect width="700" height="400" fill="#33135e" clip-path="url(#same)"/></svg>"""

REWINDING = DataFrame(
    [(None, 0, 0.889), (0, 1, 0.85), (0, 2, 0.5917), (100, 1, 0.9), (100, 2, 0.8823)],
    columns=["k", "round", "mean"],
).assign(std=0.011, n=5, diverged=0)


def record(seconds, **machine):
    """A run record."""
    return {
        "versions": {"torch": "2.9.9", "python": "3.12.1"},
        "machine": {"processor": "A processor", **machine},
        "device": "cpu", "precision": "float32", "threads": 1,
        "seconds": seconds, "peak_memory_mb": 345,
    }  # fmt: skip


def written(folder):
    """Files of a small study, and what its report is told of it."""
    figures = []
    for place, name in enumerate(("mine", "timeline", "rewinding")):
        paths = {kind: str(folder / f"figures/cifar10/resnet20/{name}.{kind}") for kind in ("svg", "png")}
        paths["table"] = str(folder / f"figures/cifar10/resnet20/{name}.csv")
        Path(paths["svg"]).parent.mkdir(parents=True, exist_ok=True)
        Path(paths["svg"]).write_text(SVG.format(width=100 * (place + 1)))
        Path(paths["png"]).write_bytes(b"dots")
        REWINDING.assign(**{HOSTILE: HOSTILE} if name == "mine" else {}).to_csv(paths["table"], index=False)
        figures.append({"figure": name, "function": name, "dataset": "cifar10", "model": "resnet20", **paths})
    tables = make_tables({0: 87.0, 100: 88.0, 500: 90.0})
    verdicts, contrasts = judge(tables, {})
    verdicts.loc[verdicts["id"] == "L1", "verdict"] = "inconclusive"
    hostile = dict.fromkeys(("statement", "paper", "test"), HOSTILE)
    last = verdicts.iloc[-1].to_dict() | hostile | {"verdict": "not reproduced", "id": "X1"}
    verdicts = concat([verdicts, DataFrame([last])], ignore_index=True)
    verdicts.to_csv(folder / "claims.csv", index=False)
    contrasts.to_csv(folder / "contrasts.csv", index=False)
    run = {
        "dataset": "cifar10", "model": "resnet20", "task": "supervised",
        "network": {"function": "resnet", "depth": 20, "width": 16}, "seeds": [0, 1, 2, 3, 4],
        "rewind_iterations": [0, 500], "rounds": 2, "prune_fraction": 0.36, "iterations": 62560, "batch_size": 128,
    }  # fmt: skip
    return {
        "configuration": {"seeds": [0, 1, 2, 3, 4], "claims": {}, "zeta": HOSTILE},
        "runs": [run],
        "figures": figures,
        "descriptions": {
            "mine": f"Draw what I like. {HOSTILE}",
            "timeline": "Draw every event.",
            "rewinding": "Draw final accuracy of IMP tickets against density.\n\nAnd more.",
        },
        "left_out": [f"figure windows is left out: {HOSTILE}"],
        "citation": yaml.safe_load((ROOT / "CITATION.cff").read_text()),
    }


def made(folder, told):
    """The page of those files."""
    records = {"dense": [record(3.0), record(5.0)], "imp_round": [record(200.0, instructions="AVX2")]}
    return report_page(
        told, read_verdicts(folder / "claims.csv"), read_text(folder / "contrasts.csv"), records
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder of results of a small study, what its report is told, and the page."""
    folder = tmp_path_factory.mktemp("small") / "results"
    folder.mkdir()
    told = written(folder)
    (folder / "report.html").write_text(made(folder, told))
    return folder, told, (folder / "report.html").read_text()


class Reader(HTMLParser):
    """A page as a list of elements, each with its attributes and all text within; refuses what does not nest."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {[tag for tag, _, _ in self.open]}"

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes), f"<{tag}> has an attribute twice"
        self.elements.append((tag, dict(attributes), []))
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open and self.open[-1][0] == tag, f"</{tag}> closes {self.open[-1:]}"
        if tag in APART:
            self.handle_data(" ")
        self.open.pop()

    def handle_data(self, data):
        for _, _, text in self.open:
            text.append(data)

    def all(self, tag, **wanted):
        """Elements of a tag with attributes: (attributes, text)."""
        wanted = {name.rstrip("_"): value for name, value in wanted.items()}
        return [
            (attributes, " ".join("".join(text).replace("\u00a0", " ").split()))
            for name, attributes, text in self.elements
            if name == tag and wanted.items() <= attributes.items()
        ]


@pytest.fixture(scope="module")
def page(small):
    return Reader(small[2])


def rows_in(page):
    """Text of every row of the table of claims, with what is behind it."""
    return [text for _, text in page.all("tbody", class_="claim")]


def test_every_claim_has_a_row_with_its_verdict_and_the_papers_number_beside_ours(small, page):
    verdicts = read_csv(small[0] / "claims.csv", dtype=str, keep_default_na=False)
    shown = (
        "statement",
        "reading",
        "paper",
        "ours",
        "interval",
        "criterion",
        "test",
        "verdict",
        "cited",
        "source",
    )
    for text, (_, row) in zip(rows_in(page), verdicts.iterrows(), strict=True):
        assert text.startswith(row["id"]) and f"How {row['id']} was judged" in text
        for column in shown:
            assert " ".join(row[column].split()) in text, (row["id"], column)
    assert {"reproduced", "not reproduced", "inconclusive", "not run: not configured"} < set(
        verdicts["verdict"]
    )


def test_every_contrast_stands_in_its_row_with_its_interval(small, page):
    contrasts = read_text(small[0] / "contrasts.csv")
    assert len(contrasts) > 5
    for _, contrast in contrasts.iterrows():
        (row,) = [
            text
            for text in rows_in(page)
            if text.startswith(f"{contrast['id']} ")
            and (not contrast["reading"] or f"({contrast['reading']})" in text)
        ]
        assert contrast["contrast"] in row
        assert all(f"{float(contrast[name]):.4g}" in row for name in ("low", "high") if contrast[name])


def test_the_study_and_the_counts_of_its_verdicts_are_told_in_sentences(small, page):
    verdicts = read_verdicts(small[0] / "claims.csv")
    (_, summary), *_ = page.all("p", class_="summary")
    for verdict, count in verdicts["verdict"].value_counts().items():
        assert re.search(rf"\b{count} (is|are) {verdict}[.,]", summary), verdict
    assert f"Here that is {expected_false(verdicts):.1f}" in small[2]
    (_, sentence), *_ = page.all("p", class_="study")
    for said in (
        "resnet20 (resnet, depth 20, width 16)", "cifar10", "62,560 iterations", "seeds 0, 1, 2, 3 and 4",
        "k = 0 and 500", "2 rounds", "36 %", "41 % remain",  # 0.64 squared
    ):  # fmt: skip
        assert said in sentence


def test_every_figure_is_shown_whole_with_alternative_text_and_no_id_of_its_own(small, page):
    pictures = page.all("img")
    told = {one["figure"]: one for one in small[1]["figures"]}
    assert len(pictures) == len(told) == 3
    for name, (at, _) in zip(["rewinding", "timeline", "mine"], pictures, strict=True):
        kind, content = at["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        assert b64decode(content) == Path(told[name]["svg"]).read_bytes()
        assert at["alt"].startswith(f"Figure {name} of resnet20 on cifar10. ")
        assert len(at["alt"]) > 50
    ids = [at["id"] for _, at, _ in page.elements if "id" in at]
    assert len(set(ids)) == len(ids)
    assert "same" not in ids


def test_figure_1_stands_before_the_summary_and_every_figure_has_a_caption(small, page):
    text = small[2]
    first, summary = text.index('id="figure-cifar10-resnet20-rewinding"'), text.index('class="summary"')
    assert first < summary < text.index('id="figure-cifar10-resnet20-timeline"')
    captions = [caption for _, caption in page.all("figcaption")]
    assert captions[:2] == ["Final accuracy of IMP tickets against density. And more.", "Every event."]
    assert captions[2].startswith("What I like. <script>")


def test_links_within_the_page_lead_somewhere_and_nothing_is_loaded_from_elsewhere(page):
    ids = {at["id"] for _, at, _ in page.elements if "id" in at}
    for tag, at, _ in page.elements:
        if at.get("href", "").startswith("#"):
            assert at["href"][1:] in ids
        assert set(at.get("aria-labelledby", "").split()) <= ids
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            value = at.get(name, "#")
            assert value.startswith(("#", "data:")) or (tag == "a" and value.startswith("https://")), (
                tag,
                value,
            )
    (policy,) = [at["content"] for at, _ in page.all("meta") if "http-equiv" in at]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not re.search(r"url\(|@import|https?://", (FOLDER / "page.css").read_text())


def test_text_of_users_is_escaped_wherever_it_stands(small, page):
    assert HOSTILE not in small[2]
    assert not page.all("script")
    assert not any("onerror" in at for _, at, _ in page.elements)
    text = " ".join(" ".join(text) for tag, _, text in page.elements if tag == "body")
    hostile = text.count('<script>alert("x")</script>')
    assert hostile >= 6  # in a statement, paper, test, configuration, notes and numbers


def test_configuration_versions_processor_times_and_citation_are_there(page):
    (_, told), *_ = page.all("pre")
    assert "seeds: - 0 - 1" in told
    (_, section), *_ = page.all("section", id="means")
    assert "processor A processor" in section and "torch 2.9.9" in section
    assert "imp round 1 200 s" not in section and "imp round 1 3 min 3 min 345 MB" in section
    assert "dense 2 4 s 8 s 345 MB" in section
    (_, section), *_ = page.all("section", id="cite")
    assert "Jonathan Frankle, David J. Schwab and Ari S. Morcos" in section
    assert "https://arxiv.org/abs/2002.10365" in section


def test_the_same_study_makes_the_same_bytes(small):
    folder, told, page = small
    assert made(folder, json.loads(json.dumps(told))) == page


def test_a_study_without_figures_records_or_citation_has_a_page(small):
    folder, told, _ = small
    bare = told | {"figures": [], "left_out": [], "citation": {}}
    verdicts, contrasts = read_verdicts(folder / "claims.csv"), read_text(folder / "contrasts.csv")
    page = Reader(report_page(bare, verdicts, contrasts.head(0), {}))
    assert not page.all("img") and "This study draws none." in [text for _, text in page.all("li")]
    assert "There are no run records." in page.all("section", id="means")[0][1]


# What the page is made of


def test_a_large_drawing_is_shown_in_pixels_where_these_are_smaller(tmp_path):
    svg, png = tmp_path / "a.svg", tmp_path / "a.png"
    svg.write_bytes(b"s" * (shown_figures.LARGE + 1))
    png.write_bytes(b"dots")
    assert shown_figures.picture(svg, png).startswith("data:image/png;base64,")
    svg.write_bytes(b"s" * shown_figures.LARGE)
    assert shown_figures.picture(svg, png).startswith("data:image/svg+xml;base64,")
    svg.write_bytes(b"s" * (shown_figures.LARGE + 1))
    png.write_bytes(b"d" * (shown_figures.LARGE + 2))
    assert shown_figures.picture(svg, png).startswith("data:image/svg+xml;base64,")


def test_a_long_table_is_named_and_a_short_one_shown():
    points = DataFrame({"mean_of": ["0.123456"] * (LONG + 1), "n": "5", "curve": "k = 0", "none": ""})
    names = ["mean of", "n", "curve", "none"]
    assert numbers(points) == {"columns": names, "rows": [], "more": len(points)}
    assert numbers(points.head(1)) == {"columns": names, "rows": [["0.1235", "5", "k = 0", ""]], "more": 0}


def test_records_are_counted_by_what_they_ran_on(tmp_path):
    some = {"dense": [record(1), record(2)], "imp_round": [record(30, processor="Another"), {"seconds": 4}]}
    found = {row["name"]: row["values"] for row in means_of(some)}
    assert found["processor"] == [{"value": "A processor", "jobs": 2}, {"value": "Another", "jobs": 1}]
    assert [row["jobs"] for row in times_of(some)] == [2, 2]
    assert times_of({"dense": [{}]}) == []
    path = tmp_path / "run.json"
    path.write_text("{")
    with pytest.raises(InvalidInput, match=r"run.json is no run record"):
        read_records([str(path)])
    path.write_text('{"code": "stages.dense.compute 0123456789abcdef"}')
    assert read_records([str(path)]) == {"dense": [{"code": "stages.dense.compute 0123456789abcdef"}]}


def test_a_citation_without_a_title_is_refused(small):
    folder, told, _ = small
    with pytest.raises(InvalidInput, match=r"CITATION.cff: a work has no title"):
        made(folder, told | {"citation": {"authors": []}})


def test_verdicts_of_two_networks_keep_their_own_contrasts(small):
    verdicts, contrasts = read_verdicts(small[0] / "claims.csv"), read_text(small[0] / "contrasts.csv")
    both = concat([verdicts, verdicts.assign(model="other")], ignore_index=True)
    rows = rows_of(both, contrasts)
    assert all(not row["contrasts"]["rows"] for row in rows if row["model"] == "other")
    assert sum(len(row["contrasts"]["rows"]) for row in rows) == len(contrasts)


def test_columns_that_this_page_does_not_know_are_shown_by_their_names(small):
    verdicts = read_verdicts(small[0] / "claims.csv").head(1)
    verdicts = verdicts.assign(
        ours="-3.70 points", interval="-4.70 to -2.70", least_gain="0.5 points", empty=""
    )
    (row,) = rows_of(verdicts, read_text(small[0] / "contrasts.csv").head(0))
    assert row["more"]["Least gain"] == "0.5 points" and not {"Empty", "Interval"} & row["more"].keys()
    assert row["ours"] == "-3.70 points (-4.70 to -2.70)"


# The job


@pytest.fixture(scope="module")
def study():
    return read_study(SMOKE)


def report_of(study):
    (job,) = all_jobs(study, rules=["report"])
    return job


def told_of(study):
    job = report_of(study)
    return job.stage.spec(job)


def test_the_page_waits_for_exactly_what_it_shows(study):
    everything = list(all_jobs(study))
    figures = [path for job in everything if job.rule == "figure" for path in job.outputs]
    records = [
        study.rules[job.rule].outputs["run"].format(**job.names)
        for job in everything
        if "run" in study.rules[job.rule].outputs
    ]
    found = report_of(study).stage.inputs(report_of(study))
    assert found.keys() == {"figures", "records"}
    assert sorted(found["figures"]) == sorted(figures) and len(figures) == 3 * 16
    assert sorted(found["records"]) == sorted(records) and len(records) == len(set(records)) > 50


def test_how_jobs_are_executed_is_no_part_of_the_page(study):
    told = told_of(study)
    assert "execution" not in told["configuration"] and told["configuration"]["seeds"] == [0, 1]
    assert told_of(read_study(SMOKE, execution={"resume_interval": 7, "preload": False})) == told


def test_what_is_told_of_a_figure_is_its_docstring_without_what_is_for_programmers(study):
    told = told_of(study)["descriptions"]
    assert told["rewinding"] == (
        "Draw final accuracy of IMP tickets against density, a curve for each rewind iteration k."
    )
    for text in told.values():
        assert text.startswith("Draw ") and not re.search(r"Args:|Returns:|Raises:|Source:", text)


def test_an_edit_of_a_template_or_a_text_makes_the_page_anew():
    reached = definitions("stages.report.compute")
    for path in FOLDER.glob("*.*"):
        if path.suffix in (".j2", ".css"):
            assert f"results.report.page.{path.name}" in reached
    assert not any(name.startswith(("core.training", "results.figures")) for name in reached)


def test_the_package_brings_every_file_of_the_page():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["earlyphase"]
    beside = [path for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".py"]
    assert len(beside) == 2
    for path in beside:
        name = str(path.relative_to(ROOT / "src/earlyphase"))
        assert any(fnmatch(name, pattern) for pattern in patterns), name


# In a browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (1300, 390)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here: pages were not opened in a browser (Debian: apt-get install chromium)")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no playwright here: pages were not opened"
    )
    with playwright.sync_playwright() as started:
        options = ["--no-sandbox"] if os.getuid() == 0 else []
        opened = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


@pytest.fixture
def path(small):
    return small[0] / "report.html"


class Seen:
    """A page that is open, and what it did that it must not."""

    def __init__(self, browser, path, width=1300, **options):
        self.page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        self.messages, self.requests = [], []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def open_all(self):
        """Open every row and every list of numbers."""
        self.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


@pytest.fixture
def seen(browser):
    pages = []

    def show(path, width=1300, **options):
        pages.append(Seen(browser, path, width, **options))
        return pages[-1]

    yield show
    for one in pages:
        one.page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_seen_whole_the_page_never_scrolls_sideways_and_asks_for_nothing(seen, path, width):
    one = seen(path, width)
    pictures = one.page.locator("img").all()
    assert len(pictures) == 3
    for picture in pictures:
        picture.scroll_into_view_if_needed()
        assert picture.is_visible() and picture.evaluate("one => one.complete && one.naturalWidth === 700")
        box = picture.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["width"] > 0.4 * min(width, 960)
        assert box["width"] / box["height"] == pytest.approx(7 / 4, rel=0.02)
    wide = "document.documentElement.scrollWidth - window.innerWidth"
    assert one.page.evaluate(wide) <= 0
    one.open_all()
    assert one.page.evaluate(wide) <= 0
    assert one.messages == []
    assert [url for url in one.requests if not url.startswith("data:")] == [path.as_uri()]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("opened", [False, True])
def test_axe_finds_nothing_serious(seen, path, width, opened):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="no axe here: pages were not checked"
    )
    one = seen(path, width)
    if opened:
        one.open_all()
    found = axe.Axe().run(one.page).response["violations"]
    bad = [(rule["id"], node["html"][:200]) for rule in found for node in rule["nodes"]]
    assert not [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")], bad
    assert bad == []
