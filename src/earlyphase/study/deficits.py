"""Critical periods: which trainings with a deficit a run asks for, and how each is trained.

An entry of `critical_periods` is one of three protocols, each under some regimes:

    removed_at     a deficit from iteration 0 on, then clean training of the run's length
    onsets         a deficit of fixed length from each onset, in a training of the run's length; under a
                   regime whose schedule begins anew after it, training of the run's length follows
    held           no deficit: the regime itself holds in a window, and the run's own training outside of it

A job is named by its regime, the window of its deficit and the iteration at which it stops, so two protocols
share what is the same. A training without a deficit has the run's own task in the window 0 to 0. The own task
removed later is a control: no deficit, but as long, and with the same schedule. The regime `base` is the
run's training as it is; one that holds in a window is written `{name}-{first}-{end}`.
"""

from typing import Any

from earlyphase.core.schedules import as_iterations
from earlyphase.study.run import Run

BASE = "base"
PROTOCOLS = {"removed_at": {"deficits"}, "onsets": {"deficits", "length"}, "held": set()}  # what each needs
TIMED = {  # what may hold in a window of iterations
    "learning_rate", "weight_decay", "momentum", "crop_padding", "flip", "optimizer", "schedule",
    "augmentation",
}  # fmt: skip
RESTARTED = {"schedule": "restarted"}


def deficits_of(run: Run, regimes: dict[str, dict]) -> list[dict[str, list]]:
    """Trainings of a run in blocks of wildcards, each of which stands for all combinations of its values."""
    blocks, end = [], run.iterations
    for entry in run.critical_periods:
        # where no deficit ends, a regime that only begins the schedule anew is the base
        others = [name for name in entry["regimes"] if name != BASE and regimes[name] != RESTARTED]
        blocks.append(without_deficit(run, [BASE, *others]))
        removed_at = [as_iterations(time, end) for time in entry.get("removed_at", [])]
        windows = windows_of(run, entry)
        shared = {"regime": entry["regimes"], "deficit": entry.get("deficits", [])}
        for time in filter(None, removed_at):
            blocks.append(shared | {"first": [0], "end": [time], "stop": [time + end]})
        for _, first, last in windows["onsets"]:
            for regime in entry["regimes"]:
                stop = last + end if regimes.get(regime, {}).get("schedule") == RESTARTED["schedule"] else end
                window = {"first": [first], "end": [last], "stop": [stop]}
                blocks.append(shared | {"regime": [regime]} | window)
        for _, first, last in windows["held"]:
            blocks.append(without_deficit(run, [f"{name}-{first}-{last}" for name in entry["regimes"]]))
    return blocks


def windows_of(run: Run, entry: dict) -> dict[str, list[tuple[Any, int, int]]]:
    """Windows of an entry by their key: what stands there, the first iteration, the one after the last."""

    def iteration(time: float) -> int:
        return as_iterations(time, run.iterations)

    length = iteration(entry.get("length", 1))
    return {
        "onsets": [(onset, iteration(onset), iteration(onset) + length) for onset in entry.get("onsets", [])],
        "held": [(window, *map(iteration, window)) for window in entry.get("held", [])],
    }


def deficits_named(run: Run) -> list[str]:
    """The tasks that a run uses as deficits, each once."""
    return list(dict.fromkeys(name for entry in run.critical_periods for name in entry.get("deficits", [])))


def without_deficit(run: Run, regimes: list[str]) -> dict[str, list]:
    """The block of trainings that deficits are compared with."""
    return {"regime": regimes, "deficit": [run.task], "first": [0], "end": [0], "stop": [run.iterations]}


def training_of(run: Run, regimes: dict[str, dict], regime: str, end: int, stop: int) -> dict:
    """Settings of a training under a regime.

    Args:
        regime: name of an entry, `base`, or an entry's with the window in which it holds.
        end: of the deficit: where the schedule of the learning rate begins anew, if it does.
        stop: of training.
    """
    name, *window = regime.split("-")
    changed = run.changes(regimes.get(name, {}), run.iterations)
    training = run.training | {"iterations": stop}
    if changed.get("schedule") == RESTARTED["schedule"]:
        del changed["schedule"]
        training |= {"restarts_at": end} if end else {}
    if stop != run.iterations and "schedule" in training | changed:
        training |= {"length": run.iterations}
    if not window:
        return training | changed
    first, last = map(int, window)
    before = {key: run.training.get(key) for key in changed}
    return training | {"later": [[first, changed], [last, before]]}
