"""What status says of jobs in every state, and how fast it is."""

import fcntl
import gc
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml

from earlyphase.__main__ import main
from earlyphase.commands import status as status_command
from earlyphase.runtime import pace as pace_module
from earlyphase.runtime.storage import save_tensors
from earlyphase.study.jobs import job as job_of
from earlyphase.study.jobs import jobs as jobs_of
from earlyphase.study.study import read_study

ROOT = Path(__file__).parents[1]
NAMES = {"dataset": "synthetic", "model": "tiny", "task": "supervised", "criterion": "magnitude"}
STUDY = read_study([ROOT / "config.yaml", ROOT / "tests/smoke.yaml"], ROOT)


def job(rule, **names):
    return job_of(STUDY, rule, **names)


@pytest.fixture
def status(tmp_path, monkeypatch, capfd):
    """Call it with settings to lay over the smoke study; returns what `status` prints."""
    monkeypatch.chdir(tmp_path)

    def run(**settings):
        smoke = yaml.safe_load((ROOT / "tests/smoke.yaml").read_text())
        Path("study.yaml").write_text(yaml.safe_dump(smoke | settings))
        options = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "study.yaml"]
        assert main(["status", *options]) == 0
        return capfd.readouterr().out

    return run


def write(path, content=b""):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)


def finish(one):
    for path in one.outputs:
        write(path)


def save_progress(one, iteration, seconds):
    Path(one.resume).parent.mkdir(parents=True, exist_ok=True)
    header = {"identity": "", "iteration": iteration, "rows": [], "seconds": seconds, "states": []}
    save_tensors(one.resume, "progress", {"w": np.ones(3)}, **header)


def test_every_state_is_shown(status):
    rounds = {
        (seed, k, number): job("imp_round", **NAMES, seed=seed, k=k, round=number)
        for seed in (0, 1) for k in (0, 4) for number in (1, 2, 3)
    }  # fmt: skip
    for seed in (0, 1):
        finish(job("dense", **NAMES, seed=seed))
    finish(rounds[0, 0, 1])
    finish(rounds[0, 0, 2])
    save_progress(rounds[0, 4, 1], iteration=14, seconds=60)  # 10 of 20 iterations from k = 4
    write(rounds[1, 0, 1].log, b"Traceback\nearlyphase imp_round: the disk is full\n\n")
    running = rounds[1, 4, 1]
    write(f"{running.resume}.lock")
    with Path(f"{running.resume}.lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = status()
    chains = re.findall(r"seed (\d) +k (\d) +(\S) +(\S+)", said)
    assert chains[:4] == [
        ("0", "0", "#", "##."),
        ("0", "4", "#", "~.."),
        ("1", "0", "#", "!.."),
        ("1", "4", "#", ">.."),
    ]
    assert "iteration 14 of 24 saved, about 60 s left" in said
    assert "round1.log: earlyphase imp_round: the disk is full" in said
    assert "1 running, 1 resumable, 1 failed" in said


@pytest.mark.parametrize(
    ("rule", "names", "iteration", "said"),
    [
        ("dense", {}, 12, "iteration 12 of 24 saved, about 60 s left"),
        ("telemetry", {}, 6, "iteration 6 of 13 saved, about 70 s left"),  # to one past the last sample
        (
            "perturb",
            {"k": 4, "round": 1, "perturbation": "rewind"},
            14,
            "iteration 14 of 24 saved, about 60 s",
        ),
        ("checkpoint", {"k": 4}, 2, "iteration 2 of 4 saved, about 60 s left"),
        ("imp_round", {"k": 4, "round": 1}, 4, "iteration 4 of 24 saved\n"),  # no speed is known yet
    ],
)
def test_the_time_that_is_left_is_right_for_every_stage_that_trains(status, rule, names, iteration, said):
    save_progress(job(rule, **NAMES, seed=0, **names), iteration, seconds=60)
    assert said in status()


def test_an_empty_folder_has_everything_missing(status):
    assert re.search(r"jobs: \d+ missing\n", status())  # and nothing in another state


def test_chains_stand_in_the_order_of_their_iterations(status):
    said = status(rewind_iterations=[0, 2, 10, 3], perturbed=[], sparse_pretraining=[], pretrained=[])
    ks = [int(k) for k in re.findall(r"seed 0 +k (\d+)", said)]
    assert ks == [0, 2, 3, 10]


def test_before_a_study_no_space_is_used(status):
    assert status().endswith("space: none yet\n")


def test_a_reader_that_stops_early_gets_no_traceback(tmp_path):
    """As `head -1` does: the pipe is closed while most is still to be printed."""
    options = ["--snakefile", ROOT / "Snakefile", "--configfile", ROOT / "tests/smoke.yaml"]
    process = subprocess.Popen(
        [sys.executable, "-m", "earlyphase", "status", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    with process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_five_thousand_rounds_take_less_than_two_seconds(status):
    """20,000 files; the fastest of three looks by processor time, since other tests run beside it."""
    ks, seeds, rounds = list(range(20)), list(range(5)), 50
    for seed in seeds:
        for k in ks:
            for number in range(1, rounds + 1):
                one = job("imp_round", **NAMES, seed=seed, k=k, round=number)
                finish(one)
    gc.collect()
    gc.freeze()  # what earlier tests have left is not looked through again and again
    took = []
    for _ in range(3):
        began = time.process_time()
        said = status(seeds=seeds, rewind_iterations=ks, rounds=rounds, pretrained=[], sparse_pretraining=[])
        took.append(time.process_time() - began)
    gc.unfreeze()
    assert said.count("#" * 50) == 100
    assert min(took) < 2


def test_chains_of_pretrained_networks_are_shown_behind_the_others(status):
    pretrained = job("imp_round", **NAMES | {"task": "rotation-8"}, seed=1, k=0, round=1)
    finish(pretrained)
    said = status(pretrained=[{"pretraining": ["rotation"], "iterations": [8], "rounds": 2}])
    chains = re.findall(r"seed (\d) +k (\d) +(\S) +([#.]+)(?:  (\S+))?", said)
    assert chains[4:] == [("0", "0", ".", "..", "rotation-8"), ("1", "0", ".", "#.", "rotation-8")]


@contextmanager
def held(one):
    """As if a process were at work on a job."""
    write(f"{one.resume}.lock")
    with Path(f"{one.resume}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_a_running_job_says_where_it_is_how_fast_and_for_how_long(status):
    one, other = (job("dense", **NAMES, seed=seed) for seed in (0, 1))
    write(one.log, b"iteration 8 of 24, 4 a second, 4 s left\niteration 10 of 24: {'accuracy': 0.5}\n")
    write(other.log, b"iteration 4 of 24, 3 a second, 7 s left\n")
    with held(one), held(other):
        said = status()
    assert "iteration 8 of 24, 4 a second, about 4 s left" in said
    assert re.search(r"training: \d% of the iterations, 7 iterations a second\n", said)  # no job is finished


def test_the_time_left_is_what_finished_jobs_took_for_what_is_left(status):
    """Two dense runs and nothing else train; one is done, at 0.5 seconds an iteration."""
    alone = {"perturbed": [], "pretrained": [], "sparse_pretraining": [], "critical_periods": [], "rounds": 1}
    alone |= {"stability": {"dense": [], "rewind_iterations": []}, "rewind_iterations": [0]}
    before = float(re.search(r"training: (\d+)% of the iterations\n", status(**alone))[1])
    dense = job("dense", **NAMES, seed=0)
    finish(dense)
    record = next(path for path in dense.outputs if path.endswith(".json"))
    Path(record).write_text('{"seconds": 12}')  # of 24 iterations
    said = re.search(r"training: (\d+)% of the iterations, about (\d+) s left", status(**alone))
    share, seconds = int(said[1]) / 100, int(said[2])
    whole = 24 / share  # iterations of the study, by the share that the finished run is
    assert before == 0 and seconds == pytest.approx(0.5 * (whole - 24), rel=0.1)


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
    options = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(ROOT / "tests/smoke.yaml")]
    assert main(["status", "--watch", *options]) == 0
    said = capfd.readouterr().out
    assert said.count("training: 0%") == 1 and "\x1b" not in said


@pytest.fixture
def watch(status, monkeypatch, capfd):
    """Call it to watch the smoke study as in a terminal; returns what is drawn."""
    options = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(ROOT / "tests/smoke.yaml")]

    def run():
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        assert main(["status", "--watch", *options]) == 0
        return capfd.readouterr().out

    return run


def test_watching_ends_with_the_study_though_nobody_asked_for_the_report(watch, monkeypatch):
    *others, last = [one for one in jobs_of(STUDY) if one.rule != "report"]
    for one in others:
        finish(one)
    monkeypatch.setattr(status_command.time, "sleep", lambda seconds: finish(last))
    said = watch()
    assert said.count(status_command.CLEAR) == 2
    assert f"jobs: {len(others) + 1} done\nreport: missing" in said.split(status_command.CLEAR)[-1]


def test_a_person_may_stop_watching(watch, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(status_command.time, "sleep", interrupted)
    assert watch().count(status_command.CLEAR) == 1
