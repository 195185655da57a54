"""The stages of the first iterations as jobs: bad input, divergence, pairs of times."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pandas import read_csv

from assigned import carry_out
from earlyphase.core.curvature import fixed_sample, other_minibatches
from earlyphase.core.images import Images
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, load_state
from earlyphase.core.settings import TrainingSettings
from earlyphase.core.tasks import Task
from earlyphase.runtime.storage import load_tensors, save_tensors, save_weights
from earlyphase.runtime.trajectory import save_trajectory
from earlyphase.stages.pairs import prunable_signs, share_that_differ

NAMES = {"dataset": "d", "model": "m", "seed": 0, "task": "supervised"}
TRAINING = {
    "iterations": 8, "batch_size": 16, "learning_rate": 0.1, "milestones": [], "decay": 0.1, "momentum": 0.9,
    "weight_decay": 0.0, "crop_padding": 1, "flip": True, "evaluate_every": 4,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch, rng):
    """A folder with a data set of 40 images of four classes."""
    monkeypatch.chdir(tmp_path)
    arrays = {
        f"{part}_{name}": values
        for part in ("train", "test")
        for name, values in (
            ("images", rng.integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)),
            ("labels", np.arange(40) % 4),
        )
    }
    half = np.full(3, 0.5, np.float32)
    save_tensors("data", "data set", arrays | {"mean": half, "std": half}, classes=list("abcd"))
    return tmp_path


def state(seed=0, width=2):
    return initial_state(resnet(3, 4, depth=8, width=width), seed)


def job(stage, spec, inputs, outputs, *options, **roots):
    """Do a job on the data set of the folder; its exit status."""
    return carry_out(stage, spec, {"data": "data"} | inputs, outputs, "--resume", "resume", *options, **roots)


def spec(**parts):
    return {
        "model": {"function": "resnet", "depth": 8, "width": 2},
        "task": {"function": "supervised"},
        "training": TRAINING,
        "columns": NAMES,
    } | parts


def curvature(k=3, sample=32, statistics=("running", "sample"), **weights):
    """Do the job on a state `weights` of iteration 3; its exit status."""
    save_weights("it0", state(), 0)
    save_weights("it3", weights or state(1), 3)
    chosen = {"sample": sample, "statistics": list(statistics), "tolerance": 0.01}
    return job(
        "curvature",
        spec(columns=NAMES | {"k": k}, curvature=chosen),
        {"state": "it3", "initial": "it0"},
        {"eigenpairs": "eigenpairs", "row": "row.csv"},
    )


def test_curvature_writes_pairs_and_a_row_for_each_kind_of_statistics_that_agree(folder):
    assert curvature() == 0
    tensors, header = load_tensors("eigenpairs", "eigenpairs")
    rows = read_csv("row.csv")
    assert header["iteration"] == 3
    assert header["statistics"] == list(rows["statistics"]) == ["running", "sample"]
    assert len(tensors) == 4
    size = sum(p.numel() for p in resnet(3, 4, depth=8, width=2).parameters())
    for _, row in rows.iterrows():
        assert row["k"] == row["iteration"] == 3
        values, vectors = (tensors[f"{row['statistics']}/{name}"] for name in ("values", "vectors"))
        assert values.tolist() == [row[f"eigenvalue_{number}"] for number in (1, 2, 3, 4)]
        assert vectors.shape == (size, 4)
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(4), atol=1e-5)
        assert 0 < row["displacement_share"] < 1
        assert row["residual"] == max(row[f"residual_{number}"] for number in (1, 2, 3, 4))
        assert row["diverged"] == 0
    assert rows["eigenvalue_1"].nunique() == rows["gradient_share"].nunique() == 2


def test_what_is_measured_under_one_kind_of_statistics_does_not_depend_on_the_others(folder):
    assert curvature() == 0
    both = read_csv("row.csv").set_index("statistics")
    assert curvature(statistics=("sample",)) == 0
    assert read_csv("row.csv").set_index("statistics").equals(both.loc[["sample"]])


def test_the_mini_batches_of_the_row_are_of_other_images_than_the_sample(folder):
    """Their mean share in the stored subspace, from a plain training step on each."""
    assert curvature(sample=20) == 0
    tensors, _ = load_tensors("eigenpairs", "eigenpairs")
    data, _ = load_tensors("data", "data set")
    arrays = (data[name] for name in ("train_images", "train_labels", "mean", "std"))
    images = Images.from_arrays(*arrays, torch.device("cpu"))
    task, settings = Task(images, images, 4), TrainingSettings.from_spec(TRAINING)
    plain = TrainingSettings.from_spec(TRAINING | {"crop_padding": 0, "flip": False})
    sample = {image.tobytes() for image in fixed_sample(task, 20, 3)[0].numpy()}
    shown = {
        image.tobytes() for inputs, _ in other_minibatches(task, 20, plain, 3, 0) for image in inputs.numpy()
    }
    assert len(sample) == len(shown) == 20 and not sample & shown
    gradients = []
    for inputs, labels in other_minibatches(task, 20, settings, 3, 0):
        model = resnet(3, 4, depth=8, width=2)
        load_state(model, state(1))
        F.cross_entropy(model.train()(inputs), labels).backward()
        gradient = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
        gradients.append(gradient.astype(np.float64))
    assert len(gradients) == 10
    for _, row in read_csv("row.csv").iterrows():
        vectors = tensors[f"{row['statistics']}/vectors"]
        shares = [np.sum((vectors.T @ gradient) ** 2) / np.sum(gradient**2) for gradient in gradients]
        assert row["minibatch_share"] == pytest.approx(np.mean(shares), rel=1e-4)


def test_mini_batches_have_a_draw_for_each_seed_and_iteration_and_end_where_no_image_is_left(folder):
    data, _ = load_tensors("data", "data set")
    arrays = (data[name] for name in ("train_images", "train_labels", "mean", "std"))
    images = Images.from_arrays(*arrays, torch.device("cpu"))
    task, settings = Task(images, images, 4), TrainingSettings.from_spec(TRAINING)
    firsts = [
        next(other_minibatches(task, 8, settings, iteration, seed))[0].numpy().tobytes()
        for iteration in (0, 3)
        for seed in (0, 1)
    ]
    assert len(set(firsts)) == 4
    assert list(other_minibatches(task, 40, settings, 3, 0)) == []


def vectors_of(path):
    tensors, header = load_tensors(path, "eigenpairs")
    return [tensors[f"{kind}/vectors"] for kind in header["statistics"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (state(width=3), "the checkpoint belongs to another network"),
        ({"k": 4}, "it3 is the state at iteration 3, not 4"),
    ],
    ids=["another network", "another iteration"],
)
def test_bad_input_is_one_clear_message(folder, capsys, options, message):
    assert curvature(**options) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed
    assert not (folder / "row.csv").exists()


def test_a_sample_of_more_images_than_there_are_is_all_of_them_and_says_so(folder, capsys):
    assert curvature(sample=41) == 0
    assert "sample: all 40 training images, where 41 were asked for" in capsys.readouterr().out
    assert list(read_csv("row.csv")["sample"]) == [40, 40]


def test_a_diverged_state_is_recorded_as_diverged(folder, capsys):
    broken = state(1)
    broken["fc.weight"][0, 0] = np.nan
    assert curvature(**broken) == 0
    printed = capsys.readouterr().out
    rows = read_csv("row.csv").set_index("statistics", drop=False)
    assert list(rows.index) == ["running", "sample"]
    for kind in rows.index:
        assert f"recorded as diverged, {kind} statistics: weights are not finite" in printed
    assert (rows["diverged"] == 1).all()
    assert rows[["loss", "gradient_share", "eigenvalue_1", "eigenvalue_4"]].isna().all(axis=None)
    assert all(len(vectors) == 0 for vectors in vectors_of("eigenpairs"))
    columns = list(rows.columns)
    assert curvature() == 0
    assert list(read_csv("row.csv").columns) == columns  # so that the rows make one table


def test_a_replay_of_a_trajectory_that_it_does_not_repeat_is_refused(folder, capsys):
    save_trajectory("trajectory", {at: (state(at), {}) for at in (0, 8)})
    schedules = {"schedule": [[8, 1]], "evaluations": [[8, 4]]}
    outputs = {name: f"{name}.csv" for name in ("state", "traces", "evaluations", "run")}
    replay = spec(telemetry=schedules, stop=8)
    assert job("telemetry", replay, {"trajectory": "trajectory"}, outputs) == 1
    assert "the replay differs from the dense run at iteration 8" in capsys.readouterr().err
    assert not (folder / "state.csv").exists()


def test_pairs_of_times(folder, rng):
    bases = {time: np.linalg.qr(rng.standard_normal((9, 2)))[0].astype(np.float32) for time in (0, 5, 9)}
    weights = {
        0: {"a.weight": np.array([[1.0, -1, 1, 1]]), "b.weight": np.array([1.0]), "c": np.array([[[1.0]]])},
        5: {"c": np.array([[[-1.0]]]), "b.weight": np.array([-1.0]), "a.weight": np.array([[1.0, 1, 1, 1]])},
        9: {
            "a.weight": np.array([[1.0, 1, 1, np.nan]]),
            "b.weight": np.array([1.0]),
            "c": np.array([[[1.0]]]),
        },
    }
    bases[9] = np.zeros((0, 2), np.float32)  # diverged
    for time, basis in bases.items():  # under the sample's statistics, subspaces of one dimension
        tensors = {"running/vectors": basis, "sample/vectors": basis[:, :1]}
        save_tensors(f"e{time}", "eigenpairs", tensors, iteration=time, statistics=["sample", "running"])
        save_weights(f"s{time}", weights[time], time)
    save_weights("s7", weights[5], 7)  # whose Hessian was not computed
    inputs = {"eigenpairs": ["e5", "e0", "e9"], "states": ["s5", "s0", "s9", "s7"]}
    assert carry_out("pairs", {"columns": NAMES}, inputs, {"table": "pairs.csv"}) == 0
    rows = read_csv("pairs.csv")
    signs = rows[rows["statistics"].isna()].set_index(["earlier", "later"])
    assert list(signs.index) == [(0, 7), (5, 7), (7, 9)] and signs["overlap"].isna().all()
    assert list(signs["sign_changes"])[:2] == [2 / 5, 0]
    assert carry_out("pairs", {"columns": NAMES}, {"states": ["s5", "s7"]}, {"table": "signs.csv"}) == 0
    assert list(read_csv("signs.csv")["sign_changes"]) == [0]  # without any Hessian
    rows = rows.dropna(subset="statistics")
    assert list(rows["statistics"]) == ["sample"] * 3 + ["running"] * 3
    for kind, count in (("running", 2), ("sample", 1)):
        of_kind = rows[rows["statistics"] == kind].set_index(["earlier", "later"])
        assert list(of_kind.index) == [(0, 5), (0, 9), (5, 9)]
        one, other = (bases[time][:, :count] for time in (0, 5))
        wanted = np.trace(one @ one.T @ other @ other.T) / count
        assert of_kind.loc[(0, 5), "overlap"] == pytest.approx(wanted, rel=1e-5)
        assert of_kind.loc[(0, 5), "chance"] == pytest.approx(count / 9)
        assert of_kind.loc[(0, 5), "sign_changes"] == 2 / 5  # one of a, and c; b is no weight of a layer
        assert of_kind.loc[[(0, 9), (5, 9)], ["overlap", "sign_changes"]].isna().all(axis=None)


def test_signs_do_not_depend_on_the_order_of_tensors():
    weights = {"a": np.array([[1.0, -1]]), "b": np.array([[-1.0, -1]])}
    backwards = dict(reversed(weights.items()))
    assert share_that_differ(prunable_signs(weights), prunable_signs(backwards)) == 0
