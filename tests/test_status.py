"""What status says of jobs in every state, and how fast it is."""

import fcntl
import gc
import itertools
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml

from assigned import ROOT, SMOKE, read_study
from earlyphase.__main__ import main
from earlyphase.commands import status as status_command
from earlyphase.runtime import pace as pace_module
from earlyphase.runtime.storage import save_tensors
from earlyphase.sentences import duration
from earlyphase.study.jobs import all_jobs, job_of
from earlyphase.study.limits import FIXED, Clock

NAMES = {"dataset": "synthetic", "model": "tiny", "task": "supervised", "criterion": "magnitude"}
STUDY = read_study(SMOKE)
OPTIONS = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(ROOT / SMOKE)]


def job(rule, **names):
    return job_of(STUDY, rule, NAMES | names)


@pytest.fixture
def status(tmp_path, monkeypatch, capfd):
    """Call it with settings to lay over the smoke study; returns what `status` prints."""
    monkeypatch.chdir(tmp_path)

    def run(**settings):
        smoke = yaml.safe_load((ROOT / "tests/smoke.yaml").read_text())
        Path("study.yaml").write_text(yaml.safe_dump(smoke | settings))
        assert main(["status", *OPTIONS[:-1], "study.yaml"]) == 0
        return capfd.readouterr().out

    return run


def write(path, content=b""):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)


def finish(one, seconds=1):
    for path in one.outputs:
        write(path, b'{"device": "cpu", "seconds": %d}' % seconds if path == one.record else b"")


def save_progress(one, iteration):
    Path(one.resume).parent.mkdir(parents=True, exist_ok=True)
    header = {"identity": "", "iteration": iteration, "rows": [], "seconds": 60, "states": []}
    save_tensors(one.resume, "progress", {"w": np.ones(3)}, **header)


@contextmanager
def held(one):
    """As if a process were at work on a job."""
    write(f"{one.resume}.lock")
    with Path(f"{one.resume}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_every_state_is_shown(status):
    rounds = {
        (seed, k, number): job("imp_round", seed=seed, k=k, round=number)
        for seed in (0, 1) for k in (0, 4) for number in (1, 2, 3)
    }  # fmt: skip
    for seed in (0, 1):
        finish(job("dense", seed=seed))
    finish(rounds[0, 0, 1])
    finish(rounds[0, 0, 2])
    save_progress(rounds[0, 4, 1], iteration=14)
    write(rounds[1, 0, 1].log, b"Traceback\nearlyphase imp_round: the disk is full\n\n")
    save_progress(rounds[1, 4, 1], iteration=19)
    with held(rounds[1, 4, 1]):
        said = status()
    chains = re.findall(r"seed (\d) +k (\d) +(\S) +(\S+)", said)
    assert chains[:4] == [
        ("0", "0", "#", "##."),
        ("0", "4", "#", "~.."),
        ("1", "0", "#", "!.."),
        ("1", "4", "#", ">.."),
    ]
    for state, one, iteration in (("resumable", rounds[0, 4, 1], 14), ("running", rounds[1, 4, 1], 19)):
        assert f"{state}: {one.outputs[0]}\n  iteration {iteration} of 24 saved, about " in said
    assert "round1.log: earlyphase imp_round: the disk is full" in said
    assert "1 running, 1 resumable, 1 failed" in said


@pytest.mark.parametrize(
    ("rule", "names", "iteration", "end", "left"),
    [
        ("dense", {}, 12, 24, 12 / 24),
        ("telemetry", {}, 6, 13, 7 / 13),  # to one past the last sample
        ("perturb", {"k": 4, "round": 1, "perturbation": "rewind"}, 14, 24, 10 / 20),
        ("imp_round", {"k": 4, "round": 1}, 4, 24, 1.0),
    ],
)
def test_the_time_that_is_left_is_right_for_every_stage_that_trains(
    status, rule, names, iteration, end, left
):
    """By what the dense run of another seed took, for the work that each has."""
    finish(job("dense", seed=1), seconds=1198)
    one, clock = job(rule, seed=0, **names), Clock(STUDY, gpu=False)
    assert clock.seconds(job("dense", seed=0)) == FIXED + 1198
    save_progress(one, iteration)
    assert (
        f"iteration {iteration} of {end} saved, about {duration(clock.seconds(one) * left)} left" in status()
    )


def test_an_empty_folder_has_everything_missing(status):
    assert re.search(r"jobs: \d+ missing\n", status())  # and nothing in another state


def test_chains_stand_in_the_order_of_their_iterations(status):
    said = status(rewind_iterations=[0, 2, 10, 3], perturbed=[], sparse_pretraining=[], pretrained=[])
    ks = [int(k) for k in re.findall(r"seed 0 +k (\d+)", said)]
    assert ks == [0, 2, 3, 10]


def test_a_reader_that_stops_early_gets_no_traceback(tmp_path):
    """As `head -1` does: the pipe is closed while most is still to be printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "earlyphase", "status", *OPTIONS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    with process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_a_thousand_rounds_take_less_than_half_a_second(status):
    """4,000 files; the fastest of three looks by processor time, since other tests run beside it."""
    ks = list(range(20))
    for k, number in itertools.product(ks, range(1, 51)):
        finish(job("imp_round", seed=0, k=k, round=number))
    gc.collect()
    gc.freeze()  # what earlier tests have left is not looked through again and again
    took = []
    for _ in range(3):
        began = time.process_time()
        said = status(seeds=[0], rewind_iterations=ks, rounds=50, pretrained=[], sparse_pretraining=[])
        took.append(time.process_time() - began)
    gc.unfreeze()
    assert said.count("#" * 50) == 20
    assert min(took) < 0.5


def test_chains_of_pretrained_networks_are_shown_behind_the_others(status):
    pretrained = job("imp_round", task="rotation-8", seed=1, k=0, round=1)
    finish(pretrained)
    said = status(pretrained=[{"pretraining": ["rotation"], "iterations": [8], "rounds": 2}])
    chains = re.findall(r"seed (\d) +k (\d) +(\S) +([#.]+)(?:  (\S+))?", said)
    assert chains[4:] == [("0", "0", ".", "..", "rotation-8"), ("1", "0", ".", "#.", "rotation-8")]


def test_the_time_left_is_what_finished_jobs_took_for_what_is_left(status):
    """Of all jobs, as many at a time as run now."""
    alone = {"perturbed": [], "pretrained": [], "sparse_pretraining": [], "critical_periods": [], "rounds": 1}
    alone |= {"stability": {"dense": [], "rewind_iterations": []}, "rewind_iterations": [0]}
    assert "training: 0% of the iterations\n" in status(**alone)  # nothing is measured
    dense, others = job("dense", seed=0), [job("dense", seed=1), job("telemetry", seed=1)]
    finish(dense, seconds=12_000)
    study = read_study(SMOKE, **alone)
    everything, clock = list(all_jobs(study)), Clock(study, gpu=False)
    trained = sum(len(one.span) for one in everything)
    left = sum(clock.seconds(one) for one in everything if one != dense)
    assert f"training: {24 / trained:.0%} of the iterations, about {duration(left)} left" in status(**alone)
    with held(others[0]), held(others[1]):
        assert f"about {duration(left / 2)} left" in status(**alone)


def test_a_job_tells_its_log_how_fast_it_is(monkeypatch):
    now = iter([0.0, 2.0, 5.0, 9.0, 10.0])
    monkeypatch.setattr(pace_module.time, "monotonic", lambda: next(now))
    pace = pace_module.Pace(40)
    said = [pace.line(iteration) for iteration in (4, 8, 14, 20, 24)]  # taken up at 4
    assert said == [
        "",
        "",
        "iteration 14 of 40, 2 a second, 13 s left",
        "",
        "iteration 24 of 40, 2 a second, 8 s left",
    ]


def test_watching_without_a_terminal_shows_it_once(status, capfd):
    assert main(["status", "--watch", *OPTIONS]) == 0
    said = capfd.readouterr().out
    assert said.count("training: 0%") == 1 and "\x1b" not in said


@pytest.fixture
def watch(status, monkeypatch, capfd):
    """Call it to watch the smoke study as in a terminal; returns what is drawn."""

    def run():
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert main(["status", "--watch", *OPTIONS]) == 0
        return capfd.readouterr().out

    return run


def test_watching_ends_with_the_study(watch, monkeypatch):
    *others, last = all_jobs(STUDY)
    for one in others:
        finish(one)
    monkeypatch.setattr(status_command.time, "sleep", lambda seconds: finish(last))
    said = watch()
    assert said.count(status_command.CLEAR) == 2
    assert f"jobs: {len(others) + 1} done\n" in said.split(status_command.CLEAR)[-1]


def test_a_training_that_ends_while_one_watches_sets_the_clock(watch, monkeypatch):
    def one_ends_then_nobody_watches(seconds):
        if Path(job("dense", seed=0).record).exists():
            raise KeyboardInterrupt
        finish(job("dense", seed=0))

    monkeypatch.setattr(status_command.time, "sleep", one_ends_then_nobody_watches)
    _, before, after = watch().split(status_command.CLEAR)
    assert "% of the iterations\n" in before
    assert "% of the iterations, about " in after
