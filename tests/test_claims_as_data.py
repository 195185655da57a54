"""Claims are data: each once, its sentences made of its numbers, and what is wrong with one said before anything runs."""

import copy
import re
import textwrap
from contextlib import ExitStack
from unittest.mock import patch

import pytest
from earlyphase.results.claims.catalogue import catalogue, claim_of, packaged, target_of
from hypothesis import given
from hypothesis import strategies as st

from earlyphase import registry
from earlyphase.errors import InvalidInput
from earlyphase.registry import measure
from earlyphase.results.claims import judge
from earlyphase.results.claims.judging import ERROR, FINDING
from earlyphase.runtime.plugins import announce
from earlyphase.sentences import parts_of, sentence, worded
from earlyphase.study.configuration import overlaid
from earlyphase.study.fingerprints import definitions
from earlyphase.study.jobs import roots, spec
from earlyphase.study.signatures import registered
from earlyphase.study.study import Study
from test_claims import CLAIMS, ENTRIES, FULL, SHORT, make_tables
from test_stages import CONFIG, RULES, SCHEMA

WORDS = packaged()["words"]
SCALES = ("full", "short")
OF_THE_PAPER = {"S": 8, "R": 7, "P": 14, "D": 8, "C": 6}  # sections of the list of claims: how many
OURS = ["D9", "L1", "L2", "L3", "L4", "M1"]


def test_every_claim_is_there_once_for_each_reading():
    listed = {
        f"{section}{number}" for section, count in OF_THE_PAPER.items() for number in range(1, count + 1)
    }
    assert len(listed) == 43
    assert set(ENTRIES) == listed | set(OURS)
    rows = judge(make_tables({0: 87.0, 500: 90.0}), SHORT)
    assert not rows.duplicated(["id", "reading"]).any()
    assert set(rows["id"]) == set(ENTRIES)
    for name, claim in CLAIMS.items():
        assert list(rows.loc[rows["id"] == name, "reading"]) == list(claim.readings)
        assert tuple(claim.short) == claim.readings


def test_every_row_says_where_its_claim_stands_and_a_row_without_a_verdict_why():
    rows = judge({}, FULL)
    own = rows["id"] == FINDING
    assert (rows.loc[~own, "cited"] != "").all() and (rows.loc[~own, "paper"] != "").all()
    assert set(rows["verdict"]) == {"not run at this scale"}
    assert rows["test"].str.contains(": ").all()


def test_every_measure_is_of_use_and_reads_tables_that_there_are():
    used = {part["measure"]["function"] for entry in ENTRIES.values() for scale in SCALES
            for part in parts_of(entry, scale) if "measure" in part}  # fmt: skip
    known = registered("measures")
    assert used == set(known) == set(measure)
    assert all(measure.facts[name] == known[name].facts for name in used)


# Sentences


def numbers_in(text):
    """Numbers that stand in a sentence; years of papers and names such as VGG-13 and 2-D are none."""
    text = re.sub(r"(al\.|&) [\w ]*\d{4}|[A-Z]\w*-\d+|\d-D", "", text).replace(",", "")
    return {float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)}


def values_in(data):
    """Numbers that stand in data, also at the ends of names, and what is written of them in percent."""
    if isinstance(data, dict):
        return set().union(*map(values_in, data.values()))
    if isinstance(data, list):
        return {float(len(data))}.union(*map(values_in, data))
    if isinstance(data, str):
        return {float(found) for found in re.findall(r"_(\d+(?:\.\d+)?)$", data)}
    return {round(value, 9) for value in (abs(data), 100 * abs(data), 100 * (1 - data))}


def sentences_of(claim):
    """All that is said of a claim and its criteria, before anything is measured."""
    yield from (claim.statement, claim.paper)
    for criterion in (*claim.full.values(), *claim.short.values()):
        while criterion is not None:
            yield criterion.rule
            criterion = criterion.also


@pytest.mark.parametrize("name", CLAIMS)
def test_no_number_stands_in_a_sentence_that_is_not_in_the_data(name):
    entry = {key: value for key, value in ENTRIES[name].items() if key != "source"}
    data = values_in([entry, {key: value for key, value in WORDS.items() if not isinstance(value, str)}]) | {
        0.0
    }
    for text in sentences_of(CLAIMS[name]):
        assert numbers_in(text) <= data, text
        assert not re.search(r"[{}]", text)


@pytest.mark.parametrize("name", CLAIMS)
def test_what_is_written_holds_no_number_itself(name):
    """The same of the words of the file, in which a number can stand in braces alone."""
    texts = [*(text for text in WORDS.values() if isinstance(text, str))]
    entry = ENTRIES[name]
    texts += [entry["statement"], entry["paper"]]
    texts += [
        part[key]
        for scale in SCALES
        for part in parts_of(entry, scale)
        for key in ("rule", "untested")
        if key in part
    ]
    for text in texts:
        assert numbers_in(re.sub(r"\{[^{}]*\}", "", text)) <= {0.0}


@pytest.mark.parametrize("name", CLAIMS)
@pytest.mark.parametrize("scale", SCALES)
def test_every_rule_says_its_target_and_its_share(name, scale):
    for part, said in zip(parts_of(ENTRIES[name], scale), worded(ENTRIES[name], WORDS)[scale], strict=True):
        found = numbers_in(said["rule"])
        edges = {abs(edge) for edge in target_of(part) if edge not in (0, float("inf"), -float("inf"))}
        if "about" in part:
            edges = {part["about"], part["within"]}
        assert edges <= found
        shares = {100 * part.get("measure", {}).get(key, 0) for key in ("kept", "lost", "share")} - {0}
        assert shares <= found


def entry_with(**part):
    return {
        "statement": "It is so", "paper": "so it is", "source": "Figure 1",
        "full": {"measure": {"function": "growth_of_magnitude"}, **part},
        "short": {"untested": "no reason"},
    }  # fmt: skip


NUMBERS = st.floats(-1e4, 1e4, allow_nan=False).map(lambda number: round(number, 3)).filter(bool)
PARTS = st.one_of(
    st.fixed_dictionaries({"within": NUMBERS.map(abs)}),
    st.fixed_dictionaries({"above": NUMBERS}),
    st.fixed_dictionaries({"below": NUMBERS}),
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: {"between": sorted(pair)}),
)


@given(part=PARTS, unit=st.sampled_from(["points", "%"]))
def test_a_rule_that_nobody_wrote_says_the_target_and_the_unit(part, unit):
    claim = claim_of("X1", entry_with(**part) | {"unit": unit})
    edges = {abs(edge) for edge in claim.full[""].target if abs(edge) < float("inf")}
    assert numbers_in(claim.full[""].rule) == {float(f"{edge:g}") for edge in edges}
    assert claim.full[""].rule.endswith(unit)


@given(part=PARTS)
def test_a_rule_that_does_not_say_its_target_is_refused(part):
    with pytest.raises(InvalidInput, match="does not say its criterion"):
        claim_of("X1", entry_with(**part, rule="it is large"))


@given(number=NUMBERS)
def test_a_number_moves_a_target_and_its_sentence_together(number):
    entry = copy.deepcopy(ENTRIES["P2"])
    entry["full"]["above"] = number
    criterion = claim_of("P2", entry).full["own masks"]
    assert criterion.target == (number, float("inf"))
    assert f"exceeds {number:,g} point" in criterion.rule


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{k} of {ks}", "2,000 of 500 and 2,000"), ("{share:%}", "12.5 %"), ("{share:sparsity}", "87.5 %"),
        ("{low:size} below", "0.7 below"), ("{one:points}, {low:points}", "1 point, -0.7 points"),
        ("{names:levels}; {names:count}; {names[0]:levels}", "0.5 and 3; 2; 0.5"), ("{phrase}", "at 2,000"),
        ("VGG-13 in 2-D, Zhou et al. 2019, from 0", "VGG-13 in 2-D, Zhou et al. 2019, from 0"),
    ],
)  # fmt: skip
def test_formats_of_sentences(template, said):
    values = {"k": 2000, "ks": [500, 2000], "share": 0.125, "low": -0.7, "one": 1.0, "phrase": "at {k}",
              "names": ["noise_0.5", "noise_3"]}  # fmt: skip
    assert sentence(template, values) == said


def test_the_error_that_sentences_name_is_that_of_the_verdicts():
    assert WORDS["error"] == ERROR


# What is wrong with an entry


def study(**claims):
    return Study(copy.deepcopy(CONFIG) | {"claims": claims}, SCHEMA, RULES)


GROWTH = {"function": "growth_of_magnitude"}
WRONG = [
    ({"R2": {"full": {"measure": {"function": "late_minus_erly"}}}},
     r"claims.R2.full.measure.function is 'late_minus_erly', .*did you mean 'late_minus_early'"),
    ({"R2": {"full": {"measure": {"later": 5}}}}, "claims.R2.full.measure.later: late_minus_early has no such argument"),
    ({"R2": {"full": {"measure": {"late": "last"}}}}, "claims.R2.full.measure.late is 'last'"),
    ({"R2": {"full": {"measure": {"density": 1.5}}}}, "claims.R2.full.measure.density is 1.5"),
    ({"P2": {"full": {"measure": {"ks": ["middle"]}}}}, r"claims.P2.full.measure.ks.0 is 'middle'"),
    ({"R2": {"full": {"above": "a lot"}}}, "claims.R2.full.above is the text 'a lot', but must be of type number"),
    ({"R2": {"full": {"within": 1}}}, "claims.R2.full has within and above, but must have one of within, above"),
    ({"R1": {"full": {"within": -0.5}}}, "claims.R1.full.within is -0.5"),
    ({"S4": {"full": [{"measure": GROWTH, "between": [6, 1]}]}}, r"claims.S4.full.between is \[6, 1\], but must rise"),
    ({"R2": {"full": {"abov": 1}}}, "unknown key 'abov' in claims.R2.full, did you mean 'above'"),
    ({"R2": {"full": {"rule": "more than 0.5 points, {above}"}}}, "claims.R2: 'more than 0.5 points.* holds the number 0.5"),
    ({"R2": {"full": {"rule": "a lot"}}}, r"claims.R2: the rule 'a lot' does not say its criterion: write {above}"),
    ({"R2": {"statement": "k = {latest}"}}, "claims.R2: 'k = {latest}' names 'latest', which is no value"),
    ({"R2": {"statement": "k = {late:feet}"}}, "claims.R2: .* there is no format 'feet'"),
    ({"R2": {"paper": "{late"}}, "claims.R2: '{late' cannot be written"),
    ({"P2": {"readings": {"own masks": {"masks": 1}}}}, "claims.P2.readings.own masks has masks, which no measure takes"),
    ({"P2": {"readings": {"own masks": {"baseline": "no masks"}}}}, "claims.P2.full.measure.baseline is 'no masks'"),
    ({"X1": {"statement": "It is so"}}, "claims.X1 lacks paper, source"),
    ({"X1": {"statement": "", "paper": "", "source": ""}}, "claims.X1 lacks full and short, or both"),
    ({"R7": {"full": {"measure": GROWTH, "above": 0}}}, "claims.R7 has both and full"),
    ({"X1": entry_with()}, "claims.X1.full has no target, but must have one of within, above"),
    ({"X1": entry_with(above=0, about=3)}, "claims.X1.full.about goes with within, not with above"),
    ({"X1": entry_with(untested="no")}, "claims.X1.full is untested, so it can have no measure"),
    ({"X1": entry_with(above=0, measure={})}, "claims.X1.full.measure lacks function"),
    ({"X1": entry_with(verdict="measured")}, "claims.X1: a part that is reported and not judged needs a rule"),
    ({"D6": {"networks": {"only": ["vgg13"]}}}, "claims.D6.networks names 'vgg13', which makes no network, did you mean 'vgg'"),
    ({"X1": 3}, "claims.X1 is 3, but must be of type"),
]  # fmt: skip


@pytest.mark.parametrize(("claims", "message"), WRONG, ids=[next(iter(claims)) for claims, _ in WRONG])
def test_a_wrong_entry_is_named_before_anything_runs(claims, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        _ = study(**claims).claims
    assert "\n" not in str(caught.value)


# Claims of one's own


def test_the_configuration_changes_adds_and_removes_claims():
    own = {"R2": {"full": {"above": 2}}, "R3": None, "X1": entry_with(above=1.5)}
    found = study(**own)
    assert "R3" not in found.claims and list(found.claims)[-1] == "X1"
    passed = spec(found, "claims", {})["claims"]
    assert passed.keys() == own.keys()
    tables = make_tables({0: 87.0, 500: 90.0})
    rows = judge(tables, FULL | {"claims": passed}).set_index("id")
    as_it_was = judge(tables, FULL).set_index("id")
    assert "exceeds 2 points" in rows.loc["R2", "test"]
    assert "R3" not in rows.index
    assert rows.loc["X1", "test"] == "above 1.5 points: there is no telemetry"
    unchanged = [name for name in as_it_was.index if name not in ("R2", "R3")]
    assert rows.loc[unchanged].equals(as_it_was.loc[unchanged])
    assert spec(study(), "claims", {})["claims"] == {}


def test_a_measure_of_ones_own_judges_a_claim_of_ones_own(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        textwrap.dedent('''
            from earlyphase import NotRun, measure

            @measure(reads=("dense",))
            def spread_of_seeds(tables, *, times: float):
                """The accuracy of each seed less the mean, in points."""
                if "dense" not in tables:
                    raise NotRun("there is no dense network")
                accuracy = tables["dense"].set_index("seed")[["accuracy"]]
                return times * (accuracy - accuracy.mean())
        ''')
    )
    with ExitStack() as stack:
        stack.enter_context(patch.dict("os.environ"))
        stack.callback(registered.cache_clear)
        for known in (registry.measure, registry.measure.facts):
            stack.enter_context(patch.dict(known))
        announce([plugin])
        registered.cache_clear()
        entry = entry_with(measure={"function": "spread_of_seeds", "times": 100}, within=0.5)
        found = study(X1=entry)
        assert found.claims["X1"] == entry
        assert "plugins.mine.spread_of_seeds" in roots(found, "claims", {})
        namespace = {}
        exec(plugin.read_text(), namespace)
        rows = judge(make_tables({0: 87.0}), FULL | {"claims": {"X1": entry}}).set_index("id")
    assert rows.loc["X1", ["verdict", "source"]].tolist() == ["inconclusive", "dense"]
    assert rows.loc["X1", "test"].startswith("equivalence (TOST): within ±0.5 points; accuracy: ")
    assert "X1" not in {claim.id for claim in catalogue()}


def test_the_fingerprint_of_the_claims_follows_each_entry_and_measure():
    reached = definitions(*roots(study(), "claims", {}))
    assert {f"claims.yaml: claims.{name}" for name in ENTRIES} <= set(reached)
    assert {"claims.yaml: words.margin", "claims.yaml: claims", "sentences.worded"} <= set(reached)
    assert {"results.claims.rewinding.late_minus_early", "results.claims.judging.decide"} <= set(reached)
    without = definitions(*roots(study(**{name: None for name in ENTRIES if name[0] == "S"}), "claims", {}))
    assert "results.claims.first_iterations.burst" in set(reached) - set(without)
    assert not any(name.startswith("claims.yaml") for name in definitions("commands.figure.run"))


def test_a_changed_claim_is_no_longer_the_same_test():
    own = overlaid(ENTRIES, {"P5": {"short": {"measure": {"kept": 0.5}}}})
    rows = judge({}, SHORT | {"claims": {"P5": own["P5"]}}).drop_duplicates("id").set_index("id")
    assert (rows.loc["P14", "same_test_as"], rows.loc["P4", "same_test_as"]) == ("", "P1")
    assert rows.loc["R7", "same_test_as"] == "" == rows.loc["S8", "same_test_as"]
