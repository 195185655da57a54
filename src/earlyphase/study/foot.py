"""The line at the foot of a terminal that says how far Snakemake is, in place of its words on every job.

It follows Snakemake's log events, and is drawn anew with each of them. Snakemake's own log file keeps every
word. A logger plugin of Snakemake's would do the same, but must be installed and asked for, and a clone runs
as it is. Nothing that goes wrong here stops a study: another Snakemake may put its events otherwise, and then
its words are shown as they are.
"""

import csv
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from earlyphase.study.jobs import job_of
from earlyphase.study.limits import Clock
from earlyphase.study.study import Study

VARIABLE = "EARLYPHASE_FOOT"  # of the environment; 0 leaves Snakemake's own words
ERASE = "\r\x1b[K"  # back to the start of the line, and nothing on it
CHATTER = {"job_info", "group_info", "shellcmd", "job_started", "job_finished", "progress"}
SELECTING = "Select jobs to execute..."  # Snakemake prints this line without an event


class Planned(NamedTuple):
    """A job that is to be run."""

    seconds: float  # estimated by `study.limits`
    iterations: int  # of training; 0 where it trains nothing


class Running(NamedTuple):
    """A job that was started."""

    since: float  # time of its start
    message: str
    figure: str  # path of the figure that the job draws; empty where it draws none


class Foot(logging.Filter):
    """Counts jobs by Snakemake's log events, and shows a line in place of those about single jobs."""

    def __init__(
        self,
        screen: TextIO,
        planned: Mapping[int, Planned],
        known: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin to count; nothing is drawn before the first event.

        Args:
            screen: the terminal.
            planned: the jobs to be run, by Snakemake's number.
            known: words that need not stand in every message.
            clock: in seconds since 1970.
        """
        super().__init__()
        self._screen, self._planned, self._known = screen, planned, known
        self._clock, self._began = clock, clock()
        self._running: dict[int, Running] = {}
        self._finished: dict[int, float] = {}  # seconds that each took
        self._failed: set[int] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Count what a record says; whether it is to be shown, in place of the line, or the line instead."""
        event = getattr(record, "event", None)
        name = str(getattr(event, "value", event))
        shown = name not in CHATTER and record.msg != SELECTING
        try:
            self._count(name, record)
            line, width = self.line(), shutil.get_terminal_size().columns
            line = line if len(line) < width else f"{line[: width - 2]}…"
            self._screen.write(ERASE if shown else ERASE + line)
            self._screen.flush()
        except Exception:
            return True
        return shown

    def _count(self, event: str, record: logging.LogRecord) -> None:
        if event == "job_info":
            said: Any = record
            message = (said.rule_msg or said.rule_name).replace(self._known, "")
            figure = said.output[0] if said.rule_name == "figure" else ""
            self._running[said.jobid] = Running(self._clock(), message, figure)
        elif event in ("job_finished", "job_error"):
            number = getattr(record, "job_id", getattr(record, "jobid", None))
            if number is None or (started := self._running.pop(number, None)) is None:
                return
            if event == "job_error":
                self._failed.add(number)
            elif number in self._planned:
                self._failed.discard(number)
                self._finished[number] = self._clock() - started.since
                if started.figure:
                    self._screen.write(f"{ERASE}{started.figure}\n")

    def line(self) -> str:
        """What to say now."""
        parts = [f"{len(self._finished)} of {len(self._planned)} jobs"]
        if self._failed:
            parts.append(f"{len(self._failed)} FAILED")
        if whole := sum(job.iterations for job in self._planned.values()):
            done = sum(self._planned[number].iterations for number in self._finished)
            parts.append(f"{done / whole:.0%} of the iterations")
        if (left := self.seconds_left()) is not None:  # a time of day stays right until the next event
            parts.append(f"ends about {time.strftime('%a %H:%M', time.localtime(self._clock() + left))}")
        return "; ".join([", ".join(parts), *(job.message for job in self._running.values())])

    def seconds_left(self) -> float | None:
        """Seconds to the end; None before any job has finished, or when nothing is left.

        Every estimate is corrected by what finished jobs took, as a share of theirs. Of a running job, the
        time that it has run is done. As many run side by side as until now, if there are as many.
        """
        took = sum(self._finished.values())
        estimated = sum(self._planned[number].seconds for number in self._finished)
        if not estimated:
            return None
        left = 0.0
        for number in self._planned.keys() - self._finished.keys():
            running = self._running.get(number)
            run = self._clock() - running.since if running else 0.0
            left += max(0.0, self._planned[number].seconds * took / estimated - run)
        at_once = took / max(self._clock() - self._began, 1e-9)
        return left / max(1.0, min(at_once, len(self._planned) - len(self._finished))) if left else None


def add_foot(workflow: Any, study: Study, clock: Clock, logger: logging.Logger) -> None:
    """Draw the line where Snakemake writes to a terminal, and was not told how to write.

    There is none where jobs run elsewhere, since what is submitted to a queue does not run yet.

    Args:
        workflow: Snakemake's, when it starts.
        clock: which estimates how long jobs take.
        logger: Snakemake's.
    """
    chosen = workflow.output_settings
    otherwise = chosen.quiet or chosen.verbose or chosen.printshellcmds or os.environ.get(VARIABLE) == "0"
    if otherwise or not workflow.local_exec:
        return
    handler = next((handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"), None)
    if not isinstance(handler, logging.StreamHandler) or not handler.stream.isatty():
        return
    planned = {job.jobid: planned_of(study, clock, job) for job in workflow.dag.needrun_jobs()}
    known = f" of {study.runs[0]}" if len(study.runs) == 1 else ""
    handler.addFilter(Foot(handler.stream, planned, known))


def last_words(claims: Path = Path("results/claims.csv"), report: Path = Path("results/report.html")) -> str:
    """Say where the report of a finished study lies, and what it found; nothing where there is no report."""
    if not (claims.exists() and report.exists()):
        return ""
    with claims.open(newline="", encoding="utf-8") as file:
        verdicts = Counter(row["verdict"] for row in csv.DictReader(file))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    return f"{report} has it all: of {verdicts.total()} claims, {counts}"


def planned_of(study: Study, clock: Clock, job: Any) -> Planned:
    """What is known of a job of Snakemake before it runs."""
    if job.rule.name not in study.stages:
        return Planned(0.0, 0)
    planned = job_of(study, job.rule.name, job.wildcards_dict)
    return Planned(clock.seconds(planned), len(planned.span))
