"""Names in the configuration bound to functions, by one decorator for each kind of variation."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any

from earlyphase.errors import InvalidInput


class Registry(dict[str, Callable]):
    """Functions by name; a new variation is one function decorated with the registry itself."""

    def __init__(self, kind: str) -> None:
        """`kind` is the noun used in messages: "data set", "network", ..."""
        super().__init__()
        self.kind = kind
        self.facts: dict[str, dict[str, object]] = {}

    def __call__(self, function: Callable | None = None, **facts: object) -> Callable:
        """Enter `function` under its own name; used as a decorator, with or without facts about it.

        Facts are read from the source when a study is planned, so each must be written out as a constant.
        """
        if function is None:
            return lambda decorated: self._enter(decorated, facts)
        return self._enter(function, facts)

    def _enter(self, function: Callable, facts: dict[str, object]) -> Callable:
        self[function.__name__], self.facts[function.__name__] = function, facts
        return function

    def named(self, name: str) -> Callable:
        """Return the function called `name`.

        Raises:
            InvalidInput: nothing has that name; the message lists what has, the closest first.
        """
        if name in self:
            return self[name]
        close = get_close_matches(name, self, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InvalidInput(f"unknown {self.kind} {name!r}{hint} (known: {', '.join(sorted(self))})")

    def bound(self, entry: Mapping[str, Any]) -> Callable:
        """Return the function that an entry names under `function`, with the entry's other values bound.

        Raises:
            InvalidInput: nothing has that name.
        """
        arguments = {name: value for name, value in entry.items() if name != "function"}
        return partial(self.named(entry["function"]), **arguments)


dataset = Registry("data set")  # (**arguments) -> DataSet
network = Registry("network")  # (channels, classes, **arguments) -> torch.nn.Module
task = Registry("task")  # (Task, seed, **arguments) -> Task
branch = Registry("perturbation")  # (Ticket, seed, **arguments) -> Ticket
criterion = Registry("criterion")  # (Pruning, seed, **arguments) -> Mask
optimizer = Registry("optimiser")  # (weights, gradient, state, learning rate, weight decay, **arguments)
schedule = Registry("schedule")  # (iteration, length, **arguments) -> factor of the learning rate
initialisation = Registry("law of initialisation")  # (shape, **arguments) -> Law
augmentation = Registry("augmentation")  # (pixels, seed, iteration, **arguments) -> pixels
figure = Registry("figure")  # (tables, **arguments) -> matplotlib Figure, DataFrame
claim = Registry("claim")  # (network, **numbers) -> what was measured
