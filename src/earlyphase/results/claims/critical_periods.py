"""Claims on deficits: critical periods (Achille et al. 2019) and regularisation (Golatkar et al. 2019).

A change is the accuracy of a training with a deficit minus that of one without, which is as long and has the same
schedule: the control. Negative is worse.
"""

from pandas import DataFrame, Series

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.evidence import Contrast, Margin
from earlyphase.results.claims.network import Network
from earlyphase.results.claims.numbers import Points, Share
from earlyphase.results.deficits import BASE, RUN

RESTARTED = "restarted"  # the regime whose learning rate begins anew when the deficit ends
Window = tuple[int, int]  # of iterations with the deficit: first, end


def runs_of(network: Network) -> DataFrame:
    """Results of the trainings with and without a deficit; `length`, of the usual training."""
    runs = network.results("deficits", RUN, "no deficit was run")
    usual = runs.loc[runs["end"] == 0, "stop"]
    if usual.empty:
        raise NotRun("no training without a deficit was run")
    return runs.assign(length=usual.iloc[0])


def changes(network: Network, deficit: str, regime: str, *, followed: bool) -> DataFrame:
    """What a deficit changes in points, (seeds, windows), in the order of the windows.

    Args:
        followed: whether training of the usual length follows the window; else all together is of that length.
    """
    runs = runs_of(network)
    goes_on = runs["stop"] == runs["end"] + runs["length"]
    within = (runs["regime"] == regime) & (runs["end"] > 0) & (goes_on == followed)
    harmed, own = (runs[within & (runs["deficit"] == name)] for name in (deficit, runs["task"].iloc[0]))
    if harmed.empty:
        place = "followed by the usual training" if followed else "in a training of the usual length"
        raise NotRun(f"no run of {deficit} under {regime!r}, {place}")
    accuracy, control = (
        table.pivot(index="seed", columns=["first", "end"], values="accuracy") for table in (harmed, own)
    )
    if not followed:
        clean = runs[runs["end"] == 0].pivot(index="seed", columns="regime", values="accuracy")
        return accuracy.sub(clean[regime if regime in clean else BASE], axis=0).sort_index(axis=1)
    matched = [window for window in accuracy if window in control]
    if not matched:
        raise NotRun(
            f"no training under {regime!r} without a deficit is as long: the run's own task in its place"
        )
    return (accuracy[matched] - control[matched]).sort_index(axis=1)


def named(window: Window, deficit: str) -> str:
    """Name a window of a deficit."""
    return f"{deficit} in iterations {window[0]:,} to {window[1]:,}, minus none"


@claim(
    statement="A deficit early in training, in iterations {early}, leaves a permanent loss; the same deficit later, in "
    "{late}, does not",
    paper="several points, up to about ten; none late (Achille et al. 2019, recollected)",
    criterion="blur in the first window costs more than {least} points, and as long a blur in the last window less than the "
    "margin. The usual training follows each window, with the learning rate begun anew, and the control is as long, with "
    "the same schedule, and clean",
    source="Achille et al. 2019",
    reads=("deficits",),
    places={"early": "0 to 40 epochs", "late": "a window of the same length"},
)
def C2(
    network: Network, *, deficit: str = "blur", regime: str = "restarted", least: Points = 0.5, margin: Points = 0.5,
    most: Points = 1.0,
) -> Measured:  # fmt: skip
    """The first window, and the last of the same length, each with as much clean training after it."""
    change = changes(network, deficit, regime, followed=True)
    pairs = [
        (early, late)
        for late in change
        for early in change
        if early[0] == 0 < late[0] and early[1] == late[1] - late[0]
    ]
    if not pairs:
        raise NotRun(
            f"{deficit} under {regime!r} was run in no two windows of one length, one of them from iteration 0 on"
        )
    early, late = pairs[-1]
    found = [
        Contrast(named(early, deficit), change[early], "below", edge=-least),
        Contrast(
            named(late, deficit), change[late], "not worse", margin=Margin(margin, most, -change[early])
        ),
    ]
    return Measured(found, early=f"{early[0]:,} to {early[1]:,}", late=f"{late[0]:,} to {late[1]:,}")


def time_of_loss(network: Network, deficit: str, regime: str, ends: list[Window]) -> tuple[Series, Contrast]:
    """When the loss to a deficit arises: the mean iteration of its growth from one removal to the next.

    A ratio of means, with the values of single seeds to first order, so that a seed that loses little does not
    blow up: their mean is the ratio, their spread that of its error.

    Returns:
        seed -> iteration; and that something is lost at all, without which there is no such time.
    """
    lost = -changes(network, deficit, regime, followed=True)[ends]
    total = lost[ends[-1]]
    steps = lost.diff(axis=1)
    steps[ends[0]] = lost[ends[0]]
    bounds = [0, *(end for _, end in ends)]
    middles = [(before + after) / 2 for before, after in zip(bounds, bounds[1:], strict=False)]
    moment = (steps * middles).sum(axis=1, skipna=False)
    time = moment.mean() / total.mean()
    return time + (moment - time * total) / total.mean(), Contrast(f"loss under {regime!r}", total, edge=0.5)


@claim(
    statement="Architecture, learning-rate schedule and regularisation move the critical period",
    paper="stated without a number; restarting the rate closes most of the gap in later work",
    criterion="when the loss to blur arises, the mean iteration over its growth from one time of removal to the next, differs "
    "from that in the base training (two-sided); not reproduced if it differs by less than {least:.0%} of training. Both "
    "must lose something, each against as long a clean training",
    source="Achille et al. 2019",
    reads=("deficits",),
    unit="iterations",
    readings=("schedule restarted", "weight decay", "augmentation", "architecture"),
)
def C3(
    network: Network, *, reading: str, deficit: str = "blur", least: Share = 0.1,
    weight_decay: str = "no_weight_decay", augmentation: tuple[str, ...] = ("augmented", "not_augmented"),
) -> Measured:  # fmt: skip
    """A factor: a regime, or each of the other networks on the data set."""
    runs = runs_of(network)
    base = changes(network, deficit, BASE, followed=True)
    of_factor = {
        "schedule restarted": RESTARTED,
        "weight decay": weight_decay,
        "augmentation": first_there(augmentation, runs),
        "architecture": BASE,
    }
    regime = of_factor[reading]
    others = {f"under {regime!r}": network}
    if reading == "architecture":
        if network.others.empty:
            raise NotRun("no other model was trained with deficits on this data set")
        others = {
            f"in {name}": Network({"deficits": rows}, facts={"classes": network.facts.get("classes")})
            for name, rows in network.others.groupby("model")
        }
    found = []
    for name, other in others.items():
        changed = changes(other, deficit, regime, followed=True)
        ends = [window for window in base if window[0] == 0 and window in changed]
        if len(ends) < 2:
            raise NotRun(f"{deficit} {name} was removed at fewer than two of the times of the base")
        (time, loses), (usual, loses_too) = (
            time_of_loss(one, deficit, at, ends) for one, at in ((other, regime), (network, BASE))
        )
        label = f"when the loss arises {name} minus in the base"
        edge = least * int(runs["length"].iloc[0])
        found.append(Contrast(label, time - usual, "apart", edge=edge, given=(loses, loses_too)))
    return Measured(found)


def first_there(regimes: tuple[str, ...], runs: DataFrame) -> str:
    """The first of `regimes` that was run; the first of all if none was."""
    there = set(runs["regime"])
    return next((name for name in regimes if name in there), regimes[0])


@claim(
    statement="Weight decay and augmentation matter early in training and little late",
    paper="early alone as good as throughout, late alone as bad as never (Golatkar et al. 2019, recollected)",
    criterion="regularising throughout gains more than {least} points; only until the middle of training it is less than the "
    "margin below that, and from the middle on it keeps less than {share:.0%} of the gain, or than {margin} points",
    source="Golatkar et al. 2019",
    reads=("deficits",),
    readings=("weight decay", "augmentation"),
)
def C4(
    network: Network, *, reading: str, weight_decay: tuple[str, ...] = ("no_weight_decay",),
    augmentation: tuple[str, ...] = ("augmented", "not_augmented"),
    without: tuple[str, ...] = ("no_weight_decay", "not_augmented"), least: Points = 0.5, share: Share = 0.25,
    margin: Points = 0.5, most: Points = 1.0,
) -> Measured:  # fmt: skip
    """A regulariser throughout, early and late, beside never and throughout."""
    never, always, early, late, time = held(
        network, {"weight decay": weight_decay}.get(reading, augmentation), without
    )
    gain = always - never
    found = [
        Contrast(f"{reading} throughout minus never", gain, edge=least),
        Contrast(
            f"{reading} until {time:,} minus throughout",
            early - always,
            "not worse",
            margin=Margin(margin, most, gain),
        ),
        Contrast(
            f"{reading} from {time:,} minus never",
            late - never,
            "not better",
            margin=Margin(margin, gain=gain, share=share),
        ),
    ]
    return Measured(found)


def held(
    network: Network, regimes: tuple[str, ...], without: tuple[str, ...]
) -> tuple[Series, Series, Series, Series, int]:
    """Accuracy by seed without a regulariser, with it throughout, early, and late; and the iteration between.

    It is the one nearest to the middle of training for which both were run.
    """
    runs = runs_of(network)
    clean = runs[runs["end"] == 0]
    accuracy = clean.pivot(index="seed", columns="regime", values="accuracy")
    regime, stop = first_there(regimes, clean), int(clean["stop"].iloc[0])
    windows = [tuple(map(int, name.split("-")[1:])) for name in accuracy if name.startswith(f"{regime}-")]
    times = [end for first, end in windows if first == 0 and (end, stop) in windows]
    if regime not in accuracy or BASE not in accuracy or not times:
        raise NotRun(f"{regime!r} was not held until an iteration, from that iteration on, and throughout")
    middle = min(times, key=lambda time: (abs(time - stop / 2), time))
    until, since = accuracy[f"{regime}-0-{middle}"], accuracy[f"{regime}-{middle}-{stop}"]
    if regime in without:  # what holds for a time is to be without it
        return accuracy[regime], accuracy[BASE], since, until, middle
    return accuracy[BASE], accuracy[regime], until, since, middle


@claim(
    statement="A deficit that leaves low-level statistics alone, a vertical flip, has no lasting effect",
    paper="no lasting loss (Achille et al. 2019)",
    criterion="flipping costs less than the margin in the first window, and removed last of the times at which blur was; the "
    "gain that the margin is a share of is what blur costs there",
    source="Achille et al. 2019",
    reads=("deficits",),
)
def C5(
    network: Network,
    *,
    deficit: str = "vertical_flip",
    other: str = "blur",
    margin: Points = 0.5,
    most: Points = 1.0,
) -> Measured:
    """A window late in training has little clean training after it, so its loss is not a lasting one."""
    found = []
    for followed, place in ((False, 0), (True, -1)):
        try:
            own, others = (changes(network, name, BASE, followed=followed) for name in (deficit, other))
        except NotRun:
            continue
        if shared := [window for window in own if window in others and window[0] == 0]:
            window = shared[place]
            margins = Margin(margin, most, -others[window])
            found.append(Contrast(named(window, deficit), own[window], "not worse", margin=margins))
    if not found:
        raise NotRun(f"{deficit} and {other} were run in no window that they share, from iteration 0 on")
    return Measured(found)
