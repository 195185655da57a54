"""A run of the study: one network on one data set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from earlyphase.core.schedules import as_iterations
from earlyphase.study.configuration import overlaid

CRITERION = "magnitude"  # by which the chains of a run prune that all else builds on


@dataclass(frozen=True)
class Run:
    """One network on one data set, with the settings that hold for it.

    Attributes:
        dataset: an entry of the section `datasets`.
        model: an entry of `models`.
        task: an entry of `tasks`.
        may_flip: whether a mirrored image of the data set is still of its class.
        settings: section of the configuration -> its value for this run; each is an attribute as well:
            `run.rounds`, `run.fisher["sample"]`.
    """

    dataset: str
    model: str
    task: str
    may_flip: bool
    settings: Mapping[str, Any]

    def __getattr__(self, section: str) -> Any:
        """The value of a section of the settings."""
        try:
            return self.__dict__["settings"][section]
        except KeyError:
            raise AttributeError(f"a run has no setting {section!r}") from None

    def __str__(self) -> str:
        return f"{self.model} on {self.dataset}"

    def with_settings(self, **changes: object) -> "Run":
        """The same run with other values of some sections."""
        return replace(self, settings={**self.settings, **changes})

    @property
    def iterations(self) -> int:
        """Length of training."""
        return self.training["iterations"]

    def changes(self, entry: Mapping[str, Any], iterations: int) -> dict[str, Any]:
        """What an entry changes of the settings of a training of this run that is so many iterations long."""
        changes = flipped_where_allowed(entry, allowed=self.may_flip)
        if "milestones" in entry:
            changes["milestones"] = [as_iterations(time, iterations) for time in entry["milestones"]]
        return changes


def flipped_where_allowed(training: Mapping[str, Any], *, allowed: bool) -> dict[str, Any]:
    """Settings of a training, without mirrored images where the data set does not allow these."""
    settings, augmentation = dict(training), dict(training.get("augmentation") or {})
    for part in (settings, augmentation):
        if "flip" in part:
            part["flip"] = part["flip"] and allowed
    return settings | ({"augmentation": augmentation} if augmentation else {})


def run_of(config: dict, entry: dict, sections: Iterable[str]) -> Run:
    """Override what is said for all runs by what an entry of `runs` says; checks nothing.

    Args:
        config: a configuration with all `sections`.
        entry: one of the list `runs`.
        sections: those that may be said for all runs, or within one.
    """
    dataset, model = entry["dataset"], entry["model"]
    for_all = {name: config[name] for name in sections}
    for_all["training"] = for_all["training"] | config["models"].get(model, {}).get("training", {})
    settings = overlaid(for_all, {name: entry[name] for name in for_all if name in entry})
    may_flip = config["datasets"].get(dataset, {}).get("flip", False)
    settings["training"] = flipped_where_allowed(settings["training"], allowed=may_flip)
    settings["figures"] = {name: figure for name, figure in settings["figures"].items() if figure is not None}
    return Run(dataset, model, entry.get("task", "supervised"), may_flip, settings)
