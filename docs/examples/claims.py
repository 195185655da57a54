from earlyphase import Contrast, Measured, claim


@claim(
    statement="Coarse rounding costs less than {edge:g} points more than fine rounding, at k = {k}",
    paper="no claim of the paper",
    criterion="the difference is less than {edge:g} points",
    source="this page",
    reads=("perturbed", "imp"),
    places={"k": 60},  # what the statement says where nothing is measured
)
def F1(network, *, fine: str = "rounded_2", coarse: str = "rounded_64", edge: float = 1):
    early = network.branches("early")[0]
    cost = Contrast(f"{fine} minus {coarse}", early.of(fine) - early.of(coarse), "below", edge=edge)
    return Measured([cost], k=early.k)
