"""Judge the paper's claims from collected tables."""

from earlyphase.runtime.assignment import Assignment, Files
from earlyphase.stages._settings import ROW
from earlyphase.study.claims import facts_of
from earlyphase.study.jobs import Inputs, Job, Stage, all_tables, functions_of, no_work, once, tables_of
from earlyphase.study.signatures import registered

CLAIMS = 50  # rows of the table, for each network


def spec(job: Job) -> dict:
    """Numbers of claims that the study changes, tables, and what claims are told of each network."""
    study = job.study
    path = study.rules["collect"].outputs["table"]
    there = {table for run in study.runs for table in tables_of(study, run)}
    sources = {table: path.replace("{table}", table) for table in all_tables(study) if table in there}
    networks = {f"{run.dataset}/{run.model}": facts_of(study.config, run, study.runs) for run in study.runs}
    return {"claims": study.claims, "sources": sources, "networks": networks}


def inputs(job: Job) -> Inputs:
    """The tables of all runs."""
    tables = [
        job.path("collect", "table", dataset=run.dataset, model=run.model, table=table)
        for run in job.study.runs
        for table in tables_of(job.study, run)
    ]
    return {"tables": tables}


def roots(job: Job) -> list[str]:
    """The claims of plugins, which are looked up by name."""
    kept = [name for name in registered("claims") if job.study.claims.get(name, {}) is not None]
    own = [name for name in kept if registered("claims")[name].module.startswith("plugins.")]
    return functions_of("claims", [{"function": name} for name in own])


def size(job: Job) -> float:
    """Bytes of a row for each claim and network."""
    return CLAIMS * len(job.study.runs) * ROW


def compute(job: Assignment, inputs: Files, outputs: Files) -> None:
    """Write one row for each claim and network, and one for each contrast that it rests on."""
    from earlyphase.results.claims import judge
    from earlyphase.runtime.storage import write_bytes
    from earlyphase.stages._tables import read_tables

    verdicts, contrasts = judge(read_tables(inputs["tables"]), job.spec)
    write_bytes(outputs["table"], verdicts.to_csv(index=False).encode())
    write_bytes(outputs["contrasts"], contrasts.to_csv(index=False).encode())


STAGE = Stage(jobs=once, spec=spec, work=no_work, size=size, inputs=inputs, roots=roots)
