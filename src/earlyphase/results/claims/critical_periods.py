"""Claims on deficits: critical periods (Achille et al. 2019) and regularisation (Golatkar et al. 2019).

A change is the accuracy of a training with a deficit minus that of one without, which is as long and has the
same schedule: the control. Negative is worse.
"""

from itertools import pairwise

from pandas import DataFrame, Series

from earlyphase.registry import claim
from earlyphase.results.claims.claim import Measured, NotRun
from earlyphase.results.claims.evidence import Contrast, Margin
from earlyphase.results.claims.network import Network, Points, Share
from earlyphase.results.deficits import BASE, RUN

RESTARTED = "restarted"  # the regime whose learning rate begins anew when the deficit ends
AUGMENTATION = ("augmented", "not_augmented")  # what is augmented already has the second regime
Window = tuple[int, int]  # of iterations with the deficit: first, end
Names = tuple[str, ...]  # of regimes, in config.yaml


def runs_of(network: Network) -> DataFrame:
    """Results of the trainings with and without a deficit; `length`, of the usual training."""
    runs = network.results("deficits", RUN, "no deficit was run")
    usual = runs.loc[runs["end"] == 0, "stop"]
    if usual.empty:
        raise NotRun("no training without a deficit was run")
    return runs.assign(length=usual.iloc[0])


def changes(network: Network, deficit: str, regime: str, *, followed: bool) -> DataFrame:
    """What a deficit changes in points, (seeds, windows), in the order of the windows.

    Args: followed: whether training of the usual length follows the window; else all together is of that
        length.
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


def name_of(window: Window, deficit: str) -> str:
    """Name a window of a deficit."""
    return f"{deficit} in iterations {window[0]:,} to {window[1]:,}, minus none"


@claim(
    statement="A deficit early in training, in iterations {early}, leaves a permanent loss; the same "
    "deficit later, in {late}, does not",
    paper="several points, up to about ten; none late (Achille et al. 2019, recollected)",
    criterion="blur in the first window costs more than {least} points, and as long a blur in the last "
    "window less than the margin. The usual training follows each window, with the learning rate begun "
    "anew; the control is as long, has the same schedule, and is clean",
    source="Achille et al. 2019",
    reads=("deficits",),
    places={"early": "0 to 40 epochs", "late": "a later window of that length"},
)
def C2(
    network: Network,
    *,
    deficit: str = "blur",
    regime: str = RESTARTED,
    least: Points = 0.5,
    margin: Points = 1.0,
) -> Measured:
    """The first window, and the last of the same length, each with as much clean training after it."""
    change = changes(network, deficit, regime, followed=True)
    pairs = [
        ((0, late[1] - late[0]), late) for late in change if late[0] > 0 and (0, late[1] - late[0]) in change
    ]
    if not pairs:
        raise NotRun(
            f"{deficit} under {regime!r} was run in no two windows of one length, one of them from 0 on"
        )
    early, late = pairs[-1]
    costs = Contrast(name_of(early, deficit), change[early], "below", edge=-least)
    none = Contrast(name_of(late, deficit), change[late], "not worse", margin=Margin(-change[early], margin))
    return Measured([costs, none], early=f"{early[0]:,} to {early[1]:,}", late=f"{late[0]:,} to {late[1]:,}")


def time_of_loss(network: Network, deficit: str, regime: str, ends: list[Window]) -> tuple[Series, Contrast]:
    """When the loss to a deficit arises: the mean iteration of its growth from one removal to the next.

    A ratio of means, with the values of single seeds to first order, so that a seed that loses little does
    not blow up: their mean is the ratio, their spread that of its error.

    Returns:
        seed -> iteration; and that something is lost at all, without which there is no such time.
    """
    lost = -changes(network, deficit, regime, followed=True)[ends]
    total = lost[ends[-1]]
    steps = lost.diff(axis=1)
    steps[ends[0]] = lost[ends[0]]
    bounds = [0, *(end for _, end in ends)]
    middles = [(before + after) / 2 for before, after in pairwise(bounds)]
    moment = (steps * middles).sum(axis=1, skipna=False)
    time = moment.mean() / total.mean()
    return time + (moment - time * total) / total.mean(), Contrast(f"loss under {regime!r}", total, edge=0.5)


@claim(
    statement="Architecture, learning-rate schedule and regularisation move the critical period",
    paper="stated without a number; restarting the rate closes most of the gap in later work",
    criterion="when the loss to blur arises, the mean iteration over its growth from one time of removal "
    "to the next, differs from that in the base training (two-sided); not reproduced if it differs by less "
    "than {least:.0%} of training. Both must lose something, each against as long a clean training",
    source="Achille et al. 2019",
    reads=("deficits",),
    unit="iterations",
    readings=("schedule restarted", "weight decay", "augmentation", "architecture"),
)
def C3(
    network: Network, reading: str, *, deficit: str = "blur", least: Share = 0.1,
    weight_decay: Names = ("no_weight_decay",), augmentation: Names = AUGMENTATION,
) -> Measured:  # fmt: skip
    """A factor: a regime, or each of the other networks on the data set."""
    runs, base = runs_of(network), changes(network, deficit, BASE, followed=True)
    regimes = {"schedule restarted": (RESTARTED,), "weight decay": weight_decay, "augmentation": augmentation}
    regime, others = BASE, {}
    if reading in regimes:
        regime = first_there(regimes[reading], runs)
        others[f"under {regime!r}"] = network
    else:
        harmed = network.others.get("deficits", DataFrame(columns=["model"]))
        others = {f"in {name}": network.other(name) for name in sorted(harmed["model"].unique())}
    if not others:
        raise NotRun("no other model was trained with deficits on this data set")
    edge, contrasts = least * int(runs["length"].iloc[0]), []
    for name, other in others.items():
        changed = changes(other, deficit, regime, followed=True)
        ends = [window for window in base if window[0] == 0 and window in changed]
        if len(ends) < 2:
            raise NotRun(f"{deficit} {name} was removed at fewer than two of the times of the base")
        time, loses = time_of_loss(other, deficit, regime, ends)
        usual, loses_too = time_of_loss(network, deficit, BASE, ends)
        label = f"when the loss arises {name} minus in the base"
        contrasts.append(Contrast(label, time - usual, "apart", edge=edge, given=(loses, loses_too)))
    return Measured(contrasts)


def first_there(regimes: Names, runs: DataFrame) -> str:
    """The first of `regimes` that was run; the first of all if none was."""
    there = set(runs["regime"])
    return next((name for name in regimes if name in there), regimes[0])


@claim(
    statement="Weight decay and augmentation matter early in training and little late",
    paper="early alone as good as throughout, late alone as bad as never (Golatkar et al. 2019, recollected)",
    criterion="regularising throughout gains more than {least} points; only until the middle of training "
    "it is less than the margin below that, {margin} points at most, and from the middle on it keeps less "
    "than {share:.0%} of the gain, or than half a point",
    source="Golatkar et al. 2019",
    reads=("deficits",),
    readings=("weight decay", "augmentation"),
)
def C4(
    network: Network, reading: str, *, weight_decay: Names = ("no_weight_decay",),
    augmentation: Names = AUGMENTATION, without: Names = ("no_weight_decay", "not_augmented"),
    least: Points = 0.5, share: Share = 0.25, margin: Points = 1.0,
) -> Measured:  # fmt: skip
    """A regulariser throughout, early and late, beside never and throughout."""
    regimes = weight_decay if reading == "weight decay" else augmentation
    never, always, early, late, time = held(network, regimes, without)
    gain, name = always - never, f"{reading} {{}} {time:,} minus"
    until, since = Margin(gain, margin), Margin(gain, share=share)
    return Measured([
        Contrast(f"{reading} throughout minus never", gain, edge=least),
        Contrast(f"{name.format('until')} throughout", early - always, "not worse", margin=until),
        Contrast(f"{name.format('from')} never", late - never, "not better", margin=since),
    ])  # fmt: skip


def held(network: Network, regimes: Names, without: Names) -> tuple[Series, Series, Series, Series, int]:
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
    criterion="flipping costs less than the margin in the first window, and removed last of the times at "
    "which blur was; the gain that the margin is a share of is what blur costs there",
    source="Achille et al. 2019",
    reads=("deficits",),
)
def C5(
    network: Network, *, deficit: str = "vertical_flip", other: str = "blur", margin: Points = 1.0
) -> Measured:
    """A window late in training has little clean training after it, so its loss is not a lasting one."""
    contrasts = []
    for followed, place in ((False, 0), (True, -1)):
        try:
            own, others = (changes(network, name, BASE, followed=followed) for name in (deficit, other))
        except NotRun:
            continue
        if shared := [window for window in own if window in others and window[0] == 0]:
            window = shared[place]
            margins = Margin(-others[window], margin)
            contrasts.append(Contrast(name_of(window, deficit), own[window], "not worse", margin=margins))
    if not contrasts:
        raise NotRun(f"{deficit} and {other} were run in no window that they share, from iteration 0 on")
    return Measured(contrasts)
