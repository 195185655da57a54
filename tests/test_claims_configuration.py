"""Claims beside their measures: what they say, what a configuration may change of them, claims of one's own."""

import copy
import re
import textwrap
from contextlib import ExitStack
from unittest.mock import patch

import pytest

from assigned import CONFIG, configured
from earlyphase import registry
from earlyphase.errors import InvalidInput
from earlyphase.results.claims import CLAIMS, claims, judge
from earlyphase.results.claims.claim import Claim
from earlyphase.runtime.plugins import announce
from earlyphase.study.fingerprints import definitions
from earlyphase.study.jobs import job_of
from earlyphase.study.signatures import registered
from test_claims import KNOWN, make_tables

OF_THE_PAPER = {"S": 8, "R": 7, "P": 14, "D": 8, "C": 6}  # sections of the list of claims: how many
OURS = [
    "R8", "D9", "D10", "D11", "D12", "L1", "L2", "L3", "L4", "N1", "N2", "N3",
    "N4", "O1", "O2", "O3", "O4", "M1", "M2", "E1", "E2", "E3", "B1", "K1",
]  # fmt: skip


def test_every_claim_is_there_once():
    listed = {
        f"{section}{number}" for section, count in OF_THE_PAPER.items() for number in range(1, count + 1)
    }
    assert set(KNOWN) == listed | set(OURS) and len(CLAIMS) == len(listed) + len(OURS)


@pytest.mark.parametrize("name", KNOWN)
def test_every_sentence_can_be_written_and_says_its_numbers(name):
    """And nothing that a sentence says in braces is left; a share or a margin that is changed changes the words."""
    claim = KNOWN[name]
    said = claim.stated(), claim.judged_by(), claim.paper
    assert not any(re.search(r"[{}]", text) for text in said)
    assert name == "M1" or (all(said) and claim.source)
    for number in ("share", "least", "threshold", "below", "times", "percent"):
        if number in claim.numbers:
            twice = claims({name: {number: claim.numbers[number] * 1.5}})[name]
            assert (twice.stated(), twice.judged_by()) != said[:2], number


def study(**claims):
    return configured(copy.deepcopy(CONFIG) | {"claims": claims})


def job(of):
    """The job that judges the claims of a study."""
    return job_of(of, "claims", {})


def spec(of):
    """What that job reads of the configuration."""
    return job(of).stage.spec(job(of))


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"R22": {"least": 1}}, "claims names 'R22', which is no claim, did you mean 'R2'"),
        ({"R2": {"leest": 1}}, "claims.R2.leest: R2 has no such argument, did you mean 'least'"),
        ({"R2": {"least": "a lot"}}, "claims.R2.least is the text 'a lot', but must be of type number"),
        ({"R2": {"least": -1}}, "claims.R2.least is -1"),
        ({"P1": {"share": 1.5}}, "claims.P1.share is 1.5"),
        ({"P1": {"reading": "own masks"}}, "claims.P1.reading: P1 has no such argument"),
        ({"R2": 3}, "claims.R2 is 3, but must be of type"),
    ],
)
def test_a_wrong_number_is_named_before_anything_runs(claims, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        _ = study(**claims).claims
    assert "\n" not in str(caught.value)


def test_the_configuration_changes_numbers_and_removes_claims():
    found = study(R5={"least": 4}, R3=None)
    passed = spec(found)["claims"]
    assert passed == {"R5": {"least": 4}, "R3": None}
    tables = make_tables({0: 87.0, 500: 90.0})
    rows, as_it_was = (judge(tables, {"claims": own})[0].set_index("id") for own in (passed, {}))
    assert (rows.loc["R5", "verdict"], as_it_was.loc["R5", "verdict"]) == ("not reproduced", "reproduced")
    assert "more than 4 points" in rows.loc["R5", "criterion"]
    assert "R3" not in rows.index and spec(study())["claims"] == {}
    assert rows.drop(index="R5").equals(as_it_was.drop(index=["R3", "R5"]))


def test_claims_are_told_how_far_a_training_is_the_papers():
    def facts(**training):
        config = copy.deepcopy(CONFIG) | {
            "runs": [{"dataset": "cifar10", "model": "resnet20", "training": training}]
        }
        return spec(configured(config))["networks"]["cifar10/resnet20"]

    paper = {
        "iterations": 62560, "batch_size": 128, "learning_rate": 0.1, "milestones": [31280, 46920], "decay": 0.1,
        "momentum": 0.9, "weight_decay": 0.0001, "crop_padding": 4, "flip": True,
    }  # fmt: skip
    told = {"function": "resnet", "full": True, "paper_until": 62560, "classes": 10, "optimizer": "sgd"}
    assert facts(**paper) == told
    brief = facts(**paper | {"iterations": 1955, "milestones": [978, 1467]})
    assert (brief["full"], brief["paper_until"]) == (
        False,
        978,
    )  # the same until the learning rate first falls
    assert facts(**paper | {"iterations": 4000, "milestones": []})["paper_until"] == 4000
    for other in ({"learning_rate": 0.05}, {"batch_size": 64}, {"flip": False}):
        assert facts(**paper | other)["paper_until"] == 0
    small = spec(study())["networks"]["photo_digits/resnet8"]
    assert small == {"function": "resnet", "full": False, "paper_until": 0, "classes": 10, "optimizer": "sgd"}


def test_a_claim_of_ones_own(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        textwrap.dedent('''
            from earlyphase import Contrast, Measured, claim

            @claim(
                statement="Seeds differ by less than {times:g} points", paper="no claim of the paper",
                criterion="each lies within", source="mine", reads=("dense",),
            )
            def X1(network, *, times: float = 0.5):
                """The accuracy of each seed less the mean, in points."""
                accuracy = network.dense()
                return Measured([Contrast("accuracy", accuracy - accuracy.mean(), "within", span=(-times, times))])
        ''')
    )
    with ExitStack() as stack:
        stack.enter_context(patch.dict("os.environ"))
        stack.callback(registered.cache_clear)
        for known in (registry.claim, registry.claim.facts):
            stack.enter_context(patch.dict(known))
        announce([plugin])
        registered.cache_clear()
        found = study(X1={"times": 100})
        assert "plugins.mine.X1" in job(found).code_roots
        assert "plugins.mine.X1" not in job(study(X1=None)).code_roots
        exec(plugin.read_text(), {})
        rows = judge(make_tables({0: 87.0}), {"claims": found.claims})[0].set_index("id")
    assert rows.index[-1] == "X1"
    assert rows.loc["X1", ["verdict", "source", "statement"]].tolist() == [
        "reproduced", "dense", "Seeds differ by less than 100 points",
    ]  # fmt: skip
    assert "X1" not in claims()


def test_the_fingerprint_of_the_claims_follows_each_of_them_and_the_figures_follow_none():
    reached = definitions(*job(study()).code_roots)
    written_out = {f"{one.__module__.removeprefix('earlyphase.')}.{one.__name__}" for one in CLAIMS}
    assert written_out <= set(reached)
    assert {"results.claims.evidence.margin_ps", "results.claims.judging.decide"} <= set(reached)
    assert not any(name.startswith("results.claims") for name in definitions("stages.figure.compute"))


def test_a_sentence_that_names_what_is_not_there_is_refused():
    with patch.dict(registry.claim), patch.dict(registry.claim.facts):

        @registry.claim(statement="At k = {k}", paper="", criterion="", source="", reads=())
        def X1(network):  # noqa: N802
            """Measure nothing."""

        with pytest.raises(InvalidInput, match="claim X1 names 'k', which is none of its numbers or places"):
            claims()


def test_a_fact_that_no_claim_has_is_refused():
    with pytest.raises(TypeError, match="statment"):
        Claim("X1", print, {}, statment="", paper="", criterion="", source="", reads=())
