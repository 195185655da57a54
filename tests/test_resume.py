"""Kills and restarts of a real training job: the same bytes, whatever happens."""

import fcntl
import json
import os
import signal
import time

import numpy as np
import pytest

import assigned
from earlyphase.runtime.resume import Progress, ResumeFile
from earlyphase.runtime.storage import save_mask, save_tensors, save_weights
from earlyphase.runtime.trajectory import kept_states

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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, data, undisturbed, number):
    folder = tmp_path / "killed"
    process = start(folder, data)
    for _ in range(2):
        wait_for_progress(folder, process)
        process.send_signal(number)
        finish(process)
        assert process.returncode in (-number, 128 + number)
        assert not (folder / "trajectory.safetensors").exists()
        process = start(folder, data)
        time.sleep(1)
    output = finish(process)
    assert "resuming at iteration" in output
    assert result(folder) == result(undisturbed)
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "metrics.csv",
        "run.json",
        "trajectory.safetensors",
    ]


def test_a_terminated_run_loses_nothing(tmp_path, data):
    """SIGTERM saves where it stands, however long the interval."""
    folder = tmp_path / "terminated"
    process = start(folder, data, interval=1000)
    for line in process.stdout:
        if line.startswith("iteration 50 "):
            break
    process.terminate()
    output = finish(process)
    stopped_at = int(output.split("at iteration ")[1].split(";")[0])
    assert stopped_at >= 50
    assert f"resuming at iteration {stopped_at}" in finish(start(folder, data))


def test_progress_of_another_spec_is_discarded(tmp_path, data, undisturbed):
    folder = tmp_path / "edited"
    other = json.loads(json.dumps(SPEC))
    other["training"]["learning_rate"] = 0.01
    process = start(folder, data, other)
    wait_for_progress(folder, process)
    process.kill()
    finish(process)
    assert "of another spec, code, input or device" in finish(start(folder, data))
    assert result(folder) == result(undisturbed)


def test_damaged_progress_is_discarded(tmp_path, data, undisturbed):
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "trajectory.resume").write_bytes(b"not a file of tensors")
    assert "starting anew" in finish(start(folder, data))
    assert result(folder) == result(undisturbed)


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


def test_a_second_copy_of_a_perturbed_ticket_finds_it_done(tmp_path, data, undisturbed):
    """It has a run record, so that what the first copy finished while the second waited is not trained again."""
    states = kept_states(undisturbed / "trajectory.safetensors")
    for iteration in (0, 30, 200):
        save_weights(tmp_path / f"it{iteration}", states[iteration], iteration)
    save_mask(
        tmp_path / "mask", {name: np.ones(a.shape, bool) for name, a in states[0].items() if a.ndim in (2, 4)}
    )
    spec = SPEC | {
        "columns": SPEC["columns"] | {"k": 30, "round": 1, "perturbation": "rewind"},
        "perturbation": [{"function": "rewind"}], "round": 1, "start": 30,
    }  # fmt: skip
    inputs = {"data": data, "rewind": "it30", "initial": "it0", "final": "it200", "mask": "mask"}
    outputs = {"metrics": "metrics.csv", "run": "metrics.json"}
    roots = ("core.networks.resnet.resnet", "core.branches.rewind")

    def start_one():
        saved = progress("metrics.csv.resume", 0.1)
        return assigned.start("perturb", spec, inputs, outputs, *saved, roots=roots, cwd=tmp_path)

    first = start_one()
    wait_for_progress(tmp_path, first, "metrics.csv.resume")
    second = start_one()
    output = finish(second)
    assert "waiting: another process" in output and "the other process finished this job" in output
    assert "iteration" not in output
    finish(first)
    assert first.returncode == second.returncode == 0
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 4  # evaluated at 50, 100, 150 and 200: the clock starts at k
    assert json.loads((tmp_path / "metrics.json").read_text())["spec"]["start"] == 30
