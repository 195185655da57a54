"""The SLURM profile plans the study, asks for what jobs need, and the plan on paper is right where it is known."""

import re
import subprocess
import sys

import pytest
import yaml

from assigned import ROOT, SMOKE, read_study
from earlyphase.study.jobs import all_jobs

sys.path.insert(0, str(ROOT / "benchmarks"))
import cluster_plan

PROFILE = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())


@pytest.fixture(scope="module")
def smoke():
    return read_study(SMOKE)


def test_the_profile_plans_the_smoke_study(smoke, tmp_path):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install '.[slurm]'")
    command = [sys.executable, "-m", "snakemake", "-n", "-p", "--workflow-profile", "profiles/slurm"]
    command += [
        "--configfile",
        "tests/smoke.yaml",
        "--config",
        "execution={device: cuda}",
        "--directory",
        tmp_path,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout + done.stderr
    asked = [one.rule for one in all_jobs(smoke)]
    assert re.search(rf"^total +{len(asked) + 1}$", printed, re.MULTILINE)  # and `figures`
    devices = re.findall(r"-m earlyphase job .*--device (\w+)", printed)
    assert set(devices) == {"cuda"}
    assert len(devices) == sum(rule in trainings() for rule in asked)


def trainings():
    """Rules of stages that compute with a network on a device."""
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    found = re.findall(r"^use rule training as (\w+) with:", text, re.MULTILINE)
    assert {"dense", "imp_round", "curvature"} <= set(found)
    return found


def test_only_the_profile_names_slurm():
    rules = [ROOT / "Snakefile", *(ROOT / "rules").iterdir()]
    assert not [path.name for path in rules if "slurm" in path.read_text().lower()]
    named = [key for key in PROFILE["default-resources"] if key.startswith("slurm_")]
    assert named == ["slurm_partition"]


def test_the_command_of_all_rules_is_one_command():
    """It takes the place of the shell (`exec`), so that nothing after it would run."""
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    (shell,) = re.findall(r"^    shell:\n((?:        .*\n)+)", text, re.MULTILINE)
    command = "".join(re.findall(r'"(.*)"', shell))
    assert command.startswith("python -m earlyphase job ")
    assert not re.search(r"[;|]|&&", command)


def test_a_job_for_each_training_is_submitted_and_a_dense_run_takes_its_states_along(smoke):
    needs = cluster_plan.graph(smoke)
    elsewhere = {*trainings(), "inference"} - {"checkpoint"}
    assert set(needs) == {job for job in all_jobs(smoke) if job.rule in elsewhere}
    assert PROFILE["groups"] == ["dense=dense", "checkpoint=dense"]
    for job, before in needs.items():
        pruned = {"dense", "imp_round"}
        expected = {
            "imp_round": pruned, "inference": pruned, "stability": pruned, "perturb": pruned, "pretrain_ticket": pruned,
            "train_ticket": {"pretrain_ticket"},
            "dense": {"pretrain"}, "pretrain": set(), "deficit": set(),
        }  # fmt: skip
        assert {one.rule for one in before} <= expected.get(job.rule, {"dense"})
        first = job.rule in ("pretrain", "deficit") or (job.rule, dict(job.wildcards).get("task")) == (
            "dense", "supervised",
        )  # fmt: skip
        assert bool(before) != first


def test_one_gpu_takes_the_sum_and_many_take_the_critical_path(smoke):
    needs = cluster_plan.graph(smoke)
    seconds = {job: cluster_plan.seconds_of(job, 1.0, 10.0) for job in needs}
    assert cluster_plan.schedule(needs, seconds, 1)[0] == pytest.approx(sum(seconds.values()))
    # 10 s and a second an iteration: dense, three rounds from iteration 4, a ticket that learns a task first
    assert cluster_plan.schedule(needs, seconds, 1000) == (34 + 3 * 30 + 16 + 34, 0)
    took, waiting = cluster_plan.schedule(needs, seconds, 2)
    assert took >= sum(seconds.values()) / 2
    assert waiting > 0
