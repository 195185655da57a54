"""The line at the foot of Snakemake's terminal."""

import io
import logging
import time

import pytest

from assigned import SMOKE, read_study
from earlyphase.study import foot, limits
from earlyphase.study.foot import ERASE, Foot, Planned

PLANNED = {1: Planned(5.0, 100), 2: Planned(5.0, 100), 3: Planned(2.5, 50), 4: Planned(1.0, 0)}


class Screen(io.StringIO):
    def isatty(self):
        return True


class Project:
    """A foot with a clock of its own, told of jobs as Snakemake's logger tells."""

    def __init__(self, **options):
        self.now, self.screen = 0.0, Screen()
        self.foot = Foot(self.screen, PLANNED, clock=lambda: self.now, **options)

    def tell(self, event, message="", **facts):
        return self.foot.filter(logging.makeLogRecord({"msg": message, "event": event, **facts}))

    def start(self, number, message="", rule="dense", output=("results/dense",)):
        return self.tell("job_info", jobid=number, rule_msg=message, rule_name=rule, output=list(output))

    def finish(self, number, at):
        self.now = at
        return self.tell("job_finished", job_id=number)

    @property
    def line(self):
        """What stands at the foot now."""
        return self.screen.getvalue().split(ERASE)[-1]


@pytest.fixture
def project(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
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
    assert project.line == "0 of 4 jobs, 0% of the iterations"
    assert project.foot.filter(logging.makeLogRecord({"msg": "%d jobs", "args": ("many",)}))
    project.screen.close()  # the terminal is gone
    assert project.start(1)


def test_the_line_counts_jobs_iterations_and_failures_and_names_what_runs(project):
    project.start(1, "Train net on data, seed 0")
    project.start(3, "Perturb net on data")
    assert project.line == "0 of 4 jobs, 0% of the iterations; Train net on data, seed 0; Perturb net on data"
    project.finish(1, 10)
    assert project.line.startswith("1 of 4 jobs, 40% of the iterations, ends about ")
    project.tell("job_error", jobid=3)
    project.start(2, "Train")
    assert "1 of 4 jobs, 1 FAILED, 40% of the iterations" in project.line and "Perturb" not in project.line
    project.start(3, "Perturb net on data")  # tried once more
    project.finish(3, 15)
    assert "FAILED" not in project.line


def test_words_that_are_known_are_left_out_of_messages(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    project = Project(known=" of net on data")
    project.start(1, "Round 1 of net on data, seed 0")
    assert project.line.endswith("; Round 1, seed 0")


def test_the_time_left_follows_from_what_finished_jobs_took(project):
    """Two at a time, each twice as long as estimated: 5 s are left of one job, 2 s of another."""
    assert project.foot.seconds_left() is None
    project.start(1)
    project.start(2)
    project.finish(1, 10)
    project.finish(2, 10)
    assert project.foot.seconds_left() == pytest.approx((5 + 2) / 2)
    project.start(3)
    project.now = 12
    assert project.foot.seconds_left() == pytest.approx((5 - 2 + 2) / (20 / 12))  # 2 s of its 5 are done
    project.finish(3, 30)  # 40 s of 12.5 that were estimated, and one job alone is left
    assert project.foot.seconds_left() == pytest.approx(40 / 12.5)
    assert project.line.endswith(time.strftime("ends about %a %H:%M", time.localtime(30 + 40 / 12.5)))
    project.start(4)
    project.finish(4, 31)
    assert project.foot.seconds_left() is None and "ends" not in project.line


def test_a_job_that_takes_longer_than_estimated_is_not_counted_as_negative(project):
    project.start(1)
    project.finish(1, 5)
    project.start(2)
    project.now = 1000
    assert project.foot.seconds_left() == pytest.approx(2.5 + 1)


def test_the_line_stays_below_what_is_written_as_long_as_the_terminal_is_wide(project, monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    handler = named_handler(project.screen)
    handler.addFilter(project.foot)
    for event, words in (("progress", "1 of 4"), ("error", "something failed"), ("progress", "2 of 4")):
        handler.handle(logging.makeLogRecord({"msg": words, "event": event}))
    line = f"{ERASE}0 of 4 jobs, 0% of the itera…"
    assert project.screen.getvalue() == f"{line}{ERASE}something failed\n{line}"


def test_a_figure_that_is_drawn_is_named_above_the_line(project):
    picture = "results/figures/d/m/rewinding.svg"
    project.start(4, "Draw", rule="figure", output=[picture, "results/figures/d/m/rewinding.png"])
    project.finish(4, 2)
    assert f"{ERASE}{picture}\n{ERASE}1 of 4 jobs" in project.screen.getvalue()
    assert project.screen.getvalue().count("\n") == 1


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


def named_handler(stream):
    handler = logging.StreamHandler(stream)
    handler.name = "DefaultStreamHandler"
    return handler


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
    usual = {"quiet": None, "verbose": False, "printshellcmds": False, "local_exec": True} | settings
    chosen = type("Settings", (), usual)
    dag = type("Dag", (), {"needrun_jobs": staticmethod(list)})
    workflow = type(
        "Workflow", (), {"local_exec": usual["local_exec"], "output_settings": chosen, "dag": dag}
    )
    logger, study = logging.Logger("snakemake"), type("Study", (), {"runs": ()})
    foot.add_foot(workflow, study, None, logger)  # where another logger writes
    handler = named_handler(stream)
    logger.addHandler(handler)
    foot.add_foot(workflow, study, None, logger)
    assert bool(handler.filters) == drawn
