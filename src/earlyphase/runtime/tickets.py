"""One compact file for a trained ticket: the packed mask, the kept values, and the rest of the state."""

import json
import zlib
from pathlib import Path

import numpy as np

from earlyphase.core.masks import Mask, Weights, gather_kept, scatter_kept
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import (
    as_bytes,
    load_tensors,
    load_weights,
    save_weights,
    stored_header,
    write_bytes,
)

KIND = "ticket"


def save_trained(path: str | Path, weights: Weights, mask: Mask, iteration: int) -> None:
    """Write a trained ticket as a compact file; one that diverged, so that its zeros are none, whole."""
    if all(np.isfinite(array).all() for array in weights.values()):
        write_bytes(path, pack_ticket(weights, mask, iteration))
    else:
        save_weights(path, weights, iteration)


def load_trained(path: str | Path) -> tuple[Weights, int]:
    """Read the state of a network and its iteration, of a compact file or a whole one.

    Raises:
        InvalidInput: as `load_tensors`.
    """
    if stored_header(path).get("kind") == KIND:
        weights, _, iteration = load_ticket(path)
        return weights, iteration
    return load_weights(path)


def load_state_at(path: str | Path, iteration: int) -> Weights:
    """Read a state dict that must be that of an iteration.

    Raises:
        InvalidInput: it is of another one, or the file is damaged.
    """
    weights, found = load_trained(path)
    if found != iteration:
        raise InvalidInput(f"{path} is the state at iteration {found}, not {iteration}")
    return weights


def pack_ticket(weights: Weights, mask: Mask, iteration: int) -> bytes:
    """Content of the compact file of a ticket; the same bytes for the same ticket.

    A bit for each prunable weight says whether it is kept, and the kept values follow, layer after layer. All
    other tensors stand there as they are. Names and shapes are compressed: in a small network they would
    take more space than the weights. The sign of a pruned weight, for training leaves -0.0 where it sets a
    negative one to zero, is not kept.

    Args:
        weights: the whole state; the pruned weights are zero.
        mask: prunable name -> bool array.
        iteration: of the state.

    Raises:
        InvalidInput: a weight that the mask prunes is not zero, so the two do not belong together.
    """
    pruned = gather_kept(weights, {name: ~kept for name, kept in mask.items()})
    if np.count_nonzero(pruned):
        raise InvalidInput(
            f"{np.count_nonzero(pruned)} of the {pruned.size} weights that the mask prunes are not zero: "
            "mask and weights are not of one ticket"
        )
    others = {name: np.asarray(array, order="C") for name, array in weights.items() if name not in mask}
    layout = {
        "mask": [[name, kept.shape] for name, kept in mask.items()],
        "others": [[name, array.dtype.str, array.shape] for name, array in others.items()],
    }
    tensors = {
        "layout": _as_uint8(zlib.compress(json.dumps(layout, separators=(",", ":")).encode(), 9)),
        "mask": np.packbits(np.concatenate([kept.ravel() for kept in mask.values()])),
        "kept": gather_kept(weights, mask),
        "others": _as_uint8(b"".join(array.tobytes() for array in others.values())),
    }
    return as_bytes(KIND, tensors, iteration=iteration)


def load_ticket(path: str | Path) -> tuple[Weights, Mask, int]:
    """Read a compact file: the whole state, the mask, and the iteration of the state.

    Raises:
        InvalidInput: the file is missing, truncated, altered, or holds no ticket.
    """
    tensors, header = load_tensors(path, KIND)
    layout = json.loads(zlib.decompress(tensors["layout"].tobytes()))
    sizes = [int(np.prod(shape)) for _, shape in layout["mask"]]
    bits = np.unpackbits(tensors["mask"], count=sum(sizes)).view(bool)
    parts = np.split(bits, np.cumsum(sizes)[:-1])
    mask = {name: part.reshape(shape) for (name, shape), part in zip(layout["mask"], parts, strict=True)}
    weights = scatter_kept(tensors["kept"], mask)
    content, start = tensors["others"].tobytes(), 0
    for name, dtype, shape in layout["others"]:
        count = int(np.prod(shape))
        weights[name] = np.frombuffer(content, dtype, count, start).reshape(shape).copy()
        start += weights[name].nbytes
    return weights, mask, header["iteration"]


def _as_uint8(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)
