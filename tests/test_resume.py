"""Kills and restarts of a real training job: the same bytes, whatever happens."""

import fcntl
import os
import signal
import time

import numpy as np
import pytest

import assigned
from earlyphase.runtime.resume import Progress, ResumeFile
from earlyphase.runtime.storage import save_tensors

SPEC = {
    "columns": {"dataset": "noise", "model": "tiny", "seed": 0, "task": "supervised"},
    "model": {"function": "resnet", "depth": 8, "width": 8},
    "task": {"function": "supervised"},
    "training": {
        "iterations": 200, "batch_size": 64, "learning_rate": 0.05, "milestones": [120], "decay": 0.1,
        "momentum": 0.9, "weight_decay": 1e-4, "crop_padding": 1, "flip": True, "evaluate_every": 50,
    },
}  # fmt: skip


def make_data(path):
    """Write a data set of noise."""
    rng = np.random.default_rng(0)
    tensors = {"mean": np.full(3, 0.5, np.float32), "std": np.full(3, 0.25, np.float32)}
    for part, count in (("train", 512), ("test", 128)):
        tensors[f"{part}_images"] = rng.integers(0, 256, (count, 3, 16, 16), dtype=np.uint8)
        tensors[f"{part}_labels"] = rng.integers(0, 4, count)
    save_tensors(path, "data set", tensors, classes=list("abcd"), provenance={})
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data") / "noise.safetensors")


def start(folder, data, spec=SPEC, interval=0.2, options=(), environment=None):
    """Start a training in the background."""
    folder.mkdir(exist_ok=True)
    outputs = {
        "trajectory": folder / "trajectory.safetensors",
        "metrics": folder / "metrics.csv",
        "run": folder / "run.json",
    }
    return assigned.start(
        "dense", spec, {"data": data}, outputs, *progress(folder / "trajectory.resume", interval),
        *("--keep", "0", "30", "110"), *options, cwd=folder, env=environment,
    )  # fmt: skip


def progress(path, interval):
    """Options for where and how often progress is saved."""
    return "--resume", str(path), "--resume-interval", str(interval)


def finish(process):
    output, _ = process.communicate(timeout=120)
    return output


def result(folder):
    return [(folder / name).read_bytes() for name in ("trajectory.safetensors", "metrics.csv")]


def wait_for_progress(folder, process, file="trajectory.resume"):
    """Until the job has saved once."""
    deadline = time.monotonic() + 60
    while not (folder / file).exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("undisturbed")
    output = finish(start(folder, data))
    assert (folder / "run.json").exists(), output
    return folder


def test_a_killed_run_ends_with_the_same_bytes(tmp_path, data, undisturbed):
    process = start(tmp_path, data)
    for _ in range(2):
        wait_for_progress(tmp_path, process)
        process.kill()
        finish(process)
        assert not (tmp_path / "trajectory.safetensors").exists()
        process = start(tmp_path, data)
        time.sleep(1)
    output = finish(process)
    assert "resuming at iteration" in output
    assert result(tmp_path) == result(undisturbed)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "metrics.csv",
        "run.json",
        "trajectory.safetensors",
    ]


def test_a_terminated_run_loses_nothing(tmp_path, data, undisturbed):
    """SIGTERM saves where it stands, however long the interval."""
    process = start(tmp_path, data, interval=1000)
    for line in process.stdout:
        if line.startswith("iteration 50 "):
            break
    process.terminate()
    output = finish(process)
    assert process.returncode == 128 + signal.SIGTERM
    stopped_at = int(output.split("at iteration ")[1].split(";")[0])
    assert stopped_at >= 50
    assert f"resuming at iteration {stopped_at}" in finish(start(tmp_path, data))
    assert result(tmp_path) == result(undisturbed)


def test_progress_that_is_damaged_or_of_another_job_is_discarded_with_a_word(tmp_path, capsys):
    weights = {"w": np.ones(3)}
    ResumeFile(tmp_path / "a.resume", "identity").save(Progress(7, weights, weights))
    assert ResumeFile(tmp_path / "a.resume", "identity").load().iteration == 7
    assert ResumeFile(tmp_path / "a.resume", "another").load() is None
    assert "a.resume is of another spec, code, input or device" in capsys.readouterr().out
    (tmp_path / "a.resume").write_bytes(b"not a file of tensors")
    assert ResumeFile(tmp_path / "a.resume", "identity").load() is None
    assert "starting anew: " in capsys.readouterr().out


def test_a_second_copy_waits_and_finds_the_job_done(tmp_path, data, undisturbed):
    folder = tmp_path / "twice"
    first = start(folder, data)
    wait_for_progress(folder, first)
    second = start(folder, data)
    assert "waiting: another process" in (output := finish(second))
    assert "the other process finished this job" in output
    finish(first)
    assert first.returncode == second.returncode == 0
    assert result(folder) == result(undisturbed)


def test_a_second_copy_continues_when_the_first_is_killed(tmp_path, data, undisturbed):
    folder = tmp_path / "inherited"
    first = start(folder, data)
    wait_for_progress(folder, first)
    second = start(folder, data)
    for line in second.stdout:
        if line.startswith("waiting"):
            break
    first.kill()
    finish(first)
    assert "resuming at iteration" in finish(second)
    assert result(folder) == result(undisturbed)


def test_the_lock_is_exclusive_and_leaves_no_file(tmp_path):
    resume = ResumeFile(tmp_path / "a.resume", "identity")
    with resume.lock() as waited:
        assert not waited
        descriptor = os.open(tmp_path / "a.resume.lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_in_the_middle_of_a_save_left_is_removed_in_the_end(tmp_path):
    resume = ResumeFile(tmp_path / "a.resume", "identity")
    resume.save(Progress(1, {"w": np.ones(3)}, {"w": np.ones(3)}))
    (tmp_path / ".a.resume.123.part").write_bytes(b"half")
    (tmp_path / ".b.resume.123.part").write_bytes(b"of another job")
    resume.remove()
    assert [path.name for path in tmp_path.iterdir()] == [".b.resume.123.part"]


def test_saving_slowly_is_done_less_often(tmp_path, monkeypatch):
    """A save that takes a second is followed by at least 50 seconds of work: 2 % at most."""
    clock = iter([0.0, 100.0, 101.0, 140.0, 152.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    resume = ResumeFile(tmp_path / "a.resume", "identity", interval=30)
    resume.save(Progress(1, {"w": np.ones(3)}, {"w": np.ones(3)}))
    assert not resume.due()  # at 140, 39 s after a save that took 1 s
    assert resume.due()  # at 152
