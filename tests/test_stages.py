"""Rules, stages and commands name the same things, and no two jobs of a study share a file."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earlyphase.errors import InvalidInput
from earlyphase.study.configuration import catalogue, overlaid, read_files
from earlyphase.study.jobs import check_outputs, inputs, jobs, roots, spec
from earlyphase.study.rules import read_rules
from earlyphase.study.signatures import PLACES
from earlyphase.study.stages import STAGES, all_tables
from earlyphase.study.study import Study, read_study

ROOT = Path(__file__).parents[1]
RULES = read_rules(ROOT / "rules")
SCHEMA = yaml.safe_load((ROOT / "config.schema.yaml").read_text())
CONFIG = overlaid(catalogue(), read_files([ROOT / "config.yaml"]))
SHIPPED = [ROOT / "config.yaml", *sorted(ROOT.glob("presets/*.yaml")), ROOT / "tests/smoke.yaml"]


def test_rules_stages_and_commands_have_the_same_names():
    commands = {path.stem for path in (ROOT / "src/earlyphase/commands").glob("[a-z]*.py")}
    assert set(RULES) == set(STAGES)
    assert set(STAGES) <= commands
    assert commands - set(STAGES) == {
        "status",
        "explain",
        "fingerprint",
        "compare",
        "export",
        "calibrate",
        "plan",
        "list",
    }
    for file in (ROOT / "rules").glob("*.smk"):
        for rule, command in re.findall(
            r"^rule (\w+):.*?-m earlyphase (\w+) ", file.read_text(), re.M | re.S
        ):
            assert rule == command


def test_the_reader_finds_what_snakemake_is_told():
    """Against the words of the rules themselves: every literal path stands between quotes in its file."""
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    paths = set(re.findall(r'"((?:results|logs)/[^"]*)"', text))
    read = {path for rule in RULES.values() for path in [*rule.outputs.values(), rule.log]}
    read |= {path for rule in RULES.values() for path in rule.inputs.values() if path}
    assert read == paths
    assert RULES["imp_round"].inputs.keys() == {"data", "rewind", "weights", "mask"}
    assert RULES["imp_round"].inputs["mask"] is None
    assert RULES["figure"].wildcards == ("dataset", "model", "figure")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_job_of_a_shipped_study_can_be_made_and_shares_no_output(path):
    study = read_study([ROOT / "config.yaml", path], ROOT)
    check_outputs(study)
    everything = list(jobs(study))
    made = {output for one in everything for output in one.outputs}
    assert len(made) == sum(len(one.outputs) for one in everything)
    logs = [one.log for one in everything]
    assert len(set(logs)) == len(logs)
    seen = set()
    for one in everything:  # in the order of the graph: every input is made before it is read
        needed = {path for paths in inputs(study, one).values() for path in paths}
        assert needed <= seen, one
        seen |= set(one.outputs)
        assert spec(study, one.rule, one.names) == spec(study, one.rule, one.names)
        assert roots(study, one.rule, one.names)[0] == f"commands.{one.rule}.run"


def test_every_table_is_collected_of_one_output():
    assert len(all_tables()) == len(set(all_tables())) == 19
    for rule, stage in STAGES.items():
        assert set(stage.tables.values()) <= set(RULES[rule].outputs)
        assert set(stage.looks_up) <= {*PLACES, "pretraining"}


NAMES = st.sampled_from(["a", "a_b", "b", "b_a", "mine", "mine_small", "small_net", "net"])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    runs=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4, unique=True),
    figure=NAMES,
    perturbations=st.lists(st.sampled_from(["a", "a.b", "noise_0.5", "a_b"]), min_size=1, unique=True),
)
def test_no_two_jobs_share_an_output_whatever_things_are_called(runs, figure, perturbations):
    """Names that run into one another where paths join them by `_`, `/` or `.`."""
    data = {"function": "synthetic", "flip": False}
    overlay = {
        "datasets": {name: data for name, _ in runs},
        "models": {name: {"function": "resnet", "depth": 8, "width": 2} for _, name in runs},
        "perturbations": {name: {"function": "gaussian_noise", "scale": 1} for name in perturbations},
        "runs": [{"dataset": one, "model": other} for one, other in runs],
        "seeds": [0, 1, 2],
        "rewind_iterations": [0, 1, 11],
        "rounds": 12,
        "perturbed": [
            {"rewind_iterations": [1, 11], "rounds": [1, 11], "perturbations": perturbations},
            {"rewind_iterations": [1], "rounds": [1], "perturbations": perturbations},  # asked for twice
        ],
        "pretrained": [{"pretraining": ["rotation"], "iterations": [1, 11], "rounds": 2}],
        "sparse_pretraining": [],
        "figures": {figure: {"function": "rewinding"}},
    }
    study = Study(overlaid(CONFIG, overlay), SCHEMA, RULES)
    check_outputs(study)
    everything = list(jobs(study))
    assert len({output for one in everything for output in one.outputs}) == sum(
        len(one.outputs) for one in everything
    )
    rounds = [one for one in everything if one.rule == "imp_round"]
    assert len(rounds) == len(runs) * 3 * (
        3 * 12 + 2 * 2
    )  # seeds; ks, rounds; lengths of pretraining, rounds
    branches = [one for one in everything if one.rule == "perturb"]
    assert len(branches) == len(runs) * 3 * 4 * len(perturbations)


def test_two_jobs_of_one_output_are_refused():
    """A path in which seed 1 at k = 20 and seed 12 at k = 0 are the same."""
    study = read_study([ROOT / "config.yaml"], ROOT)
    study.rules["checkpoint"].outputs["state"] = "results/{dataset}/{model}/{task}{seed}{k}"
    study.runs[0] = study.runs[0].with_settings(seeds=[1, 12])
    with pytest.raises(InvalidInput, match="two jobs would write results/photo_digits/resnet8/supervised120"):
        check_outputs(study)
