"""Concatenate the tables of all replicates: one table for each stage of a run."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import ROW
from earlyphase.study.jobs import Block, Inputs, Job, Stage, jobs_of_table, no_work, tables_of
from earlyphase.study.run import Run
from earlyphase.study.study import Study


def jobs(study: Study, run: Run) -> list[Block]:
    """One job for each table that the run fills."""
    return [{"table": tables_of(study, run)}]


def spec(job: Job) -> dict:
    """Nothing: the tables that it reads determine it."""
    return {}


def inputs(job: Job) -> Inputs:
    """The tables that it is made of."""
    table = job.names["table"]
    (output,) = (stage.tables[table].output for stage in job.study.stages.values() if table in stage.tables)
    parts = (part.path(part.rule, output) for part in jobs_of_table(job.study, job.run, table))
    return {"parts": list(dict.fromkeys(parts))}


def size(job: Job) -> float:
    """Bytes of a row for each table that it is made of."""
    return len(inputs(job)["parts"]) * ROW


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Write the rows of all tables, in their order; what a table lacks stays empty."""
    from earlyphase.runtime.storage import load_rows, save_rows

    rows = [row for path in inputs["parts"] for row in load_rows(path)]
    missing = dict.fromkeys((name for row in rows for name in row), "")  # such as `empty_layers` in most
    save_rows(outputs["table"], [missing | row for row in rows])


STAGE = Stage(jobs=jobs, spec=spec, work=no_work, size=size, inputs=inputs)
