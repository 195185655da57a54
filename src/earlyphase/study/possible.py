"""What of a run its network and its length allow; the rest is left out, with a sentence each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from earlyphase.study.configuration import entries_of
from earlyphase.study.deficits import windows_of
from earlyphase.study.jobs import Stage
from earlyphase.study.run import Run
from earlyphase.study.signatures import registered


def what_is_possible(
    run: Run, perturbations: Mapping[str, Any], network: str, lacks: Sequence[str], stages: Iterable[Stage]
) -> tuple[Run, list[str]]:
    """Leave out of a run what it cannot have.

    Args:
        run: its settings contradict nothing.
        perturbations: entries of the configuration.
        network: the function that makes the network.
        lacks: kinds of layers that it says its networks do not have.
        stages: which say what of their own settings such a network cannot have.

    Returns:
        The run without it, and what was left out, a sentence each, for people.
    """
    left_out: list[str] = []
    for leave_out in (
        _perturbations_of_other_networks(run, perturbations, network, lacks),
        _windows_past_the_end(run),
        *(stage.impossible(run, network, lacks) for stage in stages),
    ):
        for step in leave_out:
            if isinstance(step, str):
                left_out.append(f"{run}: {step}")
            else:
                run = run.with_settings(**step)
    return run, left_out


Left = Iterator[str | dict[str, Any]]  # sentences, and settings in place of those of the run


def _perturbations_of_other_networks(
    run: Run, perturbations: Mapping[str, Any], network: str, lacks: Sequence[str]
) -> Left:
    """Leave out perturbations that the network cannot have."""
    unknown = {
        name: reason
        for name, entry in perturbations.items()
        for part in entries_of(entry)
        if (reason := why_not(part, registered("perturbations")[part["function"]].facts, network, lacks))
    }
    sections = ("perturbed", "sparse_pretraining")
    applied = {
        name for section in sections for entry in run.settings[section] for name in entry["perturbations"]
    }
    for name, reason in unknown.items():  # in the order of the configuration
        if name in applied:
            yield f"perturbation {name} is left out: {reason}"
    for section in sections:
        kept = [
            entry | {"perturbations": [name for name in entry["perturbations"] if name not in unknown]}
            for entry in run.settings[section]
        ]
        yield {section: [entry for entry in kept if entry["perturbations"]]}


def _windows_past_the_end(run: Run) -> Left:
    """Leave out windows of critical periods that go on past the end of training."""
    entries = []
    for index, entry in enumerate(run.critical_periods):
        for key, windows in windows_of(run, entry).items():
            if past := [window for window, _, last in windows if last > run.iterations]:
                yield (
                    f"of critical_periods.{index}.{key} {', '.join(map(str, past))} is left out: "
                    f"the run trains for {run.iterations} iterations"
                )
                entry = entry | {key: [window for window in entry[key] if window not in past]}
        entries.append(entry)
    yield {"critical_periods": [entry for entry in entries if [] not in entry.values()]}


def why_not(entry: dict, facts: Mapping[str, Any], network: str, lacks: Sequence[str]) -> str:
    """Why a perturbation cannot be applied to a network; empty where it can.

    Args:
        entry: of the perturbation: its function and arguments.
        facts: what its decorator says: `networks` that it knows, alone; `needs`, what a network must have for
            it, or argument -> value -> that.
        network: the function that makes the network.
        lacks: kinds of layers that it says its networks do not have.
    """
    function = entry["function"]
    if network not in facts.get("networks", (network,)):
        return f"{function} knows {', '.join(facts['networks'])}, not {network}"
    needed = facts.get("needs", {})
    if needed in lacks:
        return f"{function} needs {needed}, which {network} has not"
    for argument, needs in {} if isinstance(needed, str) else needed.items():
        if (need := needs.get(entry.get(argument))) in lacks:
            return f"{function} with {argument} {entry[argument]} needs {need}, which {network} has not"
    return ""
