"""Figures 4 to 7: how accurate tickets are whose weights were changed at iteration k."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style, tickets
from earlyphase.results.figures.labels import Labels, in_order, labels_by_name
from earlyphase.results.figures.tickets import BASELINES, DENSE, MASKS_OF_K, OWN_MASKS, REWIND_TO_0, TO_K
from earlyphase.results.summaries import Tables


@figure(reads=("perturbed",), uses=("imp", "dense"))
def perturbed(tables: Tables, *, show: Labels) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of perturbed tickets against density, a panel for each k.

    Every panel also has the ticket of k unperturbed and both readings of "rewind to 0", where they were
    run: tickets of k = 0 with their own masks, and the state of 0 under the masks of k.

    Args:
        tables: of one network: `perturbed`; `imp` and `dense`, where there are any: a row per evaluation.
        show: perturbation and label of each curve, in the order of the legend.

    Returns:
        The figure; the dense network (`k` missing), then a row per k, curve and round, with the columns
        of `ticket_points`.

    Raises:
        InvalidInput: none of these perturbations is in the table, or a label cannot be used.

    Source: Frankle, Schwab & Morcos 2020, Figures 4 to 7 (A4 to A7 for other networks).
    """
    labels = labels_of_curves("perturbed", show)
    points = perturbed_points(tables, labels)
    shown = [label for label in labels.values() if label in set(points["curve"])]
    if not shown:
        raise tickets.nothing_to_show("perturbed", list(labels))
    points = concat([tickets.dense_points(tables), points], ignore_index=True)
    styles = BASELINES | style.curve_styles([label for label in shown if label not in BASELINES])
    return tickets.draw_by_k(points, styles, "Start of training"), points


def labels_of_curves(figure: str, show: list[dict[str, str]]) -> dict[str, str]:
    """Return the label of each perturbation: as `labels_by_name`, and none that a baseline has.

    "Rewind to 0 under the masks of k" is a perturbation itself, and may keep its name.
    """
    own_name = {REWIND_TO_0: MASKS_OF_K} if in_order(show).get(REWIND_TO_0) == MASKS_OF_K else {}
    return labels_by_name(figure, show, [*BASELINES, DENSE]) | own_name


def perturbed_points(tables: Tables, labels: dict[str, str]) -> DataFrame:
    """Summarise perturbed tickets and their baselines: a row for each k of the perturbed, curve and round.

    Args:
        tables: `perturbed`, and `imp` where there is one.
        labels: perturbation -> label.

    Returns:
        The columns of `ticket_points`: `k` is that of the panel, `curve` as in the legend.
    """
    names = {REWIND_TO_0: MASKS_OF_K} | labels
    branches = tickets.results(tables, "perturbed", "perturbation", "k", "round", "seed")
    chains = tickets.results(tables, "imp", "k", "round", "seed")
    runs = [branches.assign(curve=branches["perturbation"].map(names)).dropna(subset="curve")]
    for k in branches.loc[branches["perturbation"].isin(labels), "k"].unique():
        runs += [chains[chains["k"] == k].assign(curve=TO_K)] if k else []
        runs += [chains[chains["k"] == 0].assign(curve=OWN_MASKS, k=k)]
    runs = [part for part in runs if len(part)] or runs
    return tickets.ticket_points(concat(runs), [*BASELINES, *names.values()])
