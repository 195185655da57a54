"""What sparsity buys, from the job to the table, the figure and the verdicts."""

import lzma

import numpy as np
import pytest
import torch
from pandas import DataFrame, read_csv

from assigned import carry_out
from earlyphase.core.inference import RUNTIMES
from earlyphase.core.masks import full_mask
from earlyphase.core.networks.resnet import resnet
from earlyphase.core.networks.state import initial_state, prunable_names
from earlyphase.results.claims.claim import NOT_CONFIGURED, NOT_MEASURABLE
from earlyphase.results.figures import figure
from earlyphase.runtime.storage import save_mask, save_weights
from test_claims import judged
from test_figures import check_declaration
from test_first_iterations import NAMES, folder, spec  # noqa: F401 - `folder` is a fixture

CHOSEN = {"rounds": [1, 3], "batch_sizes": [1, 3], "turns": 3, "least_seconds": 1e-4}


def measure(rng, **chosen):
    """Do the job on a dense network and two tickets of it; its table."""
    weights = initial_state(resnet(3, 4, depth=8, width=2), 0)
    save_weights("dense", weights, 8)
    for number, density in ((1, 0.5), (3, 0.1)):
        mask = full_mask(weights, prunable_names(resnet(3, 4, depth=8, width=2)))
        mask = {name: rng.random(kept.shape) < density for name, kept in mask.items()}
        save_mask(f"mask{number}", mask)
        save_weights(f"weights{number}", weights | {name: weights[name] * mask[name] for name in mask}, 8)
    options = spec(columns=NAMES | {"k": 3}, inference=CHOSEN | chosen)
    inputs = {
        "data": "data", "dense": "dense", "masks": ["mask1", "mask3"], "weights": ["weights1", "weights3"],
    }  # fmt: skip
    assert carry_out("inference", options, inputs, {"table": "table.csv"}) == 0
    return read_csv("table.csv")


def test_a_row_for_every_network_runtime_and_batch_size(folder, rng):  # noqa: F811
    table = measure(rng)
    assert torch.get_num_threads() == 1
    pruned, narrow = (table[table["form"] == form] for form in ("as pruned", "emptied channels removed"))
    assert len(pruned) == 3 * len(RUNTIMES) * 2 and len(narrow) == 2 * 2
    assert set(pruned["runtime"]) == set(RUNTIMES) and set(narrow["runtime"]) == {"torch"}
    assert (table["k"] == 3).all() and set(table["batch"]) == {1, 3}
    files = table.drop_duplicates(["round", "form"]).set_index(["round", "form"])
    dense = files.loc[(0, "as pruned")]
    for number in (1, 3):
        ticket, small = files.loc[(number, "as pruned")], files.loc[(number, "emptied channels removed")]
        assert ticket["bytes_dense"] == dense["bytes_dense"] > ticket["bytes_packed"]
        assert small["bytes_dense"] <= ticket["bytes_dense"] and small["density"] == ticket["density"]
    assert files.loc[(3, "emptied channels removed")]["bytes_dense"] < dense["bytes_dense"]
    assert len(lzma.compress((folder / "dense").read_bytes(), preset=9)) == dense["bytes_dense_compressed"]
    assert (table["seconds"] > 0).all() and table["waited"].between(-0.1, 1).all()
    assert table["joules"].isna().all() or (table["joules"] >= 0).all()


def test_a_runtime_that_gives_other_outputs_is_refused(folder, rng, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setitem(RUNTIMES, "scipy", lambda model: lambda images: model(images) + 1)
    with pytest.raises(AssertionError):
        measure(rng)
    assert "scipy differs from torch by" in capsys.readouterr().err


# Tables to figure and verdicts


def made(ratios, seeds=5, spread=0.02, joules=False, densities=(0.4, 0.17, 0.07)):
    """A table of two runtimes; the ticket of each round takes `ratios[runtime]` of the dense network's time."""
    rng, rows = np.random.default_rng(0), []
    for seed in range(seeds):
        for batch in (1, 128):
            for number, density in enumerate((1.0, *densities)):
                for runtime, of_round in ratios.items():
                    noise = np.exp(rng.normal(0, spread))
                    seconds = 1e-3 * batch * (1, *of_round)[number] * noise * (5 if runtime == "scipy" else 1)
                    size = round(20_000 * density) + seed
                    rows.append(
                        {
                            "dataset": "d", "model": "m", "seed": seed, "k": 100, "round": 2 * number,
                            "form": "as pruned", "runtime": runtime, "batch": batch, "density": density,
                            "bytes_dense": 21_000, "bytes_dense_compressed": 20_000, "bytes_packed": size + 900,
                            "bytes_packed_compressed": size + 700, "seconds": seconds,
                            "joules": 20 * seconds if joules else np.nan,
                            "waited": 0.01,
                        }
                    )  # fmt: skip
    return DataFrame(rows)


FLAT, FALLING = (1.0, 1.0, 1.0), (0.9, 0.5, 0.2)


def test_the_figure_shows_bytes_and_times():
    table = made({"torch": FALLING, "scipy": FLAT})
    drawn, points = figure["sparsity"]({"inference": table})
    assert len(drawn.axes) == 3
    assert len(points) == 4 * 4 + 2 * 2 * 4 and (points["n"] == 5).all()
    sparsest = points[points["density"] == 0.07].set_index(["curve", "batch"])["mean"]
    assert sparsest["PyTorch", 128] == pytest.approx(0.2e-3, rel=0.05)  # seconds for an image
    assert sparsest["packed", 0] == 1400 + 2 + 900
    assert "rough" not in drawn.get_supxlabel()
    check_declaration("sparsity", {"inference": table})
    drawn, _ = figure["sparsity"]({"inference": table.assign(waited=0.3)})
    assert "other work for up to 30% of them" in drawn.get_supxlabel().replace("\n", " ")


def claimed(table, *claims):
    return [judged(claim, {"inference": table}) for claim in claims]


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [(FALLING, "reproduced"), (FLAT, "inconclusive"), ((1.1, 1.2, 1.3), "not reproduced")],
)
def test_time_and_energy_are_judged_at_every_batch_size(ratios, verdict):
    storage, time, energy = claimed(made({"torch": ratios, "scipy": FLAT}, joules=True), "L2", "L3", "L4")
    assert time["verdict"] == energy["verdict"] == verdict
    assert (storage["verdict"], time["n"]) == ("reproduced", 5)


def test_one_batch_size_that_is_slower_is_enough_to_fail():
    table = made({"torch": FALLING})
    slow = (table["batch"] == 128) & (table["round"] == 6)
    table.loc[slow, "seconds"] *= 10
    assert claimed(table, "L3")[0]["verdict"] == "not reproduced"


@pytest.mark.parametrize(("seeds", "narrowed"), [(5, True), (10, False)])
def test_equal_speeds_pass_by_chance_no_more_often_than_the_error_says(seeds, narrowed):
    """Dense network and ticket have as many candidates: a ticket that could also be narrowed has one form, too."""
    rng, passed, studies = np.random.default_rng(seeds), 0, 100
    for _ in range(studies):
        rows = [
            {"dataset": "d", "model": "m", "seed": seed, "k": 100, "round": r, "density": density, "form": form,
             "runtime": runtime, "batch": 1, "seconds": 1 + 0.05 * rng.standard_normal()}
            for seed in range(seeds)
            for r, density, forms in ((0, 1.0, ["as pruned"]), (6, 0.07, ["as pruned", "narrow"][: 1 + narrowed]))
            for form in forms
            for runtime in ("torch", "scipy")
        ]  # fmt: skip
        passed += judged("L3", {"inference": DataFrame(rows)})["verdict"] == "reproduced"
    assert passed / studies <= 0.06


def test_what_was_not_measured_has_no_verdict():
    (row,) = claimed(made({"torch": FALLING}), "L4")
    assert row["verdict"] == NOT_MEASURABLE and "no energy counter" in row["test"]
    rows = claimed(made({"torch": FALLING}, densities=(0.8, 0.6, 0.3)), "L2", "L3")
    assert {row["verdict"] for row in rows} == {NOT_CONFIGURED}
    assert "the sparsest has 30.0%" in rows[0]["test"]
