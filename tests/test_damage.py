"""Damaged, foreign and unwritable files: one clear message, never a wrong number."""

import json
import os
import subprocess

import numpy as np
import pytest
import safetensors.numpy
import torch

from assigned import carry_out
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state
from earlyphase.runtime import storage

COLUMNS = {"dataset": "noise", "model": "tiny", "seed": 0, "task": "supervised", "k": 2, "round": 2}
SPEC = {
    "columns": COLUMNS,
    "model": {"function": "resnet", "depth": 8, "width": 4},
    "task": {"function": "supervised"},
    "criterion": {"function": "magnitude"},
    "prune_fraction": 0.2,
    "training": {
        "iterations": 6, "batch_size": 16, "learning_rate": 0.05, "milestones": [4], "decay": 0.1,
        "momentum": 0.9, "weight_decay": 1e-4, "crop_padding": 0, "flip": False, "evaluate_every": 3,
    },
}  # fmt: skip
ROOTS = ("core.networks.resnet.resnet", "core.criteria.magnitude")
INPUTS = {name: f"{name}.safetensors" for name in ("data", "rewind", "weights", "mask")}
OUTPUTS = {
    "mask": "out/mask.safetensors",
    "weights": "out/weights.safetensors",
    "metrics": "out/metrics.csv",
    "run": "out/run.json",
}


@pytest.fixture
def round_folder(tmp_path, rng):
    """Inputs of one round, as the round before would have left them."""
    data = {"mean": np.full(3, 0.5, np.float32), "std": np.full(3, 0.25, np.float32)}
    for part, count in (("train", 64), ("test", 32)):
        data[f"{part}_images"] = rng.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)
        data[f"{part}_labels"] = rng.integers(0, 4, count)
    storage.save_tensors(tmp_path / "data.safetensors", "data set", data, classes=list("abcd"), provenance={})
    model = resnet(3, 4, depth=8, width=4)
    storage.save_weights(tmp_path / "rewind.safetensors", initial_state(model, 0), iteration=2)
    trained = initial_state(model, 1)
    storage.save_weights(tmp_path / "weights.safetensors", trained, iteration=6)
    mask = {name: rng.random(value.shape) < 0.8 for name, value in trained.items() if value.ndim in (2, 4)}
    storage.save_mask(tmp_path / "mask.safetensors", mask)
    return tmp_path


@pytest.fixture
def prune(round_folder, capfd, monkeypatch):
    """Call it to do the job of one round; returns its exit status and what it printed."""
    monkeypatch.chdir(round_folder)

    def run(*options):
        status = carry_out(
            "imp_round", SPEC, INPUTS, OUTPUTS, "--resume", "out/mask.resume", *options, roots=ROOTS
        )
        return status, "".join(capfd.readouterr())

    return run


def outputs(folder):
    """Names of the files in the output folder."""
    return sorted(path.name for path in (folder / "out").glob("*") if path.suffix != ".lock")


def test_sound_inputs_make_a_round(round_folder, prune):
    status, printed = prune()
    assert status == 0, printed
    assert outputs(round_folder) == ["mask.safetensors", "metrics.csv", "run.json", "weights.safetensors"]
    before = storage.load_mask(round_folder / "mask.safetensors")
    after = storage.load_mask(round_folder / "out/mask.safetensors")
    assert not any(np.any(after[name] & ~before[name]) for name in before)


def test_a_job_computes_in_the_precision_that_it_is_told(prune):
    """float32 means float32 on a GPU, too, where cuDNN takes TF32 unless it is told not to."""
    for precision, allowed in (("tf32", True), ("float32", False)):
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not allowed
        status, printed = prune("--precision", precision)
        assert status == 0, printed
        assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == allowed


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def replace_by_text(path):
    path.write_text("<html>404</html>")


def of_an_older_format(path):
    content = path.read_bytes().replace(b'\\"format\\": 1', b'\\"format\\": 0')
    assert content != path.read_bytes()
    path.write_bytes(content)


def without_our_header(path):
    safetensors.numpy.save_file({"w": np.ones(3)}, path)


DAMAGES = [truncate, flip_a_bit, empty, replace_by_text, of_an_older_format, without_our_header]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, flip_a_bit) for name in ("data", "rewind", "weights")),
        *(("mask", damage) for damage in DAMAGES),
    ],
)
def test_a_damaged_input_stops_the_job_with_its_name_and_the_remedy(round_folder, prune, name, damage):
    damage(round_folder / f"{name}.safetensors")
    status, printed = prune()
    assert status == 1
    message = printed.strip().splitlines()[-1]
    assert f"{name}.safetensors" in message
    assert "delete it and run Snakemake again" in message
    assert "Traceback" not in printed
    assert outputs(round_folder) == []


def test_a_file_of_another_kind_is_refused(round_folder, prune):
    (round_folder / "mask.safetensors").write_bytes((round_folder / "rewind.safetensors").read_bytes())
    status, printed = prune()
    assert status == 1
    assert "mask.safetensors is a checkpoint, where a mask is needed" in printed


def test_a_checkpoint_of_another_iteration_is_refused(round_folder, prune):
    state, _ = storage.load_weights(round_folder / "rewind.safetensors")
    storage.save_weights(round_folder / "rewind.safetensors", state, iteration=3)
    assert "is the state at iteration 3, not 2" in prune()[1]


def test_a_checkpoint_of_another_network_is_refused(round_folder, prune):
    other = initial_state(resnet(3, 4, depth=8, width=8), 0)
    storage.save_weights(round_folder / "rewind.safetensors", other, iteration=2)
    assert "the checkpoint belongs to another network" in prune()[1]


def test_weights_of_a_diverged_run_are_refused(round_folder, prune):
    state, _ = storage.load_weights(round_folder / "weights.safetensors")
    state["conv.weight"][:] = np.nan
    storage.save_weights(round_folder / "weights.safetensors", state, iteration=6)
    assert "the training they come from diverged" in prune()[1]


def test_code_edited_since_planning_is_refused(round_folder, prune, monkeypatch):
    monkeypatch.setattr("assigned.fingerprint", lambda *roots: f"{' '.join(roots)} 0123456789abcdef")
    status, printed = prune()
    assert status == 1 and outputs(round_folder) == []
    assert "changed while the workflow was running; run Snakemake again" in printed


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: a full disk cannot be made")
def test_a_full_disk_leaves_no_half_written_file(round_folder, prune):
    """A file system of a few kilobytes under the outputs."""
    out = round_folder / "out"
    out.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", out], check=False)
    if mounted.returncode:
        pytest.skip("MOUNTING IS NOT ALLOWED HERE: a full disk cannot be made")
    try:
        status, printed = prune()
        assert status == 1
        assert "No space left on device" in printed
        assert "Traceback" not in printed
        for path in out.glob("*.safetensors"):
            storage.load_mask(path)  # whatever is there is whole
        assert not list(out.glob(".*.part"))
        assert not (out / "run.json").exists()
    finally:
        subprocess.run(["umount", out], check=True)
    assert prune()[0] == 0


def test_a_read_only_folder_is_named(round_folder, prune):
    """As root may write anywhere, the folder is one in which nobody can make files."""
    (round_folder / "out").symlink_to("/proc/self")
    status, printed = prune()
    assert status == 1
    assert "out/" in printed
    assert "Traceback" not in printed


def test_the_run_record_says_what_made_the_round(round_folder, prune):
    prune()
    record = json.loads((round_folder / "out/run.json").read_text())
    assert record["spec"] == SPEC
    assert record["device"] == "cpu"
    assert record["inputs"].keys() == {"data", "rewind", "weights", "mask"}
    parts = json.loads((round_folder / "logs/code" / f"{record['code'].split()[-1]}.json").read_text())
    assert "core.masks.prune_by_magnitude" in parts
