"""A claim: what a paper says, beside the function that measures it.

A claim is a function with the decorator `@claim(...)`, which says

    statement   the claim, in our words; {k}, {density:.1%} and the like are what was measured, or its numbers
    paper       what the paper found; says where that is recollected, not checked against the text
    criterion   when the claim holds, in a sentence
    source      where it stands
    reads       the tables that it reads

and, where they are of use: `places`, what the statement names where nothing was measured: the paper's;
`unit` of what is measured (points); `readings`, what the claim may be taken to mean, each with its own row;
`networks`, the only functions whose networks it is about, or `not_networks`; `same_as`, a claim, or (claim,
reading), whose test it repeats.

The function takes a `Network`, the reading where there are several and, after the `*`, the claim's numbers,
which a configuration may change: `claims: {R1: {margin: 0.3}}`. It returns what it `Measured`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from earlyphase import registry
from earlyphase.errors import InvalidInput
from earlyphase.results.claims.evidence import Contrast, Evidence

NOT_CONFIGURED, NOT_AT_SCALE = "not run: not configured", "not run: not at this scale"
NOT_MEASURABLE, ANOTHER_NETWORK = "not run: not measurable here", "not run: another network"
DIED, NOT_LEARNED = "not judged: networks died", "not judged: not learned"
UNDECIDABLE = (NOT_AT_SCALE, NOT_CONFIGURED, NOT_MEASURABLE, ANOTHER_NETWORK, DIED, NOT_LEARNED)


class NotRun(Exception):  # noqa: N818 - a verdict, not a fault
    """What a claim needs is not there; the message says what, and `verdict` which of the reasons it is."""

    def __init__(self, message: str, verdict: str = NOT_CONFIGURED) -> None:
        """`verdict` is one of `UNDECIDABLE`."""
        super().__init__(message)
        self.verdict = verdict


class Measured:
    """What a claim rests on.

    Attributes:
        quantities: all must lie where the claim has them.
        places: what the statement names: the k, the density, ... that were measured.
    """

    def __init__(self, quantities: Sequence[Contrast | Evidence], **places: object) -> None:
        """Hold both."""
        self.quantities, self.places = list(quantities), places


@dataclass(frozen=True)
class Claim:
    """One claim; what the decorator says of it stands in `claim`, the module's docstring.

    Attributes:
        id: "R1".
        measure: (network, **numbers) -> `Measured`.
        numbers: of its own, by name.
    """

    id: str
    measure: Callable[..., Measured]
    numbers: Mapping[str, Any]
    statement: str
    paper: str
    criterion: str
    source: str
    reads: tuple[str, ...]
    places: Mapping[str, object] = field(default_factory=dict)
    unit: str = "points"
    readings: tuple[str, ...] = ("",)
    networks: tuple[str, ...] = ()
    not_networks: tuple[str, ...] = ()
    same_as: str | tuple[str, str] = ""

    def stated(self, places: Mapping[str, object] | None = None) -> str:
        """The statement, with what was measured in the place of the paper's numbers."""
        return self.statement.format_map({**self.numbers, **self.places, **(places or {})})

    def judged_by(self) -> str:
        """The criterion, with its numbers."""
        return self.criterion.format_map(self.numbers)

    def is_about(self, network: str | None) -> bool:
        """Whether it is about networks made by this function; about one that is not known it is."""
        return network is None or (
            (not self.networks or network in self.networks) and network not in self.not_networks
        )


def claim_of(function: Callable[..., Measured], changed: Mapping[str, Any] | None = None) -> Claim:
    """The claim that a decorated function makes, with some of its numbers changed.

    Raises:
        InvalidInput: a sentence names what is neither a number of it nor one of its places.
    """
    name, arguments = function.__name__, signature(function).parameters.values()
    numbers = {
        argument.name: argument.default for argument in arguments if argument.kind is argument.KEYWORD_ONLY
    }
    facts: dict[str, Any] = registry.claim.facts[name]
    claim = Claim(name, function, numbers | dict(changed or {}), **facts)
    try:
        claim.stated(), claim.judged_by()
    except KeyError as unknown:
        raise InvalidInput(f"claim {name} names {unknown}, which is none of its numbers or places") from None
    return claim
