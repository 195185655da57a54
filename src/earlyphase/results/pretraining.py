"""Networks that learned something else first: what they achieve, and how long that must take."""

from pandas import DataFrame, Series, concat

from earlyphase.results.summaries import NETWORK, Tables, last_evaluations, onset, t_interval

FIRST = ["pretraining", "pretraining_iterations"]  # what was learned first, and for how long
LOST = 0.25  # share of rewinding's gain; what loses less is as good, `SHARE` of claims.evidence

RULE = (
    "the shortest pretraining from which on, in all longer ones too, tickets lose less than a quarter of "
    "what rewinding to the largest k gains over rewinding to 0 (95 % t interval within seeds), at the "
    "sparsest density that all have; in iterations of pretraining"
)


def chains(tables: Tables) -> DataFrame:
    """Collect the results of pretrained networks, a row per run; in round 0 they are dense.

    Args:
        tables: `pretrained_dense` and `pretrained_imp`, a row per evaluation.
    """
    run = [*NETWORK, *FIRST, "round", "seed"]
    whole = tables["pretrained_dense"].assign(round=0)
    return last_evaluations(concat([whole, tables["pretrained_imp"]], ignore_index=True), run)


def is_control(runs: DataFrame) -> Series:
    """Tell which of `runs` learned their own task first: the control that is trained for longer."""
    return runs["pretraining_task"] == runs["task"]


def matching_durations(tables: Tables) -> dict[str, tuple[float, float]]:
    """Find how long a pretraining of each kind but the control must be to match, by `RULE`.

    Args:
        tables: `pretrained_dense`, `pretrained_imp` and `imp` of one network.

    Returns:
        Pretraining -> the longest duration that was run and does not match, and the shortest from which on
        all match, in iterations, as `onset` has them.
    """
    runs = chains(tables)
    runs = runs[~is_control(runs) & (runs["round"] > 0)]
    tickets = last_evaluations(tables["imp"], ["seed", "k", "round"])
    late = tickets["k"].max()
    tickets = tickets[tickets["k"].isin([0, late])]
    rounds = [set(chain["round"]) for _, chain in (*runs.groupby(FIRST), *tickets.groupby("k"))]
    shared = set.intersection(*rounds)
    if not shared or set(tickets["k"]) != {0, late}:
        return {name: onset({}) for name in runs["pretraining"].unique()}
    by_k = tickets[tickets["round"] == max(shared)].pivot(index="seed", columns="k", values="accuracy")
    least = by_k[late] - LOST * (by_k[late] - by_k[0])
    matching = {}
    for name, chain in runs[runs["round"] == max(shared)].groupby("pretraining", sort=False):
        by_duration = chain.pivot(index="seed", columns="pretraining_iterations", values="accuracy")
        above = by_duration.sub(least, axis="index")
        matching[name] = onset({time: t_interval(above[time].dropna())[0] > 0 for time in above})
    return matching
