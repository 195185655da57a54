"""A claim on sparse networks that were taught wrong labels: sparse double descent (He et al. 2022)."""

from itertools import combinations

from pandas import DataFrame

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.evidence import POINTS, Contrast
from earlyphase.results.claims.network import Network


def errors(network: Network, tasks: tuple[str, ...]) -> tuple[DataFrame, dict[int, float]]:
    """Test error in points, (seeds, rounds), and the density of each round; round 0 is the dense network.

    Tickets are those of the smallest k.
    """
    runs = network.results("imp", ["seed", "k", "round"])
    if not runs["task"].isin(tasks).all():
        raise NotRun(f"the task is {runs['task'].iloc[0]}, none of {', '.join(tasks)}")
    runs = runs[runs["k"] == runs["k"].min()]
    error = POINTS - runs.pivot(index="seed", columns="round", values="accuracy")
    error.insert(0, 0, POINTS - network.dense())
    return error, {0: 1.0} | runs.groupby("round")["density"].mean().to_dict()


def peak_and_valley(error: DataFrame) -> tuple[int, int]:
    """Rounds, the peak before the valley, between which the mean error descends most clearly a second time.

    Least of how far the peak is above the dense network, the peak above the valley, and the last round above
    the valley: of all pairs it is largest for this one.

    Args:
        error: (seeds, rounds), rounds from 0 on.
    """
    rounds, mean = list(error), error.mean().to_numpy()

    def least(pair: tuple[int, int]) -> float:
        peak, valley = mean[list(pair)]
        return min(peak - mean[0], peak - valley, mean[-1] - valley)

    peak, valley = max(combinations(range(1, len(mean) - 1), 2), key=least)
    return rounds[peak], rounds[valley]


@claim(
    statement="With wrong labels in training, test error descends twice as weights are pruned: it rises to a "
    "peak at {peak:.1%} of the weights, falls to a valley at {valley:.1%}, and rises at last",
    paper="first worse, then better, and worse at last (abstract)",
    criterion="error is higher at the peak than in the dense network and than in the valley, and at last "
    "higher than in the valley; for each seed, peak and valley are where the other seeds have them",
    source="He et al. 2022, abstract",
    reads=("imp", "dense"),
    places={"peak": 0.2, "valley": 0.03},
)
def D12(network: Network, *, tasks: tuple[str, ...] = ("noisy_labels", "noisy_labels_40")) -> Measured:
    """Three differences, at rounds that the seed itself had no say in; so none is above 0 by being chosen."""
    error, density = errors(network, tasks)
    if error.shape[1] < 4 or len(error) < 2:
        raise NotRun("a second descent needs three rounds and two seeds")
    rows = {}
    for seed, own in error.iterrows():
        peak, valley = peak_and_valley(error.drop(index=seed))
        rows[seed] = {"dense": own[0], "peak": own[peak], "valley": own[valley], "last": own.iloc[-1]}
    at = DataFrame(rows).T
    contrasts = [
        Contrast(f"error at {more} minus {less}", at[more] - at[less])
        for more, less in (("peak", "dense"), ("peak", "valley"), ("last", "valley"))
    ]
    peak, valley = peak_and_valley(error)
    return Measured(contrasts, peak=density[peak], valley=density[valley])
