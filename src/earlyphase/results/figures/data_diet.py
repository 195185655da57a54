"""What IMP finds where the network saw only a share of the images until iteration k."""

from matplotlib.figure import Figure
from pandas import DataFrame, concat

from earlyphase.registry import figure
from earlyphase.results.figures import style, tickets
from earlyphase.results.figures.tickets import BASELINES, OWN_MASKS, TO_K
from earlyphase.results.pretraining import chains
from earlyphase.results.summaries import Tables

ALL, AT_0 = "all images", "k = 0"


@figure(reads=("diet_dense", "diet_imp"), uses=("imp", "dense"))
def data_diet(tables: Tables) -> tuple[Figure, DataFrame]:
    """Draw final accuracy of tickets against density, a panel for each iteration k to which they rewind.

    Until k the network saw a share of the images, from then on all of them, as did every ticket; round 0 is
    the dense network that began so. Beside it stand tickets that saw all images until k, and those of k = 0.

    Args:
        tables: of one network: `diet_dense` and `diet_imp`; `imp` and `dense`, if any.

    Returns:
        The figure; the dense network that saw all images (`k` missing), then a row per k, curve and round,
        with the columns of `ticket_points`.

    Source: Paul et al. 2022.
    """
    began = chains({"pretrained_dense": tables["diet_dense"], "pretrained_imp": tables["diet_imp"]})
    shares = tables["diet_imp"]["pretraining"].unique()
    began = began.assign(k=began["pretraining_iterations"], curve=began["pretraining"])
    began["density"] = began["density"].where(began["round"] > 0, 1.0)
    rewound, parts = tickets.results(tables, "imp", "k", "round", "seed"), [began]
    for k in sorted(began["k"].unique()):
        for other, curve in ((0, AT_0), (k, ALL)):
            parts.append(rewound[rewound["k"] == other].assign(curve=curve, k=k))
    parts = [part for part in parts if len(part)]
    points = tickets.ticket_points(concat(parts, ignore_index=True), [ALL, AT_0, *shares])
    points = concat([tickets.dense_points(tables), points], ignore_index=True)
    styles = {ALL: BASELINES[TO_K], AT_0: BASELINES[OWN_MASKS]} | style.curve_styles(shares)
    return tickets.draw_by_k(points, styles, "Images until k"), points
