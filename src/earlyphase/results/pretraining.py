"""Networks that learned something else first: what they achieve, and how long that must take."""

import numpy as np
from pandas import DataFrame, concat

from earlyphase.results.summaries import NETWORK, last_evaluations, t_interval

FIRST = ["pretraining", "pretraining_iterations"]  # what was learned first, and for how long
MATCHES_WITHIN = 0.005  # accuracy, as a fraction; as for rewinding that matches the dense network
DENSITY = 0.8**6  # 26.2 %, at which perturbed tickets are compared as well

RULE = (
    "the shortest pretraining from which on, in all longer ones too, tickets at 26.2 % of weights lie within "
    "0.5 points of those that rewind to the largest k (both one-sided 95 % t bounds of the difference within "
    "seeds); in iterations of pretraining"
)


def chains(tables: dict[str, DataFrame]) -> DataFrame:
    """Results of pretrained networks, a row per run; in round 0 they are dense.

    Args:
        tables: `pretrained_dense` and `pretrained_imp`, a row per evaluation.
    """
    run = [*NETWORK, *FIRST, "round", "seed"]
    whole = tables["pretrained_dense"].assign(round=0)
    return last_evaluations(concat([whole, tables["pretrained_imp"]], ignore_index=True), run)


def is_control(runs: DataFrame) -> "DataFrame":
    """Which of `runs` learned their own task first: the control that is trained for longer."""
    return runs["pretraining_task"] == runs["task"]


def near_density(runs: DataFrame, density: float = DENSITY) -> int | None:
    """The round nearest to a density, within half a round of the paper's; None where there is none."""
    densities = runs.groupby("round")["density"].mean()
    steps = np.log(densities / density).abs() / -np.log(0.8)
    return steps.idxmin() if len(steps) and steps.min() <= 0.5 else None


def matching_durations(tables: dict[str, DataFrame]) -> dict[str, float]:
    """Find the shortest matching pretraining of each kind but the control, by `RULE`; NaN for none.

    Args:
        tables: `pretrained_dense`, `pretrained_imp` and `imp` of one network.
    """
    found = chains(tables)
    found = found[~is_control(found)]
    tickets = last_evaluations(tables["imp"], ["seed", "k", "round"])
    late = tickets[tickets["k"] == tickets["k"].max()]
    matching = {}
    for name, runs in found.groupby("pretraining", sort=False):
        matching[name] = float("nan")
        imp_round = near_density(runs[runs["round"] > 0])
        rewound = late[late["round"] == imp_round].set_index("seed")["accuracy"]
        by_duration = runs[runs["round"] == imp_round].pivot(
            index="seed", columns="pretraining_iterations", values="accuracy"
        )
        for duration in sorted(by_duration, reverse=True):
            low, high = t_interval((by_duration[duration] - rewound).dropna())
            if not (low > -MATCHES_WITHIN and high < MATCHES_WITHIN):  # nor where there is no interval
                break
            matching[name] = float(duration)
    return matching
