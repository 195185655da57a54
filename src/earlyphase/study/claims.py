"""What the claims are told of a study: numbers that it changes, and how far its trainings are the paper's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from earlyphase.core.settings import KINDS, TrainingSettings
from earlyphase.study.configuration import bound, refuse, unknown
from earlyphase.study.run import Run
from earlyphase.study.signatures import registered

RESNET_20 = {"function": "resnet", "depth": 20, "width": 16}
TRAINING = {  # of the paper's networks; ResNet-20 in mini-batches of 128
    "batch_size": 128, "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0001, "crop_padding": 4,
    "flip": True,
}  # fmt: skip
MILESTONES, LENGTH = [31280, 46920], 62560  # iterations
EPOCHS, IMAGES = 160, 50_000
CLASSES = {"photo_digits": 10, "digits": 10, "cifar10": 10, "cifar100": 100, "fashion_mnist": 10}


def numbers_of_claims(own: Mapping[str, dict | None]) -> dict[str, dict | None]:
    """Numbers of claims that the configuration changes, checked; None removes a claim.

    Raises:
        InvalidInput: naming the claim, what is wrong and what would be right.
    """
    known, checked = registered("claims"), {}
    for name, numbers in own.items():
        refuse(f"claims names {problem}" for problem in unknown(name, "a claim", known))
        entry = None if numbers is None else bound("claims", f"claims.{name}", {"function": name} | numbers)
        checked[name] = entry and {key: value for key, value in entry.items() if key != "function"}
    return checked


def classes_of(config: dict, run: Run) -> int | None:
    """How many classes the data set of a run has; None where that is not known before it is there."""
    return CLASSES.get(config["datasets"][run.dataset]["function"])


def facts_of(config: dict, run: Run, runs: Sequence[Run]) -> dict:
    """What claims are told of a run, one of all `runs`: see `results.claims.network.Network`."""
    dataset = config["datasets"][run.dataset]["function"]
    settings = TrainingSettings.from_spec(run.training)
    facts = {
        "function": config["models"][run.model]["function"],
        "full": dataset == "cifar10" and run.iterations * run.training["batch_size"] >= EPOCHS * IMAGES,
        "paper_until": paper_until(config, run),
        "classes": classes_of(config, run),
        "optimizer": settings.optimizer["function"],
    }
    if warmup := settings.schedule.get("warmup"):
        schedule = {name: value for name, value in settings.schedule.items() if name != "warmup"}
        without = (
            other.model
            for other in runs
            if (other.dataset, other.task) == (run.dataset, run.task)
            and network_of(config, other) == network_of(config, run)
            and TrainingSettings.from_spec(other.training) == replace(settings, schedule=schedule)
        )
        facts |= {"warmup": warmup, "without_warmup": next(without, None)}
    return facts


def network_of(config: dict, run: Run) -> dict:
    """The function of a run's network, with its arguments."""
    return {key: value for key, value in config["models"][run.model].items() if key != "training"}


def paper_until(config: dict, run: Run) -> int:
    """For how many iterations a training is that of the paper's ResNet-20; 0 where it never is."""
    same = config["datasets"][run.dataset]["function"] == "cifar10"
    same = same and network_of(config, run) == RESNET_20
    same = same and run.task == "supervised" and TRAINING.items() <= run.training.items()
    if not same or KINDS.keys() & run.training.keys():
        return 0
    if run.training["milestones"] == MILESTONES and run.training["decay"] == 0.1:
        return min(run.iterations, LENGTH)
    return min(run.iterations, *run.training["milestones"], *MILESTONES)
