"""What the experiments of a run choose of it, as numbers: its rewind iterations, rounds and times.

Experiments choose by role, density or fraction of training, so that one edit of a study is one edit. Where
the schema says `chooses`, a value is read here. What a run does not have, because it is smaller than the one
that an experiment was written for, is left out, with a sentence for people.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any

from earlyphase.core.schedules import as_iterations
from earlyphase.study.configuration import followed
from earlyphase.study.run import Run

TOLERANCE = 0.1  # of a density, relative: rounds that remove a fifth of the weights are further apart
Chosen = str | float


def with_choices_read(run: Run, schema: dict) -> tuple[Run, list[str]]:
    """Read what the experiments of a run choose, and leave out what the run does not have.

    Args:
        run: its settings agree with the schema.
        schema: of the whole configuration.

    Returns:
        The run with numbers in place of roles, densities and fractions, and what was left out.
    """
    reader = _Reader(run, schema["$defs"])
    settings = {
        section: reader.read(value, schema["properties"][section], section)
        for section, value in run.settings.items()
    }
    settings["figures"] = {
        name: entry for name, figure in run.figures.items() if (entry := reader.figure(name, figure))
    }
    return run.with_settings(**settings), reader.left_out


def densities(run: Run) -> dict[int, float]:
    """Share of the prunable weights that each round of a run keeps."""
    return {number: (1 - run.prune_fraction) ** number for number in range(1, run.rounds + 1)}


def rewind_iterations(run: Run, chosen: Chosen) -> list[int]:
    """Rewind iterations of a run: by role, or that one, if the run has it."""
    above = [k for k in run.rewind_iterations if k > 0]
    match chosen:
        case "all":
            return run.rewind_iterations
        case "early" | "late":
            return [min(above) if chosen == "early" else max(above)] if above else []
    return [k for k in run.rewind_iterations if k == chosen]


def rounds(run: Run, chosen: Chosen) -> list[int]:
    """Rounds of a run: all, that one, or with a point the one whose density is nearest, if it is near."""
    there = densities(run)
    if isinstance(chosen, float):
        near = [number for number, density in there.items() if abs(density / chosen - 1) <= TOLERANCE]
        return sorted(near, key=lambda number: abs(there[number] - chosen))[:1]
    return [number for number in there if chosen in (number, "all")]


def times(run: Run, chosen: Chosen) -> list[int]:
    """Iterations of a training, its end among them: those of a role, that one, or a fraction of it."""
    if isinstance(chosen, str):
        return rewind_iterations(run, chosen)
    return [time for time in durations(run, chosen) if time <= run.iterations]


def starts(run: Run, chosen: Chosen) -> list[int]:
    """Iterations of a training as `times` reads them, but for its end."""
    return [time for time in times(run, chosen) if time < run.iterations]


def durations(run: Run, chosen: float) -> list[int]:
    """Iterations, or parts of training, of something that may be longer than it."""
    return [as_iterations(chosen, run.iterations)]


KINDS: dict[str, Callable[..., list[int]]] = {
    "rewind_iterations": rewind_iterations,
    "rounds": rounds,
    "times": times,
    "starts": starts,
    "durations": durations,
}
TICKETS = ("rewind_iterations", "rounds")  # with none of the one, none of the other is chosen


class _Reader:
    """Reads the settings of one run, and collects what it leaves out."""

    def __init__(self, run: Run, definitions: dict) -> None:
        self.run, self.definitions = run, definitions
        self.left_out: list[str] = []

    def read(self, value: Any, schema: dict, place: str) -> Any:
        """Read a value and all that it holds; leave out an entry of a list if nothing is left of a choice."""
        schema = followed(schema, self.definitions)
        if "chooses" in schema:
            return self.choice(value, schema["chooses"], place)
        if isinstance(value, list):
            items = enumerate(value)
            read = [self.read(item, schema.get("items", {}), f"{place}.{index}") for index, item in items]
            return [item for item in read if not (isinstance(item, dict) and [] in item.values())]
        if isinstance(value, dict) and "properties" in schema:
            known = schema["properties"]  # an entry has the arguments of its function besides
            parts = {key: followed(known.get(key, {}), self.definitions) for key in value}
            tickets = [key for key, part in parts.items() if part.get("chooses") in TICKETS]
            if any(value[key] == [] for key in tickets):
                value = value | {key: [] for key in tickets}
            return {key: self.read(value[key], part, f"{place}.{key}") for key, part in parts.items()}
        return value

    def choice(self, chosen: Any, kind: str, place: str) -> Any:
        """Read what is chosen at a place: a list, or the number of the last round."""
        if kind == "last_round":
            return self.last_round(chosen, place)
        if kind == "milestones":  # in any order, for contradictions to judge
            return [as_iterations(time, self.run.iterations) for time in chosen]
        numbers = {choice: KINDS[kind](self.run, choice) for choice in chosen}
        if missing := [str(choice) for choice, there in numbers.items() if not there]:
            self.leave_out(f"of {place} {', '.join(missing)}", self.what_there_is(kind))
        return list(dict.fromkeys(chain.from_iterable(numbers.values())))

    def last_round(self, chosen: float, place: str) -> int:
        """The last round that something is pruned to: that one, or the last that is no sparser."""
        if near := rounds(self.run, chosen):
            return near[0]
        there = densities(self.run).values()
        last = sum(density > chosen for density in there) if isinstance(chosen, float) else len(there)
        self.leave_out(f"of {place} what follows round {last}", self.what_there_is("rounds"))
        return last

    def figure(self, name: str, figure: dict) -> dict | None:
        """Read the round that a figure shows; None where the run does not have it."""
        if "round" not in figure:
            return figure
        if near := rounds(self.run, figure["round"]):
            return figure | {"round": near[0]}
        self.leave_out(f"figure {name}", f"it shows round {figure['round']}, which the run does not have")
        return None

    def leave_out(self, what: str, why: str) -> None:
        """Say what is left out of the run, and why."""
        self.left_out.append(f"{self.run}: {what} is left out: {why}")

    def what_there_is(self, kind: str) -> str:
        """What the run has of a kind."""
        if kind == "rewind_iterations":
            return f"the run rewinds to {', '.join(map(str, self.run.rewind_iterations))}"
        if kind == "rounds":
            listed = (f"{number} ({density:.3g})" for number, density in densities(self.run).items())
            return f"the run has the rounds (densities) {', '.join(listed)}"
        return f"the run trains for {self.run.iterations} iterations"
