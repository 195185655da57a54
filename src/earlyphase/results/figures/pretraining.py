"""Figures 9 and 10: what networks and tickets achieve that learned something else first."""

from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, Series, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.labels import Labels, drawable, labels_by_name
from earlyphase.results.figures.one_round import INCHES, accuracy_by_row
from earlyphase.results.figures.tickets import (
    BASELINE,
    BASELINES,
    MASKS_OF_K,
    OWN_MASKS,
    REWIND_TO_0,
    SUMMARY,
    TO_K,
    accuracy_by_density,
    dense_points,
    results,
)
from earlyphase.results.pretraining import FIRST, chains, is_control
from earlyphase.results.summaries import NETWORK, Tables, over_seeds

CONTROL, AFTER, DENSE_FIRST, ALONE = "control", "pretrained", "pretrained while dense", "not pretrained"
GREY = BASELINE | {"color": "0.6", "linestyle": (0, (5, 1.5, 1.2, 1.5)), "marker": "d"}
STYLES = {**BASELINES, CONTROL: GREY, DENSE_FIRST: GREY}  # kind -> heavier than pretrained ones, no colour
KINDS = [*STYLES, AFTER, ALONE]  # in which order they stand
PLACE = [*NETWORK, "panel", "kind", "curve", "total_iterations", "round"]
IN_ALL = "In brackets: iterations in all, with those of pretraining and before k"


@figure(reads=("pretrained_dense", "pretrained_imp"), uses=("imp", "dense"))
def pretraining(tables: Tables, *, panels: Labels, k: int | None = None) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of tickets against density, of networks that were pretrained while they were dense.

    A panel for each pretraining, a curve for each of its lengths, round 0 included: the pretrained network
    trained whole. Beside them rewinding to 0 and to k without pretraining, and the control, which learned
    the run's own task first, for as long as the longest pretraining of the panel. The control has no panel of
    its own where all of it stands in the others.

    Args:
        tables: of one network: `pretrained_dense` and `pretrained_imp`; `imp` and `dense`, if any.
        panels: pretraining and title of each panel, in order.
        k: that unpretrained tickets rewind to, beside 0; the largest there is where it is not said.

    Returns:
        The figure; a row per panel, curve and round. `total_iterations` is what a curve has seen.

    Raises:
        InvalidInput: none of these pretrainings is in the tables, or a label cannot be used.

    Source: Frankle, Schwab & Morcos 2020, Figure 9 (A9 for other networks).
    """
    labels, runs = labels_by_name("pretraining", panels), chains(tables)
    titles = {name: title for name, title in labels.items() if name in set(runs["pretraining"])}
    if not titles:
        raise InvalidInput(f"figure pretraining: no network began with any of {', '.join(labels)}")
    control, rewound = runs[is_control(runs)], rewound_runs(tables, k)
    longest = runs[~is_control(runs)].groupby("pretraining")["pretraining_iterations"].max()
    if set(control["pretraining_iterations"]) <= set(longest[longest.index.isin(titles)]):
        titles = {name: title for name, title in titles.items() if name in longest} or titles
    parts = []
    for name in titles:
        own = runs[runs["pretraining"] == name]
        beside = [rewound[rewound["round"] <= own["round"].max()]]
        if name in longest:
            beside.append(control[control["pretraining_iterations"] == longest[name]].assign(kind=CONTROL))
        parts += [part.assign(panel=name) for part in (*beside, own.assign(kind=AFTER)) if len(part)]
    points = summary(with_labels(concat(parts, ignore_index=True)))
    with style.house_style():
        by_length = points.sort_values("total_iterations", kind="stable")
        drawn = draw_panels(points, titles, dense_points(tables), styles_of(by_length))
        style.add_note(drawn, style.seeds_note(points))
        style.add_note(drawn, IN_ALL)
    return drawn, points


def rewound_runs(tables: Tables, k: int | None) -> DataFrame:
    """Return tickets that were not pretrained, of k = 0 and of `k`, or the largest: `kind` says which."""
    runs = results(tables, "imp", "k", "round", "seed")
    chosen = runs["k"].max() if k is None else k
    kinds = {0: OWN_MASKS, chosen: TO_K} if chosen else {0: OWN_MASKS}
    runs = runs[runs["k"].isin(kinds)]
    return runs.assign(kind=runs["k"].map(kinds), total_iterations=runs["iteration"])


def with_labels(runs: DataFrame) -> DataFrame:
    """Name the curve that each run is part of, with the iterations that it has seen in all."""

    def label(run) -> str:
        texts = {OWN_MASKS: "rewind to 0"}
        if run.kind == TO_K:
            texts[TO_K] = f"rewind to k = {run.k:,.0f}"
        elif run.kind != OWN_MASKS:
            of_own_task = " of own task" if run.kind == CONTROL else ""
            texts[run.kind] = f"{run.pretraining_iterations:,.0f} iterations{of_own_task} first"
        return f"{texts[run.kind]} ({run.total_iterations:,.0f})"

    return runs.assign(curve=[label(run) for run in runs.itertuples()])


def summary(runs: DataFrame) -> DataFrame:
    """Summarise runs over seeds: the columns `PLACE` and `SUMMARY`; curves stand as in the runs."""
    points = over_seeds(runs.astype({"total_iterations": "Int64"}), PLACE, means=["density"])
    orders = {name: list(runs[name].unique()) for name in ("panel", "curve")} | {"kind": KINDS}

    def key(column: Series) -> Series:
        return column.map(orders[column.name].index) if column.name in orders else column

    return points.sort_values(["panel", "kind", "curve", "round"], key=key)[[*PLACE, *SUMMARY]].reset_index(
        drop=True
    )


def styles_of(points: DataFrame) -> dict[str, dict]:
    """Return the line style of each curve: its kind's, or a colour of its own where it was pretrained."""
    kinds = points.drop_duplicates("curve").set_index("curve")["kind"]
    own = style.curve_styles(list(kinds.index[kinds == AFTER]))
    return {curve: own[curve] if kind == AFTER else STYLES[kind] for curve, kind in kinds.items()}


def draw_panels(
    points: DataFrame, titles: dict[str, str], dense: DataFrame, styles: dict[str, dict]
) -> Figure:
    """Draw accuracy against density, a panel for each title."""
    figure, axes = style.new_axes(len(titles), height=2.3)
    for ax, (panel, title) in zip(axes, titles.items(), strict=True):
        accuracy_by_density(ax, concat([dense, points[points["panel"] == panel]]), styles)
        ax.set_title(f"{style.network_of(points)}: {drawable(title)}", loc="left")
    share_heights(axes)
    pretrained = points[points["kind"] == AFTER].sort_values("total_iterations", kind="stable")
    style.add_legend(figure, axes, "Start of training", order=list(pretrained["curve"].unique()))
    return figure


def share_heights(axes: list[Axes]) -> None:
    """Give panels one y axis; one that would stretch it to more than twice keeps its own, and says so."""
    limits = [ax.get_ylim() for ax in axes]
    low, high = median(bottom for bottom, _ in limits), max(top for _, top in limits)
    own = [high - bottom > 2 * (high - low) for bottom, _ in limits]
    low = min(bottom for (bottom, _), alone in zip(limits, own, strict=True) if not alone)
    for ax, (bottom, _), alone in zip(axes, limits, own, strict=True):
        ax.set_ylim(bottom if alone else low, high)
        if alone:
            ax.set_title(f"{ax.get_title('left')} (an axis of its own)", loc="left")


@figure(reads=("pretrained_tickets",), uses=("imp", "perturbed", "pretrained_dense", "pretrained_imp"))
def sparse_pretraining(tables: Tables, *, tickets: Labels) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of tickets that were pretrained after they were pruned, a panel for each k.

    Where tickets of one round were pretrained, a row for each, and an open dot where the same ticket was
    trained without pretraining; else curves against density. Lines are the unperturbed ticket of k, both
    readings of "rewind to 0", and the network that was pretrained alike while it was dense, and pruned then.

    Args:
        tables: of one network: `pretrained_tickets`; `imp`, `perturbed`, `pretrained_dense` and
            `pretrained_imp` where there are any.
        tickets: perturbation and label of each ticket, from the top.

    Returns:
        The figure; a row per panel, curve and round. `total_iterations` is what a curve has seen.

    Raises:
        InvalidInput: none of these tickets is in the table, or a label cannot be used.

    Source: Frankle, Schwab & Morcos 2020, Figure 10.
    """
    labels = labels_by_name("sparse_pretraining", tickets)
    runs = results(tables, "pretrained_tickets", *FIRST, "k", "round", "perturbation", "seed")
    runs = runs[runs["perturbation"].isin(labels)]
    runs = runs.sort_values("perturbation", key=lambda names: names.map(list(labels).index), kind="stable")
    if runs.empty:
        raise InvalidInput(f"figure sparse_pretraining: no ticket of {', '.join(labels)} was pretrained")
    parts = []
    for (name, iterations, k), own in runs.groupby([*FIRST, "k"]):
        title = f"k = {k:,}; {name}, {iterations:,} iterations"
        beside = [part[part["round"].isin(own["round"])] for part in beside_tickets(tables, own.iloc[0])]
        parts += [part.assign(panel=title) for part in (*beside, own.assign(kind=AFTER)) if len(part)]
    points = summary(with_ticket_labels(concat(parts, ignore_index=True), labels))
    with style.house_style():
        if points["round"].nunique() == 1:
            drawn = draw_rows(points)
        else:
            shown = points[points["kind"] != ALONE]
            titles = {panel: panel for panel in shown["panel"]}
            drawn = draw_panels(shown, titles, dense_points({}), styles_of(shown))
        style.add_note(drawn, style.seeds_note(points))
        style.add_note(drawn, IN_ALL)
    return drawn, points


def beside_tickets(tables: Tables, ticket: Series) -> list[DataFrame]:
    """Return what tickets pretrained like `ticket` are compared with; `kind` says what each is."""
    alone = results(tables, "perturbed", "k", "round", "perturbation", "seed")
    alone = alone[alone["k"] == ticket["k"]].assign(total_iterations=lambda runs: runs["iteration"])
    parts = [rewound_runs(tables, ticket["k"])]
    parts.append(alone[alone["perturbation"] == REWIND_TO_0].assign(kind=MASKS_OF_K))
    if {"pretrained_dense", "pretrained_imp"} <= tables.keys():
        whole = chains(tables)
        parts.append(whole[(whole[FIRST] == ticket[FIRST]).all(axis=1)].assign(kind=DENSE_FIRST))
    return [*parts, alone.assign(kind=ALONE)]


def with_ticket_labels(runs: DataFrame, labels: dict[str, str]) -> DataFrame:
    """Name the curve that each run is part of, with the iterations that it has seen in all."""
    label = runs["kind"].replace({DENSE_FIRST: "pretrained while dense, then pruned"})
    label = label.where(~runs["kind"].isin([AFTER, ALONE]), runs["perturbation"].map(labels))
    total = runs["total_iterations"].map("{:,.0f}".format)
    return runs.assign(curve=label + " (" + total + ")")[label.notna()]


def draw_rows(points: DataFrame) -> Figure:
    """Draw a row for each ticket of one round, a panel for each k and pretraining."""
    panels = list(points["panel"].unique())
    rows = points.loc[points["kind"] == AFTER, "curve"].nunique()
    height = 0.5 + 1.5 * INCHES * max(rows, 3)  # a row may have two dots
    figure, axes = style.new_axes(len(panels), columns=1, height=height)
    figure.set_figwidth(7.0)
    for ax, panel in zip(axes, panels, strict=True):
        shown = points[points["panel"] == panel]
        trained = shown[shown["kind"] == AFTER].set_index("curve")
        lines = shown[shown["kind"].isin(STYLES)].set_index("curve")
        styles = {curve: STYLES[kind] for curve, kind in lines["kind"].items()}
        to_k = next(iter(lines.index[lines["kind"] == TO_K]), TO_K)
        accuracy_by_row(ax, concat([trained, lines]), list(trained.index), styles, to_k)
        ticket = shown["curve"].str.rpartition(" (")[0]  # without the iterations in all
        places = {name: -number for number, name in enumerate(ticket[shown["kind"] == AFTER])}
        alone = shown[(shown["kind"] == ALONE) & ticket.isin(places)]
        ax.errorbar(
            100 * alone["mean"], ticket[alone.index].map(places) - 0.2, xerr=100 * alone["std"].fillna(0),
            fmt="o", markersize=4, color="0.3", markerfacecolor="white", elinewidth=0.7, capsize=2,
            label="the same ticket, not pretrained", zorder=2.5,
        )  # fmt: skip
        ax.set_title(f"{style.network_of(points)}: {panel}", loc="left")
        ax.set_xlabel(f"Test accuracy (%) at {style.plain(100 * shown['density'].mean())} % of weights")
    style.add_legend(figure, axes, "Beside them")
    return figure
