"""The states that a dense run kept, in one file: weights and the optimiser's state at chosen iterations."""

from collections.abc import Mapping
from pathlib import Path

from earlyphase.core.masks import Weights
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import load_tensors, save_tensors

KIND = "trajectory"


def save_trajectory(path: str | Path, states: Mapping[int, tuple[Weights, Weights]]) -> None:
    """Write the weights and the state of the optimiser at each iteration."""
    tensors = {}
    for iteration, (weights, optimizer_state) in states.items():
        tensors |= {f"{iteration}/weights/{name}": array for name, array in weights.items()}
        tensors |= {f"{iteration}/{name}": array for name, array in optimizer_state.items()}
    save_tensors(path, KIND, tensors, iterations=list(states))


def kept_states(path: str | Path) -> dict[int, Weights]:
    """Read the weights at every iteration that was kept."""
    tensors, header = load_tensors(path, KIND)
    return {iteration: _part(tensors, f"{iteration}/weights/") for iteration in header["iterations"]}


def kept_before(path: str | Path, k: int) -> tuple[int, Weights, Weights]:
    """Read the last iteration up to k whose state was kept; its weights and the optimiser's state.

    Raises:
        InvalidInput: the file is damaged, or holds no such state.
    """
    tensors, header = load_tensors(path, KIND)
    nearest = max((iteration for iteration in header["iterations"] if iteration <= k), default=None)
    if nearest is None:
        raise InvalidInput(f"{path} keeps no state up to iteration {k}; delete it and run Snakemake again")
    state = _part(tensors, f"{nearest}/")
    optimizer_state = {name: state[name] for name in state if not name.startswith("weights/")}
    return nearest, _part(state, "weights/"), optimizer_state


def _part(tensors: Weights, prefix: str) -> Weights:
    """Tensors whose name begins with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
