"""Networks that learned something else first: what the configuration says of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

DEFAULTS = {"output_layer": "kept", "clock": "restarted", "training": {}, "images": {}}


@dataclass(frozen=True)
class Pretraining:
    """A first phase of training, and how the second one begins.

    Attributes:
        name: of an entry under `pretraining`.
        task: what is learned first, an entry under `tasks`.
        iterations: length of the first phase.
        output_layer: "kept", unless the number of classes changes, or "redrawn" in any case.
        clock: at which the second phase begins: "restarted" at 0, or "continued" at `iterations`.
        training: settings of the first phase in place of those of the run.
        images: those that the first phase shows: their `share`, and how they are `chosen`; empty for all.
    """

    name: str
    task: str
    iterations: int
    output_layer: str
    clock: str
    training: Mapping[str, Any]
    images: Mapping[str, Any]

    @property
    def start(self) -> int:
        """Iteration at which the second phase begins: of its learning rate and its data order."""
        return self.iterations if self.clock == "continued" else 0

    @property
    def label(self) -> str:
        """What stands for `{task}` in the path of a network that began like this."""
        return f"{self.name}-{self.iterations}"

    @property
    def second_phase(self) -> dict[str, str | int]:
        """What a job reads of it that begins the second phase."""
        return {"output_layer": self.output_layer, "start": self.start}

    def columns(self, total: int) -> dict[str, str | int]:
        """Columns of a table that say how a network began; `total`: iterations of its two phases together."""
        return {
            "pretraining": self.name,
            "pretraining_task": self.task,
            "pretraining_iterations": self.iterations,
            "total_iterations": total,
        }


def pretraining_of(config: dict, name: str, iterations: int) -> Pretraining:
    """The first phase that an entry of the configuration describes, of some length."""
    return Pretraining(name, iterations=iterations, **DEFAULTS | config["pretraining"][name])


def named_by(entry: dict) -> Iterator[tuple[str, int]]:
    """Names and lengths of the first phases of one entry of `pretrained` or `sparse_pretraining`."""
    yield from product(entry["pretraining"], entry["iterations"])
