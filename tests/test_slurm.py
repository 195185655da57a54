"""The workflow through its profile on a real SLURM: undisturbed, and with every job of a chain disturbed.

The cluster is one node on this machine, thrown away afterwards. What is made must equal, byte for byte,
what a local run makes.
"""

import os
import re
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "slurm"))
from driver import LOCALLY, ON_CLUSTER, TABLES, Cluster, Workflow, until

STUDY = Path(__file__).parent / "slurm/study.yaml"
CHAIN = "synthetic/tiny/seed0/supervised"
PRUNED = f"{CHAIN}/magnitude"
PROGRAMS = ("sbatch", "slurmctld", "slurmd", "munged")
MISSING = [name for name in PROGRAMS if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
if not find_spec("snakemake_executor_plugin_slurm"):
    MISSING.append("snakemake-executor-plugin-slurm (pip install '.[slurm]')")
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"NOTHING IS KNOWN OF SLURM HERE, for want of {', '.join(MISSING)}"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    started = Cluster(tmp_path_factory.mktemp("slurm"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def studies(cluster, tmp_path_factory):
    """The same study three times at once: here, on the cluster, and on the cluster to be disturbed."""
    folder = tmp_path_factory.mktemp("studies")
    environment = cluster.environment
    found = {
        "local": Workflow(folder / "local", STUDY, environment, *LOCALLY, *TABLES).start(),
        "clean": Workflow(folder / "clean", STUDY, environment, *ON_CLUSTER, *TABLES).start(),
        "disturbed": Workflow(folder / "disturbed", STUDY, environment, *ON_CLUSTER, *TABLES).start(),
    }
    yield found
    for workflow in found.values():
        workflow.interrupt()


def said(workflow, log, pattern, seconds=300):
    """Wait for a job's log to say something; return the number in it. A restarted job's log begins anew."""
    path = workflow.folder / log

    def look():
        return path.exists() and re.search(pattern, path.read_text())

    found = until(look, seconds, f"{pattern!r} in {log}; Snakemake said\n{workflow.log.read_text()[-3000:]}")
    return int(found[1]) if found.groups() else None


def disturb(workflow, cluster, rule, resume, log, harm):
    """Meet a job in the middle, harm it, and see it saved and continued at the same iteration.

    Returns:
        What SLURM says of the job afterwards, as soon as it no longer runs.
    """
    process = workflow.paused(resume)
    (number,) = cluster.jobs(workflow.folder, rule, states="running")
    began = time.monotonic()
    harm(number)
    until(lambda: cluster.state(number) != "RUNNING", what=f"an end of the {rule}")
    process.resume()  # SLURM has told it to end, and gives it at least a second
    stopped_at = said(workflow, log, r"stopped by signal 15 at iteration (\d+)")
    state = until(lambda: (now := cluster.state(number)) not in ("RUNNING", "COMPLETING") and now)
    resumed_at = said(workflow, log, r"resuming at iteration (\d+)")
    seconds = time.monotonic() - began
    print(
        f"{rule}: {state}, stopped at {stopped_at}, resumed at {resumed_at} after {seconds:.0f} s", flush=True
    )
    assert 0 < stopped_at < 400
    assert resumed_at == stopped_at
    return state, number


def test_every_job_of_a_chain_is_disturbed_and_loses_no_iteration(cluster, studies):
    workflow = studies["disturbed"]
    dense, rounds = f"results/dense/{CHAIN}/trajectory.safetensors.resume", f"results/imp/{PRUNED}/it30"
    perturbed = f"perturbed/{PRUNED}/it30/round2/shuffle_layers"

    def time_limit(number):
        cluster.call("scontrol", "update", f"JobId={number}", "EndTime=now+5")

    state, _ = disturb(workflow, cluster, "dense", dense, f"logs/dense/{CHAIN}.log", time_limit)
    assert state == "TIMEOUT"

    state, _ = disturb(
        workflow, cluster, "imp_round", f"{rounds}/round1/mask.safetensors.resume",
        f"logs/imp/{PRUNED}/it30/round1.log", lambda number: cluster.call("scancel", number),
    )  # fmt: skip
    assert state == "CANCELLED"

    kill_snakemake(
        workflow, cluster, f"{rounds}/round2/mask.safetensors.resume", f"logs/imp/{PRUNED}/it30/round2.log"
    )

    state, number = disturb(
        workflow, cluster, "perturb", f"results/{perturbed}.csv.resume", f"logs/{perturbed}.log",
        lambda number: cluster.call("scontrol", "requeue", number),
    )  # fmt: skip
    assert state == "PENDING"

    status, printed = workflow.finish()
    assert status == 0, printed
    assert cluster.state(number) == "COMPLETED"  # under the same number: no attempt was used up


def kill_snakemake(workflow, cluster, resume, log):
    """Kill Snakemake while a round trains; a second copy of the round must wait for the first."""
    trains = workflow.paused(resume)
    workflow.process.kill()
    workflow.process.wait()
    status, printed = workflow.start().finish()
    assert status != 0
    assert "LockException" in printed
    workflow.unlock()
    workflow.start()
    said(workflow, log, "waiting: another process is at work")
    assert len(workflow.training()) == 2
    first, second = cluster.jobs(workflow.folder, "imp_round", states="running")
    trains.resume()
    said(workflow, log, "the other process finished this job")
    assert not any("iteration" in line for line in (workflow.folder / log).read_text().splitlines())
    assert until(lambda: cluster.state(first) == cluster.state(second) == "COMPLETED")


def test_a_clean_run_needs_no_second_attempt(cluster, studies):
    workflow = studies["clean"]
    status, printed = workflow.finish()
    assert status == 0, printed
    assert printed.count("has been submitted with SLURM jobid") == 4
    assert "Trying to restart" not in printed
    assert [cluster.state(number) for number in cluster.jobs(workflow.folder)] == ["COMPLETED"] * 4


@pytest.mark.parametrize("name", ["clean", "disturbed"])
def test_artifacts_equal_those_of_a_local_run(studies, name):
    status, printed = studies["local"].finish()
    assert status == 0, printed
    expected, found = studies["local"].artifacts(), studies[name].artifacts()
    assert len(expected) >= 14
    assert [path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path)] == []
