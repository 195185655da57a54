"""Tables to verdicts on the paper's claims.

A claim is data: what the paper says, which contrast measures it and where that contrast must lie.
Every claim is judged by the same test, on differences *within* seeds (same initial weights, same data
order). The two one-sided 95 % t bounds of their mean form one interval:

* wholly inside the target: `reproduced`;
* wholly outside it: `not reproduced`;
* across its edge, or from fewer than two seeds: `inconclusive`;
* a run the contrast needs does not exist: `not run at this scale`.

With a target of ±tolerance this is the equivalence test TOST at 5 %, so "matches" needs evidence of a
small difference, not the absence of evidence for a large one; with a one-sided target it is the
one-sided t test. A study of the full scale is held to the specification's tolerances; a shorter one
only to the sign of the contrast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from pandas import DataFrame, Series, concat

from earlyphase.summaries import NETWORK, last_evaluations

Tables = dict[str, DataFrame]
POINTS = 100  # percentage points in an accuracy of 1
INFINITY = float("inf")
REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run at this scale"


class NotRun(Exception):  # noqa: N818 - a verdict, not a fault
    """The study lacks a run that a contrast needs; the message says which."""


@dataclass(frozen=True)
class Criterion:
    """When a claim holds.

    Attributes:
        measure: tables of one network -> DataFrame (seeds, contrasts), NaN where a run diverged or is
            missing. Raises `NotRun`. The claim needs every column to pass; the worst one is reported.
        target: (low, high), where the mean contrast must lie, in the claim's unit.
        rule: the same in words.
    """

    measure: Callable[[Tables], DataFrame]
    target: tuple[float, float]
    rule: str


@dataclass(frozen=True)
class Claim:
    """One claim of the paper and how it is judged.

    Attributes:
        statement: the claim, in our words.
        paper: the paper's number; says where it is recollected, not checked against the text.
        tables: names of the tables that the measures read.
        full: criterion for the paper's network, data and length.
        short: criterion for any other study.
        unit: of the contrast.
    """

    id: str
    statement: str
    paper: str
    tables: tuple[str, ...]
    full: Criterion
    short: Criterion
    unit: str = "points"


def t_interval(values: Series) -> tuple[float, float]:
    """One-sided 95 % t bounds, lower and upper, of the mean of two or more values."""
    from scipy.special import stdtrit  # scipy.stats has the same and takes a second longer to import

    half = stdtrit(len(values) - 1, 0.95) * values.std() / np.sqrt(len(values))
    return values.mean() - half, values.mean() + half


# Measures: tables of one network -> (seeds, contrasts)


def supervised_runs(tables: Tables, name: str, run: list[str]) -> DataFrame:
    """Results of the supervised runs in the table `name`, a row per run."""
    if name not in tables:
        raise NotRun(f"there is no table {name!r}")
    table = tables[name]
    runs = last_evaluations(table[table["task"] == "supervised"], [*NETWORK, *run])
    if runs.empty:
        raise NotRun(f"the table {name!r} holds no supervised run")
    return runs


def dense_accuracy(tables: Tables) -> Series:
    """Accuracy of the dense network by seed, in points."""
    return POINTS * supervised_runs(tables, "dense", ["seed"]).set_index("seed")["accuracy"]


def by_rewind_iteration(imp: DataFrame, imp_round: int) -> DataFrame:
    """Accuracy after one round in points, (seeds, ks)."""
    runs = imp[imp["round"] == imp_round]
    return POINTS * runs.pivot(index="seed", columns="k", values="accuracy")


def at_density_of_round_8(tables: Tables) -> DataFrame:
    """Accuracy at 16.8 % of weights in points, (seeds, ks).

    The round is the nearest one, and must lie within half a round (a factor of sqrt(0.8)).
    """
    imp = supervised_runs(tables, "imp", ["seed", "k", "round"])
    steps = np.log(imp.groupby("round")["density"].mean() / 0.8**8).abs() / -np.log(0.8)
    if steps.min() > 0.5:
        raise NotRun(f"no round is near 16.8 % of weights; the sparsest has {imp['density'].min():.1%}")
    return by_rewind_iteration(imp, steps.idxmin())


def below_10_percent(tables: Tables) -> DataFrame:
    """Accuracy in the first round below 10 % of weights in points, (seeds, ks).

    One round, not all of them, so that the answer does not depend on how many were run.
    """
    imp = supervised_runs(tables, "imp", ["seed", "k", "round"])
    densities = imp.groupby("round")["density"].mean()
    if densities.min() >= 0.10:
        raise NotRun(f"no round is below 10 % of weights; the sparsest has {densities.min():.1%}")
    return by_rewind_iteration(imp, densities[densities < 0.10].index.min())


def rewound_to(accuracy: DataFrame, k: int) -> Series:
    """The column of `accuracy` for rewinding to `k`."""
    if k not in accuracy:
        raise NotRun(f"k = {k:,} was not run to this density")
    return accuracy[k]


def latest(accuracy: DataFrame) -> int:
    """The largest k: in a short study, the stand-in for the paper's late rewinding."""
    if accuracy.columns.max() <= 0:
        raise NotRun("only k = 0 was run to this density")
    return accuracy.columns.max()


def dense_minus_ticket(tables: Tables, *, from_k: int | None) -> DataFrame:
    """Accuracy lost against the dense network at 16.8 %, one column for every k >= `from_k`.

    `from_k` = None takes the largest k alone.
    """
    accuracy, dense = at_density_of_round_8(tables), dense_accuracy(tables)
    ks = [latest(accuracy)] if from_k is None else [k for k in accuracy if k >= from_k]
    if not ks:
        raise NotRun(f"no k from {from_k:,} on was run")
    return DataFrame({f"dense minus k = {k:,}": dense - accuracy[k] for k in ks})


def late_minus_early(
    tables: Tables, *, where: Callable[[Tables], DataFrame], late: int | None, early: int
) -> DataFrame:
    """Accuracy gained by rewinding to `late` in place of `early`; `late` = None takes the largest k.

    `where` gives the accuracies at one density, as `at_density_of_round_8` does.
    """
    accuracy = where(tables)
    late = latest(accuracy) if late is None else late
    gained = rewound_to(accuracy, late) - rewound_to(accuracy, early)
    return DataFrame({f"k = {late:,} minus k = {early:,}": gained})


def rank_correlation_with_k(tables: Tables, *, up_to: float) -> DataFrame:
    """Spearman's correlation over k between accuracy at 16.8 % and k; 0 if all accuracies are equal.

    A seed with a diverged or missing run is NaN: every seed is ranked over the same ks.
    """
    accuracy = at_density_of_round_8(tables)
    accuracy = accuracy[sorted(k for k in accuracy if k <= up_to)]
    ks = accuracy.columns
    if len(ks) < 3:
        raise NotRun(f"an order over k needs three ks; {len(ks)} of use were run to this density")
    complete = accuracy.dropna()
    order = Series(range(len(ks)), index=ks, dtype=float)
    correlation = complete.rank(axis=1).corrwith(order, axis=1).fillna(0.0)
    return DataFrame({f"Spearman over k = {', '.join(map(str, ks))}": correlation.reindex(accuracy.index)})


def past_saturation(tables: Tables) -> DataFrame:
    """Raise `NotRun`: where rewinding saturates is known for the paper's network and length only."""
    raise NotRun("k = 2,000 and 4,000 lie past saturation in the paper's network; no such k is known here")


# The claims

SIGN = "short study: sign of the paired contrast"
LATE = "the largest k stands for the paper's late rewinding"

CLAIMS = (
    Claim(
        "R1",
        "A ticket rewound to any k >= 500 matches the dense network at 16.8 % of weights",
        "no visible gap at 16.8 % (from the paper)",
        ("imp", "dense"),
        Criterion(
            partial(dense_minus_ticket, from_k=500),
            (-0.5, 0.5),
            "equivalence (TOST): the gap of every k >= 500 lies within ±0.5 points; the worst k is shown",
        ),
        Criterion(
            partial(dense_minus_ticket, from_k=None),
            (-INFINITY, 0.5),
            f"short study: one-sided non-inferiority, the gap is below 0.5 points; {LATE}",
        ),
    ),
    Claim(
        "R2",
        "A ticket rewound to 0 does not: late rewinding is clearly more accurate at 16.8 % of weights",
        "k = 0 clearly below k = 500 (from the paper), by 1.5 to 3 points (recollected)",
        ("imp",),
        Criterion(
            partial(late_minus_early, where=at_density_of_round_8, late=500, early=0),
            (0.5, INFINITY),
            "the paired gain exceeds 0.5 points",
        ),
        Criterion(
            partial(late_minus_early, where=at_density_of_round_8, late=None, early=0),
            (0, INFINITY),
            f"{SIGN}: the gain is positive; {LATE}",
        ),
    ),
    Claim(
        "R3",
        "Rewinding past k = 2,000 gains nothing more at 16.8 % of weights",
        "k = 4,000 as good as k = 2,000 (from the paper's text; no figure)",
        ("imp",),
        Criterion(
            partial(late_minus_early, where=at_density_of_round_8, late=4000, early=2000),
            (-0.3, 0.3),
            "equivalence (TOST): the paired difference lies within ±0.3 points",
        ),
        Criterion(past_saturation, (-0.3, 0.3), "short study: no test"),
    ),
    Claim(
        "R4",
        "Accuracy at 16.8 % of weights rises with k, up to k = 2,000",
        "accuracy ordered by k (recollected)",
        ("imp",),
        Criterion(
            partial(rank_correlation_with_k, up_to=2000),
            (0, INFINITY),
            "rank correlation of accuracy with k in each seed: its mean is positive",
        ),
        Criterion(
            partial(rank_correlation_with_k, up_to=INFINITY),
            (0, INFINITY),
            f"{SIGN}: rank correlation of accuracy with k in each seed, its mean is positive",
        ),
        unit="(rank correlation)",
    ),
    Claim(
        "R5",
        "With rewinding, pruning still trains well above 90 % sparsity: late rewinding beats k = 0 there",
        "k = 500 trains well below 10 % of weights (from the paper, without a number)",
        ("imp",),
        Criterion(
            partial(late_minus_early, where=below_10_percent, late=500, early=0),
            (1.0, INFINITY),
            "first round below 10 % of weights: the paired gain exceeds 1 point",
        ),
        Criterion(
            partial(late_minus_early, where=below_10_percent, late=None, early=0),
            (0, INFINITY),
            f"{SIGN} in the first round below 10 % of weights: the gain is positive; {LATE}",
        ),
    ),
)


# Judging


def judge(tables: Tables, study: dict) -> DataFrame:
    """Judge every claim in every network.

    Args:
        tables: name -> collected table, a row per evaluation.
        study: `full_scale`, whether network, data and length are the paper's; `sources`, optional,
            table name -> the file it came from, with {dataset} and {model} in it.

    Returns:
        A row per claim and network, of text but for `n`: `id`, `dataset`, `model`, `statement`,
        `paper`, `ours` with its unit, `error` (± sample standard deviation over seeds), `n` seeds used,
        `test`, `verdict`, `source`.

    Source: the paper's Figure 1 and text; equivalence by two one-sided tests, Schuirmann 1987.
    """
    sources = study.get("sources", {})
    rows = []
    for claim in CLAIMS:
        criterion = claim.full if study["full_scale"] else claim.short
        for dataset, model in networks(tables):
            files = [sources.get(name, name) for name in claim.tables]
            source = ", ".join(files).format(dataset=dataset, model=model)
            ours = assess(of_network(tables, dataset, model), criterion, claim.unit)
            name = {"id": claim.id, "dataset": dataset, "model": model}
            rows.append(
                {**name, "statement": claim.statement, "paper": claim.paper, **ours, "source": source}
            )
    return DataFrame(rows)


def networks(tables: Tables) -> list[tuple[str, str]]:
    """Data set and model of each network in `tables`; one nameless network if there is none."""
    named = [table[NETWORK] for table in tables.values() if len(table)]
    found = concat(named).drop_duplicates().sort_values(NETWORK) if named else DataFrame(columns=NETWORK)
    return list(found.itertuples(index=False, name=None)) or [("", "")]


def of_network(tables: Tables, dataset: str, model: str) -> Tables:
    """The rows of one network."""
    return {
        name: table[(table["dataset"] == dataset) & (table["model"] == model)]
        for name, table in tables.items()
    }


def assess(tables: Tables, criterion: Criterion, unit: str) -> dict:
    """Judge one claim in one network: `ours`, `error`, `n`, `test`, `verdict`."""
    try:
        contrasts = criterion.measure(tables)
    except NotRun as missing:
        test = f"{criterion.rule}: {missing}"
        return {"ours": "", "error": "", "n": 0, "test": test, "verdict": NOT_RUN}
    severity = [NOT_REPRODUCED, INCONCLUSIVE, REPRODUCED]
    assessed = [assess_contrast(contrasts[label], criterion, unit) for label in contrasts]
    return min(assessed, key=lambda row: severity.index(row["verdict"]))


def assess_contrast(contrast: Series, criterion: Criterion, unit: str) -> dict:
    """Judge one contrast, a value per seed in `unit`, NaN where a run diverged or is missing."""
    values = contrast.dropna()
    left_out = len(contrast) - len(values)
    row = {
        "ours": f"{values.mean():+.2f} {unit}" if len(values) else "",
        "error": f"± {values.std():.2f}" if len(values) > 1 else "",
        "n": len(values),
    }
    test, verdict = f"{criterion.rule}; {contrast.name}", INCONCLUSIVE
    if len(values) > 1:
        low, high = t_interval(values)
        test += f": one-sided 95 % bounds {low:+.2f} and {high:+.2f}"
        verdict = verdict_on(low, high, criterion.target)
    else:
        test += ": no interval from fewer than two seeds"
    if left_out:
        test += f"; {left_out} of {len(contrast)} seeds left out, a run diverged or is missing"
    return {**row, "test": test, "verdict": verdict}


def verdict_on(low: float, high: float, target: tuple[float, float]) -> str:
    """Whether the interval from `low` to `high` lies inside `target`, outside it or across an edge."""
    if target[0] < low and high < target[1]:
        return REPRODUCED
    if high <= target[0] or target[1] <= low:
        return NOT_REPRODUCED
    return INCONCLUSIVE
