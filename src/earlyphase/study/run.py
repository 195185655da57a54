"""A run of the study: one network on one data set."""

from functools import cached_property

from earlyphase.core.schedules import as_iterations, sampled_iterations
from earlyphase.study.configuration import overlaid

CRITERION = "magnitude"  # by which the chains of a run prune that all else builds on
OWN = (  # settings that may be said for all runs, or within one
    "seeds", "rewind_iterations", "rounds", "prune_fraction", "pruned_by", "training", "perturbed",
    "pretrained", "sparse_pretraining", "telemetry", "curvature", "fisher", "stability", "inference",
    "critical_periods", "figures",
)  # fmt: skip


class Run:
    """One network on one data set, with the settings that hold for it."""

    def __init__(self, config: dict, entry: dict) -> None:
        """Lay what `entry` of `runs` says over what is said for all runs; checks nothing."""
        self.dataset, self.model = entry["dataset"], entry["model"]
        self.task = entry.get("task", "supervised")
        settings = overlaid(
            {name: config[name] for name in OWN} | {"training": self._shared_training(config)},
            {name: entry[name] for name in OWN if name in entry},
        )
        self.seeds, self.rewind_iterations = settings["seeds"], settings["rewind_iterations"]
        self.rounds, self.prune_fraction = settings["rounds"], settings["prune_fraction"]
        self.pruned_by = settings["pruned_by"]
        self.telemetry, self.curvature = settings["telemetry"], settings["curvature"]
        self.fisher, self.perturbed = settings["fisher"], settings["perturbed"]
        self.stability, self.inference = settings["stability"], settings["inference"]
        self.critical_periods = settings["critical_periods"]
        self.pretrained, self.sparse_pretraining = settings["pretrained"], settings["sparse_pretraining"]
        self.figures = {name: figure for name, figure in settings["figures"].items() if figure is not None}
        self.may_flip = config["datasets"].get(self.dataset, {}).get("flip", False)
        self.training = self.flipped_where_it_may_be(settings["training"])
        self.iterations = self.training["iterations"]

    def flipped_where_it_may_be(self, training: dict) -> dict:
        """Settings of a training, without mirrored images where the data set does not allow these."""
        augmentation = dict(training.get("augmentation") or {})
        for settings in (training := dict(training), augmentation):
            if "flip" in settings:
                settings["flip"] = settings["flip"] and self.may_flip
        return training | ({"augmentation": augmentation} if augmentation else {})

    def _shared_training(self, config: dict) -> dict:
        return config["training"] | config["models"].get(self.model, {}).get("training", {})

    def __str__(self) -> str:
        return f"{self.model} on {self.dataset}"

    @cached_property
    def curvature_times(self) -> list[int]:
        """Iterations at which the Hessian's top subspace is found, rising."""
        return sorted({as_iterations(time, self.iterations) for time in self.curvature["iterations"]})

    @cached_property
    def fisher_times(self) -> list[int]:
        """Iterations at which the trace of the Fisher information is measured, rising."""
        return sorted({as_iterations(time, self.iterations) for time in self.fisher["iterations"]})

    @cached_property
    def parting_times(self) -> list[int]:
        """Iterations from which a second copy of the dense network is trained, rising."""
        return sorted({as_iterations(time, self.iterations) for time in self.stability["dense"]})

    @cached_property
    def watched(self) -> range:
        """Iterations that telemetry replays: to the last evaluation, or one past the last sample.

        The gradient at a sample is read one step later.
        """
        sampled, evaluated = (
            sampled_iterations(self.telemetry[name], self.iterations)[-1]
            for name in ("schedule", "evaluations")
        )
        return range(min(max(sampled + 1, evaluated), self.iterations))

    @cached_property
    def kept_iterations(self) -> list[int]:
        """Iterations whose state the dense run keeps, besides its end.

        Rewinding, curvature, the Fisher information and second copies need them; perturbations and curvature
        look back at iteration 0.
        """
        initial = [0] if self.curvature_times or self.perturbed or self.sparse_pretraining else []
        measured = {*self.curvature_times, *self.fisher_times, *self.parting_times}
        return sorted({*self.rewind_iterations, *measured, *initial} - {self.iterations})
