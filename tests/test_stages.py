"""Rules and stages name the same things, no two jobs share a file, and a job imports its own stage alone."""

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assigned import ROOT, SMOKE, lines, planned_by_snakemake, read_study
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import save_rows
from earlyphase.stages import stage_names, stages_of
from earlyphase.study.jobs import all_jobs, all_tables, check_outputs
from earlyphase.study.rules import read_rules
from earlyphase.study.signatures import PLACES

RULES = read_rules(ROOT)
SHIPPED = ["config.yaml", *sorted(f"presets/{path.name}" for path in ROOT.glob("presets/*.yaml")), SMOKE]


@pytest.fixture(scope="module")
def smoke():
    return read_study(SMOKE)


# Rules


@pytest.mark.parametrize("configuration", [SMOKE, "config.yaml"])
def test_jobs_and_all_their_files_are_those_of_snakemakes_own_list(configuration, tmp_path):
    jobs = list(all_jobs(read_study(configuration)))
    theirs = planned_by_snakemake(configuration, tmp_path)
    assert {
        job.outputs[0]: (job.rule, job.names, job.log, set(job.outputs), set(job.inputs)) for job in jobs
    } == {
        job.outputs[0]: (job.rule, job.wildcards, job.log, set(job.outputs), set(job.inputs))
        for job in theirs
    }


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            '        f"results/{NAME}.csv",\n',
            "rule mine: its output f'results/{NAME}.csv' is not a path in quotes",
        ),
        ("        path_of(this),\n", "rule mine: its output path_of"),
        ('        table=report(PATH, category="Tables"),\n', "rule mine: its output PATH"),
    ],
)
def test_an_output_that_is_no_literal_is_refused(tmp_path, output, message):
    (tmp_path / "Snakefile").write_text('include: "rules/mine.smk"\n')
    (tmp_path / "rules").mkdir()
    rule = 'use rule job as mine with:\n    output:\n{}    log:\n        "logs/mine.log",\n'
    (tmp_path / "rules/mine.smk").write_text(rule.format('        "results/{name}.csv",\n'))
    assert read_rules(tmp_path)["mine"].wildcards == ("name",)
    (tmp_path / "rules/mine.smk").write_text(rule.format(output))
    with pytest.raises(InvalidInput) as refused:
        read_rules(tmp_path)
    assert message in str(refused.value)


def test_a_rule_that_makes_files_has_a_log(tmp_path):
    (tmp_path / "Snakefile").write_text('include: "mine.smk"\n')
    (tmp_path / "mine.smk").write_text('rule mine:\n    output:\n        "results/{name}.csv",\n')
    with pytest.raises(InvalidInput, match="rule mine has no log"):
        read_rules(tmp_path)


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
def test_every_job_of_a_shipped_study_can_be_made_and_shares_no_output(path):
    shipped = read_study(path)
    check_outputs(shipped)
    everything = list(all_jobs(shipped))
    made = {output for job in everything for output in job.outputs}
    assert len(made) == sum(len(job.outputs) for job in everything)
    assert len({job.log for job in everything}) == len(everything)
    for job in everything:
        assert set(job.inputs) <= made, job
        assert job.stage.spec(job) == job.stage.spec(job)
        assert job.code_roots[0] == f"stages.{job.rule}.compute"


NAMES = st.sampled_from(["a", "a_b", "b", "b_a", "mine", "mine_small", "small_net", "net"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
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
        seeds=[0, 1, 2],
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
    check_outputs(named)
    everything = list(all_jobs(named))
    assert len({output for job in everything for output in job.outputs}) == sum(
        len(job.outputs) for job in everything
    )
    rounds = [job for job in everything if job.rule == "imp_round"]
    # seeds; ks, rounds; lengths of pretraining, rounds
    assert len(rounds) == len(runs) * 3 * (3 * 12 + 2 * 2)
    branches = [job for job in everything if job.rule == "perturb"]
    assert len(branches) == len(runs) * 3 * 4 * len(perturbations)


def test_two_jobs_of_one_output_are_refused():
    """A path in which seed 1 at k = 20 and seed 12 at k = 0 are the same."""
    default = read_study()
    default.rules["checkpoint"].outputs["state"] = "results/{dataset}/{model}/{task}{seed}{k}"
    default.runs[0] = default.runs[0].with_settings(seeds=[1, 12])
    with pytest.raises(InvalidInput, match="two jobs would write results/photo_digits/resnet8/supervised120"):
        check_outputs(default)


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
