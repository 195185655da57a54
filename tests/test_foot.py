"""The line at the foot of Snakemake's terminal."""

import io
import logging

import pytest

from assigned import SMOKE, read_study
from earlyphase.study import foot, limits
from earlyphase.study.foot import ERASE, Foot, Planned, Terminal

PLANNED = {1: Planned(5.0, 100), 2: Planned(5.0, 100), 3: Planned(2.5, 50), 4: Planned(1.0, 0)}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Project:
    """A foot with a clock of its own, told of jobs as Snakemake's logger tells."""

    def __init__(self, **options):
        self.clock = Clock()
        self.foot = Foot(PLANNED, clock=self.clock, **options)

    def tell(self, event, message="", level=logging.INFO, **facts):
        record = logging.makeLogRecord({"msg": message, "levelno": level, "event": event, **facts})
        return self.foot.filter(record)

    def start(self, number, message, rule="dense", output=("results/dense",)):
        return self.tell(
            "job_info", jobid=number, rule_msg=message, rule_name=rule, output=list(output), log=[]
        )

    def finish(self, number, at):
        self.clock.now = at
        return self.tell("job_finished", job_id=number)


@pytest.fixture
def project():
    return Project()


def test_words_on_single_jobs_are_dropped_and_all_others_pass(project):
    assert not project.start(1, "Train")
    assert not project.finish(1, 1)
    assert not project.tell("progress", done=1, total=4)
    assert not project.tell("shellcmd")
    assert not project.tell(None, "Select jobs to execute...")
    assert project.tell(None, "Complete log(s): there")
    assert project.tell("run_info", "Job stats")
    assert project.tell("job_error", "Error in rule dense", jobid=2)
    assert project.tell("error", "no space left")


def test_events_that_another_snakemake_puts_otherwise_pass_and_break_nothing(project):
    assert project.tell("job_info", jobid=1)  # without message, rule and log
    assert not project.tell("job_finished", job_id=99)
    assert not project.tell("job_finished")
    malformed = logging.makeLogRecord({"msg": "%d jobs", "args": ("many",)})
    assert project.foot.filter(malformed)
    assert project.foot.line() == "0 of 4 jobs, 0% of the iterations"


def test_the_line_counts_jobs_iterations_and_failures_and_names_what_runs(project):
    assert project.foot.line() == "0 of 4 jobs, 0% of the iterations"
    project.start(1, "Train net on data, seed 0")
    project.start(3, "Perturb net on data")
    assert (
        project.foot.line()
        == "0 of 4 jobs, 0% of the iterations; Train net on data, seed 0; Perturb net on data"
    )
    project.finish(1, 10)
    assert project.foot.line().startswith("1 of 4 jobs, 40% of the iterations, about ")
    project.tell("job_error", jobid=3)
    assert "1 of 4 jobs, 1 FAILED, 40% of the iterations" in project.foot.line()
    assert "Perturb" not in project.foot.line()
    project.start(3, "Perturb net on data")  # tried once more
    project.finish(3, 15)
    assert "FAILED" not in project.foot.line()


def test_words_that_are_known_are_left_out_of_messages():
    project = Project(known=" of net on data")
    project.start(1, "Round 1 of net on data, seed 0")
    assert project.foot.line().endswith("; Round 1, seed 0")


def test_the_time_left_follows_from_what_finished_jobs_took(project):
    """Two at a time, each twice as long as estimated: 5 s are left of one job, 2 s of another."""
    assert project.foot.seconds_left() is None
    project.start(1, "")
    project.start(2, "")
    project.finish(1, 10)
    project.finish(2, 10)
    assert project.foot.seconds_left() == pytest.approx((5 + 2) / 2)
    project.start(3, "")
    project.clock.now = 12
    assert project.foot.seconds_left() == pytest.approx((5 - 2 + 2) / (20 / 12))  # 2 s of its 5 are done
    project.finish(3, 30)  # 40 s of 12.5 that were estimated, and one job alone is left
    assert project.foot.seconds_left() == pytest.approx(40 / 12.5)
    project.start(4, "")
    project.finish(4, 31)
    assert project.foot.seconds_left() is None
    assert "left" not in project.foot.line()


def test_a_job_that_takes_longer_than_estimated_is_not_counted_as_negative(project):
    project.start(1, "")
    project.finish(1, 5)
    project.start(2, "")
    project.clock.now = 1000
    assert project.foot.seconds_left() == pytest.approx(2.5 + 1)


def test_what_is_known_of_a_job_is_what_its_stage_says():
    study = read_study(SMOKE)
    clock = limits.Clock(study, gpu=False)
    names = {"dataset": "synthetic", "model": "tiny", "seed": "0", "task": "supervised"}

    def planned(rule, **wildcards):
        made = type("Job", (), {"rule": type("Rule", (), {"name": rule}), "wildcards_dict": wildcards})
        return foot.planned_of(study, clock, made)

    assert planned("dense", **names).iterations == study.runs[0].iterations
    assert planned("dense", **names).seconds > planned("claims").seconds == limits.FIXED
    assert planned("figures") == Planned(0.0, 0)  # makes no file


class Screen(io.StringIO):
    def isatty(self):
        return True


def handler_on(stream):
    handler = logging.StreamHandler(stream)
    handler.name = "DefaultStreamHandler"
    return handler


def test_the_line_stays_below_what_is_written_and_goes_at_the_end(project, monkeypatch):
    monkeypatch.setattr(foot, "EVERY", 0.01)
    monkeypatch.setenv("COLUMNS", "30")
    screen = Screen()
    handler = handler_on(screen)
    terminal = Terminal(handler, project.foot)
    terminal.start()
    while "jobs" not in screen.getvalue():
        pass
    handler.handle(logging.makeLogRecord({"msg": "something failed", "levelno": logging.ERROR}))
    terminal.stop()
    handler.handle(logging.makeLogRecord({"msg": "the end", "levelno": logging.INFO}))
    written = screen.getvalue()
    assert f"{ERASE}0 of 4 jobs, 0% of the itera…" in written  # one line, however long it is
    before, _, after = written.partition("something failed\n")
    assert before.endswith(ERASE)
    assert after.endswith(f"{ERASE}the end\n")
    assert written.count("\n") == 2


def test_a_figure_that_is_drawn_is_named_above_the_line(project, monkeypatch):
    monkeypatch.setattr(foot, "EVERY", 0.01)
    picture = "results/figures/d/m/rewinding.svg"
    project.start(1, "Train")
    project.start(4, "Draw", rule="figure", output=[picture, "results/figures/d/m/rewinding.png"])
    project.finish(1, 1)
    project.finish(4, 2)
    screen = Screen()
    terminal = Terminal(handler_on(screen), project.foot)
    terminal.start()
    while "jobs" not in screen.getvalue():
        pass
    terminal.stop()
    assert screen.getvalue().count(f"{ERASE}{picture}\n") == 1
    assert screen.getvalue().count("\n") == 1


class Workflow:
    """What is read of Snakemake's."""

    class dag:  # noqa: N801
        @staticmethod
        def needrun_jobs():
            return []

    def __init__(self, local_exec=True, **settings):
        self.local_exec = local_exec
        usual = {"quiet": None, "verbose": False, "printshellcmds": False}
        self.output_settings = type("Settings", (), usual | settings)


@pytest.mark.parametrize(
    ("settings", "stream", "environment", "drawn"),
    [
        ({}, Screen(), {}, True),
        ({}, io.StringIO(), {}, False),  # a pipe, or a file
        ({"quiet": {"all"}}, Screen(), {}, False),
        ({"verbose": True}, Screen(), {}, False),
        ({"local_exec": False}, Screen(), {}, False),  # on a cluster
        ({"printshellcmds": True}, Screen(), {}, False),
        ({}, Screen(), {"EARLYPHASE_FOOT": "0"}, False),
    ],
)
def test_it_is_drawn_on_terminals_alone_and_where_nothing_else_was_asked_for(
    settings, stream, environment, drawn, monkeypatch
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    logger, study = logging.Logger("snakemake"), type("Study", (), {"runs": ()})
    assert foot.foot_of(Workflow(**settings), study, None, logger) is None  # another logger writes
    logger.addHandler(handler_on(stream))
    assert (foot.foot_of(Workflow(**settings), study, None, logger) is not None) == drawn


def test_a_drawing_that_fails_is_followed_by_the_next(project, monkeypatch):
    monkeypatch.setattr(foot, "EVERY", 0.01)
    calls = []

    def line():
        calls.append(1)
        if len(calls) == 1:
            raise TypeError("on purpose")
        return "there"

    monkeypatch.setattr(project.foot, "line", line)
    screen = Screen()
    terminal = Terminal(handler_on(screen), project.foot)
    terminal.start()
    while "there" not in screen.getvalue():
        pass
    terminal.stop()
    assert "purpose" not in screen.getvalue()
