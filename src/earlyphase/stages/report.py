"""Write one page with all that a study found, which opens without a network."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages.figure import figures_of, left_out
from earlyphase.study.configuration import labelled, shown_by
from earlyphase.study.jobs import Inputs, Job, Stage, all_jobs, no_work, once
from earlyphase.study.run import Run
from earlyphase.study.study import Study

SIZE = 10_000_000  # bytes of the page


def spec(job: Job) -> dict:
    """All that the page says of the configuration, and the figures that it shows.

    How jobs are executed is not among it: it redoes nothing, and run records say what was used. Nothing
    depends on the order of a mapping, which Snakemake changes where it lays one configuration over another.
    """
    study = job.study
    shown = [shown_figure(figure) for run in study.runs for figure in figures_of(study, run)]
    return {
        "configuration": {key: value for key, value in study.config.items() if key != "execution"},
        "runs": [described(study, run) for run in study.runs],
        "figures": sorted(shown, key=lambda figure: (figure["dataset"], figure["model"], figure["figure"])),
        "descriptions": {
            figure["function"]: study.description("figures", figure["function"]) for figure in shown
        },
        "left_out": sorted(left_out(study)),
        "citation": study.citation,
    }


def shown_figure(job: Job) -> dict:
    """What the page says of a figure: its name, network, paths and function, and what it shows."""
    entry = job.entry("figures")
    paths = dict(zip(job.study.rules["figure"].outputs, job.outputs, strict=True))
    return {
        "figure": job.names["figure"],
        "dataset": job.run.dataset,
        "model": job.run.model,
        **paths,
        "function": entry["function"],
        "shows": sorted(
            shown_by(entry).union(*(labelled(entry, key) for key in ("tickets", "panels", "chains")))
        ),
    }


def described(study: Study, run: Run) -> dict:
    """What a sentence about a run is made of."""
    network = study.config["models"][run.model]
    return {
        "dataset": run.dataset,
        "model": run.model,
        "task": run.task,
        "network": {key: value for key, value in network.items() if key != "training"},
        "seeds": run.seeds,
        "rewind_iterations": run.rewind_iterations,
        "rounds": run.rounds,
        "prune_fraction": run.prune_fraction,
        "iterations": run.iterations,
        "batch_size": run.training["batch_size"],
    }


def inputs(job: Job) -> Inputs:
    """Pictures and numbers of all figures, and the run records of all trainings."""
    figures = [
        path for run in job.study.runs for figure in figures_of(job.study, run) for path in figure.outputs
    ]
    records = (made.record for made in all_jobs(job.study))
    return {"figures": figures, "records": [path for path in records if path]}


def size(job: Job) -> float:
    """Bytes of the page."""
    return SIZE


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Write the page of the figures, claims and run records that are there."""
    from earlyphase.results.report.claims import read_text, read_verdicts
    from earlyphase.results.report.page import report_page
    from earlyphase.results.report.provenance import read_records
    from earlyphase.runtime.storage import write_bytes

    verdicts, contrasts = read_verdicts(inputs["claims"]), read_text(inputs["contrasts"])
    page = report_page(job.spec, verdicts, contrasts, read_records(inputs["records"]))
    write_bytes(outputs["page"], page.encode())


STAGE = Stage(jobs=once, spec=spec, work=no_work, size=size, inputs=inputs)
