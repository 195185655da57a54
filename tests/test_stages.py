"""Rules and stages name the same things, no two jobs share a file, and a job imports its own stage alone."""

import itertools
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assigned import ROOT, SMOKE, lines, planned_by_snakemake, read_study
from earlyphase.commands.plan import longest_chain
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import save_rows
from earlyphase.stages import stage_names, stages_of
from earlyphase.study.jobs import all_jobs, all_tables
from earlyphase.study.rules import read_rules
from earlyphase.study.signatures import PLACES

RULES = read_rules(ROOT)
SHIPPED = ["config.yaml", *sorted(f"presets/{path.name}" for path in ROOT.glob("presets/*.yaml")), SMOKE]


@pytest.fixture(scope="module")
def smoke():
    return read_study(SMOKE)


# Rules


@pytest.mark.parametrize("configuration", [SMOKE, "config.yaml"])
def test_jobs_their_files_and_iterations_are_those_of_snakemakes_own_list(configuration):
    jobs = list(all_jobs(read_study(configuration, seeds=[0])))
    theirs = planned_by_snakemake(configuration)
    assert {
        job.outputs[0]: (job.rule, job.names, job.log, set(job.outputs), set(job.inputs), len(job.span))
        for job in jobs
    } == {
        job.outputs[0]: (job.rule, job.wildcards, job.log, set(job.outputs), set(job.inputs), trained(job))
        for job in theirs
    }
    assert sum(len(job.span) for job in jobs) > 500


def trained(planned):
    """Iterations that a job will train for, by what it will read on its standard input."""
    told = planned.spec
    match planned.rule:
        case "pretrain" | "pretrain_ticket" | "deficit":
            return told["training"]["iterations"]
        case "dense" | "train_ticket":
            return told["training"]["iterations"] - told.get("second_phase", {"start": 0})["start"]
        case "imp_round" | "stability" | "butterfly" | "layerwise":
            return told["training"]["iterations"] - told["columns"]["k"]
        case "perturb":
            return told["training"]["iterations"] - told["start"]
        case "telemetry":
            return told["stop"]
    return 0


@pytest.mark.parametrize("seed", range(5))
def test_the_longest_chain_of_a_plan_is_the_longest_path_of_snakemakes_graph(seed):
    """Whatever jobs take: by a plain recursion over inputs as Snakemake lists them."""
    planned = planned_by_snakemake(SMOKE)
    makers = {path: one.outputs[0] for one in planned for path in one.outputs}
    needs = {one.outputs[0]: {makers[path] for path in one.inputs} for one in planned}
    jobs = {one.outputs[0]: one for one in all_jobs(read_study(SMOKE, seeds=[0]))}
    draw = np.random.default_rng(seed)
    seconds = {name: draw.exponential() if seed else 1.0 for name in jobs}

    @cache
    def longest(name):
        return seconds[name] + max(map(longest, needs[name]), default=0.0)

    chain = longest_chain({jobs[name]: taken for name, taken in seconds.items()})
    names = [one.outputs[0] for one in chain]
    assert sum(map(seconds.get, names)) == pytest.approx(max(map(longest, jobs)))
    assert not needs[names[0]]
    assert all(before in needs[after] for before, after in itertools.pairwise(names))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ('f"results/{NAME}.csv",', "rule mine: its output f'results/{NAME}.csv' is not a path in quotes"),
        ("path_of(this),", "rule mine: its output path_of"),
        ('table=report(PATH, category="Tables"),', "rule mine: its output PATH"),
        ('"results/{name}.csv",', "rule mine has no log"),
    ],
)
def test_an_output_that_is_no_literal_and_a_rule_without_a_log_are_refused(tmp_path, rule, message):
    (tmp_path / "Snakefile").write_text('include: "mine.smk"\n')
    (tmp_path / "mine.smk").write_text(f"use rule job as mine with:\n    output:\n        {rule}\n")
    with pytest.raises(InvalidInput) as refused:
        read_rules(tmp_path)
    assert message in str(refused.value)


# Stages


def test_each_rule_has_a_stage_and_each_stage_a_rule():
    assert set(stages_of(RULES)) == set(RULES) == set(stage_names())
    with pytest.raises(InvalidInput, match=r"^norm: a stage is a rule in rules/ and a module of that name"):
        stages_of(RULES | {"norm": RULES["fisher"]})
    with pytest.raises(InvalidInput, match=r"^fisher: a stage is a rule"):
        stages_of({name: rule for name, rule in RULES.items() if name != "fisher"})


def test_every_table_is_collected_of_one_output(smoke):
    assert len(all_tables(smoke)) == len(set(all_tables(smoke)))
    for rule, stage in smoke.stages.items():
        assert {table.output for table in stage.tables.values()} <= set(RULES[rule].outputs)
        assert set(stage.looks_up) <= {*PLACES, "pretraining"}


@pytest.mark.parametrize("path", SHIPPED)
def test_every_job_of_a_shipped_study_can_be_made_and_shares_no_file(path):
    everything = list(all_jobs(read_study(path, seeds=[1, 11])))
    made = {output for job in everything for output in job.outputs}
    assert len(made) == sum(len(job.outputs) for job in everything)
    assert len({job.log for job in everything}) == len(everything)
    for job in everything:
        assert set(job.inputs) <= made, job
        # by which a second copy knows that the first has finished the job
        assert job.record or not job.span or job.rule == "checkpoint", job
    for job in {(job.rule, str(job.run) if "model" in job.names else ""): job for job in everything}.values():
        assert job.stage.spec(job) is not None
        assert job.code_roots[0] == f"stages.{job.rule}.compute"


NAMES = st.sampled_from(["a", "a_b", "b", "b_a", "mine", "mine_small", "small_net", "net"])


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    runs=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4, unique=True),
    figure=NAMES,
    perturbations=st.lists(st.sampled_from(["a", "a.b", "noise_0.5", "a_b"]), min_size=1, unique=True),
)
def test_no_two_jobs_share_an_output_whatever_things_are_called(runs, figure, perturbations):
    """Names that run into one another where paths join them by `_`, `/` or `.`."""
    data = {"function": "synthetic", "flip": False}
    named = read_study(
        datasets={name: data for name, _ in runs},
        models={name: {"function": "resnet", "depth": 8, "width": 2} for _, name in runs},
        perturbations={name: {"function": "gaussian_noise", "scale": 1} for name in perturbations},
        runs=[{"dataset": one, "model": other} for one, other in runs],
        seeds=[1, 11],
        rewind_iterations=[0, 1, 11],
        rounds=12,
        perturbed=[
            {"rewind_iterations": [1, 11], "rounds": [1, 11], "perturbations": perturbations},
            {"rewind_iterations": [1], "rounds": [1], "perturbations": perturbations},  # asked for twice
        ],
        pretrained=[{"pretraining": ["rotation"], "iterations": [1, 11], "rounds": 2}],
        sparse_pretraining=[],
        figures={figure: {"function": "rewinding"}},
    )
    everything = list(all_jobs(named))
    assert len({output for job in everything for output in job.outputs}) == sum(
        len(job.outputs) for job in everything
    )
    rounds = [job for job in everything if job.rule == "imp_round"]
    # seeds; ks, rounds; lengths of pretraining, rounds
    assert len(rounds) == len(runs) * 2 * (3 * 12 + 2 * 2)
    branches = [job for job in everything if job.rule == "perturb"]
    assert len(branches) == len(runs) * 2 * 4 * len(perturbations)


# What is imported

HEAVY = ("torch", "torchvision", "numpy", "pandas", "sklearn", "snakemake")
LIGHT_PLAN = """
import sys
from earlyphase.__main__ import main
assert main(sys.argv[1:]) == 0
print("imported:", *(name for name in sys.modules if "." not in name or name.startswith("earlyphase.")))
"""


def imported_by(code, *words, **options):
    """Modules that a process of its own has imported when it ends."""
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("imported:")[1].split())


def test_a_study_is_planned_without_what_computes():
    options = ("--snakefile", str(ROOT / "Snakefile"), "--configfile", str(ROOT / SMOKE))
    found = imported_by(LIGHT_PLAN, "plan", *options)
    assert not found & {*HEAVY, "earlyphase.stages._training", "earlyphase.stages._inference"}
    assert {f"earlyphase.stages.{name}" for name in stage_names()} <= found  # all of them are planned


def test_a_job_imports_its_own_stage_alone(tmp_path):
    save_rows(tmp_path / "part.csv", [{"seed": 0, "accuracy": 0.5}])
    paths = {"parts": [tmp_path / "part.csv"]}, {"table": tmp_path / "table.csv"}
    found = imported_by(LIGHT_PLAN, "job", input=lines("collect", {}, *paths, roots=()), cwd=tmp_path)
    stages = {f"earlyphase.stages.{name}" for name in stage_names()}
    assert (tmp_path / "table.csv").read_bytes() == (tmp_path / "part.csv").read_bytes()
    assert found & stages == {"earlyphase.stages.collect"}
    assert not found & {"torch", "pandas", "earlyphase.stages._training"}
