"""Claims on early-bird tickets: the mask that pruning would find is there long before the end of training."""

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.evidence import POINTS, Contrast
from earlyphase.results.claims.network import Network, Share

FINAL, BEFORE = "from the mask of the end", "from the mask of the time before"


@claim(
    statement="Early-bird tickets: after {share:.0%} of training the mask that pruning would find is nearly "
    "that of the end",
    paper="masks differ in less than 10 % of their places from about 20 % of training on, or earlier "
    "(recollected; there of channels)",
    criterion="at the first measured time from {share:.0%} of training on, and for every share that is "
    "pruned, the masks differ in less than {edge:.0%} of the weights",
    source="You et al. 2020, Figure 2",
    reads=("early_bird",),
    unit="% of the weights",
    readings=(FINAL, BEFORE),
)
def B1(network: Network, reading: str, *, share: Share = 0.2, edge: Share = 0.1) -> Measured:
    """The distance at one time, for each share that is pruned."""
    table = network.table("early_bird", "the masks of kept states were not compared")
    end = table["iteration"].max()
    later = table[(table["iteration"] >= share * end) & (table["iteration"] < end)]
    if later.empty:
        raise NotRun(f"no state is kept between {share:.0%} of training and its end")
    at = later[later["iteration"] == later["iteration"].min()]
    column = "distance_final" if reading == FINAL else "distance_before"
    contrasts = [
        Contrast(
            f"{pruned:.0%} pruned at iteration {at['iteration'].iloc[0]:,}, {reading}",
            POINTS * rows.set_index("seed")[column],
            "below",
            edge=POINTS * edge,
        )
        for pruned, rows in at.groupby("pruned")
    ]
    return Measured(contrasts)
