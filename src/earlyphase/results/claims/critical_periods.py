"""Claims on critical periods, C2 to C5: Achille et al. 2019, Golatkar et al. 2019."""

from functools import partial

from pandas import DataFrame, Series

from earlyphase.results.claims.evidence import INFINITY, POINTS, Contrast, Moved
from earlyphase.results.claims.judging import MARGIN, SIGN, Claim, Criterion, NotRun, Tables
from earlyphase.results.deficits import BASE, clean_runs, losses

OTHERS = "deficits in other models"  # key of the table of the other models on a network's data set

# Tasks and regimes by their names in config.yaml.
BLUR, FLIP = "blur", "vertical_flip"
FALLING = "rate falling from the start"
BARE = ("no_weight_decay", "not_augmented")  # regimes with less than the base

SCHEDULE, WEIGHT_DECAY, AUGMENTATION, ARCHITECTURE = FACTORS = (
    "schedule restarted", "weight decay", "augmentation", "architecture",
)  # fmt: skip
REGIMES = {  # of a factor: the first of them that was run
    SCHEDULE: ("restarted",),
    WEIGHT_DECAY: ("no_weight_decay",),
    AUGMENTATION: ("augmented", "not_augmented"),
}


# Measures: tables of one network -> (seeds, contrasts), in points


def lost_to(
    table: DataFrame, deficit: str, protocol: str, regime: str = BASE, network: str = ""
) -> DataFrame:
    """What a deficit costs in points, (seeds, windows); a window is (first, end), in the order of both."""
    found = losses(table)
    chosen = (found["deficit"] == deficit) & (found["protocol"] == protocol) & (found["regime"] == regime)
    found = found[chosen]
    if found.empty:
        place = {"removal": "removed, and training of the usual length followed", "window": "in a window"}
        raise NotRun(f"no run{network} under {regime!r} in which {deficit} was {place[protocol]}")
    return POINTS * found.pivot(index="seed", columns=["first", "end"], values="lost").sort_index(axis=1)


def deficits_in(tables: Tables) -> DataFrame:
    """The table of deficits."""
    if "deficits" not in tables or tables["deficits"].empty:
        raise NotRun("no deficit was run")
    return tables["deficits"]


def named(window: tuple[int, int], deficit: str) -> str:
    """Name a window of a deficit."""
    return f"{deficit} in iterations {window[0]:,} to {window[1]:,}"


def early_loss(tables: Tables, *, reading: str) -> DataFrame:
    """What blur costs that was there from the start: removed last, and in the first window.

    Args:
        reading: of the learning rate after the removal. It leaves windows as they are.
    """
    table = deficits_in(tables)
    removed = lost_to(table, BLUR, "removal", BASE if reading == FALLING else REGIMES[SCHEDULE][0])
    within = lost_to(table, BLUR, "window")
    last, first = removed.columns[-1], within.columns[0]
    if first[0] > 0:
        raise NotRun(f"no window begins at iteration 0; the first begins at {first[0]:,}")
    followed = f"loss to {named(last, BLUR)}, then training of the usual length, {reading}"
    return DataFrame({followed: removed[last], f"loss to {named(first, BLUR)}": within[first]})


def late_loss(tables: Tables, *, reading: str, share: float) -> DataFrame:
    """What blur costs in the last window, less a share of what it costs in the first one, in any reading."""
    within = lost_to(deficits_in(tables), BLUR, "window")
    if within.shape[1] < 2:
        raise NotRun("blur was run in one window; early and late are two")
    first, last = within.columns[0], within.columns[-1]
    label = f"loss to {named(last, BLUR)}"
    label += f" minus {share:g} of that to {named(first, BLUR)}" if share else ""
    return DataFrame({label: within[last] - share * within[first]})


def shift(tables: Tables, *, reading: str) -> list[Moved]:
    """How much more blur costs under a factor than in the base, over all times of removal that both have.

    Args:
        reading: the factor. A model on the same data set is one, too: every other one is a quantity.
    """
    table = deficits_in(tables)
    base = lost_to(table, BLUR, "removal")
    if reading == ARCHITECTURE:
        others = {
            name: lost_to(rows, BLUR, "removal", network=f" of {name}")
            for name, rows in tables.get(OTHERS, table.iloc[:0]).groupby("model")
        }
        if not others:
            raise NotRun("no other model was trained with deficits on this data set")
    else:
        regime = regime_of(reading, table)
        others = {regime: lost_to(table, BLUR, "removal", regime)}
    found = []
    for name, lost in others.items():
        shared = [window for window in base if window in lost]
        if not shared:
            raise NotRun(f"blur was removed at other times under {name!r} than in the base")
        ends = ", ".join(f"{end:,}" for _, end in shared)
        difference = (lost[shared] - base[shared]).mean(axis=1, skipna=False)
        found.append(Moved(difference.rename(f"{name}: loss minus that of the base, removed at {ends}")))
    return found


def regime_of(factor: str, table: DataFrame) -> str:
    """The regime by which a factor differs from the base, of those that it may have."""
    there = [name for name in REGIMES[factor] if name in set(table["regime"])]
    return (there or list(REGIMES[factor]))[0]


def held(tables: Tables, reading: str) -> tuple[Series, Series, DataFrame]:
    """Accuracy in points without a regulariser, with it throughout, and with it for a time.

    Returns:
        Seed -> accuracy, twice; (seeds, ["early", "late"]): with it until an iteration, and from it on. The
        iteration is the one nearest to the middle of training for which both were run; it is the name of
        the columns.
    """
    clean = clean_runs(deficits_in(tables))
    accuracy = POINTS * clean.pivot(index="seed", columns="regime", values="accuracy")
    regime, stop = regime_of(reading, clean), int(clean["stop"].iloc[0])
    windows = [tuple(map(int, name.split("-")[1:])) for name in accuracy if name.startswith(f"{regime}-")]
    times = [end for first, end in windows if first == 0 and (end, stop) in windows]
    if regime not in accuracy or BASE not in accuracy or not times:
        raise NotRun(f"{regime!r} was not held until an iteration, from that iteration on, and throughout")
    middle = min(times, key=lambda time: (abs(time - stop / 2), time))
    until, since = accuracy[f"{regime}-0-{middle}"], accuracy[f"{regime}-{middle}-{stop}"]
    if regime in BARE:  # what holds for a time is to be without it
        always, never, early, late = accuracy[BASE], accuracy[regime], since, until
    else:
        always, never, early, late = accuracy[regime], accuracy[BASE], until, since
    return never, always, DataFrame({"early": early, "late": late}).rename_axis(columns=f"{middle:,}")


def share_of_regularising(tables: Tables, *, reading: str, when: str, share: float) -> list[Contrast]:
    """What regularising for a time gains, less a share of what regularising throughout gains."""
    never, always, timed = held(tables, reading)
    gain = always - never
    since = "until" if when == "early" else "from"
    time = timed.columns.name
    label = f"{reading} {since} iteration {time}: gain minus {share:g} of that of {reading} throughout"
    values = (timed[when] - never - share * gain).rename(label)
    return [Contrast(values, gain, f"{reading} throughout itself gains")]


def flip_loss(tables: Tables, *, share: float) -> list[Contrast]:
    """What a vertical flip costs, less a share of what blur costs in the same window.

    In the first window that both have, and removed last of the times that both have, as far as they were
    run. A late window has no clean training after it, or little, so its loss is not a lasting one.
    """
    table, found = deficits_in(tables), []
    for protocol, place in (("window", 0), ("removal", -1)):
        try:
            flipped, blurred = (lost_to(table, name, protocol) for name in (FLIP, BLUR))
        except NotRun:
            continue
        if shared := [window for window in flipped if window in blurred]:
            window = shared[place]
            label = f"loss to {named(window, FLIP)}" + (
                f" minus {share:g} of that to {BLUR}" if share else ""
            )
            values = (flipped[window] - share * blurred[window]).rename(label)
            found.append(Contrast(values, blurred[window] if share else None, f"{BLUR} itself costs"))
    if not found:
        raise NotRun(f"{FLIP} and {BLUR} were run in no window that they share")
    return found


# The claims

POSITIVE, NEGATIVE = (0, INFINITY), (-INFINITY, 0)
QUARTER = f"{100 * MARGIN:.0f} %"
NEGLIGIBLE = (-0.5, 0.5)  # points; the paper has no number, so the tolerance of its other comparisons
MOVES = Criterion(
    shift,
    NEGLIGIBLE,
    "the loss to blur under the factor differs from that in the base (two-sided t test); not reproduced if "
    "the difference lies within ±0.5 points (TOST)",
)
EARLY_GAINS = Criterion(
    partial(share_of_regularising, when="early", share=1 - MARGIN),
    POSITIVE,
    f"regularised until the middle of training, less than {QUARTER} of the gain of all of it is lost",
    also=Criterion(
        partial(share_of_regularising, when="late", share=MARGIN),
        NEGATIVE,
        f"regularised from the middle on, less than {QUARTER} of that gain is there",
    ),
)

CRITICAL_PERIODS = (
    Claim(
        "C2",
        "A deficit early in training leaves a permanent loss; the same deficit late does not",
        "several points, up to about ten; none late (Achille et al. 2019, recollected)",
        ("deficits",),
        Criterion(
            early_loss,
            (0.5, INFINITY),
            "blur from iteration 0 on costs more than 0.5 points in the end",
            also=Criterion(
                partial(late_loss, share=0),
                NEGLIGIBLE,
                "equivalence (TOST): blur in the last window costs within ±0.5 points",
            ),
        ),
        Criterion(
            early_loss,
            POSITIVE,
            f"{SIGN}: blur from iteration 0 on costs accuracy",
            also=Criterion(
                partial(late_loss, share=MARGIN),
                NEGATIVE,
                f"short study: blur in the last window costs less than {QUARTER} of that in the first",
            ),
        ),
        readings=(FALLING, f"rate {REGIMES[SCHEDULE][0]}"),
    ),
    Claim(
        "C3",
        "Architecture, learning-rate schedule and regularisation move the critical period",
        "stated without a number; restarting the rate closes most of the gap in later work",
        ("deficits",),
        MOVES,
        MOVES,
        readings=FACTORS,
    ),
    Claim(
        "C4",
        "Weight decay and augmentation matter early in training and little late",
        "early alone as good as throughout, late alone as bad as never (Golatkar et al. 2019, recollected)",
        ("deficits",),
        EARLY_GAINS,
        EARLY_GAINS,
        readings=(WEIGHT_DECAY, AUGMENTATION),
    ),
    Claim(
        "C5",
        "A deficit that leaves low-level statistics alone, a vertical flip, has no lasting effect",
        "no lasting loss (Achille et al. 2019)",
        ("deficits",),
        Criterion(
            partial(flip_loss, share=0), NEGLIGIBLE, "equivalence (TOST): flipping costs within ±0.5 points"
        ),
        Criterion(
            partial(flip_loss, share=MARGIN),
            NEGATIVE,
            f"short study: flipping costs less than {QUARTER} of what blur costs in the same window",
        ),
    ),
)
