"""Measures of tickets that rewind to k: the paper's Figure 1, and lottery tickets (Frankle & Carbin 2019)."""

from pandas import DataFrame

from earlyphase.registry import measure
from earlyphase.results.claims.evidence import POINTS, Contrast, Order
from earlyphase.results.claims.judging import NotRun, Tables
from earlyphase.results.claims.measures import (
    Late,
    MaybeShare,
    Share,
    by_rewind_iteration,
    dense_accuracy,
    final_results,
    latest,
    losing_less,
    rewound_to,
    round_near,
)


def at_density(tables: Tables, density: float | None, below_density: float | None = None) -> DataFrame:
    """Accuracy in points of the round near a density, or of the first one below another, (seeds, ks).

    One round, not all below, so that the answer does not depend on how many were run.
    """
    imp = final_results(tables, "imp", ["seed", "k", "round"])
    if below_density is None:
        return by_rewind_iteration(tables, round_near(imp, density))
    densities = imp.groupby("round")["density"].mean()
    if densities.min() >= below_density:
        limit, sparsest = f"{100 * below_density:g} %", f"{densities.min():.1%}"
        raise NotRun(f"no round is below {limit} of weights; the sparsest has {sparsest}")
    return by_rewind_iteration(tables, densities[densities < below_density].index.min())


@measure(reads=("imp", "dense"))
def tickets_minus_dense(
    tables: Tables,
    *,
    k: Late | None = None,
    from_k: int = 0,
    density: MaybeShare = None,
    below_density: MaybeShare = None,
    share: MaybeShare = None,
) -> list[Contrast]:
    """Accuracy gained over the dense network by the tickets of `k`, or of every k >= `from_k`.

    Args:
        share: of what the largest k gains over k = 0; so much is added, within seeds, so that the contrast is
            above 0 where the ticket loses less.
    """
    accuracy, dense = at_density(tables, density, below_density), dense_accuracy(tables)
    late = latest(accuracy) if k == "largest" else k
    ks = [each for each in accuracy if each >= from_k] if late is None else [late]
    if not ks:
        raise NotRun(f"no k from {from_k:,} on was run")
    above = {f"k = {each:,} minus dense": rewound_to(accuracy, each) - dense for each in ks}
    return [losing_less(values, label, share, accuracy) for label, values in above.items()]


@measure(reads=("imp", "dense"))
def ticket_near_dense(tables: Tables, *, share: Share, density: Share) -> list[Contrast]:
    """How far inside a margin the largest k lies, above and below the dense network.

    The margin is a share of what rewinding there gains over rewinding to 0, within each seed. Both contrasts
    are above 0 where the two networks differ by less.
    """
    accuracy, dense = at_density(tables, density), dense_accuracy(tables)
    late = latest(accuracy)
    above = accuracy[late] - dense
    return [
        losing_less(above, f"k = {late:,} minus dense", share, accuracy),
        losing_less(-above, f"dense minus k = {late:,}", share, accuracy),
    ]


@measure(reads=("imp",))
def late_minus_early(
    tables: Tables,
    *,
    late: Late,
    early: int,
    density: MaybeShare = None,
    below_density: MaybeShare = None,
) -> DataFrame:
    """Accuracy gained by rewinding to `late` in place of `early`."""
    accuracy = at_density(tables, density, below_density)
    late = latest(accuracy) if late == "largest" else late
    gained = rewound_to(accuracy, late) - rewound_to(accuracy, early)
    return DataFrame({f"k = {late:,} minus k = {early:,}": gained})


@measure(reads=("imp",))
def order_over_k(tables: Tables, *, density: Share, up_to: int | None = None) -> list[Order]:
    """The order of accuracy over all ks, or over those up to `up_to`."""
    accuracy = at_density(tables, density)
    accuracy = accuracy[sorted(k for k in accuracy if up_to is None or k <= up_to)]
    if accuracy.shape[1] < 3:
        raise NotRun(f"an order over k needs three ks; {accuracy.shape[1]} of use were run to this density")
    return [Order(accuracy)]


@measure(reads=("imp", "perturbed"))
def ticket_minus_control(tables: Tables, *, control: str, k: Late) -> DataFrame:
    """Accuracy gained by the ticket over a control, a perturbation, at the sparsest density it was run at.

    Args:
        k: of both; "largest" is the largest above 0 at which the control was run.
    """
    runs = final_results(tables, "perturbed", ["seed", "k", "round", "perturbation"])
    runs = runs[(runs["perturbation"] == control) & ((runs["k"] > 0) if k == "largest" else (runs["k"] == k))]
    if runs.empty:
        raise NotRun(f"{control} was not run for {'any k above 0' if k == 'largest' else f'k = {k:,}'}")
    k = runs["k"].max()
    runs = runs[runs["k"] == k]
    runs = runs[runs["round"] == runs["round"].max()]
    accuracy = POINTS * runs.set_index("seed")["accuracy"]
    ticket = rewound_to(by_rewind_iteration(tables, runs["round"].iloc[0]), k)
    place = f"k = {k:,} at {runs['density'].mean():.1%}"
    return DataFrame({f"{place}: iterative minus {control}": ticket - accuracy})
