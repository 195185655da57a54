"""What status says of jobs in every state, and how fast it is."""

import fcntl
import gc
import re
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from earlyphase.__main__ import main
from earlyphase.runtime.storage import save_tensors
from earlyphase.study.jobs import job as job_of
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
    assert chains == [
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
