"""Networks that learned something else first: what the configuration says of them, and what it may not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from earlyphase.errors import InvalidInput
from earlyphase.study.configuration import closest
from earlyphase.study.run import Run

DEFAULTS = {"output_layer": "kept", "clock": "restarted"}


@dataclass(frozen=True)
class Pretraining:
    """A first phase of training, and how the second one begins.

    Attributes:
        name: of an entry under `pretraining`.
        task: what is learned first, an entry under `tasks`.
        iterations: length of the first phase.
        output_layer: "kept", unless the number of classes changes, or "redrawn" in any case.
        clock: at which the second phase begins: "restarted" at 0, or "continued" at `iterations`.
    """

    name: str
    task: str
    iterations: int
    output_layer: str
    clock: str

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


def pretraining_in(config: dict, names: Mapping[str, str]) -> Pretraining | None:
    """How the network of a job began, by its wildcards; None where it was not pretrained."""
    if "pretraining" in names:
        return pretraining_of(config, names["pretraining"], int(names["iterations"]))
    match names.get("task", "").split("-"):
        case [name, iterations]:
            return pretraining_of(config, name, int(iterations))
    return None


def named_by(entry: dict) -> Iterator[tuple[str, int]]:
    """Names and lengths of the first phases of one entry of `pretrained` or `sparse_pretraining`."""
    yield from product(entry["pretraining"], entry["iterations"])


# What the configuration alone can show


def check_tasks(config: dict) -> None:
    """Raise `InvalidInput` where a pretraining is of a task that is not configured."""
    for name, entry in config["pretraining"].items():
        if entry["task"] not in config["tasks"]:
            raise InvalidInput(
                f"configuration: pretraining.{name}.task is {entry['task']!r}, which is not under tasks"
                f"{closest(entry['task'], list(config['tasks']))} (known: {', '.join(config['tasks'])})"
            )


def check_pretrained(run: Run, config: dict) -> None:
    """Raise `InvalidInput` where a run is to begin in a way that is unknown or impossible."""
    for section in ("pretrained", "sparse_pretraining"):
        for index, entry in enumerate(getattr(run, section)):
            place = f"configuration: {section}.{index}"
            for name, iterations in named_by(entry):
                check_name(f"{place}.pretraining", name, config)
                if pretraining_of(config, name, iterations).start >= run.iterations:
                    raise InvalidInput(
                        f"{place}.iterations has {iterations}, but the clock of {name} goes on from there, "
                        f"and {run} ends at iteration {run.iterations}; fewer or `clock: restarted` is right"
                    )
            if section == "pretrained" and entry.get("rounds", 1) > run.rounds:
                raise InvalidInput(
                    f"{place}.rounds is {entry['rounds']}, but {run} computes rounds 1 to {run.rounds} only, "
                    "with which they are compared"
                )
    for name, figure in run.figures.items():
        for shown in panels_of(figure):
            check_name(f"configuration: figures.{name}.panels", shown, config)


def check_name(place: str, name: str, config: dict) -> None:
    """Raise `InvalidInput` where there is no pretraining of that name."""
    known = list(config["pretraining"])
    if name not in known:
        raise InvalidInput(
            f"{place} has {name!r}, which is not under pretraining{closest(name, known)} "
            f"(known: {', '.join(known) or 'none'})"
        )


def panels_of(figure: dict) -> set[str]:
    """Pretrainings that an entry of `figures` shows, a panel each."""
    return {name for labelled in figure.get("panels", []) for name in labelled}
