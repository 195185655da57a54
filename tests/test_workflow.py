"""The real workflow on the smoke study: it runs, it reruns exactly, it reports."""

import contextlib
import inspect
import os
import platform
import pty
import re
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from math import log
from pathlib import Path

import pandas as pd
import pytest
import yaml

from assigned import ROOT, read_study
from dry_run import dry_run
from earlyphase.results.claims import claims as known_claims
from earlyphase.study.jobs import all_jobs

SMOKE = yaml.safe_load((ROOT / "tests/smoke.yaml").read_text())
PRUNE_FRACTION = yaml.safe_load((ROOT / "config.yaml").read_text())["prune_fraction"]
CHAINS = len(SMOKE["seeds"]) * len(SMOKE["rewind_iterations"])
READS = {  # figures that have something to show in the smoke study -> the tables that they draw
    "rewinding": {"imp", "dense"},
    "timeline": {
        *("telemetry", "evaluations", "curvature", "pairs", "imp", "dense"),
        *("pretrained_dense", "pretrained_imp", "deficits", "stability"),
    },
    "telemetry": {"telemetry", "evaluations", "traces"},
    "subspace": {"curvature", "pairs"},
    "fisher": {"fisher"},
    "removal": {"deficits"},
    "windows": {"deficits", "fisher"},
    "regularisation": {"deficits"},
    "shuffles": {"perturbed", "imp", "dense"},
    "pretraining": {"pretrained_dense", "pretrained_imp", "imp", "dense"},
    "sparse_pretraining": {"pretrained_tickets", "imp", "perturbed", "pretrained_dense", "pretrained_imp"},
    "effective_std": {"perturbed"},
    "controls": {"perturbed", "imp"},
    "stability": {"stability", "lines", "imp", "dense"},
    "data_order": {"stability"},
    "sparsity": {"inference"},
}
FIGURES = list(READS)
JOBS = list(all_jobs(read_study("tests/smoke.yaml")))
CHAIN = "supervised/magnitude"
STATE = {"telemetry": 2, "curvature": 6, "fisher": 4, "pairs": 2}
SPARSE = {"pretrain_ticket": 4, "train_ticket": 4}
FROM_DENSE = {
    "dense": 4,
    "checkpoint": 10,
    "imp_round": 16,
    "perturb": 8,
    "deficit": 12,
    "stability": 4,
    "inference": 2,
    **SPARSE,
    **STATE,
}
ALL_TRAINING = {"pretrain": 2, **FROM_DENSE}
NONE_PRETRAINED = {"pretrained": [], "sparse_pretraining": []}
NONE_PERTURBED = {"perturbed": [], **NONE_PRETRAINED}


def chains_and_rounds(config):
    """Rounds of pruning that a study computes, pretrained or not."""

    def count(last):  # a number with a point is the density of the last round
        return round(log(last) / log(1 - PRUNE_FRACTION)) if isinstance(last, float) else last

    pretrained = sum(
        len(entry["pretraining"]) * len(entry["iterations"]) * min(count(entry["rounds"]), config["rounds"])
        for entry in config["pretrained"]
    )
    return len(config["seeds"]) * (len(config["rewind_iterations"]) * config["rounds"] + pretrained)


def after(*tables):
    """What is made of tables that are made again: they, the claims, and the figures that read any of them."""
    figures = sum(bool(read & set(tables)) for read in READS.values())
    return {"collect": len(tables), "figure": figures, "claims": 1, "figures": 1}


TICKETS = ("perturbed", "pretrained_tickets", "ticket_pretraining")
PRUNED = {
    "imp_round": 16,
    "perturb": 8,
    "stability": 2,
    "inference": 2,
    **SPARSE,
    **after("imp", "pretrained_imp", "stability", "lines", "inference", *TICKETS),
}
WATCHED = after("telemetry", "traces", "evaluations")
CURVED = after("curvature", "pairs")
FROM_DENSE_TABLES = after(
    *("dense", "imp", *TICKETS, "telemetry", "traces", "evaluations", "curvature", "fisher", "pairs"),
    *("pretrained_dense", "pretrained_imp", "deficits", "stability", "lines", "inference"),
)
ALL_TABLES = FROM_DENSE_TABLES | {"collect": 18}


class Project:
    """A copy of the project that can be edited, with a study of its own."""

    configuration = ("smoke.yaml",)

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
            "CITATION.cff",
        ):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        shutil.copy(ROOT / "tests/smoke.yaml", folder / "smoke.yaml")

    def copied(self, folder):
        """A second finished project, to be spoilt."""
        folder.mkdir()
        copy = Project(folder)
        for name in ("results", ".snakemake", "logs"):
            shutil.copytree(self.folder / name, folder / name)
        return copy

    def snakemake(self, *options, check=True):
        """Run Snakemake on the copy, which finds its own code; return what it printed."""
        environment = {name: text for name, text in os.environ.items() if name != "OMP_NUM_THREADS"}
        words = [*options, "--configfile", *self.configuration]
        if "-n" in options:
            status, printed = dry_run(self.folder, *words, environment=environment)
        else:
            done = subprocess.run(
                [sys.executable, "-m", "snakemake", *words],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=500,
            )
            status, printed = done.returncode, done.stdout
        assert not check or status == 0, printed
        return printed

    def planned(self, *options):
        """What a dry run would do: rule -> number of jobs; of the report, which has a test of its own, if asked for."""
        printed = self.snakemake("-n", *options)
        if "Nothing to be done" in printed:
            return {}
        table = printed.split("Job stats:")[1].split("total")[0]
        counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
        asked = {name: count for name, count in counts.items() if name != "report" or "report" in options}
        return {} if asked.keys() == {"figures"} else asked

    def command(self, *words, check=True, configured=True):
        """Run one of the project's commands on the copy; return what it printed."""
        study = ["--configfile", *self.configuration] if configured else []
        environment = os.environ | {"PYTHONPATH": str(self.folder / "src")}
        done = subprocess.run(
            [sys.executable, "-m", "earlyphase", *words, *study],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def configure(self, **settings):
        """Lay other settings over those of the smoke study."""
        (self.folder / "smoke.yaml").write_text(yaml.safe_dump(SMOKE | settings))

    def edit(self, name, old, new):
        """Replace text in a file of the copy."""
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{name} no longer has {old!r}: mend this test"
        path.write_text(text.replace(old, new, 1))

    def append(self, name, text):
        """Write text at the end of a file of the copy."""
        path = self.folder / name
        path.write_text(path.read_text() + text)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The project after the whole smoke study has run; tests must leave it as it is."""
    project = Project(tmp_path_factory.mktemp("workflow"))
    project.snakemake("figures", "report", "--cores", "2")
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
                folder = results / f"imp/synthetic/tiny/seed{seed}/{CHAIN}/it{k}/round{imp_round}"
                assert sorted(path.name for path in folder.iterdir()) == [
                    "mask.safetensors",
                    "metrics.csv",
                    "run.json",
                    "weights.safetensors",
                ]
    figures = {path.name for path in (results / "figures/synthetic/tiny").iterdir()}
    assert figures == {f"{name}.{suffix}" for name in FIGURES for suffix in ("svg", "png", "csv")}
    for path in results.glob("perturbed/**/*.csv"):
        assert path.with_suffix(".json").exists()
    claims = (results / "claims.csv").read_text()
    for section in "RPSCDL":
        rows = sum(len(claim.readings) for claim in known_claims().values() if claim.id.startswith(section))
        assert claims.count(f"\n{section}") == rows > 0
    for seed in SMOKE["seeds"]:
        telemetry = results / f"telemetry/synthetic/tiny/seed{seed}/supervised"
        names = ["evaluations.csv", "run.json", "state.csv", "traces.csv"]
        assert sorted(path.name for path in telemetry.iterdir()) == names
        curvature = results / f"curvature/synthetic/tiny/seed{seed}/supervised"
        names = [f"it{k}.{suffix}" for k in (0, 24, 4) for suffix in ("csv", "safetensors")]
        assert sorted(path.name for path in curvature.iterdir()) == [*names, "pairs.csv"]
        fisher = results / f"fisher/synthetic/tiny/seed{seed}/supervised"
        assert sorted(path.name for path in fisher.iterdir()) == ["it24.csv", "it4.csv"]


def test_snakemake_still_has_the_limit_of_starts_that_is_dropped():
    """`onstart` in rules/common.smk would do nothing without a word if Snakemake named it otherwise."""
    from snakemake.scheduling.job_scheduler import JobScheduler

    assert "if self.job_rate_limiter is not None" in inspect.getsource(JobScheduler.schedule)


def test_every_job_leaves_all_its_files_and_a_log(finished):
    for job in JOBS:
        for path in (*job.outputs, job.log):
            assert (finished.folder / path).exists(), path


def test_masks_nest_and_rounds_rewind_along_a_chain(finished):
    import numpy as np

    from earlyphase.runtime.storage import load_mask, load_rows
    from earlyphase.runtime.tickets import load_trained

    chain = finished.folder / f"results/imp/synthetic/tiny/seed0/{CHAIN}/it4"
    kept_before = None
    for imp_round in (1, 2, 3):
        mask = load_mask(chain / f"round{imp_round}/mask.safetensors")
        weights, iteration = load_trained(chain / f"round{imp_round}/weights.safetensors")
        rows = load_rows(chain / f"round{imp_round}/metrics.csv")
        assert iteration == 24
        assert [int(row["iteration"]) for row in rows] == [8, 16, 24]  # the clock starts at k
        for name, kept in mask.items():
            assert not np.any(weights[name][~kept])
            assert kept_before is None or not np.any(kept & ~kept_before[name])
        kept_before = mask
        assert float(rows[0]["density"]) == pytest.approx((1 - PRUNE_FRACTION) ** imp_round, rel=2e-3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"seeds": [0, 1, 2]},
            {
                "pretrain": 1,
                "dense": 2,
                "checkpoint": 5,
                "imp_round": 8,
                "perturb": 4,
                "stability": 2,
                "inference": 1,
                "pretrain_ticket": 2,
                "train_ticket": 2,
                "deficit": 6,
                "telemetry": 1,
                "curvature": 3,
                "fisher": 2,
                "pairs": 1,
                **ALL_TABLES,
            },
        ),
        (
            {
                "rewind_iterations": [0, 2, 4],  # a state, three rounds and a pair of times for each seed
                "curvature": SMOKE["curvature"] | {"iterations": [0, 4, 8, 1.0]},
                "fisher": SMOKE["fisher"] | {"iterations": [0, 4, 1.0]},
                "stability": SMOKE["stability"] | {"dense": [4, 0.5], "rounds": [2, 3]},
            },
            {"checkpoint": 6, "imp_round": 6, "curvature": 2, "pairs": 2, "fisher": 2, "stability": 4}
            | after("imp", "curvature", "pairs", "fisher", "stability", "lines"),
        ),
        (
            {
                "curvature": SMOKE["curvature"] | {"statistics": "sample"},
                "telemetry": {"schedule": [[6, 1]], "evaluations": [[12, 4]]},
            },
            {"curvature": 6, "pairs": 2, "telemetry": 2}
            | after("curvature", "pairs", "telemetry", "traces", "evaluations"),
        ),
        (
            {
                "stability": SMOKE["stability"] | {"points": 6},
                "fisher": SMOKE["fisher"] | {"sample": 18},
            },
            {"stability": 4, "fisher": 4, **after("stability", "lines", "fisher")},
        ),
        ({"claims": {"R1": {"margin": 0.7}}}, {"claims": 1, "figures": 1}),
    ],
    ids=[
        "one more seed",
        "one more k, and more times and rounds that are measured",
        "other measurements of curvature and telemetry",
        "other measurements of stability and the Fisher information",
        "another test of claims",
    ],
)
def test_an_extension_plans_the_new_jobs_alone(project, settings, expected):
    project.configure(**settings)
    assert project.planned() == expected


def test_one_round_again_plans_it_and_its_successors(project):
    mask = f"results/imp/synthetic/tiny/seed0/{CHAIN}/it4/round2/mask.safetensors"
    assert project.planned("figures", "-R", mask) == {
        "imp_round": 2,
        "perturb": 2,
        "stability": 1,
        "inference": 1,
        **{rule: count // 2 for rule, count in SPARSE.items()},  # of one seed
        **after("imp", "stability", "lines", "inference", *TICKETS),
    }


def test_an_added_k_takes_its_state_from_the_nearest_kept_one(finished, tmp_path):
    """Training on from iteration 4 gives the bytes of a run that kept iteration 6 itself."""
    project = finished.copied(tmp_path / "copy")
    target = "results/dense/synthetic/tiny/seed0/supervised/it6.safetensors"
    project.snakemake("--cores", "1", target)
    log = (project.folder / "logs/dense/synthetic/tiny/seed0/supervised/it6.log").read_text()
    assert "iteration 6 was not kept: training on from 4" in log
    added = (project.folder / target).read_bytes()
    shutil.rmtree(project.folder / "results/dense")
    project.configure(rewind_iterations=[0, 6], **NONE_PERTURBED)
    project.snakemake("--cores", "1", target)
    assert (
        "was not kept"
        not in (project.folder / "logs/dense/synthetic/tiny/seed0/supervised/it6.log").read_text()
    )
    assert (project.folder / target).read_bytes() == added


def test_a_choice_of_precision_redoes_nothing_and_is_named_where_figures_mix(finished, tmp_path):
    mixed = finished.copied(tmp_path / "copy")  # made in float32
    mixed.edit(
        "src/earlyphase/runtime/machine.py", '{"avx512_bf16"', '{"avx2", "avx512_bf16"'
    )  # slow, but so little
    mixed.configure(execution={"device": "cpu", "precision": "bfloat16", "preload": False}, rounds=4)
    assert mixed.planned() == {"imp_round": CHAINS, **after("imp")}
    mixed.snakemake("results/figures/synthetic/tiny/rewinding.svg", "--cores", "2")
    table = pd.read_csv(mixed.folder / "results/tables/synthetic/tiny/imp.csv")
    assert set(table[table["round"] < 4]["precision"]) == {"float32"}
    assert set(table[table["round"] == 4]["precision"]) == {"bfloat16"}
    named = "precision differs between runs: bfloat16, float32"
    assert named in (mixed.folder / "logs/figures/synthetic/tiny/rewinding.log").read_text()
    assert f"Mixed: {named}" in (mixed.folder / "results/figures/synthetic/tiny/rewinding.svg").read_text()


def test_a_bad_configuration_stops_before_any_job(project):
    project.configure(rewind_iterations=[0, 24])
    printed = project.snakemake("-n", check=False)
    assert "rewind_iterations has 24" in printed
    assert "Traceback" not in printed


MODEL = "src/earlyphase/core/networks/resnet.py"
EDITS_OF_NOTHING = [
    # file, old, new
    ("src/earlyphase/core/training.py", "EVALUATION_BATCH = 500", "EVALUATION_BATCH = 500  # why"),  # a comment
    ("src/earlyphase/core/masks.py", '"""Fraction of the prunable', '"""The fraction of the prunable'),  # a docstring
    ("src/earlyphase/core/images.py", "return whole + (left_over > 1)", "return (\n        whole + (left_over > 1)\n    )"),  # a reformat
    ("src/earlyphase/study/limits.py", "RECORDS = 50", "RECORDS = 60"),  # a function that no job runs
    ("src/earlyphase/runtime/execution.py", "for share in range(SHARES)", "for share in range(1 * SHARES)"),  # how a job chooses a GPU
    ("src/earlyphase/runtime/locks.py", "fcntl.LOCK_EX |", "fcntl.LOCK_EX | 0 |"),  # how a job is locked
    ("src/earlyphase/runtime/storage.py", "is damaged", "is broken"),  # a message of storage
    ("src/earlyphase/runtime/resume.py", "COST = 0.02", "COST = 0.01"),  # how often progress is saved
    ("src/earlyphase/study/limits.py", "START = 4", "START = 5"),  # what a time limit asks for
    ("src/earlyphase/stages/fisher.py", '{"seed": run.seeds, "k": states(run)}', '{"k": states(run), "seed": run.seeds}'),  # which jobs a stage has
    ("src/earlyphase/stages/fisher.py", "job.run.fisher[\"sample\"]", "2 * job.run.fisher[\"sample\"]"),  # what a stage computes, for its time limit
    ("src/earlyphase/stages/telemetry.py", "SAMPLE_SIZE = 5_000", "SAMPLE_SIZE = 6_000"),  # how large the files of a stage are
    ("src/earlyphase/stages/fisher.py", 'sample={"type"', 'sample={"maximum": 99, "type"'),  # the schema of a stage's settings
    ("src/earlyphase/stages/curvature.py", "is measured once and not", "is measured once, not"),  # a check of a stage's settings
    ("src/earlyphase/runtime/assignment.py", 'rstrip("\\n")', 'rstrip()'),  # how the command line is read
    ("src/earlyphase/study/contradictions.py", "but must increase", "but must rise"),  # a check of the configuration
    ("src/earlyphase/core/tasks.py", "(drawn - train.shift.cpu())", "(drawn - 1 * train.shift.cpu())"),  # a task that no run learns
    ("src/earlyphase/catalogue/tasks.yaml", "noise_images: {function: noise_images}", "noise_images: {function: relabelled}"),  # an entry that no run learns
    ("rules/imp.smk", "Round {wildcards.round}", "Prune {wildcards.round}"),  # a message of a rule
    ("src/earlyphase/results/claims/rewinding.py", "The order over all k, and each step.", "The order over all k."),  # a docstring of a claim
    ("src/earlyphase/study/claims.py", "if run.training[\"milestones\"] == MILESTONES", "if MILESTONES == run.training[\"milestones\"]"),  # what claims are told
    ("src/earlyphase/core/optimizer.py", "weights.mul_(1 - learning_rate * weight_decay)", "weights.mul_(1.0 - learning_rate * weight_decay)"),  # another optimiser
    ("src/earlyphase/core/branches.py", "scale * initial_std", "1 * scale * initial_std"),  # another perturbation
    ("src/earlyphase/datasets/embedded.py", "digits over 8x8 cut-outs", "digits over 8 x 8 cut-outs"),  # another data set
    ("src/earlyphase/catalogue/models.yaml", "width: 16}", "width: 17}"),  # an unused network's setting
]  # fmt: skip
EDITS = [
    # what, file, old, new, what must be planned and nothing else
    ("the precision of a forward pass", "src/earlyphase/core/precision.py", 'if name == "bfloat16" else', 'if name in ("bfloat16",) else', ALL_TRAINING | ALL_TABLES),
    ("a task", "src/earlyphase/core/tasks.py", "    return task\n", "    return (task)[0:] if False else task\n", FROM_DENSE | FROM_DENSE_TABLES),
    ("a task that is learned first", "src/earlyphase/core/tasks.py", "turned(images, turns, (2, 3))", "turned(images, 1 * turns, (2, 3))", {"pretrain": 2, "dense": 2, "checkpoint": 4, "imp_round": 4, **SPARSE, **after("pretraining", "pretrained_dense", "pretrained_imp", *TICKETS[1:])}),
    ("a deficit", "src/earlyphase/catalogue/tasks.yaml", "blur: {function: blurred, factor: 4}", "blur: {function: blurred, factor: 2}", {"deficit": 4, **after("deficits")}),
    ("a figure", "src/earlyphase/results/figures/rewinding.py", "Rewound to iteration", "Rewound to", {"figure": 1, "figures": 1}),
    ("a number of a claim", "src/earlyphase/results/claims/rewinding.py", "least: Points = 1.0", "least: Points = 2.0", {"claims": 1, "figures": 1}),
    ("the statement of a claim", "src/earlyphase/results/claims/rewinding.py", "trains far better", "trains much better", {"claims": 1, "figures": 1}),
    ("what a claim measures", "src/earlyphase/results/claims/promises.py", "POINTS * (1 - ticket / dense)", "POINTS * (1.0 - ticket / dense)", {"claims": 1, "figures": 1}),
    ("the summary over seeds", "src/earlyphase/results/summaries.py", '"std": (value, "std")', '"std": (value, "var")', {"claims": 1, "figure": len(FIGURES), "figures": 1}),
    ("training", "src/earlyphase/core/optimizer.py", "].mul_(momentum)", "].mul_(1 * momentum)", ALL_TRAINING | ALL_TABLES),
    ("the schedule of the learning rate", "src/earlyphase/core/schedules.py", "return decay ** bisect_right", "return 1 * decay ** bisect_right", ALL_TRAINING | ALL_TABLES),
    ("the network", MODEL, "self.fc = nn.Linear(widths[-1], classes)", "self.fc = nn.Linear(widths[-1], classes, True)", ALL_TRAINING | ALL_TABLES),
    ("a perturbation", "src/earlyphase/core/branches.py", "2 * groups + np.signbit(values)", "2 * groups + 1 * np.signbit(values)", {"perturb": 4, **after("perturbed")}),
    ("augmentation", "src/earlyphase/core/images.py", "if flip:\n        drawn[2]", "if flip is True:\n        drawn[2]", ALL_TRAINING | ALL_TABLES),
    ("rows of a training", "src/earlyphase/stages/_training.py", 'yield self.spec["columns"] | row', 'yield dict(self.spec["columns"]) | row', ALL_TRAINING | ALL_TABLES),
    ("the command of all jobs", "rules/job.smk", "python -m earlyphase job", "python  -m earlyphase job", {"data": 1} | ALL_TRAINING | ALL_TABLES),
    ("this data set", "src/earlyphase/datasets/synthetic.py", "patterns = 128 + 48", "patterns = 128 + 40", {"data": 1} | ALL_TRAINING | ALL_TABLES),
    ("the table of one stage", "src/earlyphase/stages/collect.py", "for row in load_rows(path)", "for row in load_rows(str(path))", ALL_TABLES),
    ("this network's setting", "smoke.yaml", "width: 4", "width: 5", ALL_TRAINING | ALL_TABLES),
    ("a training setting", "smoke.yaml", "learning_rate: 0.1", "learning_rate: 0.2", ALL_TRAINING | ALL_TABLES),
    ("the share that is pruned", "config.yaml", f"prune_fraction: {PRUNE_FRACTION}", "prune_fraction: 0.3", PRUNED),
    ("another figure", "src/earlyphase/results/figures/telemetry.py", "color=\"0.2\"", "color=\"0.3\"", {"figure": 1, "figures": 1}),
    ("watching", "src/earlyphase/core/telemetry.py", "np.abs(weights).mean()", "np.mean(np.abs(weights))", {"telemetry": 2, **WATCHED}),
    ("the eigen-solver", "src/earlyphase/core/curvature.py", "RESTARTS = 100", "RESTARTS = 200", {"curvature": 6, "pairs": 2, **CURVED}),
    ("the Fisher information", "src/earlyphase/core/fisher.py", "values.std(ddof=1)", "1 * values.std(ddof=1)", {"fisher": 4, **after("fisher")}),
    ("the line between two copies", "src/earlyphase/core/stability.py", "near * _exact(first[name])", "1 * near * _exact(first[name])", {"stability": 4, **after("stability", "lines")}),
    ("when a network is stable", "src/earlyphase/results/stability.py", "STABLE = 0.02", "STABLE = 0.03", {"figure": 2, "figures": 1}),
    ("comparing two times", "src/earlyphase/stages/pairs.py", "np.isnan(first).any()", "np.any(np.isnan(first))", {"pairs": 2, **after("pairs")}),
    ("a rule of the timeline", "src/earlyphase/results/timeline.py", "DESCENT = 0.5", "DESCENT = 0.4", {"claims": 1, "figure": 1, "figures": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"), [e[1:] for e in EDITS], ids=[e[0] for e in EDITS]
)
def test_an_edit_plans_what_depends_on_it_and_nothing_else(project, name, old, new, expected):
    project.edit(name, old, new)
    assert project.planned() == expected


def test_edits_of_what_determines_no_result_plan_nothing(project):
    for edit in EDITS_OF_NOTHING:
        project.edit(*edit)
    assert project.planned() == {}, project.command("explain", CLAIMS)


def test_an_edit_there_and_back_and_new_time_stamps_plan_nothing(project):
    project.edit("src/earlyphase/core/masks.py", 'kind="stable"', 'kind="mergesort"')
    assert project.planned() == PRUNED
    project.edit("src/earlyphase/core/masks.py", 'kind="mergesort"', 'kind="stable"')
    for path in project.folder.rglob("*"):
        if ".snakemake" not in path.parts and path.suffix in (".py", ".smk", ".yaml"):
            path.touch()
    (project.folder / "results/data/synthetic.safetensors").touch()
    assert project.planned() == {}


EDITED = """

from dataclasses import replace as replaced
ordinary = STAGE.spec
STAGE = replaced(STAGE, spec=lambda job: ordinary(job) | {"of_%s": True})


def compute(job, inputs, outputs):
    print("edited")
"""


def fronts():
    """Rules in groups in which none needs another: of a job whose inputs are made again Snakemake says no more."""
    maker = {path: job.rule for job in JOBS for path in job.outputs}
    needs = {job.rule: set() for job in JOBS}
    for job in JOBS:
        needs[job.rule] |= {maker[path] for path in job.inputs} - {job.rule}
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    while ready := sorter.get_ready():
        yield ready
        sorter.done(*ready)


@pytest.mark.parametrize("rules", list(fronts()), ids=" ".join)
def test_a_changed_spec_and_changed_code_redo_every_rule(project, rules):
    """Of what a rule has as params Snakemake compares these two, and says of each that it changed."""
    for rule in rules:
        project.append(f"src/earlyphase/stages/{rule}.py", EDITED % rule)
    said = project.command("explain", "results/report.html")
    for rule in rules:
        assert f"\n  the configuration changed: of_{rule} from null to true\n" in said
        assert f"\n  code: stages.{rule}.compute changed\n" in said


CLAIMS = "results/claims.csv"
DENSE = "results/dense/synthetic/tiny/seed0/supervised/metrics.csv"


def test_explain_says_what_snakemake_says(project):
    assert "up to date" in project.command("explain", CLAIMS)
    project.edit("src/earlyphase/core/masks.py", 'kind="stable"', 'kind="mergesort"')
    said = project.command("explain", CLAIMS)
    assert re.search(r"code: core.masks.prune_smallest changed\n    Round 1 of tiny .* and \d+ more", said)
    assert "up to date" in project.command("explain", DENSE)
    project.edit("src/earlyphase/core/masks.py", 'kind="mergesort"', 'kind="stable"')
    project.edit("src/earlyphase/results/claims/rewinding.py", "least: Points = 1.0", "least: Points = 2.0")
    said = project.command("explain", CLAIMS)
    assert "code: results.claims.rewinding.R5 changed\n    Judge the claims" in said
    project.configure(training=SMOKE["training"] | {"learning_rate": 0.3})
    said = project.command("explain", DENSE)
    assert "training.learning_rate from 0.1 to 0.3\n    Train tiny on synthetic, seed 0" in said
    project.configure(seeds=[0, 1, 2])
    said = project.command("explain", "results/tables/synthetic/tiny/imp.csv")
    assert re.search(
        r"Missing output files: results/dense/synthetic/tiny/seed2/.* and \d+ more", said, re.DOTALL
    )
    said = project.command("explain", "results/claim.csv", check=False)
    assert "makes no file results/claim.csv, did you mean 'results/claims.csv'?" in said


def test_explain_knows_files_that_are_gone_or_came_from_elsewhere(finished, tmp_path):
    project = finished.copied(tmp_path / "copy")
    state = project.folder / DENSE.replace("metrics.csv", "it4.safetensors")
    state.write_bytes((state.with_name("it0.safetensors")).read_bytes())
    said = project.command("explain", CLAIMS)
    assert f"Updated input files: {state.relative_to(project.folder)}" in said
    state.unlink()
    said = project.command("explain", str(state.relative_to(project.folder)))
    assert f"Missing output files: {state.relative_to(project.folder)}" in said
    assert "State of tiny on synthetic at iteration 4" in said


def test_explain_asks_where_the_study_is_kept(tmp_path):
    project, data = Project(tmp_path), "results/data/synthetic.safetensors"
    if "--persistence-backend" not in project.snakemake("--help"):
        pytest.skip("THIS SNAKEMAKE KEEPS WHAT IT KNOWS IN FILES ALONE")
    backend = ("--persistence-backend", "db")
    project.snakemake(data, "--cores", "1", *backend)
    assert "up to date" in project.command("explain", data, *backend)
    project.configure(datasets={"synthetic": SMOKE["datasets"]["synthetic"] | {"train": 300}})
    said = project.command("explain", data, *backend)
    assert "data.train from 256 to 300" in said
    project.append("profiles/default/config.yaml", "\npersistence-backend: db\n")
    assert project.command("explain", data) == said


def test_explaining_agrees_with_planning(project):
    """The claims are up to date after all edits together that leave them as they are, and after no other."""
    for edit in [*EDITS_OF_NOTHING, *(edit[1:4] for edit in EDITS if "claims" not in edit[-1])]:
        project.edit(*edit)
    assert "up to date" in project.command("explain", CLAIMS)
    for what, name, old, new, _ in EDITS[::8]:
        before = (project.folder / name).read_text()
        project.edit(name, old, new)
        assert "up to date" not in project.command("explain", CLAIMS), what
        (project.folder / name).write_text(before)


def test_the_report_is_redone_by_what_it_shows_and_by_nothing_else(finished, tmp_path):
    own = finished.copied(tmp_path / "copy")
    page = (own.folder / "results/report.html").read_text()
    assert page.count("<img ") == len(FIGURES)
    assert "Jonathan Frankle" in page
    room = "src/earlyphase/results/report"
    for name, old, new, expected in (
        (f"{room}/page.css", "--soft: #4a525c", "--soft: #434a53", {"report": 1}),
        (f"{room}/page.html.j2", '<h2 id="cite-title">How', '<h2 id="cite-title">And how', {"report": 1}),
        (f"{room}/page.py", "yaml.safe_dump(", "yaml.dump(", {"report": 1}),
        (
            "src/earlyphase/results/figures/rewinding.py",
            "Draw final accuracy",
            "Draw the accuracy",
            {"report": 1},
        ),
        (
            "src/earlyphase/results/figures/rewinding.py",
            "Rewound to iteration",
            "Rewound to",
            {"figure": 1, "report": 1},
        ),
        ("CITATION.cff", "version: 1.0.0", "version: 1.0.1", {"report": 1}),
        ("config.yaml", "resume_interval: 30", "resume_interval: 40", {}),
    ):
        before = (own.folder / name).read_text()
        own.edit(name, old, new)
        assert own.planned("report") == expected, (name, new)
        (own.folder / name).write_text(before)
    own.edit(f"{room}/page.css", "--soft: #4a525c", "--soft: #434a53")
    said = own.command("explain", "results/report.html")
    assert "code: results.report.page.page.css changed" in said


def test_a_spec_may_be_longer_than_an_argument_of_a_command(finished, tmp_path):
    """Linux allows 128 KB; nor does anything in a spec mean something to the shell."""
    own = finished.copied(tmp_path / "copy")
    note = 'it\'s "long" $HOME `pwd` \\ {params} é\n' * 10_000
    own.append("CITATION.cff", yaml.safe_dump({"notes": note}))
    assert own.planned("report") == {"report": 1}
    own.snakemake("report", "--cores", "1")
    assert own.planned("report") == {}


def test_status_shows_every_chain(project):
    said = project.command("status")
    assert said.count("   #    ###") == CHAINS
    assert f"jobs: {len(JOBS)} done\n" in said
    assert "report: " not in said
    project.configure(rounds=5)
    assert project.command("status").count("###..") == CHAINS


def test_snakemake_lists_what_the_study_no_longer_uses(project):
    """The documented line in place of a command of our own."""
    project.configure(rounds=2, rewind_iterations=[0], **NONE_PERTURBED)
    leftover = project.folder / "results/imp/leftover.csv"
    leftover.write_text("")
    listed = {
        line for line in project.snakemake("figures", "--list-untracked").splitlines() if "results/" in line
    }
    leftover.unlink()
    assert "results/imp/leftover.csv" in listed
    assert f"results/imp/synthetic/tiny/seed0/{CHAIN}/it4/round1/mask.safetensors" in listed
    assert f"results/imp/synthetic/tiny/seed0/{CHAIN}/it0/round3/mask.safetensors" in listed
    assert not any(f"seed0/{CHAIN}/it0/round2" in path for path in listed)
    assert not any(path.startswith("results/data") for path in listed)


def test_a_figure_asks_for_what_it_reads_alone(tmp_path):
    project = Project(tmp_path)
    expected = {"data": 1, "dense": 2, "checkpoint": 6, "imp_round": 12, "collect": 2, "figure": 1}
    assert project.planned("results/figures/synthetic/tiny/rewinding.svg") == expected
    expected = {"data": 1, "dense": 2, "telemetry": 2, "collect": 3, "figure": 1}
    assert project.planned("results/figures/synthetic/tiny/telemetry.svg") == expected


@pytest.mark.parametrize(
    "edit",
    [
        {"rewind_iterations": [0, 50]},
        {"rounds": 3},
        {"training": {"iterations": 200, "milestones": [130, 170]}},
    ],
)
def test_one_edit_of_the_default_study_leaves_a_study_whose_every_input_is_made(edit):
    jobs = list(all_jobs(read_study(**edit)))
    made = {path for job in jobs for path in job.outputs}
    assert {path for job in jobs for path in job.inputs} <= made
    config = yaml.safe_load((ROOT / "config.yaml").read_text()) | edit
    assert sum(job.rule == "imp_round" for job in jobs) == chains_and_rounds(config)
    pretrained = sum(len(entry["pretraining"]) * len(entry["iterations"]) for entry in config["pretrained"])
    assert sum(job.rule == "dense" for job in jobs) == len(config["seeds"]) * (1 + pretrained)


def test_the_report_is_made(finished):
    finished.snakemake("--report", "report.html")
    assert "rewinding" in (finished.folder / "report.html").read_text()
    (finished.folder / "report.html").unlink()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="instruction sets of x86 processors")
def test_the_instruction_set_can_be_fixed_and_figures_that_mix_two_say_so(finished, tmp_path):
    fixed = finished.copied(tmp_path / "fixed")
    fixed.configure(execution={"instructions": "sse41"})
    ticket = "results/perturbed/synthetic/tiny/seed0/supervised/magnitude/it4/round3/shuffle_layers.csv"
    fixed.snakemake(ticket, "--cores", "1", "--forcerun", ticket)
    rows = pd.read_csv(fixed.folder / ticket)
    assert set(rows["instructions"]) == {"DEFAULT, oneDNN limited to SSE41"}
    fixed.snakemake("--cores", "2")
    said = (fixed.folder / "logs/figures/synthetic/tiny/effective_std.log").read_text()
    assert "instructions differs between runs: " in said
    assert "differs" not in (fixed.folder / "logs/figures/synthetic/tiny/telemetry.log").read_text()


def on_a_terminal(project, *options):
    """Run Snakemake on a terminal of its own; return its status and what it wrote."""
    screen, its_end = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *options, "--configfile", "smoke.yaml"],
        cwd=project.folder,
        env=os.environ | {"COLUMNS": "160"},
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
    )
    os.close(its_end)
    written = b""
    with contextlib.suppress(OSError):  # what the end of a terminal is on Linux
        while part := os.read(screen, 65536):
            written += part
    os.close(screen)
    return child.wait(), written.decode()


def test_on_a_terminal_one_line_says_how_far_it_is(project):
    status, written = on_a_terminal(project, "--cores", "2", "--forcerun", "telemetry")
    assert status == 0
    lines = re.findall(r"\x1b\[K(\d+ of \d+ jobs[^\r\x1b]*)", written)
    assert lines and any("; Telemetry, seed" in line for line in lines)
    assert "rule telemetry:" not in written and "Finished jobid" not in written and "steps (" not in written
    assert "Complete log(s)" in written.rpartition(lines[-1])[2]
    (log,) = re.findall(r"Complete log\(s\): ([^\s\x1b]+)", written)
    assert "Finished jobid" in Path(log).read_text()  # which keeps every word


def test_on_a_terminal_a_job_that_fails_is_shown_with_its_log(project):
    project.edit("src/earlyphase/core/telemetry.py", '"""', 'raise RuntimeError("on purpose")\n"""')
    status, written = on_a_terminal(project, "--cores", "2", "--forcerun", "telemetry", "--notemp")
    assert status
    assert "Error in rule telemetry" in written and "on purpose" in written
