"""Critical periods: which trainings with a deficit a run asks for, and how each is trained.

An entry of `critical_periods` is one of three protocols, each under some regimes:

    removed_at     a deficit from iteration 0 on, then clean training of the run's length
    onsets         a deficit of a fixed length from each onset, in a training of the run's length
    held           no deficit: the regime itself holds in a window, and the run's own training outside of it

A job is named by its regime, the window of its deficit and the iteration at which it stops, so two protocols
share what is the same. A training without a deficit has the run's own task in the window 0 to 0. The own task
removed later is a control: no deficit, but as long, and with the same schedule. The regime `base` is the
run's training as it is; one that holds in a window is written `{name}-{first}-{end}`.
"""

from earlyphase.core.schedules import as_iterations
from earlyphase.errors import InvalidInput
from earlyphase.study.configuration import closest, entries_of
from earlyphase.study.run import Run
from earlyphase.study.signatures import registered

BASE = "base"
PROTOCOLS = {"removed_at": {"deficits"}, "onsets": {"deficits", "length"}, "held": set()}  # what each needs
TIMED = {"weight_decay", "crop_padding", "flip"}  # what may hold in a window of iterations


def deficits_of(run: Run, regimes: dict[str, dict]) -> list[dict[str, list]]:
    """Trainings of a run in blocks of wildcards, each of which stands for all combinations of its values."""
    blocks, end = [], run.iterations
    for entry in run.critical_periods:
        wanted = [name for name in entry["regimes"] if name != BASE and clean_regime(name, regimes) != BASE]
        blocks.append(without_deficit(run, [BASE, *wanted]))
        times = {
            key: [as_iterations(time, end) for time in entry.get(key, [])] for key in ("removed_at", "onsets")
        }
        shared = {"regime": entry["regimes"], "deficit": entry.get("deficits", [])}
        for time in filter(None, times["removed_at"]):
            blocks.append(shared | {"first": [0], "end": [time], "stop": [time + end]})
        for onset in times["onsets"]:
            after = onset + as_iterations(entry["length"], end)
            blocks.append(shared | {"first": [onset], "end": [after], "stop": [end]})
        for window in entry.get("held", []):
            first, last = (as_iterations(time, end) for time in window)
            blocks.append(without_deficit(run, [f"{name}-{first}-{last}" for name in entry["regimes"]]))
    return blocks


def deficits_named(run: Run) -> list[str]:
    """The tasks that a run uses as deficits, each once."""
    return list(dict.fromkeys(name for entry in run.critical_periods for name in entry.get("deficits", [])))


def without_deficit(run: Run, regimes: list[str]) -> dict[str, list]:
    """The block of trainings that deficits are compared with."""
    return {"regime": regimes, "deficit": [run.task], "first": [0], "end": [0], "stop": [run.iterations]}


def clean_regime(name: str, regimes: dict[str, dict]) -> str:
    """The regime whose training without a deficit is that of `name`: where nothing ends, nothing restarts."""
    return BASE if regimes[name].keys() == {"schedule"} else name


def training_of(run: Run, regimes: dict[str, dict], regime: str, end: int, stop: int) -> dict:
    """Settings of a training under a regime.

    Args:
        regime: name of an entry, `base`, or an entry's with the window in which it holds.
        end: of the deficit: where the schedule of the learning rate begins anew, if it does.
        stop: of training.
    """
    name, *window = regime.split("-")
    changed = dict(regimes.get(name, {}))
    restarted = {"restarts_at": end} if changed.pop("schedule", None) and end else {}
    if "flip" in changed:
        changed["flip"] = changed["flip"] and run.may_flip
    training = run.training | {"iterations": stop} | restarted
    if not window:
        return training | changed
    first, last = map(int, window)
    before = {key: run.training[key] for key in changed}
    return training | {"later": [[first, changed], [last, before]]}


# Checking


def check_critical_periods(run: Run, config: dict) -> None:
    """Raise `InvalidInput` where an entry names what is not known, or a window that does not fit."""
    for index, entry in enumerate(run.critical_periods):
        where = f"configuration: critical_periods.{index}"
        check_protocol(where, entry)
        for key, section, known in (
            ("deficits", "tasks", list(config["tasks"])), ("regimes", "regimes", [BASE, *config["regimes"]]),
        ):  # fmt: skip
            for name in entry.get(key, []):
                if name not in known:
                    raise InvalidInput(
                        f"{where}.{key} has {name!r}, which is not under {section}{closest(name, known)} "
                        f"(known: {', '.join(known)})"
                    )
        for name in entry.get("deficits", []):
            check_deficit(f"{where}.deficits has {name!r}", config["tasks"][name])
        check_windows(where, entry, run)
        for name in entry["regimes"]:
            check_regime(where, name, config["regimes"].get(name, {}), run, held="held" in entry)


def check_protocol(where: str, entry: dict) -> None:
    """Raise `InvalidInput` where an entry is not exactly one of the protocols."""
    found = [name for name in PROTOCOLS if name in entry]
    if len(found) != 1:
        raise InvalidInput(
            f"{where} has {' and '.join(found) or 'none'} of removed_at, onsets and held; one is right"
        )
    needed = PROTOCOLS[found[0]]
    for key in sorted(needed - entry.keys()):
        raise InvalidInput(f"{where} lacks {key}, which {found[0]} needs")
    for key in sorted(entry.keys() - needed - {found[0], "regimes"}):
        raise InvalidInput(f"{where} has {key}, which {found[0]} does not use")


def check_deficit(where: str, entry: dict | list[dict]) -> None:
    """Raise `InvalidInput` where a task has classes of its own, so that it is no deficit in another."""
    for one in entries_of(entry):
        if classes := registered("tasks")[one["function"]].facts.get("classes"):
            raise InvalidInput(
                f"{where}, whose {classes} classes are its own; a deficit keeps the classes of the data set"
            )


def check_windows(where: str, entry: dict, run: Run) -> None:
    """Raise `InvalidInput` where a window is empty, or goes on past the end of training."""
    end = run.iterations
    length = as_iterations(entry.get("length", 1), end)
    windows = [
        (onset, as_iterations(onset, end), as_iterations(onset, end) + length)
        for onset in entry.get("onsets", [])
    ]
    windows += [(window, *(as_iterations(time, end) for time in window)) for window in entry.get("held", [])]
    for said, first, last in windows:
        if not first < last <= end:
            raise InvalidInput(
                f"{where} has {said}, a window of the iterations {first} to {last}, but {run} trains for "
                f"{end}; a window must begin before it ends, and end with training at the latest"
            )


def check_regime(where: str, name: str, regime: dict, run: Run, *, held: bool) -> None:
    """Raise `InvalidInput` where a regime cannot be that of a run, or cannot hold in a window."""
    if held and (name == BASE or not regime.keys() <= TIMED):
        wrong = (
            "which changes nothing" if name == BASE else f"which changes {', '.join(regime.keys() - TIMED)}"
        )
        raise InvalidInput(
            f"{where}.regimes has {name!r}, {wrong}; what is held in a window must change only "
            f"{', '.join(sorted(TIMED))}"
        )
    check_milestones(f"configuration: regimes.{name} of {run}", regime.get("milestones", []), run.iterations)


def check_milestones(where: str, milestones: list[int], end: int) -> None:
    """Raise `InvalidInput` where milestones fall, or lie past the end."""
    if milestones != sorted(set(milestones)):
        raise InvalidInput(f"{where}: milestones are {milestones}, but must increase")
    if milestones and milestones[-1] >= end:
        raise InvalidInput(f"{where}: milestone {milestones[-1]} is not before the end at iteration {end}")
