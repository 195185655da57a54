"""Names in the configuration bound to functions."""

from collections.abc import Callable
from difflib import get_close_matches

from earlyphase.errors import InvalidInput


class Registry(dict[str, Callable]):
    """Functions by name; a new variation is one function decorated with `register`."""

    def __init__(self, kind: str) -> None:
        """`kind` is the noun used in messages: "data set", "network", ..."""
        super().__init__()
        self.kind = kind

    def register(self, function: Callable) -> Callable:
        """Enter `function` under its own name."""
        self[function.__name__] = function
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
