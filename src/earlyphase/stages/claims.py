"""Judge the paper's claims from collected tables."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import ROW
from earlyphase.study.claims import measures_in
from earlyphase.study.jobs import Inputs, Job, Stage, all_tables, functions_of, no_work, once, tables_of

CLAIMS = 50  # rows of the table, for each network


def spec(job: Job) -> dict:
    """Whether it is of the paper's scale, claims that are not the package's, tables and networks."""
    study = job.study
    path = study.rules["collect"].outputs["table"]
    there = {table for run in study.runs for table in tables_of(study, run)}
    lacks = {run.model: lacking for run in study.runs if (lacking := sorted(study.network(run)[1]))}
    return {
        "full_scale": study.config["full_scale"],
        "claims": {name: study.claims.get(name) for name in study.config["claims"]},
        "sources": {table: path.replace("{table}", table) for table in all_tables(study) if table in there},
        "functions": {run.model: study.config["models"][run.model]["function"] for run in study.runs},
    } | ({"lacks": lacks} if lacks else {})


def inputs(job: Job) -> Inputs:
    """The tables of all runs."""
    tables = [
        job.path("collect", "table", dataset=run.dataset, model=run.model, table=table)
        for run in job.study.runs
        for table in tables_of(job.study, run)
    ]
    return {"tables": tables}


def roots(job: Job) -> list[str]:
    """The measures of all claims, which are looked up by name."""
    return functions_of("measures", list(measures_in(job.study.claims)))


def size(job: Job) -> float:
    """Bytes of a row for each claim and network."""
    return CLAIMS * len(job.study.runs) * ROW


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Write one row for each claim and network, and one for each contrast that it rests on."""
    from earlyphase.results.claims import judge_with_contrasts
    from earlyphase.runtime.storage import write_bytes
    from earlyphase.stages._tables import read_tables

    verdicts, contrasts = judge_with_contrasts(read_tables(inputs["tables"]), job.spec)
    write_bytes(outputs["table"], verdicts.to_csv(index=False).encode())
    write_bytes(outputs["contrasts"], contrasts.to_csv(index=False).encode())


STAGE = Stage(jobs=once, spec=spec, work=no_work, size=size, inputs=inputs, roots=roots)
