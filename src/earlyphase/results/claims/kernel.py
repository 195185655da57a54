"""Claims on the velocity of the empirical tangent kernel."""

from pandas import Series

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.evidence import POINTS, Contrast
from earlyphase.results.claims.first_iterations import by_seed
from earlyphase.results.claims.network import Network, Share


@claim(
    statement="The tangent kernel changes fast at first and then ever more slowly: from {share:.0%} of "
    "training on, less than {most:.0%} as fast as at iteration 0",
    paper="its velocity falls by more than an order of magnitude in the first two or three epochs "
    "(recollected)",
    criterion="at every measured time from {share:.0%} of training on, its velocity over an interval of "
    "fixed length is less than {most:.0%} of that at iteration 0",
    source="Fort et al. 2020, Figure 4",
    reads=("kernel",),
    unit="% of the velocity at 0",
)
def K1(network: Network, *, share: Share = 0.1, most: Share = 0.1) -> Measured:
    """Later velocities as a share of the first."""
    table = network.table("kernel", "the tangent kernel was not computed")
    velocities = by_seed(table, "velocity")
    later = velocities[velocities.index >= share * (velocities.index.max() + table["interval"].max())]
    later = later[later.index > 0]
    if 0 not in velocities.index or later.empty:
        raise NotRun(f"the kernel was not computed at iteration 0 and from {share:.0%} of training on")
    contrasts = []
    for time, values in later.iterrows():
        shares: Series = POINTS * values / velocities.loc[0]
        contrasts.append(Contrast(f"velocity at iteration {time:,}", shares, "below", edge=POINTS * most))
    return Measured(contrasts)
