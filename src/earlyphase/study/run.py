"""A run of the study: one network on one data set."""

from collections.abc import Iterable
from typing import Any

from earlyphase.study.configuration import overlaid

CRITERION = "magnitude"  # by which the chains of a run prune that all else builds on
OWN = (  # settings that may be said for all runs or within one, besides those of single stages
    "seeds", "rewind_iterations", "rounds", "prune_fraction", "pruned_by", "training", "perturbed",
    "pretrained", "sparse_pretraining", "critical_periods", "figures",
)  # fmt: skip


class Run:
    """One network on one data set, with the settings that hold for it."""

    seeds: list[int]
    rewind_iterations: list[int]
    rounds: int
    prune_fraction: float
    pruned_by: list[dict]
    perturbed: list[dict]
    pretrained: list[dict]
    sparse_pretraining: list[dict]
    critical_periods: list[dict]

    def __init__(self, config: dict, entry: dict, sections: Iterable[str]) -> None:
        """Override what is said for all runs by what `entry` of `runs` says; checks nothing.

        Args:
            sections: of the configuration that are the settings of single stages; they become attributes.
        """
        self.dataset, self.model = entry["dataset"], entry["model"]
        self.task = entry.get("task", "supervised")
        own = (*OWN, *sections)
        settings = overlaid(
            {name: config[name] for name in own} | {"training": self._shared_training(config)},
            {name: entry[name] for name in own if name in entry},
        )
        vars(self).update(settings)
        self.figures = {name: figure for name, figure in settings["figures"].items() if figure is not None}
        self.may_flip = config["datasets"].get(self.dataset, {}).get("flip", False)
        self.training = settings["training"] | {"flip": settings["training"]["flip"] and self.may_flip}
        self.iterations = self.training["iterations"]

    def _shared_training(self, config: dict) -> dict:
        return config["training"] | config["models"].get(self.model, {}).get("training", {})

    def __getattr__(self, section: str) -> Any:
        """Settings of a stage, which are set from the configuration.

        Raises:
            AttributeError: no stage has such a section.
        """
        raise AttributeError(f"no stage has settings {section!r}")

    def __str__(self) -> str:
        return f"{self.model} on {self.dataset}"
