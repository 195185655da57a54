"""One compact file for a trained ticket: the packed mask, the kept values, and the rest of the state."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earlyphase.core.masks import Mask, Weights, gather_kept, scatter_kept
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import (
    as_bytes,
    load_mask,
    load_tensors,
    load_weights,
    read_bytes,
    save_weights,
    stored_header,
    write_bytes,
)

if TYPE_CHECKING:
    from torch import nn

KIND = "ticket"


def load_ticket(
    folder: str | Path,
    model: "nn.Module | None" = None,
    *,
    names: Mapping[str, str] | None = None,
    rewound: bool = False,
) -> "nn.Module":
    """Load a ticket of a study into a network, in which pruned weights stay zero under any optimiser.

    Args:
        folder: of a round, with its `mask.safetensors` and `weights.safetensors`: results/imp/.../round4.
        model: takes the ticket's weights, in place, on its device; None builds the network of the study.
        names: name of a tensor in the study's network -> its name in `model`; the same where it is not said.
        rewound: load what the ticket was trained from, the dense network's state at k under the mask, in
            place of what it was trained to.

    Returns:
        The model. The gradient of a pruned weight is zero, so an optimiser made after loading leaves it at
        zero: see `hold_at_zero`.

    Raises:
        InvalidInput: a file is missing or damaged, or names or shapes are those of another network.
    """
    from earlyphase.core.networks.state import hold_at_zero, load_state

    mask = load_mask(Path(folder, "mask.safetensors"))
    path = Path(folder, "weights.safetensors")
    weights, _ = load_weights(rewound_state(folder)) if rewound else load_trained(path)
    weights |= {name: np.where(kept, weights[name], np.float32(0)) for name, kept in mask.items()}
    model = network_of(folder, weights, mask) if model is None else model
    names = {name: (names or {}).get(name, name) for name in weights}
    load_state(model, {names[name]: array for name, array in weights.items()})
    hold_at_zero(model, {names[name]: kept for name, kept in mask.items()})
    return model


def network_of(folder: str | Path, weights: Weights, mask: Mask) -> "nn.Module":
    """Build the network that a ticket was found in, from the run record in the folder of its round."""
    from earlyphase.core.networks import network

    entry = dict(json.loads(read_bytes(Path(folder, "run.json")))["spec"]["model"])
    build = network.named(entry.pop("function"))
    first, last = (weights[name] for name in (next(iter(mask)), list(mask)[-1]))
    pixels = 1 if first.ndim > 2 else entry.get("size", 1) ** 2  # that a linear layer reads of each channel
    return build(first.shape[1] // pixels, len(last), **entry)


def rewound_state(folder: str | Path) -> Path:
    """The state at k of the dense network, under which a round of pruning trains; in the same results."""
    at_k = Path(folder).resolve().parent
    results = results_of(folder)
    return results / "dense" / at_k.parents[1].relative_to(results / "imp") / f"{at_k.name}.safetensors"


def results_of(folder: str | Path) -> Path:
    """The folder of results in which a round of pruning lies.

    Raises:
        InvalidInput: it lies in none.
    """
    for parent in Path(folder).resolve().parents:
        if parent.name == "imp":
            return parent.parent
    raise InvalidInput(f"{folder} lies in no folder of results: it is no results/imp/.../round4")


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
        weights, _, iteration = unpack_ticket(path)
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


def unpack_ticket(path: str | Path) -> tuple[Weights, Mask, int]:
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
