import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from earlyphase.errors import InvalidInput
from earlyphase.runtime import storage


@pytest.fixture
def tensors(rng):
    return {
        "float": rng.standard_normal((3, 4)).astype(np.float32),
        "scalar": np.array(7, np.int64),
        "bytes": rng.integers(0, 256, 11, dtype=np.uint8),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": rng.standard_normal((2, 3, 4)).transpose(2, 0, 1),
    }


def test_tensors_and_header_survive(tmp_path, tensors):
    path = tmp_path / "new" / "folder" / "a.safetensors"
    storage.save_tensors(path, "test", tensors, note="é", numbers=[1, 2.5])
    loaded, header = storage.load_tensors(path, "test")
    assert loaded.keys() == tensors.keys()
    for name, array in tensors.items():
        assert np.array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
        assert loaded[name].shape == array.shape
    assert header["note"] == "é"
    assert header["numbers"] == [1, 2.5]
    assert storage.stored_header(path) == header


def test_the_bytes_of_a_file_depend_on_its_content_alone(tmp_path, tensors):
    storage.save_tensors(tmp_path / "a", "test", tensors, x=1)
    storage.save_tensors(tmp_path / "b", "test", dict(reversed(tensors.items())), x=1)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_flipped_byte_is_noticed(tmp_path, tensors):
    path = tmp_path / "a.safetensors"
    storage.save_tensors(path, "test", tensors)
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        with pytest.raises(InvalidInput, match=r"a\.safetensors"):
            storage.load_tensors(path, "test")


def test_every_truncation_is_noticed(tmp_path, tensors):
    path = tmp_path / "a.safetensors"
    storage.save_tensors(path, "test", tensors)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InvalidInput, match=r"a\.safetensors is damaged"):
            storage.load_tensors(path, "test")


def test_another_kind_or_format_is_refused(tmp_path, tensors, monkeypatch):
    path = tmp_path / "a.safetensors"
    storage.save_tensors(path, "mask", tensors)
    with pytest.raises(InvalidInput, match="is a mask, where a checkpoint is needed"):
        storage.load_tensors(path, "checkpoint")
    monkeypatch.setattr(storage, "FORMAT", storage.FORMAT + 1)
    with pytest.raises(InvalidInput, match=r"has format 1, this program reads 2; delete it"):
        storage.load_tensors(path, "mask")


def test_a_file_of_another_program_is_refused(tmp_path):
    import safetensors.numpy

    path = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file({"a": np.ones(3)}, path)
    for read in (lambda: storage.load_tensors(path, "mask"), lambda: storage.stored_header(path)):
        with pytest.raises(InvalidInput, match="no artifact of this program"):
            read()


@given(st.dictionaries(st.text("abc.", min_size=1), arrays(bool, array_shapes(max_dims=4)), min_size=1))
def test_masks_survive_packing(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("mask") / "mask.safetensors"
    storage.save_mask(path, mask)
    loaded = storage.load_mask(path)
    assert list(loaded) == list(mask)  # ties in pruning break by this order
    for name, kept in mask.items():
        assert loaded[name].dtype == bool
        assert np.array_equal(loaded[name], kept)


def test_a_mask_takes_a_bit_a_weight(tmp_path, rng):
    storage.save_mask(tmp_path / "m", {"w": rng.random(270_896) < 0.5})
    assert (tmp_path / "m").stat().st_size < 270_896 / 8 + 600


def test_rows_survive_with_every_digit(tmp_path):
    rows = [{"seed": 0, "loss": 0.1 + 0.2, "name": "a,b"}, {"seed": 1, "loss": 1e-17, "name": 'q"'}]
    storage.save_rows(tmp_path / "t.csv", rows)
    loaded = storage.load_rows(tmp_path / "t.csv")
    assert [float(row["loss"]) for row in loaded] == [0.1 + 0.2, 1e-17]
    assert [row["name"] for row in loaded] == ["a,b", 'q"']


def test_a_table_cut_within_a_row_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n1,2,3\n4,5")
    with pytest.raises(InvalidInput, match=r"t\.csv is damaged"):
        storage.load_rows(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    storage.write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InvalidInput, match=r"cannot write .*a\.txt: No space left on device"):
        storage.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"cannot read .*none\.safetensors: No such file"):
        storage.load_tensors(tmp_path / "none.safetensors", "mask")


def test_json_is_readable_and_ordered(tmp_path):
    storage.save_json(tmp_path / "a.json", {"b": 1, "a": [1]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1], "b": 1}
    assert text.index('"a"') < text.index('"b"')
