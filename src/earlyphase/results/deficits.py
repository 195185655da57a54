"""Trainings with a deficit in a window of iterations: what it costs, within seeds."""

from pandas import DataFrame

from earlyphase.results.summaries import last_evaluations, onset, t_interval

BASE = "base"  # the regime that is the training as it is
RUN = ["regime", "deficit", "first", "end", "stop", "seed"]  # columns that name a run of one network
NEGLIGIBLE = 0.005  # accuracy, as a fraction: a loss that is surely smaller is equivalent to none


def clean_runs(table: DataFrame) -> DataFrame:
    """Collect the results of the trainings without a deficit, a row per regime and seed.

    Args:
        table: `deficits` of one network, a row per evaluation.
    """
    runs = last_evaluations(table, RUN)
    return runs[runs["end"] == 0].reset_index(drop=True)


def losses(table: DataFrame) -> DataFrame:
    """Compute what each deficit costs against the training of the same seed and regime without one.

    A regime that differs from `base` only when a deficit ends has no such training of its own: there it is
    that of `base`.

    Args:
        table: `deficits` of one network, a row per evaluation.

    Returns:
        A row per training with a deficit whose clean one was run: the columns of `table`, `clean` (as
        `accuracy` a fraction, NaN where the run diverged), `lost` = clean - accuracy, and `protocol`:
        "removal" where training of the usual length follows the deficit, "window" where all together is of
        that length. The run's own task in the place of a deficit is a control.
    """
    runs, clean = last_evaluations(table, RUN), clean_runs(table)
    harmed = runs[runs["end"] > 0].copy()
    own = harmed["regime"].isin(set(clean["regime"]))
    harmed["reference"] = harmed["regime"].where(own, BASE)
    of_clean = clean.rename(columns={"regime": "reference", "accuracy": "clean", "stop": "length"})
    paired = harmed.merge(of_clean[["reference", "seed", "clean", "length"]], on=["reference", "seed"])
    removal = (paired["first"] == 0) & (paired["stop"] == paired["end"] + paired["length"])
    paired["protocol"] = removal.map({True: "removal", False: "window"})
    return paired.assign(lost=paired["clean"] - paired["accuracy"]).drop(columns=["reference", "length"])


def period_end(table: DataFrame, deficit: str | None = None) -> dict[str, float]:
    """Find when the critical period ends: the first onset from which on no window costs anything.

    A window costs nothing where the 95 % t interval of its loss within seeds, under `base`, lies
    below `NEGLIGIBLE`.

    Args:
        table: `deficits` of one network.
        deficit: which; None takes `blur` where there is one, else the first by name. Of windows of several
            lengths, those of the most usual one count.

    Returns:
        `low`, the last onset that costs something, 0 if none; `high`, the onset after it; `n`, the seeds with
        such a window. The first two are NaN where the last onset costs something, or no onset was run.
    """
    windows = losses(table)
    windows = windows[(windows["protocol"] == "window") & (windows["regime"] == BASE)]
    windows = windows[windows["deficit"] != windows["task"]]  # without the control
    names = sorted(windows["deficit"].unique(), key=lambda name: (name != "blur", name))
    chosen = windows[windows["deficit"] == (deficit or next(iter(names), ""))]
    lengths = chosen["end"] - chosen["first"]
    chosen = chosen[lengths.isin(lengths.mode()[:1])]
    low, high = onset({
        first: t_interval(runs["lost"].dropna())[1] < NEGLIGIBLE  # not where there is no interval
        for first, runs in chosen.groupby("first")
    })  # fmt: skip
    return {"low": low, "high": high, "n": int(windows["seed"].nunique())}


def shifts(table: DataFrame) -> DataFrame:
    """Compute how much more each regime loses than `base` by the same deficit, in the same window and seed.

    Returns:
        The rows of `losses` of all regimes but `base` whose window was run under `base`, too; `shift` is
        the difference of `lost`, as a fraction.
    """
    costs = losses(table)
    # A training that starts clean anew is as long under every regime, so `stop` is the same, too.
    place = ["deficit", "first", "end", "stop", "seed"]
    base = costs.loc[costs["regime"] == BASE, [*place, "lost"]].rename(columns={"lost": "base_lost"})
    others = costs[costs["regime"] != BASE].merge(base, on=place)
    return others.assign(shift=others["lost"] - others["base_lost"])
