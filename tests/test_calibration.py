"""Precision by measurement: measured once, kept, chosen only with a margin and where a test backs it."""

import csv
import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import prunable_names, state_of
from earlyphase.errors import InvalidInput
from earlyphase.runtime import calibration, machine
from earlyphase.runtime.execution import Execution, settled
from earlyphase.runtime.storage import load_rows

MODEL = {"function": "resnet", "depth": 8, "width": 4}
CASE = {"model": MODEL, "shape": [3, 8, 8], "batch_size": 32}
HERE = machine.described("cpu", {"OMP_NUM_THREADS": "1"})
CPU = Execution(torch.device("cpu"), "auto", 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def timing(slow, fast):
    return {"step_seconds": {"float32": slow, "bfloat16": fast}}


def measuring(*found):
    """A measurement that gives these answers, one after the other."""
    given = iter(found)
    return lambda cases, device, environment: [next(given) for _ in cases]


def ask(*found, case=CASE, here=HERE):
    return calibration.answers([case], here, device="cpu", measure=measuring(*found))[0]


# The choice


@pytest.mark.parametrize(
    ("slow", "fast", "chosen"),
    [
        ([1.0] * 5, [0.5] * 5, "bfloat16"),
        ([1.0] * 5, [1.0] * 5, "float32"),
        ([1.0] * 5, [3.0] * 5, "float32"),
        ([1.2] * 5, [1.0] * 5, "bfloat16"),  # exactly the margin
        ([1.19] * 5, [1.0] * 5, "float32"),
        ([1.0, 1.0, 1.0, 9.0, 9.0], [1.0] * 5, "float32"),  # two turns of five were disturbed
        ([2.0, 20.0, 2.0, 200.0, 2.0], [1.0, 10.0, 1.0, 100.0, 1.0], "bfloat16"),  # both alike
    ],
)
def test_bfloat16_is_chosen_where_most_turns_are_clearly_faster(slow, fast, chosen):
    precision, because = calibration.choose(timing(slow, fast)["step_seconds"], doubt="")
    assert precision == chosen
    assert "times as fast as float32" in because and f"{calibration.MARGIN} is asked for" in because


def test_bfloat16_is_not_chosen_where_no_test_backs_it():
    steps = timing([3.0] * 5, [1.0] * 5)["step_seconds"]
    precision, because = calibration.choose(steps, doubt="no test shows that")
    assert precision == "float32"
    assert because.endswith(
        "3.00 times as fast as float32 here, and 1.2 is asked for; but no test shows that"
    )


def row(**changed):
    found = {"network": json.dumps(MODEL), "round": "0", "n": "5", "verdict": "equivalent"}
    return found | changed


TICKET = {"round": "5"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(), row(**TICKET)], ""),
        (
            [row(network='{"width": 4, "depth": 8, "function": "resnet"}'), row(**TICKET)],
            "",
        ),  # in another order
        ([row(), row(**TICKET), row(n="9", dataset="another"), row(network="{}", verdict="not shown")], ""),
        ([], "no test shows equal accuracies of dense networks and of tickets"),
        ([row()], "no test shows"),  # of dense networks alone
        ([row(**TICKET)], "no test shows"),
        ([row(network=json.dumps(MODEL | {"width": 5})), row(**TICKET)], "no test shows"),
        ([row(), row(**TICKET, verdict="not shown")], "1 of 2 tests do not show equal accuracies"),
        ([row(), row(**TICKET, verdict="different"), row(round="3", n="4")], "2 of 3 tests do not show"),
    ],
)
def test_only_tests_of_this_network_dense_and_pruned_back_it(folder, rows, said):
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["network", "dataset", "round", "n", "verdict"])
        writer.writeheader()
        writer.writerows(rows)
    found = calibration.not_backed(MODEL, path)
    assert found.startswith(said) and bool(found) == bool(said)


def test_the_committed_table_holds_whole_tests():
    rows = load_rows(calibration.EQUIVALENCE)
    for one in rows:
        assert json.loads(one["network"])["function"]
        assert one["verdict"] in ("equivalent", "not shown", "different")
        assert float(one["low"]) <= float(one["difference"]) <= float(one["high"])
        inside = float(one["low"]) > -0.5 and float(one["high"]) < 0.5
        assert (one["verdict"] == "equivalent") == inside == (float(one["p"]) < 0.05)


# What is kept


def test_an_answer_stays_whatever_is_measured_later(folder, monkeypatch):
    monkeypatch.setattr(calibration, "not_backed", lambda model: "")
    first = ask(timing([2.0], [1.0]))
    assert first["precision"] == "bfloat16"
    assert ask(timing([1.0], [2.0])) == first
    assert ask() == first  # nothing is measured
    monkeypatch.setattr(
        calibration, "not_backed", lambda model: "no test"
    )  # a table that came to say otherwise
    assert ask() == first


@pytest.mark.parametrize(
    "changed",
    [
        {"here": HERE | {"processor": "another"}},
        {"here": HERE | {"torch": "2.0"}},
        {"here": machine.described("cpu", {"ATEN_CPU_CAPABILITY": "avx2"})},
        {"here": machine.described("cpu", {"OMP_NUM_THREADS": "2"})},
        {"case": CASE | {"batch_size": 64}},
        {"case": CASE | {"shape": [1, 8, 8]}},
        {"case": CASE | {"model": MODEL | {"width": 5}}},
    ],
)
def test_what_decides_about_speed_is_asked_anew(folder, changed):
    slow = ask(timing([2.0], [1.0]))
    other = ask(timing([1.0], [2.0]), **changed)
    assert other["measured"] != slow["measured"]
    assert ask() == slow


def one_of_many(barrier, answered):
    def measure(cases, device, environment):
        with Path("measured").open("a") as file:
            file.write("once\n")
        time.sleep(0.3)
        return [timing([1.0], [float(os.getpid())])]

    barrier.wait()
    answered.put(calibration.answers([CASE], HERE, device="cpu", measure=measure)[0])


def test_of_jobs_that_ask_at_once_one_measures(folder):
    context = multiprocessing.get_context("fork")
    barrier, answered = context.Barrier(6), context.Queue()
    jobs = [context.Process(target=one_of_many, args=(barrier, answered)) for _ in range(6)]
    for one in jobs:
        one.start()
    found = [answered.get(timeout=30) for _ in jobs]
    for one in jobs:
        one.join()
    assert Path("measured").read_text() == "once\n"
    assert all(one == found[0] for one in found)
    assert [path.suffix for path in calibration.FOLDER.iterdir()] == [
        ".json"
    ]  # no lock, nothing half written


def test_a_job_that_is_killed_while_it_measures_leaves_the_next_to_do_it(folder):
    def killed(cases, device, environment):
        os.kill(os.getpid(), signal.SIGKILL)

    context = multiprocessing.get_context("fork")
    one = context.Process(target=lambda: calibration.answers([CASE], HERE, device="cpu", measure=killed))
    one.start()
    one.join()
    assert one.exitcode == -signal.SIGKILL
    assert ask(timing([1.0], [1.0]))["precision"] == "float32"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_answer_is_named(folder, content):
    ask(timing([1.0], [1.0]))
    path = calibration.place(CASE, HERE)
    path.write_text(content)
    with pytest.raises(InvalidInput, match=rf"{path.name} is damaged .*delete it, and it is measured anew"):
        ask()


def test_a_network_that_cannot_be_timed_stops_the_job_and_leaves_no_answer(folder):
    case = CASE | {"model": {"function": "resnet", "depth": 9}}
    with pytest.raises(InvalidInput, match=r"cannot time resnet on cpu: .*depth 9 is not 6n"):
        calibration.answers([case], HERE, device="cpu")
    assert not list(calibration.FOLDER.iterdir())


# The measurement


def test_a_network_is_timed_in_both_precisions(folder):
    """In a process of its own; its sizes are those of the network."""
    (found,) = calibration.answers([CASE], HERE, device="cpu")
    measured, model = found["measured"], resnet(3, 10, depth=8, width=4)
    state = state_of(model)
    assert measured["step_seconds"].keys() == {"float32", "bfloat16"}
    assert all(len(turns) == 5 and min(turns) > 0 for turns in measured["step_seconds"].values())
    assert 0 < measured["evaluation_seconds"]["float32"] < measured["single_seconds"] < 1
    assert measured["images"] == 32
    assert measured["parameters"] == sum(one.numel() for one in model.parameters())
    assert measured["prunable"] == sum(state[name].size for name in prunable_names(model))
    assert measured["state_bytes"] == sum(array.nbytes for array in state.values())
    assert 0 < measured["start_seconds"] < 60


def test_a_job_takes_the_answer_and_says_so(folder, monkeypatch, capsys):
    monkeypatch.setattr(calibration, "not_backed", lambda model: "")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    answer = ask(timing([2.0], [1.0]), here=machine.described("cpu"))
    found = settled(CPU, MODEL, (3, 8, 8), 32)
    assert found.record() == {"device": "cpu", "precision": "bfloat16", "threads": 1}
    assert found.machine()["precision_chosen"] == answer["because"]
    assert capsys.readouterr().out.startswith("precision: bfloat16: auto: bfloat16 is 2.00 times as fast")


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_named_precision_is_taken_without_a_measurement(folder, precision):
    named = replace(CPU, precision=precision)
    assert settled(named, MODEL, (3, 8, 8), 32) is named
    assert "precision_chosen" not in named.machine()
    assert not list(folder.iterdir())
