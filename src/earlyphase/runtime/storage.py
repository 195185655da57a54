"""The only module that reads or writes artifacts.

A file is written under another name and then renamed, so it is there whole or not at all. Tensors are stored
as safetensors, with a format version and a checksum in the header, and loading verifies both. The bytes of a
file depend on its content alone.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from earlyphase.core.masks import Mask, Weights
from earlyphase.errors import InvalidInput

FORMAT = 1  # to be raised when a reader of the old layout would misread the new one

Row = dict[str, Any]  # column -> text or number


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file under a temporary name beside `path`, then rename it; folders are created.

    Raises:
        InvalidInput: the disk is full, the folder read-only, ...; the temporary file is removed.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # where the folder itself is read-only, the first error says so
            temporary.unlink(missing_ok=True)
        raise InvalidInput(f"cannot write {path}: {error.strerror}; nothing was changed") from None


def read_bytes(path: str | Path) -> bytes:
    """Read a whole file.

    Raises:
        InvalidInput: it does not exist or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from None


def checksum(tensors: dict[str, np.ndarray], header: dict) -> str:
    """SHA-256 over the header, and over name, type, shape and values of each tensor, whatever their order."""
    digest = hashlib.sha256(json.dumps(header).encode())
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def as_bytes(kind: str, tensors: dict[str, np.ndarray], **header: object) -> bytes:
    """Content of the file that `save_tensors` writes."""
    fields = {"format": FORMAT, "kind": kind, **header}
    fields["sha256"] = checksum(tensors, fields)
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    # one metadata entry, because safetensors writes several in no fixed order
    return safetensors.numpy.save(arrays, {"earlyphase": json.dumps(fields)})


def save_tensors(path: str | Path, kind: str, tensors: dict[str, np.ndarray], **header: object) -> None:
    """Write tensors and a JSON header.

    Args:
        kind: what the file holds ("mask", "checkpoint", ...); it has to be given again on loading.
        header: JSON values that belong to the tensors.
    """
    write_bytes(path, as_bytes(kind, tensors, **header))


def load_tensors(path: str | Path, kind: str) -> tuple[dict[str, np.ndarray], dict]:
    """Read tensors and their header, and verify both.

    Returns:
        name -> array; the header, with its checksum as "sha256".

    Raises:
        InvalidInput: the file is missing, truncated, altered, or of another kind or format.
    """
    content = read_bytes(path)
    remedy = "delete it and run Snakemake again, which makes it anew"
    try:
        tensors = safetensors.numpy.load(content)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["earlyphase"])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} is damaged or no artifact of this program ({error}); {remedy}") from None
    stored = header.pop("sha256", None)
    if header.get("format") != FORMAT:
        raise InvalidInput(f"{path} has format {header.get('format')}, this program reads {FORMAT}; {remedy}")
    if header.get("kind") != kind:
        raise InvalidInput(f"{path} is a {header.get('kind')}, where a {kind} is needed")
    if stored != checksum(tensors, header):
        raise InvalidInput(f"{path} is damaged: its checksum does not match its content; {remedy}")
    return tensors, header | {"sha256": stored}


def stored_header(path: str | Path) -> dict:
    """Read the header of an artifact without its tensors; it is not verified.

    Raises:
        InvalidInput: the file is missing, or does not begin with such a header.
    """
    try:
        with Path(path).open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        return json.loads(header["__metadata__"]["earlyphase"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise InvalidInput(
            f"{path} is damaged or no artifact of this program ({error}); delete it and run Snakemake again"
        ) from None


def save_weights(path: str | Path, weights: Weights, iteration: int) -> None:
    """Write the state dict of a network after `iteration` steps."""
    save_tensors(path, "checkpoint", weights, iteration=iteration)


def load_weights(path: str | Path) -> tuple[Weights, int]:
    """Read the state dict of a network and its iteration.

    Raises:
        InvalidInput: as `load_tensors`.
    """
    weights, header = load_tensors(path, "checkpoint")
    return weights, header["iteration"]


def save_mask(path: str | Path, mask: Mask) -> None:
    """Write a mask as packed bits; shapes, in order, are in the header."""
    shapes = {name: list(kept.shape) for name, kept in mask.items()}
    save_tensors(path, "mask", {name: np.packbits(kept) for name, kept in mask.items()}, shapes=shapes)


def load_mask(path: str | Path) -> Mask:
    """Read a mask, in the order it was saved in.

    Raises:
        InvalidInput: as `load_tensors`.
    """
    packed, header = load_tensors(path, "mask")
    return {
        name: np.unpackbits(packed[name], count=int(np.prod(shape))).view(bool).reshape(shape)
        for name, shape in header["shapes"].items()
    }


def save_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """Write a table; the first row names the columns, floats keep every digit.

    Raises:
        ValueError: a row has other columns than the first.
    """
    rows = list(rows)
    if unlike := [row for row in rows if row.keys() != rows[0].keys()]:
        raise ValueError(f"a table of the columns {list(rows[0])} cannot hold a row of {list(unlike[0])}")
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def load_rows(path: str | Path) -> list[dict[str, str]]:
    """Read a table, every value as text.

    Raises:
        InvalidInput: the file is missing, no table, or cut short in the middle of a row.
    """
    content = read_bytes(path)
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        if any(None in row or None in row.values() for row in rows):
            raise ValueError("a row has another length than the header")
    except (ValueError, csv.Error) as error:
        raise InvalidInput(f"{path} is damaged: {error}; delete it and run Snakemake again") from None
    return rows


def save_json(path: str | Path, value: object) -> None:
    """Write a JSON document for people: indented, keys sorted."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())
