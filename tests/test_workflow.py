"""The real workflow on the smoke study: it runs, it reruns exactly, it reports."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SMOKE = yaml.safe_load((ROOT / "tests/smoke.yaml").read_text())
CHAINS = len(SMOKE["seeds"]) * len(SMOKE["rewind_iterations"])
TABLES = {"collect_imp": 1, "claims": 1, "figure": 1, "figures": 1}


class Project:
    """A copy of the project that can be edited, with a study of its own."""

    def __init__(self, folder):
        self.folder = folder
        for name in (
            "Snakefile",
            "config.yaml",
            "config.schema.yaml",
            "rules",
            "src",
            "profiles",
            "envs",
            "report",
        ):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        shutil.copy(ROOT / "tests/smoke.yaml", folder / "smoke.yaml")

    def snakemake(self, *options, check=True):
        """Run Snakemake on the copy's own code; return what it printed."""
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src")}
        environment.pop("OMP_NUM_THREADS", None)
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--configfile", "smoke.yaml", *options],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=500,
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def planned(self, *options):
        """What a dry run would do: rule -> number of jobs."""
        printed = self.snakemake("-n", *options)
        if "Nothing to be done" in printed:
            return {}
        table = printed.split("Job stats:")[1].split("total")[0]
        return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}

    def edit(self, name, old, new):
        """Replace text in a file of the copy."""
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{name} no longer has {old!r}: mend this test"
        path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The project after the whole smoke study has run; tests must leave it as it is."""
    project = Project(tmp_path_factory.mktemp("workflow"))
    project.first_run = project.snakemake("--cores", "2")
    return project


@pytest.fixture
def project(finished):
    """The finished project; edits of its files are undone."""
    before = {path: path.read_bytes() for path in finished.folder.rglob("*.*") if is_source(path, finished)}
    yield finished
    for path, content in before.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


def is_source(path, project):
    parts = path.relative_to(project.folder).parts
    return path.is_file() and parts[0] not in ("results", "logs", "benchmarks", ".snakemake")


def test_the_study_makes_every_promised_file(finished):
    results = finished.folder / "results"
    for seed in SMOKE["seeds"]:
        dense = results / f"dense/synthetic/tiny/seed{seed}/supervised"
        names = ["it0.safetensors", "it4.safetensors", "it24.safetensors", "metrics.csv", "run.json"]
        assert all((dense / name).exists() for name in names)
        for k in SMOKE["rewind_iterations"]:
            for imp_round in range(1, SMOKE["rounds"] + 1):
                folder = results / f"imp/synthetic/tiny/seed{seed}/supervised/it{k}/round{imp_round}"
                assert sorted(path.name for path in folder.iterdir()) == [
                    "mask.safetensors",
                    "metrics.csv",
                    "run.json",
                    "weights.safetensors",
                ]
    figures = {path.name for path in (results / "figures").iterdir()}
    assert figures == {f"rewinding_synthetic_tiny.{suffix}" for suffix in ("svg", "png", "csv")}
    assert (results / "claims.csv").read_text().count("\nR") == 5


def test_every_job_has_a_log(finished):
    assert len(list((finished.folder / "logs").rglob("*.log"))) == 1 + 2 + 6 + 12 + 2 + 1 + 1


def test_masks_nest_and_rounds_rewind_along_a_chain(finished):
    import numpy as np

    from earlyphase.storage import load_mask, load_rows, load_weights

    chain = finished.folder / "results/imp/synthetic/tiny/seed0/supervised/it4"
    kept_before = None
    for imp_round in (1, 2, 3):
        mask = load_mask(chain / f"round{imp_round}/mask.safetensors")
        weights, iteration = load_weights(chain / f"round{imp_round}/weights.safetensors")
        rows = load_rows(chain / f"round{imp_round}/metrics.csv")
        assert iteration == 24
        assert [int(row["iteration"]) for row in rows] == [8, 16, 24]  # the clock starts at k
        for name, kept in mask.items():
            assert not np.any(weights[name][~kept])
            assert kept_before is None or not np.any(kept & ~kept_before[name])
        kept_before = mask
        assert float(rows[0]["density"]) == pytest.approx(0.8**imp_round, rel=2e-3)


def test_a_finished_study_plans_nothing(project):
    assert project.planned() == {}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"rounds": 4}, {"imp_round": CHAINS, **TABLES}),
        ({"rewind_iterations": [0, 2, 4]}, {"checkpoint": 2, "imp_round": 6, **TABLES}),
        (
            {"seeds": [0, 1, 2]},
            {"dense": 1, "checkpoint": 3, "imp_round": 6, "collect_dense": 1, **TABLES},
        ),
        ({"execution": {"device": "cpu", "precision": "bfloat16", "resume_interval": 5}}, {}),
        ({"full_scale": True}, {"claims": 1, "figures": 1}),
    ],
    ids=["one more round", "one more k", "one more seed", "another precision", "another test of claims"],
)
def test_an_extension_plans_the_new_jobs_alone(project, setting, expected):
    (project.folder / "smoke.yaml").write_text(yaml.safe_dump(SMOKE | setting))
    assert project.planned() == expected


def test_one_round_again_plans_it_and_its_successors(project):
    mask = "results/imp/synthetic/tiny/seed0/supervised/it4/round2/mask.safetensors"
    assert project.planned("-R", mask, "--", "figures") == {"imp_round": 2, **TABLES}


def test_an_added_k_takes_its_state_from_the_nearest_kept_one(finished, tmp_path):
    """Training on from iteration 4 gives the bytes of a run that kept iteration 6 itself."""
    project = Project(tmp_path / "copy") if (tmp_path / "copy").mkdir() is None else None
    shutil.copytree(finished.folder / "results", project.folder / "results")
    shutil.copytree(finished.folder / ".snakemake", project.folder / ".snakemake")
    target = "results/dense/synthetic/tiny/seed0/supervised/it6.safetensors"
    project.snakemake("--cores", "1", target)
    log = (project.folder / "logs/dense/synthetic/tiny/seed0/supervised/it6.log").read_text()
    assert "iteration 6 was not kept: training on from 4" in log
    added = (project.folder / target).read_bytes()
    shutil.rmtree(project.folder / "results/dense")
    (project.folder / "smoke.yaml").write_text(yaml.safe_dump(SMOKE | {"rewind_iterations": [0, 6]}))
    project.snakemake("--cores", "1", target)
    assert (
        "was not kept"
        not in (project.folder / "logs/dense/synthetic/tiny/seed0/supervised/it6.log").read_text()
    )
    assert (project.folder / target).read_bytes() == added


def test_a_bad_configuration_stops_before_any_job(project):
    (project.folder / "smoke.yaml").write_text(yaml.safe_dump(SMOKE | {"rewind_iterations": [0, 24]}))
    printed = project.snakemake("-n", check=False)
    assert "rewind_iterations has 24" in printed
    assert "Traceback" not in printed


def test_the_default_study_plans(tmp_path):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    chains = len(config["seeds"]) * len(config["rewind_iterations"])
    project = Project(tmp_path)
    (tmp_path / "smoke.yaml").write_text("{}")
    planned = project.planned()
    assert planned["imp_round"] == chains * config["rounds"]
    assert planned["dense"] == len(config["seeds"])


def test_the_report_is_made(finished):
    finished.snakemake("--report", "report.html")
    assert "rewinding" in (finished.folder / "report.html").read_text()
    (finished.folder / "report.html").unlink()


def test_lint_and_format():
    lint = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr
    form = subprocess.run(
        [Path(sys.executable).with_name("snakefmt"), "--check", "Snakefile", "rules"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert form.returncode == 0, form.stdout + form.stderr
