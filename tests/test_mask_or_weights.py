"""What rewinding gains, by k, in masks and weights, and in signs and magnitudes: by hand."""

import pytest
from pandas import DataFrame, concat

from earlyphase.results.figures import figure
from test_claims import jitter, verdict

KS = (5, 20, 50, 100)
LEVELS = {  # accuracy in % at each k
    "rewind_to_0": (78.0, 79.0, 80.0, 80.0),
    "signs_k_magnitudes_0": (78.1, 79.5, 82.0, 85.0),
    "signs_0_magnitudes_k": (78.0, 79.2, 81.0, 81.5),
}


def tables(ks=KS, **changed):
    levels = LEVELS | changed

    def rows(number, percent, **run):
        named = {
            "dataset": "d",
            "model": "m",
            "task": "supervised",
            "iteration": 400,
            "density": 0.1,
            "loss": 0.3,
        }
        values = percent / 100 + jitter(number)
        return [named | run | {"seed": seed, "accuracy": values[seed], "round": 5} for seed in range(5)]

    perturbed = [
        row
        for place, (name, of_ks) in enumerate(levels.items())
        for k, percent in zip(ks, of_ks, strict=False)
        for row in rows(100 * place + k, percent, k=k, perturbation=name)
    ]
    chains = [row for k, percent in zip((0, *ks), (77.0, 79.0, 82.0, 86.0, 88.0), strict=False)
              for row in rows(1000 + k, percent, k=k)]  # fmt: skip
    return {"perturbed": DataFrame(perturbed), "imp": DataFrame(chains)}


def test_the_gain_is_split_at_every_k():
    drawn, points = figure["mask_or_weights"](tables())
    shown = points.pivot(index="k", columns="curve", values="mean")
    assert shown.index.tolist() == list(KS)
    assert shown["gain"].tolist() == pytest.approx([2, 5, 9, 11])
    assert shown["mask"].tolist() == pytest.approx([1, 2, 3, 3])
    assert shown["weights"].tolist() == pytest.approx([1, 3, 6, 8])
    assert shown["signs_k_magnitudes_0"].tolist() == pytest.approx([0.1, 0.5, 2, 5])
    assert shown["signs_0_magnitudes_k"].tolist() == pytest.approx([0, 0.2, 1, 1.5])
    spread = 100 * (jitter(105) - jitter(5)).std(ddof=1)
    chosen = points[(points["curve"] == "signs_k_magnitudes_0") & (points["k"] == 5)].iloc[0]
    assert (chosen["std"], chosen["n"]) == (pytest.approx(spread), 5)
    assert "n = 5 seeds" in drawn.get_supxlabel()


def test_the_figure_leaves_out_what_was_not_run():
    given = tables()
    given["perturbed"] = given["perturbed"][given["perturbed"]["perturbation"] != "signs_0_magnitudes_k"]
    assert set(figure["mask_or_weights"](given)[1]["curve"]) == {
        "gain",
        "mask",
        "weights",
        "signs_k_magnitudes_0",
    }


def test_rounds_may_differ_between_ks():
    """The sparsest round is drawn, with the ks and the perturbations that have it."""
    given = tables()
    sparser = {name: table.assign(round=6, density=0.06) for name, table in given.items()}
    late = sparser["perturbed"]
    late = late[(late["perturbation"] == "rewind_to_0") & (late["k"] == 100)]
    both = {"perturbed": concat([given["perturbed"], late]), "imp": concat([given["imp"], sparser["imp"]])}
    points = figure["mask_or_weights"](both)[1]
    assert (set(points["k"]), set(points["curve"])) == ({100}, {"gain", "mask", "weights"})
    assert points["density"].unique() == [0.06]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "reproduced"),
        ({"signs_k_magnitudes_0": (85.0, 83.0, 82.0, 80.0)}, "not reproduced"),
        ({"ks": (20, 100)}, "not run: not configured"),
    ],
)
def test_signs_gain_more_with_later_k(changes, expected):
    assert verdict("M2", tables(**changes)) == expected
