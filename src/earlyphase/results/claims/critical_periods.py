"""Measures of deficits: critical periods (Achille et al. 2019) and regularisation (Golatkar et al. 2019)."""

from typing import Literal

from pandas import DataFrame, Series

from earlyphase.registry import measure
from earlyphase.results.claims.evidence import POINTS, Contrast, Moved
from earlyphase.results.claims.judging import OTHERS, NotRun, Tables
from earlyphase.results.claims.measures import MaybeShare, Share
from earlyphase.results.deficits import BASE, clean_runs, losses


def deficits_in(tables: Tables) -> DataFrame:
    """The table of deficits."""
    if "deficits" not in tables or tables["deficits"].empty:
        raise NotRun("no deficit was run")
    return tables["deficits"]


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


def named(window: tuple[int, int], deficit: str) -> str:
    """Name a window of a deficit."""
    return f"{deficit} in iterations {window[0]:,} to {window[1]:,}"


def first_there(regimes: list[str], table: DataFrame) -> str:
    """The first of `regimes` that was run; the first of all if none was."""
    there = set(table["regime"])
    return next((name for name in regimes if name in there), regimes[0])


@measure(reads=("deficits",))
def early_loss(tables: Tables, *, deficit: str, regime: str, reading: str) -> DataFrame:
    """What a deficit costs that was there from the start: removed last, and in the first window.

    Args:
        regime: of the training after the removal; windows are as they are.
        reading: the same in words.
    """
    table = deficits_in(tables)
    removed, within = lost_to(table, deficit, "removal", regime), lost_to(table, deficit, "window")
    last, first = removed.columns[-1], within.columns[0]
    if first[0] > 0:
        raise NotRun(f"no window begins at iteration 0; the first begins at {first[0]:,}")
    followed = f"loss to {named(last, deficit)}, then training of the usual length, {reading}"
    return DataFrame({followed: removed[last], f"loss to {named(first, deficit)}": within[first]})


@measure(reads=("deficits",))
def late_loss(tables: Tables, *, deficit: str, share: Share = 0) -> DataFrame:
    """What a deficit costs in the last window, less a share of what it costs in the first one."""
    within = lost_to(deficits_in(tables), deficit, "window")
    if within.shape[1] < 2:
        raise NotRun(f"{deficit} was run in one window; early and late are two")
    first, last = within.columns[0], within.columns[-1]
    label = f"loss to {named(last, deficit)}"
    label += f" minus {share:g} of that to {named(first, deficit)}" if share else ""
    return DataFrame({label: within[last] - share * within[first]})


@measure(reads=("deficits",))
def moved_loss(tables: Tables, *, deficit: str, regimes: list[str]) -> list[Moved]:
    """How much more a deficit costs under a factor than in the base, over all times of removal of both.

    Args:
        regimes: of the factor; none for the other models on the same data set, a quantity for each.
    """
    table = deficits_in(tables)
    base = lost_to(table, deficit, "removal")
    if regimes:
        regime = first_there(regimes, table)
        others = {regime: lost_to(table, deficit, "removal", regime)}
    else:
        others = {
            name: lost_to(rows, deficit, "removal", network=f" of {name}")
            for name, rows in tables.get(OTHERS, table.iloc[:0]).groupby("model")
        }
    if not others:
        raise NotRun("no other model was trained with deficits on this data set")
    found = []
    for name, lost in others.items():
        shared = [window for window in base if window in lost]
        if not shared:
            raise NotRun(f"{deficit} was removed at other times under {name!r} than in the base")
        ends = ", ".join(f"{end:,}" for _, end in shared)
        difference = (lost[shared] - base[shared]).mean(axis=1, skipna=False)
        found.append(Moved(difference.rename(f"{name}: loss minus that of the base, removed at {ends}")))
    return found


def held(tables: Tables, regimes: list[str], bare: list[str]) -> tuple[Series, Series, DataFrame]:
    """Accuracy in points without a regulariser, with it throughout, and with it for a time.

    Returns:
        Seed -> accuracy, twice; (seeds, ["early", "late"]): with it until an iteration, and from it on. The
        iteration is the one nearest to the middle of training for which both were run; it is the name of
        the columns.
    """
    clean = clean_runs(deficits_in(tables))
    accuracy = POINTS * clean.pivot(index="seed", columns="regime", values="accuracy")
    regime, stop = first_there(regimes, clean), int(clean["stop"].iloc[0])
    windows = [tuple(map(int, name.split("-")[1:])) for name in accuracy if name.startswith(f"{regime}-")]
    times = [end for first, end in windows if first == 0 and (end, stop) in windows]
    if regime not in accuracy or BASE not in accuracy or not times:
        raise NotRun(f"{regime!r} was not held until an iteration, from that iteration on, and throughout")
    middle = min(times, key=lambda time: (abs(time - stop / 2), time))
    until, since = accuracy[f"{regime}-0-{middle}"], accuracy[f"{regime}-{middle}-{stop}"]
    if regime in bare:  # what holds for a time is to be without it
        always, never, early, late = accuracy[BASE], accuracy[regime], since, until
    else:
        always, never, early, late = accuracy[regime], accuracy[BASE], until, since
    return never, always, DataFrame({"early": early, "late": late}).rename_axis(columns=f"{middle:,}")


@measure(reads=("deficits",))
def regularised_for_a_time(
    tables: Tables,
    *,
    regimes: list[str],
    bare: list[str],
    when: Literal["early", "late"],
    reading: str,
    kept: MaybeShare = None,
    lost: MaybeShare = None,
) -> list[Contrast]:
    """What regularising for a time gains, less a share of what regularising throughout gains.

    Args:
        regimes: of the regulariser: the first that was run.
        bare: regimes that are without one which the base has.
        reading: the regulariser in words.
    """
    share = kept if lost is None else 1 - lost
    never, always, timed = held(tables, regimes, bare)
    gain = always - never
    since = "until" if when == "early" else "from"
    time = timed.columns.name
    label = f"{reading} {since} iteration {time}: gain minus {share:g} of that of {reading} throughout"
    values = (timed[when] - never - share * gain).rename(label)
    return [Contrast(values, gain, f"{reading} throughout itself gains")]


@measure(reads=("deficits",))
def loss_beside(tables: Tables, *, deficit: str, other: str, share: Share = 0) -> list[Contrast]:
    """What a deficit costs, less a share of what another one costs in the same window.

    In the first window that both have, and removed last of the times that both have, as far as they were
    run. A late window has no clean training after it, or little, so its loss is not a lasting one.
    """
    table, found = deficits_in(tables), []
    for protocol, place in (("window", 0), ("removal", -1)):
        try:
            own, others = (lost_to(table, name, protocol) for name in (deficit, other))
        except NotRun:
            continue
        if shared := [window for window in own if window in others]:
            window = shared[place]
            label = f"loss to {named(window, deficit)}"
            label += f" minus {share:g} of that to {other}" if share else ""
            values = (own[window] - share * others[window]).rename(label)
            found.append(Contrast(values, others[window] if share else None, f"{other} itself costs"))
    if not found:
        raise NotRun(f"{deficit} and {other} were run in no window that they share")
    return found
