"""Ways to retrain after pruning: accuracy against the time that a round retrains for."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.errors import InvalidInput
from earlyphase.registry import figure
from earlyphase.results.figures import style
from earlyphase.results.figures.labels import Labels, drawable, labels_by_name
from earlyphase.results.figures.tickets import DENSE, SUMMARY, dense_line, dense_points, results
from earlyphase.results.summaries import NETWORK, Tables, over_seeds

WEIGHTS = "weight rewinding"  # the curve of the chains that all other experiments use
PLACE = [*NETWORK, "round", "curve", "k", "retraining"]


@figure(reads=("imp", "criteria"), uses=("dense",))
def retraining(tables: Tables, *, chains: Labels) -> tuple[Figure, DataFrame]:
    """Draw final accuracy against the iterations that each round retrains for, by the way it does so.

    There is a panel for each density, with the dense network as a line. Each chain has retrained in all its
    rounds in the same way and for as long: from iteration k to the end.

    Args:
        tables: of one network: `imp` and `criteria`; `dense`, where there is one: a row per evaluation.
        chains: criterion and label of each way but weight rewinding, in the order of the legend.

    Returns:
        The figure; the dense network (`k` and `retraining` missing), then a row per round, way and k:
        `retraining` in iterations of a round, `density`, `mean`, `std`, `n`, `diverged`, `dead`.

    Raises:
        InvalidInput: there is none of these chains, or a label cannot be used.

    Source: Renda, Frankle & Carbin 2020, Figures 1 to 3.
    """
    labels = labels_by_name("retraining", chains, [WEIGHTS, DENSE])
    points = retraining_points(tables, labels)
    curves = [WEIGHTS, *(label for label in labels.values() if label in set(points["curve"]))]
    whole = dense_points({"dense": tables["dense"]} if "dense" in tables else {})
    rounds = sorted(points["round"].unique())
    with style.house_style():
        drawn, axes = style.new_axes(len(rounds), columns=3, sharey=True)
        for ax, number in zip(axes, rounds, strict=True):
            panel = points[points["round"] == number]
            for name, look in style.curve_styles(curves).items():
                curve = panel[panel["curve"] == name]
                style.curve_with_bars(ax, curve["retraining"], curve, 100, label=drawable(name), **look)
            dense_line(ax, whole)
            ax.set_title(f"{style.plain(100 * panel['density'].mean())} % of weights", loc="left")
            ax.set_xlim(left=0)
            ax.set_xlabel("Retraining in each round (iterations)")
        axes[0].set_ylabel("Test accuracy (%)")
        drawn.suptitle(style.network_of(points), x=0.01, ha="left", fontsize=8)
        style.add_legend(drawn, axes, "Retrained by")
        style.add_note(drawn, style.seeds_note(points))
    return drawn, concat([part for part in (whole, points) if len(part)], ignore_index=True)


def retraining_points(tables: Tables, labels: dict[str, str]) -> DataFrame:
    """Summarise the chains of each way over seeds: a row per round, way and k.

    Args:
        tables: as of the figure.
        labels: criterion -> label.

    Returns:
        Columns: `dataset`, `model`, `k`, `curve`, `round`, `retraining`, `density`, `mean`, `std`, `n`,
        `diverged`, `dead`; of the rounds that some of these chains have.

    Raises:
        InvalidInput: the table holds none of these chains.
    """
    others = results(tables, "criteria", "criterion", "k", "round", "seed")
    others = others.assign(curve=others["criterion"].map(labels)).dropna(subset="curve")
    if others.empty:
        raise InvalidInput(
            f"figure retraining: the table criteria holds no chain of those to show ({', '.join(labels)})"
        )
    own = results(tables, "imp", "k", "round", "seed").assign(curve=WEIGHTS)
    runs = concat([own[own["round"].isin(others["round"])], others], ignore_index=True)
    runs = runs.assign(retraining=runs["iteration"] - runs["k"]).astype({"k": "Int64"})
    points = over_seeds(runs, PLACE, means=["density"])
    return points[[*NETWORK, "k", "curve", "round", "retraining", *SUMMARY]]
