"""Deficits: which trainings a study asks for, their settings by time, and the training itself."""

import copy
import json
import signal
from collections import Counter

import numpy as np
import pytest

from assigned import CONFIG, carry_out, configured, start
from earlyphase.core.settings import TrainingSettings
from earlyphase.errors import InvalidInput
from earlyphase.runtime.storage import load_rows
from earlyphase.stages.figure import left_out
from earlyphase.study.jobs import all_jobs, job_of, tables_of
from test_resume import SPEC, data, finish, wait_for_progress  # noqa: F401 - a fixture

REMOVAL = {"deficits": ["blur"], "removed_at": [0, 60], "regimes": ["base"]}
WINDOW = {"deficits": ["blur"], "onsets": [40], "length": 60, "regimes": ["base"]}
HELD = {"held": [[0, 160]], "regimes": ["no_weight_decay"]}
TRAINING = {
    "iterations": 320,
    "milestones": [192, 272],
    "learning_rate": 0.4,
    "decay": 0.1,
    "weight_decay": 0.001,
}


def study(*entries, training=(), **sections):
    config = copy.deepcopy(CONFIG) | {"critical_periods": list(entries), "seeds": [0, 1]}
    config["training"] |= TRAINING | dict(training)
    config["curvature"]["iterations"] = [0, 1.0]
    for section, content in sections.items():
        config[section] = content if isinstance(content, list) else config[section] | content
    return configured(config)


def deficits(found):
    """Jobs of the stage, as regime, deficit, first, end, stop; each must be there for both seeds."""
    names = [job.names for job in all_jobs(found, rules=["deficit"])]
    counted = Counter(
        (name["regime"], name["deficit"], *(int(name[key]) for key in ("first", "end", "stop")))
        for name in names
    )
    assert set(counted.values()) <= {2}
    return set(counted)


def settings(found, regime, deficit, first, end, stop):
    names = {
        "dataset": "photo_digits", "model": "resnet8", "seed": "0", "task": "supervised", "regime": regime,
        "deficit": deficit, "first": str(first), "end": str(end), "stop": str(stop),
    }  # fmt: skip
    job = job_of(found, "deficit", names)
    return TrainingSettings.from_spec(job.stage.spec(job)["training"])


CLEAN = ("base", "supervised", 0, 0, 320)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([REMOVAL], {CLEAN, ("base", "blur", 0, 60, 380)}),
        ([WINDOW], {CLEAN, ("base", "blur", 40, 100, 320)}),
        ([REMOVAL, WINDOW], {CLEAN, ("base", "blur", 0, 60, 380), ("base", "blur", 40, 100, 320)}),
        ([REMOVAL | {"removed_at": [0.25]}], {CLEAN, ("base", "blur", 0, 80, 400)}),
        ([WINDOW | {"onsets": [0.5], "length": 0.5}], {CLEAN, ("base", "blur", 160, 320, 320)}),
        (  # the schedule restarts when a deficit ends: without one there is nothing to train again
            [REMOVAL | {"regimes": ["restarted"]}],
            {CLEAN, ("restarted", "blur", 0, 60, 380)},
        ),
        (
            [REMOVAL | {"regimes": ["augmented"], "deficits": ["blur", "relabelled"]}],
            {
                CLEAN, ("augmented", "supervised", 0, 0, 320), ("augmented", "blur", 0, 60, 380),
                ("augmented", "relabelled", 0, 60, 380),
            },
        ),
        (
            [HELD],
            {
                CLEAN, ("no_weight_decay", "supervised", 0, 0, 320),
                ("no_weight_decay-0-160", "supervised", 0, 0, 320),
            },
        ),
        ([], set()),
    ],
)  # fmt: skip
def test_each_training_is_asked_for_once_with_what_it_is_compared_with(entries, expected):
    found = study(*entries)
    assert deficits(found) == expected
    assert ("deficits" in tables_of(found, found.runs[0])) == bool(expected)


def test_a_job_trains_to_where_its_path_says_and_follows_both_tasks():
    (job, *_) = (job for job in all_jobs(study(REMOVAL), rules=["deficit"]) if job.names["end"] == "60")
    assert job.names["stop"] == "380" and job.span == range(380)
    assert {"core.tasks.supervised", "core.tasks.blurred"} <= set(job.code_roots)


def rate(iteration):
    """The run's schedule, written out."""
    return 0.4 if iteration < 192 else 0.04 if iteration < 272 else 0.004


@pytest.mark.parametrize("end", [60, 250])
def test_the_rate_falls_from_the_start_or_begins_anew_when_the_deficit_ends(end):
    found = study(REMOVAL | {"removed_at": [end], "regimes": ["base", "restarted"]})
    base, restarted = (settings(found, name, "blur", 0, end, 320 + end) for name in ("base", "restarted"))
    for iteration in range(320 + end):
        assert base.learning_rate_at(iteration) == pytest.approx(rate(iteration))
        since = iteration - end if iteration >= end else iteration
        assert restarted.learning_rate_at(iteration) == pytest.approx(rate(since))
    assert base.evaluates_at(320 + end)
    assert restarted.evaluates_at(320 + end)


def test_a_regime_holds_in_its_window_and_the_training_as_it_is_outside():
    found = study(
        {"held": [[0, 160], [160, 320], [40, 50]], "regimes": ["no_weight_decay", "padded"]},
        regimes={"padded": {"crop_padding": 2, "flip": True}},
    )
    for first, last in ((0, 160), (160, 320), (40, 50)):
        bare, padded = (
            settings(found, f"{name}-{first}-{last}", "supervised", 0, 0, 320)
            for name in ("no_weight_decay", "padded")
        )
        for iteration in range(320):
            inside = first <= iteration < last
            assert bare.at(iteration).weight_decay == (0 if inside else 0.001)
            assert bare.augmentation_at(iteration).keywords == {"padding": 0, "flip": False}
            padding = 2 if inside else 0  # digits are not mirrored
            assert padded.augmentation_at(iteration).keywords == {"padding": padding, "flip": False}
            assert padded.at(iteration).weight_decay == 0.001


def test_a_regime_changes_what_it_names_throughout_and_nothing_else():
    found = study(
        REMOVAL | {"regimes": ["slow"]}, regimes={"slow": {"milestones": [9], "learning_rate": 0.1}}
    )
    slow, base = settings(found, "slow", "blur", 0, 60, 380), settings(found, "base", "blur", 0, 60, 380)
    assert [slow.learning_rate_at(at) for at in (0, 8, 9, 379)] == pytest.approx([0.1, 0.1, 0.01, 0.01])
    assert (slow.weight_decay, slow.optimizer) == (base.weight_decay, base.optimizer)


def test_a_training_without_a_deficit_is_specified_as_the_dense_one():
    """So its metrics are that run's: see the training itself below."""
    found = study(REMOVAL)
    names = {"dataset": "photo_digits", "model": "resnet8", "seed": "0", "task": "supervised"}
    clean = names | {"regime": "base", "deficit": "supervised", "first": "0", "end": "0", "stop": "320"}
    ours, dense = (
        (job := job_of(found, rule, of)).stage.spec(job)
        for rule, of in (("deficit", clean), ("dense", names))
    )
    for key in ("model", "task", "training"):
        assert ours[key] == dense[key]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (WINDOW | {"length": 0}, "critical_periods.0.length is 0"),
        (WINDOW | {"length": 0.001}, "has 40, a window of the iterations 40 to 40"),
        (WINDOW | {"onsets": [-1]}, "onsets.0 is -1"),
        (REMOVAL | {"deficits": ["blurr"]}, "deficits.0 is 'blurr', which is not under tasks, did you mean 'blur'"),
        (REMOVAL | {"deficits": ["rotation"]}, "deficits has 'rotation', whose 4 classes are its own"),
        (REMOVAL | {"deficits": ["blur_rotation"]}, "deficits has 'blur_rotation', whose 4 classes are its own"),
        (REMOVAL | {"regimes": ["restart"]}, "regimes.0 is 'restart', which is not under regimes, did you mean 'restarted'"),
        (REMOVAL | {"deficits": []}, "deficits is "),
        (REMOVAL | {"onsets": [0]}, "has removed_at and onsets of removed_at, onsets and held; one is right"),
        ({"regimes": ["base"]}, "has none of removed_at, onsets and held"),
        ({"removed_at": [3], "regimes": ["base"]}, "lacks deficits, which removed_at needs"),
        ({"onsets": [3], "deficits": ["blur"], "regimes": ["base"]}, "lacks length, which onsets needs"),
        (REMOVAL | {"length": 3}, "has length, which removed_at does not use"),
        (HELD | {"regimes": ["base"]}, "regimes has 'base', which changes nothing"),
        (HELD | {"regimes": ["restarted"]}, "regimes has 'restarted', which changes schedule; what is held"),
        (HELD | {"held": [[8, 8]]}, "a window must begin before it ends"),
        (REMOVAL | {"onset": [3]}, "unknown key 'onset' in critical_periods.0, did you mean 'onsets'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_the_start(entry, message):
    with pytest.raises(InvalidInput, match=message):
        study(entry)


@pytest.mark.parametrize(
    ("entry", "key", "past", "kept"),
    [
        (WINDOW | {"onsets": [0, 280]}, "onsets", "280", [0]),
        (HELD | {"held": [[0, 321], [0, 320], [8, 400]]}, "held", "[0, 321], [8, 400]", [[0, 320]]),
        (HELD | {"held": [[0, 321]]}, "held", "[0, 321]", None),
    ],
)
def test_a_window_past_the_end_is_left_out_with_a_word(entry, key, past, kept):
    studied = study(entry)
    assert f"of critical_periods.0.{key} {past} is left out: the run trains for 320" in "".join(
        left_out(studied)
    )
    assert studied.runs[0].critical_periods == ([entry | {key: kept}] if kept else [])


@pytest.mark.parametrize(
    ("regimes", "message"),
    [
        ({"base": {"weight_decay": 0}}, "base.*not base, which is the training as it is"),
        (
            {"slow": {"milestones": [320]}},
            "regimes.slow of resnet8 on photo_digits: milestone 320 is not before",
        ),
        (
            {"slow": {"schedule": "cyclic"}},
            "regimes.slow.schedule is 'cyclic', but must be an entry, or restarted",
        ),
        ({"slow": {"iterations": 10}}, "unknown key 'iterations' in regimes.slow"),
        ({"slow": {}}, "regimes.slow is {}"),
    ],
)
def test_a_regime_that_cannot_be_is_refused_at_the_start(regimes, message):
    with pytest.raises(InvalidInput, match=message):
        study(REMOVAL | {"regimes": ["base", "slow"]}, regimes=regimes)


def test_images_too_small_for_a_deficit_are_refused_at_the_start():
    with pytest.raises(InvalidInput, match="task blur on digits: factor of blurred is 9"):
        study(
            REMOVAL, runs=[{"dataset": "digits", "model": "resnet8"}], tasks={"blur": {"function": "blurred", "factor": 9}}
        )  # fmt: skip


def test_the_task_of_a_run_is_a_control_with_the_schedule_of_a_deficit():
    found = study(REMOVAL | {"deficits": ["supervised"], "regimes": ["restarted"]})
    assert deficits(found) == {CLEAN, ("restarted", "supervised", 0, 60, 380)}
    control = settings(found, "restarted", "supervised", 0, 60, 380)
    assert [control.learning_rate_at(at) for at in (0, 251, 252)] == pytest.approx([0.4, 0.4, 0.04])


def test_a_figure_without_its_protocol_is_left_out_with_a_word():
    found = study(WINDOW)
    for figure, protocol in (("removal", "removed_at"), ("regularisation", "held")):
        assert f"no figure {figure}: no entry of critical_periods has {protocol}" in "".join(left_out(found))
    assert not any("windows" in sentence for sentence in left_out(found))


# The training itself


def job(window, deficit="blurred", iterations=60, **training):
    task = {"function": deficit}
    columns = SPEC["columns"] | {"first": window.start, "end": window.stop}
    changed = {"iterations": iterations, "milestones": [40], "evaluate_every": 10} | training
    return {**SPEC, "columns": columns, "deficit": task, "training": SPEC["training"] | changed}


def described(stage, folder, data, spec):  # noqa: F811 - the fixture of that name
    """What a job in a folder is told."""
    folder.mkdir(exist_ok=True)
    names = {"metrics": "metrics.csv", "run": "run.json"}
    names |= {"trajectory": "trajectory.safetensors"} if stage == "dense" else {}
    outputs = {role: folder / name for role, name in names.items()}
    return stage, spec, {"data": data}, outputs, "--resume", str(folder / "trajectory.resume")


def trained(stage, folder, data, spec):  # noqa: F811
    assert carry_out(*described(stage, folder, data, spec)) == 0
    return load_rows(folder / "metrics.csv")


def measured(rows):
    return [(int(row["iteration"]), row["accuracy"], row["loss"]) for row in rows]


def test_without_a_deficit_the_metrics_are_those_of_the_dense_run_bit_for_bit(tmp_path, data):  # noqa: F811
    spec = job(range(0), "supervised")
    dense = trained("dense", tmp_path / "dense", data, {key: spec[key] for key in SPEC})
    assert measured(trained("deficit", tmp_path / "clean", data, spec)) == measured(dense)


def test_a_deficit_changes_what_follows_its_onset_and_nothing_before(tmp_path, data):  # noqa: F811
    clean = measured(trained("deficit", tmp_path / "clean", data, job(range(0))))
    late = measured(trained("deficit", tmp_path / "late", data, job(range(20, 30))))
    assert [row[0] for row in clean] == [row[0] for row in late] == list(range(0, 61, 10))
    assert late[:3] == clean[:3]  # up to iteration 20
    assert all(one != other for one, other in zip(late[3:], clean[3:], strict=True))


def test_a_killed_run_ends_with_the_same_bytes(tmp_path, data):  # noqa: F811
    spec = job(range(30, 90), iterations=120, later=[[60, {"weight_decay": 0.0}]], restarts_at=90)
    trained("deficit", tmp_path / "undisturbed", data, spec)
    told = (*described("deficit", tmp_path / "killed", data, spec), "--resume-interval", "0.1")
    process = start(*told)
    wait_for_progress(tmp_path / "killed", process)
    process.send_signal(signal.SIGKILL)
    finish(process)
    assert "resuming at iteration" in finish(start(*told))
    one, other = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("undisturbed", "killed"))
    assert one == other
    assert json.loads((tmp_path / "killed/run.json").read_text())["identity"]
    assert np.isfinite([float(row["loss"]) for row in load_rows(tmp_path / "killed/metrics.csv")]).all()
