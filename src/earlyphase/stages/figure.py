"""Draw one figure from collected tables, and write the numbers that it shows."""

from collections.abc import Iterator

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.study.claims import classes_of
from earlyphase.study.configuration import labelled, shown_by
from earlyphase.study.jobs import Block, Inputs, Job, Stage, job_of, names_of, no_work, tables_of
from earlyphase.study.run import Run
from earlyphase.study.study import Study

SIZE = 250_000  # bytes of a figure as SVG, PNG and CSV


def jobs(study: Study, run: Run) -> list[Block]:
    """One job for each figure that has something to show."""
    return [
        {"figure": [name for name, entry in run.figures.items() if not nothing_to_show(study, run, entry)]}
    ]


def nothing_to_show(study: Study, run: Run, figure: dict) -> str:
    """Why a figure would have nothing to show in a run; empty where it has something."""
    there = tables_of(study, run)
    if missing := [table for table in study.reads(figure)[0] if table not in there]:
        return f"the study makes no table {' or '.join(missing)} of it"
    protocol = study.facts("figures", figure).get("protocol")
    if protocol and not any(protocol in entry for entry in run.critical_periods):
        return f"no entry of critical_periods has {protocol}"
    task = study.facts("figures", figure).get("task")
    if task and task not in dict(study.functions("tasks", run.task)):
        return f"it is of networks that learn {task}"
    changed = study.facts("figures", figure).get("perturbation")
    if changed and not (0 in run.rewind_iterations and perturbs(run, {changed}, None, least=1)):
        return f"it is of {changed} at a k above 0, beside rewinding to 0"
    shown, rounds = shown_by(figure), {figure["round"]} if "round" in figure else None
    if shown and not perturbs(run, shown, rounds):
        return "none of the perturbations that it shows is applied"
    panels, tickets = labelled(figure, "panels"), labelled(figure, "tickets")
    if panels and not panels & {first.name for first, _ in study.beginnings(run)}:
        return "none of the pretrainings that it shows is applied"
    pruned_by = {name for entry in run.pruned_by for name in entry["criteria"]}
    if labelled(figure, "chains") and not labelled(figure, "chains") & pruned_by:
        return "none of the chains that it shows is run"
    pretrained = {name for entry in run.sparse_pretraining for name in entry["perturbations"]}
    if tickets and not tickets & pretrained:
        return "none of the tickets that it shows is pretrained"
    return ""


def perturbs(run: Run, names: set[str], rounds: set[int] | None, least: int = 0) -> bool:
    """Whether a run perturbs tickets by any of some names, in any of some rounds (None: all), from a k on."""
    return any(
        names & set(entry["perturbations"])
        and (rounds is None or rounds & set(entry["rounds"]))
        and max(entry["rewind_iterations"]) >= least
        for entry in run.perturbed
    )


def left_out(study: Study) -> list[str]:
    """What is configured and cannot be, a sentence each, for people."""
    return study.left_out + [
        f"{run}: figure {name} is left out: {reason}"
        for run in study.runs
        for name, entry in run.figures.items()
        if (reason := nothing_to_show(study, run, entry))
    ]


def figures_of(study: Study, run: Run) -> Iterator[Job]:
    """The figures of a run."""
    for block in jobs(study, run):
        for name in block["figure"]:
            yield job_of(study, "figure", names_of(run) | {"figure": name})


def spec(job: Job) -> dict:
    """The entry of the figure, and the classes of the data set, where they are known."""
    return {"entry": job.entry("figures"), "classes": classes_of(job.study.config, job.run)}


def inputs(job: Job) -> Inputs:
    """The tables that a figure reads."""
    needed, used = job.study.reads(job.entry("figures"))
    tables = [
        job.path("collect", "table", table=table, dataset=run.dataset, model=run.model)
        for run in networks_of(job)
        for table in tables_of(job.study, run)
        if table in needed or table in used
    ]
    return {"tables": tables}


def networks_of(job: Job) -> list[Run]:
    """The run of a figure; before the others on its data set, where the figure compares models."""
    if not job.study.facts("figures", job.entry("figures")).get("across_models"):
        return [job.run]
    return [
        job.run,
        *(run for run in job.study.runs if run.dataset == job.run.dataset and run is not job.run),
    ]


def size(job: Job) -> float:
    """Bytes of the picture, twice, and of its numbers."""
    return SIZE


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Draw it, and write the picture twice and its numbers once.

    Raises:
        InvalidInput: a table is empty, or holds nothing of what the figure shows.
    """
    from earlyphase.errors import InvalidInput
    from earlyphase.results.figures import add_note, figure, render
    from earlyphase.results.summaries import mixtures, with_dead
    from earlyphase.runtime.storage import write_bytes
    from earlyphase.stages._tables import read_tables

    entry = job.spec["entry"]
    tables = with_dead(read_tables(inputs["tables"]), job.spec["classes"])
    if empty := [name for name, table in tables.items() if table.empty]:
        raise InvalidInput(f"figure {entry['function']}: the table {empty[0]} holds no run")
    drawn, points = figure.bound(entry)(tables)
    for mixture in mixtures(tables):
        print(f"warning: {mixture}")
        add_note(drawn, f"Mixed: {mixture}")
    write_bytes(outputs["svg"], render(drawn, "svg"))
    write_bytes(outputs["png"], render(drawn, "png"))
    write_bytes(outputs["table"], points.to_csv(index=False).encode())


STAGE = Stage(jobs=jobs, spec=spec, work=no_work, size=size, inputs=inputs, looks_up=("figures",))
