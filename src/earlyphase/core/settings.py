"""How a network is trained: settings, and what they are at an iteration."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from earlyphase.core import schedules  # noqa: F401 - registers its functions
from earlyphase.errors import InvalidInput
from earlyphase.registry import Registry, augmentation, initialisation, optimizer, schedule

Entry = Mapping[str, Any]  # a registered `function`, and the arguments of that function
KINDS: dict[str, Registry] = {
    "optimizer": optimizer,
    "schedule": schedule,
    "initialisation": initialisation,
    "augmentation": augmentation,
}
USUAL = {  # kind -> the function used where no entry names one, and the settings that are its arguments
    "optimizer": ("sgd", {"momentum": "momentum"}),
    "schedule": ("steps", {"milestones": "milestones", "decay": "decay"}),
    "initialisation": ("kaiming_normal", {}),
    "augmentation": ("crop_and_flip", {"padding": "crop_padding", "flip": "flip"}),
}


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; every time is an iteration."""

    iterations: int  # length of training; a run that starts at k takes iterations - k steps
    batch_size: int
    learning_rate: float  # the schedule multiplies it by a factor
    weight_decay: float  # on all parameters, batch norm and biases included
    evaluate_every: int  # iterations
    optimizer: Entry
    schedule: Entry
    initialisation: Entry
    augmentation: Entry
    validation: int = 0  # training images that are held out; see `tasks.hold_out`
    restarts_at: int = 0  # iteration at which the schedule begins once more
    length: int | None = None  # iterations that the schedule is made for; None for all of training
    later: "tuple[tuple[int, TrainingSettings], ...]" = ()  # settings that hold from an iteration on

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "TrainingSettings":
        """Read settings from their part of a spec.

        Args:
            spec: the attributes of this class by name, with two differences. Where the entry of a kind in
                `KINDS` is missing or None, the settings of `USUAL` take its place. `later` holds pairs of
                an iteration and the keys of the spec that change there.

        Raises:
            InvalidInput: a key is missing or unknown.
        """
        known = {field.name: field.default is MISSING and field.name not in KINDS for field in fields(cls)}
        entries = {}
        for kind, (function, keys) in USUAL.items():
            known |= {key: not spec.get(kind) for key in keys.values()}
            entries[kind] = spec.get(kind) or {
                "function": function,
                **{argument: spec[key] for argument, key in keys.items() if key in spec},
            }
        for key in known.keys() ^ spec.keys():
            if known.get(key, True):
                raise InvalidInput(f"training setting {key!r} is {'missing' if key in known else 'unknown'}")
        own = {field.name: spec[field.name] for field in fields(cls) if field.name in spec}
        later, changed = [], {key: value for key, value in spec.items() if key != "later"}
        for first, changes in spec.get("later", ()):
            changed = changed | changes
            later.append((first, cls.from_spec(changed)))
        return cls(**own | entries | {"later": tuple(later)})

    def at(self, iteration: int) -> "TrainingSettings":
        """The settings that hold in the step from `iteration` to the next."""
        return next((settings for first, settings in reversed(self.later) if first <= iteration), self)

    def learning_rate_at(self, iteration: int) -> float:
        """Step size of the step from `iteration` to the next."""
        held = self.at(iteration)
        scheduled = iteration - self.restarts_at if iteration >= self.restarts_at else iteration
        factor = schedule.bound(held.schedule)(scheduled, self.length or self.iterations)
        return held.learning_rate * factor

    def augmentation_at(self, iteration: int) -> Callable:
        """How the mini-batch of `iteration` is augmented: (pixels, seed, iteration) -> pixels."""
        return augmentation.bound(self.at(iteration).augmentation)

    def evaluates_at(self, iteration: int) -> bool:
        """Whether the state after `iteration` steps is evaluated: at the cadence and at the end."""
        return iteration % self.evaluate_every == 0 or iteration == self.iterations

    def functions(self) -> set[tuple[str, str]]:
        """Kind and name of every registered function that the settings name."""
        every = (self, *(settings for _, settings in self.later))
        return {(kind, getattr(settings, kind)["function"]) for settings in every for kind in KINDS}
