"""Claims on the edge of stability: learning rate times the Hessian's largest eigenvalue along training."""

from pandas import DataFrame

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.evidence import POINTS, Contrast
from earlyphase.results.claims.first_iterations import by_seed
from earlyphase.results.claims.network import Network

SOURCE, READS = "Cohen et al. 2021", ("edge_of_stability",)


def followed(network: Network) -> DataFrame:
    """The eigenvalue along training, a row per iteration and seed."""
    return network.table("edge_of_stability", "the largest eigenvalue was not followed along training")


def before_and_after(table: DataFrame, column: str) -> tuple[DataFrame, DataFrame]:
    """A column while the learning rate is above half of its highest value, and after it; (iterations, seeds).

    Raises:
        NotRun: it was measured at too few times before.
    """
    values, rate = by_seed(table, column), table.groupby("iteration")["learning_rate"].mean()
    last = rate.index[rate > rate.max() / 2].max()
    before = values[values.index <= last]
    if len(before) < 4:
        raise NotRun(f"it was measured at {len(before)} times before the learning rate fell; four are needed")
    return before, values[values.index > last]


def later_half(values: DataFrame) -> DataFrame:
    """The rows in the later half of the time that they span."""
    return values[values.index >= values.index.max() / 2]


@claim(
    statement="Under SGD with mini-batches the learning rate times the Hessian's largest eigenvalue settles "
    "below the edge of stability, 2 (1 + momentum)",
    paper="full-batch gradient descent hovers just above the edge; SGD settles below it, the lower the "
    "smaller the mini-batch (recollected)",
    criterion="its mean over the later half of the iterations before the learning rate falls, divided by "
    "the edge, is less than 100 %",
    source=f"{SOURCE}, section 6",
    reads=READS,
    unit="% of the edge",
)
def E1(network: Network) -> Measured:
    """The product on its plateau, as a share of the edge."""
    table = followed(network)
    if table["edge"].isna().all():
        raise NotRun("the optimiser's edge is none of the Hessian's largest eigenvalue alone")
    shares = table["learning_rate"] * table["eigenvalue"] / table["edge"]
    before, _ = before_and_after(table.assign(share=shares), "share")
    plateau = POINTS * later_half(before).mean(axis=0, skipna=False)
    return Measured([Contrast("learning rate times largest eigenvalue", plateau, "below", edge=POINTS)])


@claim(
    statement="The largest eigenvalue grows while it is below the edge, from iteration {first} on",
    paper="progressive sharpening: it rises, given time, until it reaches the edge (recollected)",
    criterion="its mean over the later half of the iterations before the learning rate falls is above its "
    "mean over the first {first}",
    source=f"{SOURCE}, section 3.1",
    reads=READS,
    unit="%",
)
def E2(network: Network, *, first: int = 50) -> Measured:
    """Growth of the eigenvalue, in % of its early mean."""
    before, _ = before_and_after(followed(network), "eigenvalue")
    early, late = before[before.index <= first], later_half(before)
    if early.empty or late.index.min() <= first:
        raise NotRun(f"the later half of the iterations before the rate falls does not begin after {first}")
    growth = late.mean(axis=0, skipna=False) / early.mean(axis=0, skipna=False) - 1
    return Measured([Contrast("growth from the first iterations to the later half", POINTS * growth)])


@claim(
    statement="When the learning rate falls, the largest eigenvalue grows again",
    paper="a lower rate raises the edge, towards which it rises once more (recollected); with cross-entropy "
    "it falls at the end of training",
    criterion="its mean after the fall is above its mean over the later half of the iterations before it",
    source=f"{SOURCE}, section 3; Jastrzebski et al. 2019",
    reads=READS,
    unit="%",
)
def E3(network: Network) -> Measured:
    """Growth of the eigenvalue after the rate has fallen, in % of what it was before."""
    before, after = before_and_after(followed(network), "eigenvalue")
    if after.empty:
        raise NotRun("the learning rate does not fall, or nothing was measured after it")
    growth = after.mean(axis=0, skipna=False) / later_half(before).mean(axis=0, skipna=False) - 1
    return Measured([Contrast("growth after the fall of the rate", POINTS * growth)])
