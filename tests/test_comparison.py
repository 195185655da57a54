"""Verdicts of several studies side by side."""

import math

import pytest
from pandas import DataFrame

from earlyphase.__main__ import main
from earlyphase.errors import InvalidInput
from earlyphase.results.claims.claim import NOT_CONFIGURED
from earlyphase.results.comparison import agreement, by_claim, side_by_side

YES, NO, UNSURE, NOT_RUN = "reproduced", "not reproduced", "inconclusive", NOT_CONFIGURED


def judged(**verdicts):
    """A table of claims; `P1_own` is the reading "own" of P1."""
    rows = []
    for name, verdict in verdicts.items():
        claim, _, reading = name.partition("_")
        rows.append({
            "id": claim, "reading": reading, "dataset": "digits", "model": "resnet8",
            "ours": "1.0 points", "interval": "0.5 to 1.5", "verdict": verdict,
            "same_test_as": "R1" if claim == "L1" else "",
        })  # fmt: skip
    rows.append(rows[0] | {"id": "M1", "verdict": "", "reading": ""})
    return DataFrame(rows)


FIRST = judged(R1=YES, R2=YES, R3=NOT_RUN, R4=NO, P1_own=YES, P1_k=YES)


@pytest.mark.parametrize(
    ("second", "same", "counts"),
    [
        (FIRST, [True] * 6, (5, 4, 1, 0)),
        (
            judged(R1=NO, R2=UNSURE, R3=UNSURE, R4=NO, P1_own=YES, P1_k=YES),
            [False] * 3 + [True] * 3,
            (5, 4, 2 / 4, 1 / 4),
        ),
    ],
)
def test_each_way_to_differ_is_counted(second, same, counts):
    studies = {"a": FIRST, "b": second}
    found = side_by_side(studies)
    assert list(found["id"]) == ["R1", "R2", "R3", "R4", "P1", "P1"]  # M1 is a finding without a verdict
    assert list(found["same"]) == same and found["b: ours"].iloc[0] == "1.0 points (0.5 to 1.5)"
    assert tuple(agreement(studies).values()) == counts


def test_what_no_study_decides_is_no_agreement_and_a_repeated_test_counts_once():
    nothing = judged(R1=UNSURE, R2=NOT_RUN)
    assert math.isnan(agreement({"a": nothing, "b": nothing})["same"])
    first, second = judged(R1=YES, L1=YES, R2=YES), judged(R1=YES, L1=YES, R2=NO)
    assert tuple(agreement({"a": first, "b": second}).values()) == (2, 2, 1 / 2, 1 / 2)


def test_a_claim_whose_readings_differ_is_undecided():
    mixed = judged(P1_own=YES, P1_k=NO, P2_own=NO, P2_k=NO)
    assert by_claim(mixed) == {("digits", "resnet8", "P1"): UNSURE, ("digits", "resnet8", "P2"): NO}


def test_a_claim_that_one_study_lacks_was_not_run_there():
    less = FIRST[FIRST["id"] != "R4"]
    row = side_by_side({"a": FIRST, "b": less}).set_index("id").loc["R4"]
    assert (row["b: verdict"], row["b: ours"], row["same"]) == (NOT_RUN, "", False)


def test_one_study_cannot_be_compared():
    with pytest.raises(InvalidInput, match="two or more studies can be compared, not 1"):
        side_by_side({"a": FIRST})


def test_the_command_prints_a_table_of_folders_and_says_what_is_missing(tmp_path, capsys):
    for name in ("here", "there"):
        (tmp_path / name / "results").mkdir(parents=True)
        FIRST.to_csv(tmp_path / name / "results/claims.csv", index=False)
    assert main(["compare", str(tmp_path / "here"), str(tmp_path / "there/results")]) == 0
    printed = capsys.readouterr().out
    assert "| dataset | model | id | reading | same | here: ours | here: verdict | there: ours |" in printed
    assert (
        "Of 5 claims at least one study decides 4: 100% of these have the same verdict in all, 0%" in printed
    )
    assert main(["compare", str(tmp_path / "here"), str(tmp_path / "nowhere")]) == 1
    assert "nowhere is neither a table of claims nor a folder" in capsys.readouterr().err
    FIRST.drop(columns="verdict").to_csv(tmp_path / "bad.csv", index=False)
    assert main(["compare", str(tmp_path / "here"), str(tmp_path / "bad.csv")]) == 1
    assert "bad.csv is no table of claims: it has no column verdict" in capsys.readouterr().err
