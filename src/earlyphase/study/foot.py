"""The line at the foot of a terminal that says how far Snakemake is, in place of its words on every job.

It follows Snakemake's log events. Snakemake's own log file keeps every word. Nothing that goes wrong here
stops a study: another Snakemake may put its events otherwise, and then its words are shown as they are.
"""

import csv
import logging
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from earlyphase.sentences import duration
from earlyphase.study.jobs import job_of
from earlyphase.study.limits import Clock
from earlyphase.study.study import Study

VARIABLE = "EARLYPHASE_FOOT"  # of the environment; 0 leaves Snakemake's own words
EVERY = 1.0  # seconds between two drawings, or
EASE = 50  # times as long as a drawing takes, if that is more
ERASE = "\r\x1b[K"  # back to the start of the line, and nothing on it
CHATTER = {"job_info", "group_info", "shellcmd", "job_started", "job_finished", "progress"}
SELECTING = "Select jobs to execute..."  # Snakemake prints this line without an event


class Planned(NamedTuple):
    """A job that is to be run."""

    seconds: float  # that it takes, as `study.limits` estimates it
    iterations: int  # of training; 0 where it trains nothing


class Running(NamedTuple):
    """A job that was started."""

    since: float  # by the clock
    message: str
    drawn: str  # path of the figure that the job draws; empty where it draws none


class Foot(logging.Filter):
    """Counts jobs by Snakemake's log events, and lets those pass that are not about every single job."""

    def __init__(
        self, planned: Mapping[int, Planned], known: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to count.

        Args:
            planned: the jobs to be run, by Snakemake's number.
            known: words that need not stand in every message.
            clock: in seconds.
        """
        super().__init__()
        self._planned, self._known, self._clock, self._began = planned, known, clock, clock()
        self._running: dict[int, Running] = {}
        self._finished: dict[int, float] = {}  # seconds that each took
        self._failed: set[int] = set()
        self.drawn: list[str] = []  # paths of figures that are finished and not yet announced

    def filter(self, record: logging.LogRecord) -> bool:
        """Count what a record says; whether it is to be shown."""
        event = getattr(record, "event", None)
        name = str(getattr(event, "value", event))
        try:
            self._count(name, record)
        except Exception:
            return True
        return name not in CHATTER and record.msg != SELECTING

    def _count(self, event: str, record: logging.LogRecord) -> None:
        if event == "job_info":
            said: Any = record
            message = (said.rule_msg or said.rule_name).replace(self._known, "")
            drawn = said.output[0] if said.rule_name == "figure" else ""
            self._running[said.jobid] = Running(self._clock(), message, drawn)
        elif event in ("job_finished", "job_error"):
            number = getattr(record, "job_id", getattr(record, "jobid", None))
            if number is None or (started := self._running.pop(number, None)) is None:
                return
            if event == "job_error":
                self._failed.add(number)
            elif number in self._planned:
                self._failed.discard(number)
                self._finished[number] = self._clock() - started.since
                self.drawn += filter(None, [started.drawn])

    def line(self) -> str:
        """What to say now."""
        running = list(self._running.values())
        parts = [f"{len(self._finished)} of {len(self._planned)} jobs"]
        if self._failed:
            parts.append(f"{len(self._failed)} FAILED")
        if whole := sum(job.iterations for job in self._planned.values()):
            done = sum(self._planned[number].iterations for number in self._finished)
            parts.append(f"{done / whole:.0%} of the iterations")
        if (left := self.seconds_left()) is not None:
            parts.append(f"about {duration(max(1, round(left)))} left")
        return ", ".join(parts) + ("; " + "; ".join(job.message for job in running) if running else "")

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


class Terminal:
    """Keeps the line of a `Foot` below all that a handler writes to a terminal."""

    def __init__(self, handler: logging.StreamHandler[TextIO], foot: Foot) -> None:
        """Nothing is drawn before `start`."""
        self._handler, self._foot, self._ended = handler, foot, threading.Event()
        self._emit = handler.emit

    def start(self) -> None:
        """Draw from now on, in a thread that ends with the process."""
        self._handler.addFilter(self._foot)
        self._handler.emit = self._emit_above  # type: ignore[method-assign]
        threading.Thread(target=self._draw_on, name="foot", daemon=True).start()

    def stop(self) -> None:
        """Take the line away for good."""
        self._ended.set()
        self._handler.emit = self._emit  # type: ignore[method-assign]
        self._write(ERASE)

    def _emit_above(self, record: logging.LogRecord) -> None:
        self._write(ERASE)  # the handler's lock is held, so nothing is drawn in between
        self._emit(record)

    def _draw_on(self) -> None:
        pause = EVERY
        while not self._ended.wait(pause):
            began = time.monotonic()
            try:
                width = shutil.get_terminal_size().columns
                text = self._foot.line()
                while self._foot.drawn:
                    self._write(f"{ERASE}{self._foot.drawn.pop(0)}\n")
            except Exception:  # of jobs that end at this moment, or worse: there is a next time
                continue
            pause = max(EVERY, EASE * (time.monotonic() - began))
            with_end = text if len(text) < width else f"{text[: width - 2]}…"
            if not self._ended.is_set():
                self._write(ERASE + with_end)

    def _write(self, text: str) -> None:
        self._handler.acquire()
        try:
            self._handler.stream.write(text)
            self._handler.stream.flush()
        except (OSError, ValueError):
            self._ended.set()  # the terminal is gone
        finally:
            self._handler.release()


def foot_of(workflow: Any, study: Study, clock: Clock, logger: logging.Logger) -> Terminal | None:
    """The foot of the terminal that Snakemake writes to; None where it is none, or was told how to write.

    There is none where jobs run elsewhere, since what is submitted to a queue does not run yet.

    Args:
        workflow: Snakemake's, when it starts.
        clock: which estimates how long jobs take.
        logger: Snakemake's.
    """
    chosen = workflow.output_settings
    told = chosen.quiet or chosen.verbose or chosen.printshellcmds or os.environ.get(VARIABLE) == "0"
    told = told or not workflow.local_exec
    handler = next((handler for handler in logger.handlers if handler.name == "DefaultStreamHandler"), None)
    if told or not isinstance(handler, logging.StreamHandler) or not handler.stream.isatty():
        return None
    planned = {job.jobid: planned_of(study, clock, job) for job in workflow.dag.needrun_jobs()}
    known = f" of {study.runs[0]}" if len(study.runs) == 1 else ""
    return Terminal(handler, Foot(planned, known))


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
