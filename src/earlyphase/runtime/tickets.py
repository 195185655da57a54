"""One compact file for a trained ticket: the packed mask, the kept values, and the rest of the state."""

import json
import zlib
from pathlib import Path

import numpy as np

from earlyphase.core.masks import Mask, Weights, gather_kept, scatter_kept
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import as_bytes, load_tensors

KIND = "ticket"


def pack_ticket(weights: Weights, mask: Mask, iteration: int, *, signs_of_zeros: bool = True) -> bytes:
    """Content of the compact file of a ticket; the same bytes for the same ticket.

    A bit for each prunable weight says whether it is kept, and the kept values follow, layer after layer. All
    other tensors stand there as they are. Names and shapes are compressed: in a small network they would
    take more space than the weights.

    Args:
        weights: the whole state; the pruned weights are zero.
        mask: prunable name -> bool array.
        iteration: of the state.
        signs_of_zeros: keep the signs of pruned weights, a bit for each, where any is negative. Training
            leaves -0.0 where it sets a negative weight to zero. Outputs are equal without, bytes are not.

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
    if signs_of_zeros and np.signbit(pruned).any():
        tensors["negative_zeros"] = np.packbits(np.signbit(pruned))
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
    if "negative_zeros" in tensors:
        pruned = {name: ~kept for name, kept in mask.items()}
        count = sum(int(one.sum()) for one in pruned.values())
        negative = np.unpackbits(tensors["negative_zeros"], count=count).view(bool)
        for name, signs in scatter_kept(negative, pruned).items():
            weights[name][signs] = -0.0
    content, start = tensors["others"].tobytes(), 0
    for name, dtype, shape in layout["others"]:
        count = int(np.prod(shape))
        weights[name] = np.frombuffer(content, dtype, count, start).reshape(shape).copy()
        start += weights[name].nbytes
    return weights, mask, header["iteration"]


def _as_uint8(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)
