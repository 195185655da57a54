"""What the documentation tells people to write works as it stands there."""

import re
import shlex
from contextlib import ExitStack
from runpy import run_path
from unittest.mock import patch

import pytest
import yaml

from test_workflow import NONE_PRETRAINED, ROOT, SMOKE, Project, chains_and_rounds

# As long as the pages need: they rewind to iteration 20 and perturb the ticket of round 3.
SHORT = {
    "seeds": [0],
    "rewind_iterations": [20],
    "rounds": 3,
    "curvature": {"iterations": []},
    "fisher": {"iterations": []},
    "inference": {"rounds": []},
    "critical_periods": [],
    **NONE_PRETRAINED,
}
TRAINING = SMOKE["training"] | {"iterations": 32}
DENSE = "bright/small/seed0/softened_until_10"
OUTCOMES = [
    "results/figures/bright/small/last.svg",
    "results/tables/bright/small/norm.csv",
    "results/claims.csv",
]


def blocks(page, heading=""):
    """Code blocks of a page, from a heading or a bold beginning on: language, file that it belongs to, text."""
    text = (ROOT / page).read_text()
    assert heading in text
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", text[text.index(heading) :], re.M | re.S):
        first, _, rest = code.partition("\n")
        yield (language, "", code) if language == "sh" else (language, first.removeprefix("# "), rest)


def written(project, found):
    """Write blocks to the files that they belong to; return what stands in blocks of the shell."""
    commands = []
    for language, file, code in found:
        path = project.folder / file.split(",")[0]
        if language == "sh":
            commands += code.splitlines()
        elif file.endswith(", in STAGES"):
            project.edit(file.split(",")[0], "\nSTAGES = {", f"\nSTAGES = {{\n{code.rstrip()}")
        else:
            path.write_text((path.read_text() + "\n\n" if path.exists() else "") + code)
    return commands


def test_every_block_says_where_it_belongs():
    found = list(blocks("docs/extending.md"))
    assert len(found) == (ROOT / "docs/extending.md").read_text().count("\n```") / 2
    assert [file for _, file, _ in found] == [
        "mine.yaml", "mine.py", "", "rules/telemetry.smk", "src/earlyphase/study/stages.py, in STAGES",
        "src/earlyphase/commands/norm.py",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """The study of `docs/extending.md`, finished on short trainings, with the stage that it adds."""
    project = Project(tmp_path_factory.mktemp("extended"))
    project.commands = written(project, blocks("docs/extending.md"))
    project.configure(training=TRAINING, **SHORT)
    project.configuration = ["smoke.yaml", "mine.yaml"]
    project.snakemake(*OUTCOMES, "--cores", "2")
    return project


def test_the_plugin_of_the_page_makes_what_it_says(extended):
    from pandas import read_csv

    from earlyphase.runtime.storage import load_mask

    results = extended.folder / "results"
    assert all((extended.folder / path).exists() for path in OUTCOMES)
    points = read_csv(results / "figures/bright/small/last.csv")
    assert list(points["perturbation"]) == ["signs_flipped", "signs_flipped_noise"]
    assert set(points["iteration"]) == {32}
    assert points["effective_std"].nunique() == 2  # flipped, and noise besides
    mask = load_mask(results / f"imp/{DENSE}/magnitude/it20/round3/mask.safetensors")
    assert {name: kept.shape for name, kept in mask.items()} == {"0.weight": (6, 1, 3, 3), "4.weight": (2, 6)}


def test_the_stage_of_the_page_measures_what_it_says(extended):
    import numpy as np

    from earlyphase.runtime.storage import load_rows, load_weights

    rows = load_rows(extended.folder / OUTCOMES[1])
    assert [int(row["k"]) for row in rows] == [0, 4, 20, 32]
    for row in rows:
        weights, _ = load_weights(extended.folder / f"results/dense/{DENSE}/it{row['k']}.safetensors")
        length = np.linalg.norm(np.concatenate([array.ravel() for array in weights.values()]))
        assert float(row["norm"]) == pytest.approx(length)


def test_the_claims_of_the_page_are_judged(extended):
    from pandas import read_csv

    rows = read_csv(extended.folder / OUTCOMES[2], keep_default_na=False).set_index("id")
    assert list(rows.index[-2:]) == ["F1", "F2"]
    assert rows.loc["F2", "statement"] == "Noise upon flipped signs costs less than 5 points more"
    assert rows.loc["F2", "test"].startswith("below 5 points; signs_flipped minus signs_flipped_noise: ")
    points = read_csv(extended.folder / "results/figures/bright/small/last.csv").set_index("perturbation")
    flipped, noisy = 100 * points.loc[["signs_flipped", "signs_flipped_noise"], "accuracy"]
    assert rows.loc["F2", "ours"] == f"{flipped - noisy:+.2f} points"
    assert rows.loc["F1", "n"] == rows.loc["F2", "n"] == 1
    assert rows.loc["F1", "test"].startswith("below 0 points; k = 20 at ")
    assert rows.loc["F2", "source"].endswith("bright/small/perturbed.csv")


@pytest.fixture(scope="module")
def mine(extended):
    """What `mine.py` of the page defines; other tests do not find it registered."""
    from earlyphase import registry

    with ExitStack() as stack:
        for known in vars(registry).values():
            if isinstance(known, registry.Registry):
                stack.enter_context(patch.dict(known))
        return run_path(str(extended.folder / "mine.py"))


def test_the_perturbation_of_the_page_turns_signs_and_nothing_else(extended, mine):
    import numpy as np

    from earlyphase.core.branches import Ticket
    from earlyphase.runtime.storage import load_mask, load_weights

    weights, k = load_weights(extended.folder / f"results/dense/{DENSE}/it20.safetensors")
    mask = load_mask(extended.folder / f"results/imp/{DENSE}/magnitude/it20/round3/mask.safetensors")
    ticket = Ticket(weights, weights, weights, mask, k, 3)
    for share in (0, 0.5, 1):
        turned = mine["flip_signs"](ticket, 0, share=share).weights
        kept = np.concatenate([weights[name][mask[name]] for name in mask])
        found = np.concatenate([turned[name][mask[name]] for name in mask])
        assert np.array_equal(np.abs(found), np.abs(kept))
        assert np.mean(found != kept) == pytest.approx(share, abs=0.3 * (share == 0.5))
        assert not any(turned[name][~mask[name]].any() for name in mask)
        assert all(turned[name] is weights[name] for name in weights.keys() - mask.keys())


def test_the_task_of_the_page_softens_until_then(mine):
    import numpy as np
    import torch

    from earlyphase.core.images import Images
    from earlyphase.core.tasks import Task

    arrays = np.zeros((4, 1, 8, 8), np.uint8), np.arange(4) % 2, np.float32([0.5]), np.float32([0.25])
    images = Images.from_arrays(*arrays, torch.device("cpu"))
    change = mine["softened"](Task(images, images, 2), 0, until=10).change
    dot = torch.zeros(1, 1, 5, 5)
    dot[0, 0, 2, 2] = 9.0
    spread, _ = change((dot, None), 9)
    assert spread[0, 0, 1:4, 1:4].allclose(torch.ones(3, 3))
    assert change((dot, None), 10)[0] is dot


def test_the_command_of_the_page_plans_on_the_default_study(extended):
    """As it stands there, over `config.yaml` alone."""
    (command,) = extended.commands
    program, target, *options, name, file = shlex.split(command)
    assert (program, name) == ("snakemake", "--configfile")
    extended.configuration = [file]
    planned = extended.planned(target, *options)
    extended.configuration = ["smoke.yaml", "mine.yaml"]
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert planned["imp_round"] == chains_and_rounds(config)
    assert planned["perturb"] == len(config["seeds"]) * 2


def test_the_recipe_for_something_of_ones_own_plans(tmp_path):
    project = Project(tmp_path)
    written(project, list(blocks("docs/using.md", "## Something of your own"))[:2])
    project.configuration = ["mine.yaml"]
    planned = project.planned("figures")
    assert planned["perturb"] == 5 * 2 * 2  # seeds, rewind iterations, rounds
    assert project.command("status").startswith("small on photo_digits")


PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
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
    listed = re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text())
    assert sorted(listed) == sorted(path.name for path in ROOT.glob("docs/*.md"))


def test_the_page_of_the_configuration_is_what_schema_and_functions_say():
    made = run_path(str(ROOT / "docs/make_configuration.py"))["page"]()
    assert made == (ROOT / "docs/configuration.md").read_text(), "run: python docs/make_configuration.py"
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert all(f"## `{section}`" in made for section in config)
    assert not re.findall(r"^.*\|  \|$", made, re.M), "every key says what it means"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
