"""Figures 9 and 10: what networks and tickets achieve that learned something else first."""

from matplotlib.figure import Figure
from pandas import DataFrame, Series, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures.labels import Labels, drawable, in_order, labels_by_name
from earlyphase.results.figures.one_round import INCHES, accuracy_by_row
from earlyphase.results.figures.perturbed import (
    BASELINE,
    BASELINES,
    MASKS_OF_K,
    OWN_MASKS,
    REWIND_TO_0,
    TO_K,
)
from earlyphase.results.figures.style import (
    SMALL_PRINT,
    Tables,
    add_legend,
    curve_styles,
    house_style,
    new_axes,
    plain,
    seeds_note,
)
from earlyphase.results.figures.tickets import accuracy_by_density, dense_line, results
from earlyphase.results.pretraining import FIRST, chains, is_control
from earlyphase.results.summaries import NETWORK, over_seeds

CONTROL, AFTER, DENSE_FIRST, ALONE = "control", "pretrained", "pretrained while dense", "not pretrained"
STYLES = {  # heavier than pretrained ones, and without colour
    **BASELINES,
    CONTROL: BASELINE | {"color": "0.6", "linestyle": (0, (5, 1.5, 1.2, 1.5)), "marker": "d"},
    DENSE_FIRST: BASELINE | {"color": "0.6", "linestyle": (0, (5, 1.5, 1.2, 1.5)), "marker": "d"},
}
PLACE = [*NETWORK, "panel", "kind", "curve", "total_iterations", "round"]
COLUMNS = [*PLACE, "density", "mean", "std", "n", "diverged"]
IN_ALL = "in brackets: iterations in all, with those of pretraining and before k"


@figure(reads=("pretrained_dense", "pretrained_imp"), uses=("imp", "dense"))
def pretraining(tables: Tables, *, panels: Labels, k: int | None = None) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of tickets against density, of networks that were pretrained while they were dense.

    A panel for each pretraining, a curve for each of its lengths, round 0 included: the pretrained network
    trained whole. Beside them rewinding to 0 and to k without pretraining, and the control, which learned
    the run's own task first, for as long as the longest pretraining of the panel.

    Args:
        tables: `pretrained_dense` and `pretrained_imp`; `imp` and `dense` where there are any.
        panels: pretraining and title of each panel, in order.
        k: that unpretrained tickets rewind to, beside 0; the largest there is where it is not said.

    Returns:
        The figure; a row per panel, curve and round. `total_iterations` is what a curve has seen.

    Raises:
        InvalidInput: none of these pretrainings is in the tables, or a label cannot be used.

    Source: Frankle, Schwab & Morcos 2020, Figure 9 (A9 for other networks).
    """
    titles, found = labels_by_name("pretraining", panels), chains(tables)
    titles = {name: title for name, title in titles.items() if name in set(found["pretraining"])}
    if not titles:
        raise InvalidInput(f"figure pretraining: no network began with any of {', '.join(in_order(panels))}")
    own, rewound = found[is_control(found)], rewound_runs(tables, k)
    parts = []
    for name in titles:
        runs = found[found["pretraining"] == name]
        longest, last = runs["pretraining_iterations"].max(), runs["round"].max()
        control = own[(own["pretraining_iterations"] == longest) & (name not in set(own["pretraining"]))]
        beside = [rewound[rewound["round"] <= last], control.assign(kind=CONTROL)]
        parts += [part.assign(panel=name) for part in (*beside, runs.assign(kind=AFTER)) if len(part)]
    points = summary(with_labels(concat(parts, ignore_index=True)))
    with house_style():
        by_length = points.sort_values(["kind", "total_iterations"], kind="stable")
        figure = draw_panels(points, titles, dense_points(tables), styles_of(by_length))
        figure.supxlabel(f"{seeds_note(points)}; {IN_ALL}", x=0.01, ha="left", **SMALL_PRINT)
    return figure, points


def rewound_runs(tables: Tables, k: int | None) -> DataFrame:
    """Tickets that were not pretrained: of k = 0 and of `k`, or the largest; their `kind` says which."""
    runs = results(tables, "imp", "k", "round", "seed")
    chosen = runs["k"].max() if k is None else k
    kinds = {0: OWN_MASKS, chosen: TO_K} if chosen else {0: OWN_MASKS}
    runs = runs[runs["k"].isin(kinds)]
    return runs.assign(kind=runs["k"].map(kinds), total_iterations=runs["iteration"])


def with_labels(runs: DataFrame) -> DataFrame:
    """Name the curve that each run is part of, with the iterations that it has seen in all."""

    def label(run) -> str:
        match run.kind:
            case kind if kind == OWN_MASKS:
                text = "rewind to 0"
            case kind if kind == TO_K:
                text = f"rewind to k = {run.k:,.0f}"
            case kind if kind == CONTROL:
                text = f"{run.pretraining_iterations:,.0f} iterations of own task first"
            case _:
                text = f"{run.pretraining_iterations:,.0f} iterations first"
        return f"{text} ({run.total_iterations:,.0f})"

    return runs.assign(curve=[label(run) for run in runs.itertuples()])


def summary(runs: DataFrame) -> DataFrame:
    """Summarise runs over seeds: the columns `COLUMNS`, panels and curves in the order of the runs."""
    runs = runs.astype({"total_iterations": "Int64"})
    density = runs.groupby(PLACE)["density"].mean().reset_index()
    points = over_seeds(runs, PLACE).merge(density, on=PLACE)
    orders = {name: list(dict.fromkeys(runs[name])) for name in ("panel", "curve")}
    orders["kind"] = [*STYLES, AFTER, ALONE]

    def key(column: Series) -> Series:
        return column.map(orders[column.name].index) if column.name in orders else column

    order = [*NETWORK, "panel", "kind", "curve", "round"]
    return points.sort_values(order, key=key)[COLUMNS].reset_index(drop=True)


def styles_of(points: DataFrame) -> dict[str, dict]:
    """Line style of each curve: its kind's, or a colour of its own where it was pretrained, in order."""
    kinds = points.drop_duplicates("curve").set_index("curve")["kind"]
    own = curve_styles(list(kinds.index[kinds == AFTER]))
    return {curve: own[curve] if kind == AFTER else STYLES[kind] for curve, kind in kinds.items()}


def draw_panels(
    points: DataFrame, titles: dict[str, str], dense: DataFrame, styles: dict[str, dict]
) -> Figure:
    """Draw accuracy against density, a panel for each network and title; all have one y axis."""
    places = list(points[[*NETWORK, "panel"]].drop_duplicates().itertuples(index=False, name=None))
    figure, axes = new_axes(len(places), height=2.3)
    for ax, (dataset, model, panel) in zip(axes, places, strict=True):
        shown = points[(points[[*NETWORK, "panel"]] == [dataset, model, panel]).all(axis=1)]
        curves = dict(iter(shown.groupby("curve", sort=False)))
        accuracy_by_density(ax, curves, styles)
        whole = dense[(dense[NETWORK] == [dataset, model]).all(axis=1)]
        if len(whole):
            dense_line(ax, whole)
        if ax is not axes[0]:
            ax.sharey(axes[0])
        ax.set_title(f"{model}, {dataset}: {drawable(titles[panel])}", loc="left")
    pretrained = points[points["kind"] == AFTER].sort_values("total_iterations", kind="stable")
    add_legend(figure, axes, "Start of training", above=True, order=list(pretrained["curve"].unique()))
    return figure


def dense_points(tables: Tables) -> DataFrame:
    """Summarise the dense network that was not pretrained, a row per network; none without its table."""
    whole = results(tables, "dense", "seed")
    return over_seeds(whole, NETWORK) if len(whole) else DataFrame(columns=[*NETWORK, "mean", "std"])


@figure(reads=("pretrained_tickets",), uses=("imp", "perturbed", "pretrained_dense", "pretrained_imp"))
def sparse_pretraining(tables: Tables, *, tickets: Labels) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of tickets that were pretrained after they were pruned, a panel for each k.

    Where tickets of one round were pretrained, a row for each, and an open dot where the same ticket was
    trained without pretraining; else curves against density. Lines are the unperturbed ticket of k, both
    readings of "rewind to 0", and the network that was pretrained alike while it was dense, and pruned then.

    Args:
        tables: `pretrained_tickets`; `imp`, `perturbed`, `pretrained_dense` and `pretrained_imp` where there
            are any.
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
    points = summary(named(concat(parts, ignore_index=True), labels))
    panels = {panel: panel for panel in points["panel"]}
    with house_style():
        if points["round"].nunique() == 1:
            figure = draw_rows(points)
        else:
            shown = points[points["kind"] != ALONE]
            figure = draw_panels(shown, panels, dense_points({}), styles_of(shown))
        figure.supxlabel(f"{seeds_note(points)}; {IN_ALL}", x=0.01, ha="left", **SMALL_PRINT)
    return figure, points


def beside_tickets(tables: Tables, ticket: Series) -> list[DataFrame]:
    """What tickets pretrained like `ticket` are compared with; the `kind` of each part says what it is."""
    rewound = rewound_runs(tables, ticket["k"])
    alone = results(tables, "perturbed", "k", "round", "perturbation", "seed")
    alone = alone[alone["k"] == ticket["k"]].assign(total_iterations=lambda runs: runs["iteration"])
    parts = [rewound, alone[alone["perturbation"] == REWIND_TO_0].assign(kind=MASKS_OF_K)]
    if {"pretrained_dense", "pretrained_imp"} <= tables.keys():
        whole = chains(tables)
        parts.append(whole[(whole[FIRST] == ticket[FIRST]).all(axis=1)].assign(kind=DENSE_FIRST))
    return [*parts, alone.assign(kind=ALONE)]


def named(runs: DataFrame, labels: dict[str, str]) -> DataFrame:
    """Name the curve that each run is part of, with the iterations that it has seen in all."""
    texts = {DENSE_FIRST: "pretrained while dense, then pruned"}
    label = runs["kind"].map(lambda kind: texts.get(kind, kind))
    label = label.where(~runs["kind"].isin([AFTER, ALONE]), runs["perturbation"].map(labels))
    total = runs["total_iterations"].map("{:,.0f}".format)
    return runs.assign(curve=label + " (" + total + ")")[label.notna()]


def without_total(curve: str) -> str:
    """The name of a curve without the iterations that `named` puts behind it."""
    return curve.rpartition(" (")[0]


def draw_rows(points: DataFrame) -> Figure:
    """Draw a row for each ticket of one round, a panel for each network, k and pretraining."""
    places = list(points[[*NETWORK, "panel"]].drop_duplicates().itertuples(index=False, name=None))
    rows = points.loc[points["kind"] == AFTER, "curve"].nunique()
    figure, axes = new_axes(len(places), columns=1, height=0.5 + INCHES * max(rows, 3))
    figure.set_figwidth(7.0)
    for ax, (dataset, model, panel) in zip(axes, places, strict=True):
        shown = points[(points[[*NETWORK, "panel"]] == [dataset, model, panel]).all(axis=1)]
        trained = shown[shown["kind"] == AFTER].set_index("curve")
        lines = shown[shown["kind"].isin(STYLES)].set_index("curve")
        own = list(trained.index)
        styles = {curve: STYLES[kind] for curve, kind in lines["kind"].items()}
        to_k = next((curve for curve, kind in lines["kind"].items() if kind == TO_K), TO_K)
        accuracy_by_row(ax, concat([trained, lines]), own, styles, to_k)
        place = {without_total(curve): -number for number, curve in enumerate(own)}
        alone = shown[(shown["kind"] == ALONE) & shown["curve"].map(without_total).isin(place)]
        ax.errorbar(
            100 * alone["mean"], alone["curve"].map(without_total).map(place) - 0.2,
            xerr=100 * alone["std"].fillna(0), fmt="o", markersize=4, color="0.3", markerfacecolor="white",
            elinewidth=0.7, capsize=2, label="the same ticket, not pretrained", zorder=2.5,
        )  # fmt: skip
        ax.set_title(f"{model}, {dataset}: {panel}", loc="left")
        ax.set_xlabel(f"Test accuracy (%) at {plain(100 * shown['density'].mean())} % of weights")
    add_legend(figure, axes, "Beside them", above=True)
    return figure
