"""Ways to retrain a network after pruning: from which weights, and at which learning rate.

All ways train for the iterations from k to the end, with the same mini-batches, and begin with an optimiser
whose state is zero. So the number k sets how long retraining takes.

Source: Renda, Frankle & Carbin 2020.
"""

from dataclasses import replace
from typing import Literal, get_args

from earlyphase.core.masks import Weights
from earlyphase.core.settings import TrainingSettings
from earlyphase.errors import InvalidInput

Way = Literal["weight_rewinding", "learning_rate_rewinding", "fine_tuning"]


def retraining(
    way: str, rewound: Weights, trained: Weights, settings: TrainingSettings
) -> tuple[Weights, TrainingSettings]:
    """Choose the state that a round of pruning trains from, before its mask, and its settings.

    Args:
        way: one of `Way`. "weight_rewinding" takes the weights of k and the learning rates from there on,
            "learning_rate_rewinding" the trained weights and the same learning rates, "fine_tuning" the
            trained weights and the last learning rate throughout.
        rewound: the dense network's whole state at k.
        trained: the whole state at the end of the training before.
        settings: of that training.

    Raises:
        InvalidInput: there is no such way.
    """
    if way not in get_args(Way):
        raise InvalidInput(f"retraining is {way!r}; it must be one of {', '.join(get_args(Way))}")
    if way == "weight_rewinding":
        return rewound, settings
    return trained, at_last_rate(settings) if way == "fine_tuning" else settings


def at_last_rate(settings: TrainingSettings) -> TrainingSettings:
    """Settings with the learning rate of the last step of training at every iteration."""
    rate = settings.learning_rate_at(settings.iterations - 1)

    def at_rate(held: TrainingSettings) -> TrainingSettings:
        return replace(held, learning_rate=rate, schedule={"function": "constant"})

    later = tuple((first, at_rate(held)) for first, held in settings.later)
    return replace(at_rate(settings), later=later)
