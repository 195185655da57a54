"""Networks that learned something else first: what they achieve, and how long that must take."""

from pandas import DataFrame, concat

from earlyphase.results.summaries import NETWORK, last_evaluations, t_interval

FIRST = ["pretraining", "pretraining_iterations"]  # what was learned first, and for how long
LOST = 0.25  # share of rewinding's gain; what loses less is as good, `SHARE` of claims.evidence

RULE = (
    "the shortest pretraining from which on, in all longer ones too, tickets lose less than a quarter of "
    "what rewinding to the largest k gains over rewinding to 0 (95 % t interval within seeds), at the "
    "sparsest density that all have; in iterations of pretraining"
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


def matching_durations(tables: dict[str, DataFrame]) -> dict[str, float]:
    """Find the shortest matching pretraining of each kind but the control, by `RULE`; NaN for none.

    Args:
        tables: `pretrained_dense`, `pretrained_imp` and `imp` of one network.
    """
    found = chains(tables)
    found = found[~is_control(found)]
    found = found[found["round"] > 0]
    tickets = last_evaluations(tables["imp"], ["seed", "k", "round"])
    matching = dict.fromkeys(found["pretraining"].unique(), float("nan"))
    late = tickets["k"].max()
    chosen = tickets[tickets["k"].isin([0, late])]
    pruned = [set(runs["round"]) for _, runs in (*found.groupby(FIRST), *chosen.groupby("k"))]
    shared = set.intersection(*pruned)
    if not shared or set(chosen["k"]) != {0, late}:
        return matching
    by_k = chosen[chosen["round"] == max(shared)].pivot(index="seed", columns="k", values="accuracy")
    least = by_k[late] - LOST * (by_k[late] - by_k[0])
    for name, runs in found[found["round"] == max(shared)].groupby("pretraining", sort=False):
        by_duration = runs.pivot(index="seed", columns="pretraining_iterations", values="accuracy")
        for duration in sorted(by_duration, reverse=True):
            if not t_interval((by_duration[duration] - least).dropna())[0] > 0:  # nor without an interval
                break
            matching[name] = float(duration)
    return matching
