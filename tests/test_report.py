"""The pages: one of a study, one that compares two. Their text here, what a browser makes of it below."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from base64 import b64decode
from fnmatch import fnmatch
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from pandas import DataFrame, concat, isna, read_csv

from earlyphase.__main__ import main
from earlyphase.errors import InvalidInput
from earlyphase.results.claims import claims, expected_false, judge_with_contrasts
from earlyphase.results.report import figures as shown_figures
from earlyphase.results.report import findings
from earlyphase.results.report.claims import names_in, read_contrasts, read_verdicts, rows_of
from earlyphase.results.report.comparison import comparison_page
from earlyphase.results.report.figures import questions
from earlyphase.results.report.page import report_page
from earlyphase.results.report.provenance import means_of, read_records, times_of
from earlyphase.study.fingerprints import definitions
from earlyphase.study.jobs import inputs, job, jobs, spec
from earlyphase.study.signatures import registered
from earlyphase.study.study import Study, read_study
from test_claims import make_tables

ROOT = Path(__file__).parents[1]
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
    [
        {
            "dataset": "d",
            "model": "m",
            "k": k,
            "round": r,
            "density": 0.64**r,
            "mean": mean,
            "std": 0.011,
            "n": 5,
        }
        for k, r, mean in [(None, 0, 0.889), (0, 1, 0.85), (0, 2, 0.5917), (100, 1, 0.9), (100, 2, 0.8823)]
    ]
).assign(diverged=0)
EVENTS = DataFrame(
    [
        {
            "event": "gradient_minimum",
            "mean": 16.2,
            "std": 4.1,
            "low": 12,
            "high": 20,
            "n": 5,
            "not_found": 0,
        },
        {"event": "plateau_start", "n": 0, "not_found": 5},
        {"event": "burst_end", "mean": 8.0, "std": 1.0, "low": 7, "high": 9, "n": 4, "not_found": 1},
    ]
).assign(rule="a stated rule", diverged=0)


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
    entries = [("mine", "mine", ["hostile"]), ("timeline", "timeline", []), ("rewinding", "rewinding", [])]
    figures = []
    for place, (name, function, shows) in enumerate(entries):
        paths = {kind: str(folder / f"figures/cifar10/resnet20/{name}.{kind}") for kind in ("svg", "png")}
        paths["table"] = str(folder / f"figures/cifar10/resnet20/{name}.csv")
        Path(paths["svg"]).parent.mkdir(parents=True, exist_ok=True)
        Path(paths["svg"]).write_text(SVG.format(width=100 * (place + 1)))
        Path(paths["png"]).write_bytes(b"dots")
        points = EVENTS if name == "timeline" else REWINDING
        points.assign(**{HOSTILE: HOSTILE} if name == "mine" else {}).to_csv(paths["table"], index=False)
        figures.append(
            {
                "figure": name,
                "function": function,
                "dataset": "cifar10",
                "model": "resnet20",
                "shows": shows,
                **paths,
            }
        )
    tables = make_tables({0: 87.0, 100: 88.0, 500: 90.0})
    verdicts, contrasts = judge_with_contrasts(tables, {})
    verdicts.loc[verdicts["id"] == "L1", "verdict"] = "inconclusive"
    last = verdicts.iloc[-1].to_dict() | {
        "verdict": "not reproduced",
        "id": "X1",
        "statement": HOSTILE,
        "paper": HOSTILE,
        "test": HOSTILE,
    }
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
        told, read_verdicts(folder / "claims.csv"), read_contrasts(folder / "contrasts.csv"), records
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


def plain(text):
    return " ".join(text.split())


def test_every_claim_has_a_row_with_its_verdict_and_the_papers_number_beside_ours(small, page):
    folder = small[0]
    verdicts = read_csv(folder / "claims.csv", dtype=str, keep_default_na=False)
    bodies = [text for _, text in page.all("tbody") if "data-verdict" in _]
    assert len(bodies) == len(verdicts)
    for text, (_, row) in zip(bodies, verdicts.iterrows(), strict=True):
        assert text.startswith(row["id"])
        for column in (
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
        ):
            assert plain(row[column]) in text, (row["id"], column)
    assert set(verdicts["verdict"]) > {
        "reproduced",
        "not reproduced",
        "inconclusive",
        "not run: not configured",
    }


def test_a_claim_that_was_not_run_says_why(small, page):
    row = next(text for at, text in page.all("tbody") if "data-verdict" in at and text.startswith("D8"))
    assert "Why it is not judged" in row and "no ticket was pretrained" in row
    row = next(text for at, text in page.all("tbody") if "data-verdict" in at and text.startswith("R2"))
    assert "Why it is not judged" not in row and "p = " in row and "Counts as nothing" in row


def test_every_contrast_stands_in_its_row_with_its_interval(small, page):
    contrasts = read_contrasts(small[0] / "contrasts.csv")
    bodies = [text for at, text in page.all("tbody") if "data-verdict" in at]
    assert len(contrasts) > 5
    for _, one in contrasts.iterrows():
        row = next(
            text
            for text in bodies
            if text.startswith(one["id"]) and (not one["reading"] or one["reading"] in text)
        )
        assert one["contrast"] in row
        interval = "none" if isna(one["low"]) else f"{one['low']:+.2f} to {one['high']:+.2f}"
        assert f"{one['n']} {interval}" in row


def test_counts_of_verdicts_and_of_tests_are_those_of_the_table(small, page):
    verdicts = read_verdicts(small[0] / "claims.csv")
    for verdict, count in verdicts["verdict"].value_counts().items():
        assert any(text.endswith(f"{verdict} {count}") for _, text in page.all("label")), verdict
    assert f"Here that is {expected_false(verdicts):.1f}" in small[2]


def test_the_study_is_told_in_a_sentence_of_the_configuration(small, page):
    (_, sentence), *_ = page.all("p", class_="study")
    for said in (
        "resnet20 (resnet, depth 20, width 16)",
        "cifar10",
        "62,560 iterations",
        "seeds 0, 1, 2, 3 and 4",
    ):
        assert said in sentence
    assert "k = 0 and 500" in sentence and "2 rounds" in sentence
    assert "36 %" in sentence and "41 % remain" in sentence  # 0.64 squared


def test_every_figure_is_shown_whole_with_alternative_text_and_no_id_of_its_own(small, page):
    pictures = page.all("img")
    told = {one["figure"]: one for one in small[1]["figures"]}
    assert len(pictures) == len(told) == 3
    for name, (at, _) in zip(["rewinding", "mine", "timeline"], pictures, strict=True):
        kind, content = at["src"].split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        assert b64decode(content) == Path(told[name]["svg"]).read_bytes()
        assert at["alt"].startswith(f"Figure {name} of resnet20 on cifar10. ")
        assert len(at["alt"]) > 50
    ids = [at["id"] for _, at, _ in page.elements if "id" in at]
    assert len(set(ids)) == len(ids)
    assert "same" not in ids


def test_links_within_the_page_and_names_of_elements_lead_somewhere(page):
    ids = {at["id"] for _, at, _ in page.elements if "id" in at}
    for _, at, _ in page.elements:
        if at.get("href", "").startswith("#"):
            assert at["href"][1:] in ids
        for name in ("aria-controls", "aria-labelledby"):
            assert set(at.get(name, "").split()) <= ids


def test_what_was_found_is_computed_from_the_tables(small):
    folder, told, _ = small
    page = Reader(made(folder, told))
    (_, section), *_ = page.all("section", id="figure-cifar10-resnet20-rewinding")
    assert "The dense network reaches 88.9 ± 1.1 % (5 seeds)." in section
    assert (
        "At 41 % of the weights, from high to low: k = 100 with 88.2 ± 1.1 %; k = 0 with 59.2 ± 1.1 %"
        in section
    )
    table = Path(next(one["table"] for one in told["figures"] if one["figure"] == "rewinding"))
    before = table.read_text()
    try:
        REWINDING.assign(mean=REWINDING["mean"].replace(0.5917, 0.9917)).to_csv(table, index=False)
        (_, changed), *_ = Reader(made(folder, told)).all("section", id="figure-cifar10-resnet20-rewinding")
    finally:
        table.write_text(before)
    assert "k = 0 with 99.2 ± 1.1 %; k = 100 with 88.2 ± 1.1 %" in changed


def test_a_figure_stands_beside_the_claims_that_it_bears_on(page):
    (_, section), *_ = page.all("section", id="figure-cifar10-resnet20-rewinding")
    assert "no visible gap at 16.8 % of the weights (from the paper)" in section
    links = {text for at, text in page.all("a") if at["href"].startswith("#claim-")}
    assert {"R1", "R2", "R3", "R4", "R5"} <= links
    assert "X1" not in links


def test_claims_beside_a_figure_are_about_what_it_shows():
    names = names_in({})
    rows = [{"id": name, "dataset": "d", "model": "m"} for name in names]
    figure = {"dataset": "d", "model": "m", "shows": ["noise_1", "noise_2"]}
    related = questions()["perturbed"]["claims"]
    assert [row["id"] for row in shown_figures.claims_of(figure, related, rows, names)] == ["P10", "P11"]
    assert not shown_figures.claims_of(figure | {"model": "other"}, related, rows, names)
    every = shown_figures.claims_of(figure | {"shows": []}, related, rows, names)
    assert [row["id"] for row in every] == [name for name in names if name in related]
    own = {"P10": None, "P11": {"perturbations": ["noise_3"]}}
    assert names_in(own)["P11"] == {"noise_3", "noise_2"} and "P10" not in names_in(own)


def test_a_figure_without_an_entry_is_shown_with_its_name_and_docstring(page):
    (_, section), *_ = page.all("section", id="figure-cifar10-resnet20-mine")
    assert section.startswith("Mine resnet20 on cifar10 Draw what I like.")
    assert "What to look for" not in section and "What was found" not in section
    assert "The numbers of the figure mine" in section


def test_the_timeline_has_a_section_with_its_events(page):
    (_, section), *_ = page.all("section", id="timeline")
    assert "gradient smallest 16 ± 4 5 of 5 a stated rule" in section
    assert "gradient on its plateau not found 0 of 5" in section
    assert "In this order: first burst over 8 ± 1; gradient smallest 16 ± 4." in section
    assert not any("timeline" in text for at, text in page.all("nav", aria_label="Figures"))


def test_text_of_users_is_escaped_wherever_it_stands(small, page):
    assert HOSTILE not in small[2]
    assert len(page.all("script")) == 1
    assert not any("onerror" in at for _, at, _ in page.elements)
    text = " ".join(" ".join(text) for tag, _, text in page.elements if tag == "body")
    assert (
        text.count('<script>alert("x")</script>') >= 6
    )  # statement, paper, test, configuration, notes, numbers


def test_nothing_is_loaded_from_elsewhere(small, page):
    for tag, at, _ in page.elements:
        for name in ("src", "href", "srcset", "poster", "data", "action"):
            value = at.get(name, "#")
            assert value.startswith(("#", "data:")) or (tag == "a" and value.startswith("https://")), (
                tag,
                value,
            )
    (policy,) = [at["content"] for at, _ in page.all("meta") if "http-equiv" in at]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for name in ("page.css", "page.js"):
        assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://", (FOLDER / name).read_text())


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
    verdicts, contrasts = read_verdicts(folder / "claims.csv"), read_contrasts(folder / "contrasts.csv")
    page = Reader(report_page(bare, verdicts, contrasts.head(0), {}))
    assert not page.all("img") and not page.all("section", id="timeline")
    assert "There are no run records." in page.all("section", id="means")[0][1]


# What the page is made of


def test_every_registered_figure_has_an_entry_and_every_entry_a_figure():
    assert questions().keys() == registered("figures").keys()
    for name, entry in questions().items():
        assert set(entry["claims"]) <= claims().keys(), name
        assert entry["question"].endswith("?") and entry["look_for"].endswith("."), name
    spoken = {claim for entry in questions().values() for claim in entry["claims"]}
    assert claims().keys() - spoken == {"M1"}  # a finding, no claim


def test_no_entry_says_what_was_found():
    """Texts hold no numbers and no verdicts."""
    for entry in questions().values():
        text = f"{entry['question']} {entry['look_for']}"
        assert not re.search(r"\breproduced|inconclusive|%", text)
        assert not re.search(r"\d", re.sub(r"\b0\b", "", text))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"question": None}, "rewinding has"), ({"say": "poems"}, "rewinding says 'poems'; known: accuracies")],
)
def test_a_wrong_entry_is_refused(tmp_path, monkeypatch, change, message):
    entry = {name: value for name, value in (questions()["rewinding"] | change).items() if value is not None}
    (tmp_path / "questions.yaml").write_text(yaml.safe_dump({"figures": {"rewinding": entry}}))
    monkeypatch.setattr(shown_figures, "QUESTIONS", tmp_path / "questions.yaml")
    with pytest.raises(InvalidInput, match=message):
        questions.__wrapped__()


def test_a_large_drawing_is_shown_in_dots_where_these_are_smaller(tmp_path):
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
    points = DataFrame({"mean_of": [0.123456] * (shown_figures.LONG + 1), "n": 5, "none": float("nan")})
    assert shown_figures.numbers(points) == {
        "columns": ["mean of", "n", "none"],
        "rows": [],
        "more": len(points),
    }
    short = shown_figures.numbers(points.head(2))
    assert short["rows"] == [["0.1235", "5", ""]] * 2 and short["more"] == 0


def test_records_are_counted_by_what_they_ran_on(tmp_path):
    some = {"dense": [record(1), record(2)], "imp_round": [record(30, processor="Another"), {"seconds": 4}]}
    found = {row["name"]: row["values"] for row in means_of(some)}
    assert found["processor"] == [{"value": "A processor", "jobs": 2}, {"value": "Another", "jobs": 1}]
    assert [row["jobs"] for row in times_of(some)] == [2, 2]
    assert times_of({"dense": [{}]}) == []
    path = tmp_path / "run.json"
    path.write_text("{")
    with pytest.raises(InvalidInput, match=r"run.json is no run record"):
        read_records({"dense": [str(path)]})


def test_a_citation_without_a_title_is_refused(small):
    folder, told, _ = small
    with pytest.raises(InvalidInput, match=r"CITATION.cff: a work has no title"):
        made(folder, told | {"citation": {"authors": []}})


def test_a_table_that_is_none_of_claims_is_refused(tmp_path):
    DataFrame({"id": ["R1"]}).to_csv(tmp_path / "claims.csv", index=False)
    with pytest.raises(InvalidInput, match="is no table of claims: it has no column reading, dataset"):
        read_verdicts(tmp_path / "claims.csv")


def test_verdicts_of_two_networks_keep_their_own_contrasts(small):
    verdicts, contrasts = read_verdicts(small[0] / "claims.csv"), read_contrasts(small[0] / "contrasts.csv")
    both = concat([verdicts, verdicts.assign(model="other")], ignore_index=True)
    rows = rows_of(both, contrasts)
    assert all(not row["contrasts"] for row in rows if row["model"] == "other")
    assert sum(len(row["contrasts"]) for row in rows) == len(contrasts)


# Sentences on points whose answer is known


def test_sentences_on_sizes_name_both_ends_and_the_correlation():
    points = DataFrame({
        "k": 20, "perturbation": ["noise_1", "shuffle"], "effective_std": [0.09, 0.19],
        "mean": [0.9, 0.4], "std": [0.01, 0.02], "n": [5, 4], "r": -0.861, "p": 0.0123,
    })  # fmt: skip
    (sentence,) = findings.relation(points)
    assert "k = 20, 2 perturbations: Pearson's r of accuracy with size is -0.86 (p = 0.012)" in sentence
    assert (
        "noise 1 (size 0.0900) ends at 90.0 ± 1.0 % and shuffle (size 0.190) ends at 40.0 ± 2.0 %" in sentence
    )
    assert sentence.endswith("(4 to 5 seeds).")


def test_sentences_on_courses_tell_ends_and_what_lies_beyond_them():
    curve = DataFrame(
        {"curve": "norm", "iteration": [0, 10, 20], "mean": [2.0, 0.5, 1.0], "std": 0.1, "n": 3}
    )
    assert findings.courses(curve) == [
        "norm: from 2.00 ± 0.10 at iteration 0 to 1.00 ± 0.10 at 20; lowest 0.500 at 10 (3 seeds)."
    ]
    rising = curve.assign(mean=[1.0, 2.0, 3.0])
    assert findings.courses(rising) == [
        "norm: from 1.00 ± 0.10 at iteration 0 to 3.00 ± 0.10 at 20 (3 seeds)."
    ]
    geometric = curve.drop(columns="std").assign(factor=1.5).head(1)
    assert findings.courses(geometric) == ["norm: 2.00 (times or divided by 1.5) at iteration 0 (3 seeds)."]
    named = curve.assign(curve="accuracy", mean=[0.1, 0.05, 0.9], std=0.01)
    assert findings.courses(named) == [
        "test accuracy: from 10.0 ± 1.0 % at iteration 0 to 90.0 ± 1.0 % at 20; lowest 5.00 % at 10 (3 seeds)."
    ]
    many = concat([curve.assign(panel="a", curve=f"w{i}") for i in range(findings.MOST + 1)])
    assert findings.courses(many) == []


def test_sentences_on_losses_instabilities_and_gains():
    lost = DataFrame([
        {"measure": "lost", "regime": "base", "deficit": "blur", "first": 0, "end": 100, "mean": 0.031, "std": 0.01, "n": 5},
        {"measure": "fisher_trace", "first": 4, "mean": 3.9, "std": 0.9, "n": 5},
    ])  # fmt: skip
    assert findings.losses(lost) == ["base: blur in iterations 0 to 100 costs 3.1 ± 1.0 points (n = 5)."]
    shift = lost.assign(measure="shift", regime="no_decay", mean=-0.031).head(1)
    assert findings.losses(shift) == [
        "no decay: blur in iterations 0 to 100 costs 3.1 ± 1.0 points less than the first network loses under base "
        "(n = 5)."
    ]
    control = lost.assign(measure="accuracy", deficit="supervised", mean=0.9).head(1)
    assert findings.losses(concat([control.assign(end=0), control])) == [
        "base: no deficit ends at 90.0 ± 1.0 % (n = 5).",
        "base: the own task in place of a deficit in iterations 0 to 100 ends at 90.0 ± 1.0 % (n = 5).",
    ]
    both = concat([lost.assign(model="a"), lost.assign(model="b_2")])
    assert [sentence.partition(":")[0] for sentence in findings.losses(both)] == ["a, base", "b 2, base"]
    pairs = DataFrame([
        {"quantity": "instability", "round": 0, "k": k, "density": 1.0, "mean": mean, "std": 0.02, "n": 5}
        for k, mean in ((100, 0.01), (0, 0.3))
    ])  # fmt: skip
    assert findings.instabilities(pairs) == [
        "The dense network: the error on the line rises by 30.0 ± 2.0 points from k = 0 and "
        "1.0 ± 2.0 points from k = 100 (5 seeds)."
    ]
    files = DataFrame(
        {"quantity": "bytes", "batch": 0, "curve": ["packed", "all"], "n": 5, "breaks_even": [0.41, None]}
    )
    assert findings.gains(files) == [
        "Size of the file: surely below the dense network's best with “packed” from 41 % of the weights down (5 seeds)."
    ]
    none = files.assign(quantity="seconds", batch=8, breaks_even=float("nan"))
    assert "Time for an image, 8 at a time: no way surely goes below" in findings.gains(none)[0]


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [(13.87, 4.99, "13.9 ± 5.0"), (0.1341, 0.0008, "0.13410 ± 0.00080"), (2.0, float("nan"), "2.00"), (0.0, 0.0, "0 ± 0"), (1.0, 8e-17, "1.00 ± 0"),
     (float("nan"), float("nan"), "no number, since every run diverged")],
)  # fmt: skip
def test_a_number_has_the_digits_that_its_deviation_leaves(mean, std, said):
    assert findings.spread(mean, std) == said


# The job


@pytest.fixture(scope="module")
def study():
    return read_study([ROOT / "config.yaml", ROOT / "tests/smoke.yaml"], ROOT)


def test_the_page_waits_for_exactly_what_it_shows(study):
    everything = list(jobs(study))
    figures = [path for one in everything if one.rule == "figure" for path in one.outputs]
    records = [
        one.paths.outputs["run"].format(**one.names) for one in everything if "run" in one.paths.outputs
    ]
    found = inputs(study, job(study, "report"))
    assert found.keys() == {"figures", "records", "claims", "contrasts"}
    assert sorted(found["figures"]) == sorted(figures) and len(figures) == 3 * 15
    assert sorted(found["records"]) == sorted(records) and len(records) == len(set(records)) > 50


def test_how_jobs_are_executed_is_no_part_of_the_page(study):
    told = spec(study, "report", {})
    assert "execution" not in told["configuration"] and told["configuration"]["seeds"] == [0, 1]
    schema = yaml.safe_load((ROOT / "config.schema.yaml").read_text())
    other = {
        **study.config,
        "execution": {**study.config["execution"], "resume_interval": 7, "preload": False},
    }
    assert spec(Study(other, schema, study.rules, study.citation), "report", {}) == told


def test_what_is_told_of_a_figure_is_its_docstring_without_what_is_for_programmers(study):
    told = spec(study, "report", {})["descriptions"]
    assert told["rewinding"] == (
        "Draw final accuracy of IMP tickets against density, a curve for each rewind iteration k."
    )
    for text in told.values():
        assert text.startswith("Draw ") and not re.search(r"Args:|Returns:|Raises:|Source:", text)


def test_an_edit_of_a_template_or_a_text_makes_the_page_anew():
    reached = definitions("commands.report.run")
    for path in FOLDER.glob("*.*"):
        if path.suffix in (".j2", ".css", ".js"):
            assert f"results.report.templates.{path.name}" in reached
    assert "questions.yaml: figures.rewinding" in reached
    assert not any(name.startswith(("core.training", "results.figures")) for name in reached)


def test_the_package_brings_every_file_of_the_page():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = settings["package-data"]["earlyphase"]
    beside = [path for path in FOLDER.iterdir() if path.is_file() and path.suffix != ".py"]
    assert len(beside) >= 7
    for path in beside:
        name = str(path.relative_to(ROOT / "src/earlyphase"))
        assert any(fnmatch(name, pattern) for pattern in patterns), name


def test_pages_import_neither_torch_nor_matplotlib():
    code = (
        "import sys, earlyphase.commands.report, earlyphase.results.report.comparison; "
        "print([name for name in ('torch', 'torchvision', 'matplotlib', 'snakemake') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Two studies


@pytest.fixture(scope="module")
def compared(small, tmp_path_factory):
    """The page that compares the small study with one of other verdicts and fewer figures."""
    folder = small[0]
    other = tmp_path_factory.mktemp("other") / "results"
    shutil.copytree(folder, other)
    (other / "figures/cifar10/resnet20/mine.svg").unlink()
    verdicts = read_verdicts(other / "claims.csv")
    verdicts.loc[verdicts["id"] == "R5", "verdict"] = "not reproduced"
    verdicts.loc[verdicts["id"] == "R4", "verdict"] = "inconclusive"
    verdicts.to_csv(other / "claims.csv", index=False)
    out = other / "compared.html"
    assert main(["compare", str(folder.parent), str(other), "--html", str(out)]) == 0
    return out


def test_claims_whose_verdict_changed_come_first(compared):
    page = Reader(compared.read_text())
    rows = [(at["data-verdict"], text) for at, text in page.all("tbody") if "data-verdict" in at]
    kinds = [kind for kind, _ in rows]
    assert kinds == sorted(kinds) and kinds.count("changed") == 2
    assert rows[0][1].startswith("R5 changed") and rows[1][1].startswith(
        "R4 changed"
    )  # an opposite one first
    assert "reproduced" in rows[0][1] and "not reproduced" in rows[0][1]
    (_, summary), *_ = page.all("p", class_="study")
    assert "60 % of these have the same verdict in all, 20 % opposite ones" in summary


def test_figures_stand_side_by_side_and_one_that_is_missing_says_so(compared):
    page = Reader(compared.read_text())
    assert len(page.all("img")) == 5
    sections = [text for at, text in page.all("section", class_="figure")]
    assert [text.split()[0] for text in sections] == ["Rewinding", "Timeline", "Mine"]
    assert "This study has no such figure." in sections[2] and "no such figure" not in sections[0]
    names = {at["alt"].rpartition("study ")[2] for at, _ in page.all("img")}
    assert len(names) == 2


def test_tables_of_claims_alone_can_be_compared(small):
    verdicts = read_csv(small[0] / "claims.csv")
    page = comparison_page({"a": verdicts, "b": verdicts}, {"a": ROOT / "nowhere", "b": ROOT / "nowhere"})
    assert not Reader(page).all("img") and 'changed</span> <span class="count">0' in page


# In a browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (1300, 390)
FOCUSABLE = "a[href], button, input, summary, [tabindex='0']"


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


@pytest.fixture(params=["report", "comparison"])
def path(request, small, compared):
    return small[0] / "report.html" if request.param == "report" else compared


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
        """Open every row and every list of numbers, and enlarge every figure."""
        for button in self.page.locator("[data-open=true], .enlarge").all():
            button.click()
        self.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")

    def shown(self):
        """Numbers of the rows that are to be seen, in their order."""
        return self.page.evaluate(
            "[...document.querySelectorAll('table.claims > tbody')]"
            ".filter((one) => one.offsetParent !== null).map((one) => Number(one.dataset.number))"
        )


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
def test_a_browser_has_nothing_to_say_and_asks_for_nothing(seen, path, width):
    one = seen(path, width)
    one.open_all()
    one.page.wait_for_timeout(200)
    assert one.messages == []
    assert [url for url in one.requests if not url.startswith("data:")] == [path.as_uri()]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_seen_whole_and_the_page_never_scrolls_sideways(seen, path, width):
    one = seen(path, width)
    pictures = one.page.locator("img").all()
    assert len(pictures) in (3, 5)
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


def test_rows_are_sorted_by_the_buttons_in_the_heads(seen, small):
    one = seen(small[0] / "report.html")
    verdicts = read_verdicts(small[0] / "claims.csv")
    head = one.page.locator("th", has_text="What it says")
    by_number = one.shown()
    assert by_number == list(range(len(verdicts)))
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert one.page.locator("th[aria-sort]").count() == 1
    statements = [one.page.locator(f"#claim-{n}").get_attribute("data-statement") for n in one.shown()]
    rising = "texts => texts.every((text, i) => i === 0 || texts[i - 1].localeCompare(text, 'en') <= 0)"
    assert one.page.evaluate(rising, statements)
    assert one.shown() != by_number
    head.locator("button").press("Enter")  # from the keyboard, the other way round
    assert head.get_attribute("aria-sort") == "descending"
    turned = [one.page.locator(f"#claim-{n}").get_attribute("data-statement") for n in one.shown()]
    assert turned == list(reversed(statements))
    one.page.locator("th", has_text="Verdict").first.locator("button").click()
    ranks = [int(one.page.locator(f"#claim-{n}").get_attribute("data-rank")) for n in one.shown()]
    assert ranks == sorted(ranks) and len(set(ranks)) > 2
    one.page.locator("table.claims thead th", has_text="n").locator(
        "button", has_text=re.compile("^n")
    ).click()
    numbers = [int(one.page.locator(f"#claim-{n}").get_attribute("data-n")) for n in one.shown()]
    assert numbers == sorted(numbers) and len(set(numbers)) > 1


def test_rows_are_filtered_by_verdict(seen, small):
    one = seen(small[0] / "report.html")
    verdicts = read_verdicts(small[0] / "claims.csv")["verdict"]
    assert (
        one.page.locator("[role=status]").inner_text() == f"{len(verdicts)} of {len(verdicts)} rows are shown"
    )
    box = one.page.get_by_role("checkbox", name="not run: not configured")
    box.press("Space")
    wanted = [number for number, verdict in enumerate(verdicts) if verdict != "not run: not configured"]
    assert 0 < len(wanted) < len(verdicts) and one.shown() == wanted
    assert one.page.locator("[role=status]").inner_text().startswith(f"{len(wanted)} of ")
    box.press("Space")
    assert len(one.shown()) == len(verdicts)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_row_opens_and_closes(seen, small, width):
    one = seen(small[0] / "report.html", width)
    opener, more = one.page.get_by_role("button", name="R2"), one.page.locator("#claim-1-more")
    assert opener.get_attribute("aria-expanded") == "false" and not more.is_visible()
    opener.press("Enter")
    assert opener.get_attribute("aria-expanded") == "true" and more.is_visible()
    assert "against" in more.inner_text() and "Figure 1" in more.inner_text()
    assert one.page.locator("tr.more:visible").count() == 1
    opener.click()
    assert not more.is_visible()
    one.page.get_by_role("button", name="Open all rows").click()
    assert one.page.locator("tr.more:visible").count() == len(one.shown())
    one.page.get_by_role("button", name="Close all rows").click()
    assert one.page.locator("tr.more:visible").count() == 0


def test_a_link_to_a_claim_opens_its_row_even_where_it_is_filtered_out(seen, small):
    one = seen(small[0] / "report.html")
    one.page.get_by_role("checkbox", name="not run: not configured").uncheck()
    assert not one.page.locator("#claim-2").is_visible()
    one.page.locator("a[href='#claim-2']").first.click()
    one.page.wait_for_function(
        "document.activeElement.textContent.endsWith('R3')"
    )  # told a moment after the click
    assert one.page.locator("#claim-2-more").is_visible()


def test_a_figure_is_enlarged_within_its_frame(seen, small):
    one = seen(small[0] / "report.html", 390)
    button, picture = one.page.locator(".enlarge").first, one.page.locator("img").first
    before = picture.bounding_box()["width"]
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert picture.bounding_box()["width"] > 2 * before
    assert one.page.locator(".picture").first.get_attribute("tabindex") == "0"  # can be scrolled by keys
    button.click()
    assert picture.bounding_box()["width"] == before


@pytest.mark.parametrize("width", WIDTHS)
def test_the_keyboard_reaches_everything(seen, path, width):
    one = seen(path, width)
    one.open_all()
    wanted = one.page.evaluate(
        "(query) => { const found = [...document.querySelectorAll(query)].filter((one) => one.checkVisibility());"
        " found.forEach((one, i) => { one.dataset.place = i; }); return found.length; }",
        FOCUSABLE,
    )
    assert wanted > 10
    reached = []
    for _ in range(wanted + 2):  # round once, past the browser's own controls
        one.page.keyboard.press("Tab")
        place = one.page.evaluate("document.activeElement?.dataset.place ?? null")
        reached += [] if place is None else [int(place)]
    assert set(reached) == set(range(wanted))
    assert sum(after < before for before, after in pairwise(reached)) <= 1  # in the order of the page


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


def test_without_a_script_all_is_shown_and_nothing_offered_that_does_not_work(seen, small):
    one = seen(small[0] / "report.html", java_script_enabled=False)
    assert one.page.locator("tr.more:visible").count() == one.page.locator("tr.more").count() > 40
    assert one.page.locator("form:visible, .enlarge:visible").count() == 0


def test_print_leaves_out_what_only_a_screen_can_use(seen, path):
    one = seen(path)
    one.page.emulate_media(media="print")
    assert one.page.locator("nav:visible, form:visible, .enlarge:visible").count() == 0
    assert one.page.locator("img:visible").count() >= 3
