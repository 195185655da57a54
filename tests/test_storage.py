"""Artifacts: what is read is what was written, or an error that names the file."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from earlyphase.errors import InvalidInput
from earlyphase.runtime import storage

on_disk = settings(max_examples=30, deadline=None)  # of files, each of which waits for the disk


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
    path = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file({"a": np.ones(3)}, path)
    for read in (lambda: storage.load_tensors(path, "mask"), lambda: storage.stored_header(path)):
        with pytest.raises(InvalidInput, match="no artifact of this program"):
            read()


@on_disk
@given(
    st.dictionaries(
        st.text("abc.", min_size=1),
        arrays(bool, array_shapes(min_dims=0, max_dims=4, min_side=0)),
        min_size=1,
    )
)
def test_masks_survive_packing(tmp_path_factory, mask):
    path = tmp_path_factory.mktemp("mask") / "mask.safetensors"
    storage.save_mask(path, mask)
    loaded = storage.load_mask(path)
    assert list(loaded) == list(mask)  # ties in pruning break by this order
    for name, kept in mask.items():
        assert loaded[name].dtype == bool
        assert np.array_equal(loaded[name], kept)


def test_a_table_cut_within_a_row_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,c\n1,2,3\n4,5")
    with pytest.raises(InvalidInput, match=r"t\.csv is damaged"):
        storage.load_rows(path)


@pytest.mark.parametrize("failing", [(os, "fsync"), (Path, "replace"), (Path, "open")])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    def fail(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.txt"
    storage.write_bytes(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(*failing, fail)
        with pytest.raises(
            InvalidInput, match=r"cannot write .*a\.txt: No space left on device; nothing was"
        ):
            storage.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_an_error_of_the_user(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"cannot write .*file/a\.txt"):
        storage.write_bytes(tmp_path / "file" / "a.txt", b"new")


def test_a_file_appears_whole_after_it_is_safe_on_the_disk(tmp_path, monkeypatch):
    """Otherwise a power cut could leave an empty file under the final name."""
    path, synced = tmp_path / "a.txt", []
    path.write_bytes(b"old")

    def fsync(descriptor):
        assert path.read_bytes() == b"old"
        synced.append(os.fstat(descriptor))
        real(descriptor)

    real = os.fsync
    monkeypatch.setattr(os, "fsync", fsync)
    storage.write_bytes(path, b"new content")
    assert path.read_bytes() == b"new content"
    assert [status.st_size for status in synced] == [11]
    assert os.path.samestat(synced[0], path.stat())


def test_two_processes_that_write_a_file_do_not_mix_their_content(tmp_path, monkeypatch):
    path, unfinished = tmp_path / "a.txt", set()
    monkeypatch.setattr(os, "fsync", lambda _: unfinished.update(tmp_path.glob(".a.txt.*.part")))
    for number in (1, 12):
        monkeypatch.setattr(os, "getpid", lambda number=number: number)
        storage.write_bytes(path, b"content")
    assert len(unfinished) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"cannot read .*none\.safetensors: No such file"):
        storage.load_tensors(tmp_path / "none.safetensors", "mask")
    with pytest.raises(InvalidInput, match=r"^cannot read .*none\.csv: No such file"):
        storage.load_rows(tmp_path / "none.csv")


def test_json_is_readable_and_ordered(tmp_path):
    storage.save_json(tmp_path / "a.json", {"b": {"d": 1, "c": 2}, "a": [1]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1], "b": {"d": 1, "c": 2}}
    assert sorted("abcd", key=lambda name: text.index(f'"{name}"')) == list("abcd")


def test_weights_keep_their_iteration_and_are_no_mask(tmp_path, tensors):
    storage.save_weights(tmp_path / "w", tensors, 250)
    weights, iteration = storage.load_weights(tmp_path / "w")
    assert iteration == 250
    assert weights.keys() == tensors.keys()
    with pytest.raises(InvalidInput, match="is a checkpoint, where a mask is needed"):
        storage.load_mask(tmp_path / "w")


def test_the_checksum_tells_apart_names_types_shapes_values_and_headers():
    array = np.arange(12, dtype=np.int32)
    variants = [
        ({"a": array}, {}),
        ({"b": array}, {}),
        ({"a": array.view(np.float32)}, {}),  # the same bytes as the first, and so in the next two
        ({"a": array.reshape(3, 4)}, {}),
        ({"a": array[:6], "b": array[6:]}, {}),
        ({"a": array[::-1]}, {}),
        ({"a": array}, {"iteration": 1}),
        ({"a": array}, {"iteration": 2}),
    ]
    assert len({storage.checksum(*variant) for variant in variants}) == len(variants)


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=3)), st.randoms())
def test_the_checksum_is_of_the_values_not_of_how_memory_holds_them(array, order):
    axes = list(range(array.ndim))
    order.shuffle(axes)
    elsewhere = np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))
    names = list("abc")
    order.shuffle(names)
    shuffled = dict.fromkeys(names, elsewhere)
    assert storage.checksum(shuffled, {}) == storage.checksum(dict.fromkeys("abc", array), {})


def test_a_header_is_read_without_the_tensors(tmp_path, tensors):
    path = tmp_path / "a.safetensors"
    storage.save_tensors(path, "test", tensors, x=1)
    header = storage.stored_header(path)
    content = path.read_bytes()
    path.write_bytes(content[: 8 + int.from_bytes(content[:8], "little")])
    assert storage.stored_header(path) == header


@on_disk
@given(st.binary(max_size=40))
def test_a_file_of_any_bytes_is_read_or_refused_by_name(tmp_path_factory, content):
    """A crash of the machine, or another program, may leave anything."""
    path = tmp_path_factory.mktemp("any") / "any.file"
    path.write_bytes(content)
    for read in (storage.load_weights, storage.load_mask, storage.stored_header):
        with pytest.raises(InvalidInput, match=r"any\.file"):
            read(path)
    try:
        rows = storage.load_rows(path)
    except InvalidInput as error:
        assert "any.file" in str(error)
    else:
        assert all(isinstance(value, str) for row in rows for value in row.values())


def test_a_folder_is_not_read_as_a_file(tmp_path):
    for read in (storage.read_bytes, storage.stored_header):
        with pytest.raises(InvalidInput, match="directory"):
            read(tmp_path)


def test_a_file_without_a_checksum_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    header = json.dumps({"format": storage.FORMAT, "kind": "test"})
    path.write_bytes(safetensors.numpy.save({"a": np.ones(3)}, {"earlyphase": header}))
    with pytest.raises(InvalidInput, match="its checksum does not match"):
        storage.load_tensors(path, "test")


# without carriage returns, which the csv module of Python 3.11 does not quote
CELLS = st.one_of(
    st.integers(), st.floats(), st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)
)


@on_disk
@given(
    st.lists(st.text("abc_", min_size=1), min_size=1, max_size=4, unique=True).flatmap(
        lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, CELLS)), min_size=1, max_size=4)
    )
)
def test_any_table_survives(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    storage.save_rows(path, iter(rows))
    loaded = storage.load_rows(path)
    assert [list(row) for row in loaded] == [list(rows[0])] * len(rows)
    for row, found in zip(rows, loaded, strict=True):
        for name, value in row.items():
            if isinstance(value, float):
                assert float(found[name]) == value or math.isnan(value)
            else:
                assert found[name] == str(value)


@pytest.mark.parametrize("second", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 2}])
def test_a_row_of_other_columns_is_refused(tmp_path, second):
    with pytest.raises(ValueError, match=r"b|c"):
        storage.save_rows(tmp_path / "t.csv", [{"a": 1, "b": 2}, second])


def test_an_empty_table_is_empty(tmp_path):
    storage.save_rows(tmp_path / "t.csv", [])
    assert storage.load_rows(tmp_path / "t.csv") == []
