"""What the documentation tells people to write works as it stands there."""

import re
import shlex
import shutil
from runpy import run_path
from unittest.mock import patch

import numpy as np
import pytest
import yaml
from pandas import Series

from test_workflow import NONE_PRETRAINED, ROOT, Project, chains_and_rounds

# Laid over an example: one seed, few images, little after the iteration 60 that it rewinds to, and nothing besides.
SHORT = {
    "seeds": [0],
    "training": {"iterations": 64, "milestones": [62]},
    "datasets": {"photo_digits": {"train": 512, "test": 200}},
    "telemetry": {"schedule": [[4, 1]], "evaluations": [[4, 4]]},
    "curvature": {"iterations": []},
    "fisher": {"iterations": []},
    "stability": {"dense": [], "rewind_iterations": []},
    "inference": {"rewind_iterations": []},
    "critical_periods": [],
    **NONE_PRETRAINED,
}
DENSE = "photo_digits/resnet8/seed0/supervised"
OUTCOMES = ["results/tables/photo_digits/resnet8/norm.csv", "results/claims.csv"]
EXTENDING, EXAMPLES = "docs/extending.md", "docs/examples"


def blocks(page, heading):
    """Code blocks of a section of a page: language and text."""
    _, section = (ROOT / page).read_text().split(f"\n## {heading}\n")
    return re.findall(r"^```(\w+)\n(.*?)^```$", section.split("\n## ")[0], re.M | re.S)


def test_the_page_shows_every_file_of_an_example():
    shown = re.findall(r'^--8<-- "(.*)"$', (ROOT / EXTENDING).read_text(), re.M)
    assert sorted(shown) == sorted(path.name for path in (ROOT / EXAMPLES).iterdir() if path.suffix != ".png")


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """The claim and the stage of `docs/extending.md`, finished on short trainings."""
    project = Project(tmp_path_factory.mktemp("extended"))
    shutil.copytree(ROOT / EXAMPLES, project.folder / EXAMPLES)
    for _, code in blocks(EXTENDING, "A new stage"):
        file, _, text = code.removeprefix("# ").partition("\n")
        with (project.folder / file).open("a") as opened:
            opened.write("\n\n" + text)
    (project.folder / "short.yaml").write_text(yaml.safe_dump(SHORT))
    project.configuration = [f"{EXAMPLES}/perturbation.yaml", f"{EXAMPLES}/claims.yaml", "short.yaml"]
    project.snakemake(*OUTCOMES, "--cores", "2")
    return project


def test_the_stage_of_the_page_measures_what_it_says(extended):

    from earlyphase.runtime.storage import load_rows, load_weights

    rows = load_rows(extended.folder / OUTCOMES[0])
    assert [int(row["k"]) for row in rows] == [0, 60, 64]
    for row in rows:
        weights, _ = load_weights(extended.folder / f"results/dense/{DENSE}/it{row['k']}.safetensors")
        length = np.linalg.norm(np.concatenate([array.ravel() for array in weights.values()]))
        assert float(row["norm"]) == pytest.approx(length)


def test_the_claim_of_the_page_is_judged(extended):
    from pandas import read_csv

    row = read_csv(extended.folder / OUTCOMES[1], keep_default_na=False).set_index("id").iloc[-1]
    assert row.name == "F1" and row["source"].endswith("photo_digits/resnet8/imp.csv")
    assert row["statement"] == "Coarse rounding costs less than 5 points more than fine rounding, at k = 60"
    runs = extended.folder / f"results/perturbed/{DENSE}/magnitude/it60/round4"
    fine, rough = (
        100 * read_csv(runs / f"{name}.csv")["accuracy"].iloc[-1] for name in ("rounded_2", "rounded_64")
    )
    assert (row["ours"], row["n"]) == (f"{fine - rough:+.2f} points", 1)
    assert row["test"].startswith("no interval from fewer than two seeds")


def test_the_command_of_the_page_plans_on_the_default_study(extended):
    """As it stands there, over `config.yaml` and the example of a perturbation alone."""
    (command,) = (code for language, code in blocks(EXTENDING, "A claim") if language == "sh")
    program, target, *options, name, first, second = shlex.split(command)
    assert (program, name, target) == ("snakemake", "--configfile", "results/claims.csv")
    with patch.object(extended, "configuration", [first, second]):
        mine = extended.planned(target, *options)
        listed = extended.command("list", "perturbations")
    example = yaml.safe_load((extended.folder / first).read_text())
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | example
    assert mine["imp_round"] == chains_and_rounds(config)
    assert mine["perturb"] == len(config["seeds"]) * 2 * 4
    assert "rewind: {function: rewind}\n" in listed
    assert "rounded_2: {function: rounded, base: 2}\n    Round each kept weight to a power" in listed


def test_a_ticket_is_loaded_as_the_page_says(extended, monkeypatch):
    """The network that its code makes is as accurate as the ticket was in the workflow."""
    import torch
    from pandas import read_csv

    from earlyphase.runtime.storage import load_tensors

    monkeypatch.chdir(extended.folder)
    ((_, code), _) = blocks("docs/tickets.md", "A ticket in your own program")
    made = {}
    exec(code, made)
    data, _ = load_tensors("results/data/photo_digits.safetensors", "data set")
    images = data["test_images"] / np.float32(255)
    images = (images - data["mean"][:, None, None]) / data["std"][:, None, None]
    with torch.no_grad():
        guessed = made["model"].eval()(torch.from_numpy(images)).argmax(dim=1).numpy()
    expected = read_csv(f"{made['folder']}/metrics.csv")["accuracy"].iloc[-1]
    assert np.mean(guessed == data["test_labels"]) == pytest.approx(expected, abs=0.01)


def test_help_lists_the_commands_of_the_page(capsys):
    from earlyphase.__main__ import main

    (row,) = re.findall(
        r"^\| `commands/` \| (.*) \| all \|$", (ROOT / "docs/how-it-works.md").read_text(), re.M
    )
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    listed = re.findall(r"^    (\w+)", capsys.readouterr().out, re.M)
    assert sorted(listed) == sorted(re.findall(r"`(\w+)`", row))


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")),
]


def anchors(page):
    """What a link may point to within a page: its headings, as GitHub and MkDocs write them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        if not target.startswith(("http:", "https:")):
            file, _, anchor = target.partition("#")
            path = (ROOT / page).parent / file if file else ROOT / page
            assert path.exists(), f"{page} leads to {target}, which is not there"
            assert not anchor or anchor in anchors(path), f"{page} leads to {target}: no such heading"


def test_every_page_is_in_the_site():
    listed = re.findall(r"[\w/-]+\.md", (ROOT / "zensical.toml").read_text())
    assert sorted(listed) == sorted(
        str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")
    )


def test_the_page_of_the_configuration_is_what_schema_and_functions_say():
    made = run_path(str(ROOT / "docs/make_configuration.py"))["page"]()
    assert made == (ROOT / "docs/configuration.md").read_text(), "run: python docs/make_configuration.py"
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert all(f"## `{section}`" in made for section in config)
    assert not re.findall(r"^.*\|  \|$", made, re.M), "every key says what it means"


def test_the_page_of_the_claims_is_what_they_say():
    made = run_path(str(ROOT / "docs/make_claims.py"))["page"]()
    assert made == (ROOT / "docs/claims.md").read_text(), "run: python docs/make_claims.py"
    assert not re.findall(r"[{}](?!R2|$)", made.split("## ", 1)[1])


def test_the_tables_of_results_are_those_of_the_runs():
    made = run_path(str(ROOT / "docs/make_results.py"))
    for name in made["PAGES"]:
        assert made["page"](name) == (ROOT / "docs" / name).read_text(), "run: python docs/make_results.py"
    seed = Series([90.0, 92.0])
    assert made["mean"](seed) == "91.0 ± 1.4"
    assert (
        made["change"](seed, seed + Series([1.0, 3.0])) == "−2.0 (−14.7 to +10.7)"
    )  # 12.706 is t for one degree


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100
