"""Critical periods: which trainings with a deficit a run asks for, and how each is trained.

An entry of `critical_periods` is one of three protocols, each under some regimes:

    removed_at     a deficit from iteration 0 on, then clean training of the run's length onsets         a
    deficit of a fixed length from each onset, in a training of the run's length; under a regime
                   whose schedule begins anew after it, training of the run's length follows
    held           no deficit: the regime itself holds in a window, and the run's own training outside of it

A job is named by its regime, the window of its deficit and the iteration at which it stops, so two protocols
share what is the same. A training without a deficit has the run's own task in the window 0 to 0. The own task
removed later is a control: no deficit, but as long, and with the same schedule. The regime `base` is the
run's training as it is; one that holds in a window is written `{name}-{first}-{end}`.
"""

from earlyphase.core.schedules import as_iterations
from earlyphase.study.run import Run

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
            for regime in entry["regimes"]:
                stop = after + end if "schedule" in regimes.get(regime, {}) else end
                window = {"first": [onset], "end": [after], "stop": [stop]}
                blocks.append(shared | {"regime": [regime]} | window)
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
