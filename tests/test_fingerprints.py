import ast
import shutil

import pytest

from earlyphase.errors import InvalidInput
from earlyphase.runtime.record import run_record
from earlyphase.stages import stage_names
from earlyphase.study import fingerprints as provenance

SOURCES = {
    "stages/work.py": """
        '''A stage.'''
        from earlyphase.core.science import summed
        from earlyphase.core import tools
        def compute(job, inputs, size=3):
            return summed(job) + tools.used(inputs) + size
        def inputs(job):
            return 1
        def size(job):
            return 1
        def default(job, size=size):
            return size
    """,
    "core/science.py": """
        import numpy as np
        from earlyphase.core.tools import CONSTANT
        LIMIT = 3
        def summed(x):
            '''Doc.'''
            return np.sum(x) + helper(x) + CONSTANT
        def helper(x):
            return x * LIMIT
        def other(x):
            return x
        def registered(x):
            return x + 1
    """,
    "core/tools.py": """
        CONSTANT = 1
        def used(x):
            from earlyphase.core.late import inner
            return inner(x)
        def unused(x):
            return x
    """,
    "core/late.py": """
        def inner(x):
            return x
    """,
}


def forget():
    """Read sources anew."""
    for function in (provenance.definitions, provenance.fingerprint, provenance.parse, provenance._described):
        function.cache_clear()


def reaches(*roots):
    return set(provenance.definitions(*roots))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package; call with (file, old, new) to edit it, get the fingerprint back."""
    from textwrap import dedent

    for name, source in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(source))
    monkeypatch.setattr(provenance, "SOURCE", tmp_path)
    monkeypatch.chdir(tmp_path)

    def edit(name=None, old="", new="", roots=("stages.work.compute",)):
        if name:
            text = (tmp_path / name).read_text()
            assert old in text
            (tmp_path / name).write_text(text.replace(old, new))
        forget()
        return provenance.fingerprint(*roots)

    yield edit
    forget()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("core/science.py", "'''Doc.'''", "'''Another doc.'''"),
        ("core/science.py", "'''Doc.'''", ""),
        ("core/science.py", "LIMIT = 3", "LIMIT   =  3  # why"),
        ("core/science.py", "def other(x):\n    return x", "def other(x):\n    return 2 * x"),
        ("stages/work.py", "def inputs(job):\n    return 1", "def inputs(job):\n    return 2"),
        ("stages/work.py", "'''A stage.'''", ""),
        ("core/tools.py", "def unused(x):\n    return x", ""),
        (
            "core/science.py",
            "return np.sum(x) + helper(x) + CONSTANT",
            "return (np.sum(x) + helper(x)\n        + CONSTANT)",
        ),
    ],
)
def test_an_edit_of_nothing_that_runs_changes_nothing(package, name, old, new):
    before = package()
    assert package(name, old, new) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("core/science.py", "LIMIT = 3", "LIMIT = 4"),
        ("core/science.py", "x * LIMIT", "x - LIMIT"),
        ("core/science.py", "import numpy as np", "import torch as np"),
        ("core/tools.py", "CONSTANT = 1", "CONSTANT = 2"),
        ("core/late.py", "return x", "return -x"),
        ("core/tools.py", "return inner(x)", "return inner(-x)"),
        ("core/science.py", "LIMIT = 3", "LIMIT = 3\nprint('runs at import')"),
        ("core/science.py", "LIMIT = 3", "LIMIT = 3\nLIMIT += 1"),
        ("stages/work.py", "summed(job) +", "summed(job) -"),
    ],
)
def test_an_edit_of_what_runs_changes_the_fingerprint(package, name, old, new):
    before = package()
    assert package(name, old, new) != before


def test_a_variation_looked_up_by_name_counts_where_it_is_named(package):
    roots = ("stages.work.compute", "core.science.registered")
    alone, both = package(), package(roots=roots)
    assert package("core/science.py", "return x + 1", "return x + 2") == alone
    assert package(roots=roots) != both


def test_a_parameter_hides_a_definition_unless_a_default_is_that_definition(package):
    package()
    assert not {"stages.work.inputs", "stages.work.size"} & reaches("stages.work.compute")
    assert "stages.work.size" in reaches("stages.work.default")


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("core.science.gone", "core.science defines no 'gone'"),
        ("core.science.np", "core.science defines no 'np'"),
        ("core.gone.summed", "core.gone defines no 'summed'"),
        ("stages.gone.compute", "stages.gone defines no 'compute'"),
        ("study.jobs.all_jobs", "study.jobs.all_jobs is in none of the rooms that determine results: core, "),
        ("runtime.storage.save_rows", "runtime.storage.save_rows is in none of the rooms"),
        ("commands.plan.run", "commands.plan.run is in none of the rooms"),
        ("compute", "compute is in none of the rooms"),
        ("plugins.mine.scaled", "plugins.mine is no plugin of this study"),
    ],
)
def test_a_root_that_names_nothing_or_stands_in_another_room_is_refused(package, root, message):
    for function in (provenance.fingerprint, provenance.definitions):
        with pytest.raises(InvalidInput) as refused:
            function(root)
        assert str(refused.value).startswith(message)


# What Python 3.11 writes for these; 3.12 adds `type_params`, and 3.13 leaves out empty lists.
@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "def f(x, *, y=None): return",
            "FunctionDef(name='f', args=arguments(posonlyargs=[], args=[arg(arg='x')], kwonlyargs=[arg(arg='y')], "
            "kw_defaults=[Constant(value=None)], defaults=[]), body=[Return()], decorator_list=[])",
        ),
        (
            "{**x, 'a': ...}",
            "Expr(value=Dict(keys=[None, Constant(value='a')], "
            "values=[Name(id='x', ctx=Load()), Constant(value=Ellipsis)]))",
        ),
        (
            "f'{x:>{w}} a' 'b'",
            "Expr(value=JoinedStr(values=[FormattedValue(value=Name(id='x', ctx=Load()), conversion=-1, "
            "format_spec=JoinedStr(values=[Constant(value='>'), FormattedValue(value=Name(id='w', ctx=Load()), "
            "conversion=-1)])), Constant(value=' ab')]))",
        ),
        (
            "match x:\n    case None: import a",
            "Match(subject=Name(id='x', ctx=Load()), cases=[match_case(pattern=MatchSingleton(value=None), "
            "body=[Import(names=[alias(name='a')])])])",
        ),
    ],
)
def test_the_text_that_is_hashed_is_that_of_python_3_11(source, text):
    assert provenance._text(ast.parse(source).body[0]) == text


def test_code_that_changed_after_planning_is_refused(package):
    planned = package()
    provenance.confirm(planned)
    package("core/late.py", "return x", "return -x")
    with pytest.raises(InvalidInput, match="changed while the workflow was running"):
        provenance.confirm(planned)


# The package


def test_stages_reach_what_they_run_and_no_more():
    dense = reaches("stages.dense.compute", "core.networks.resnet.resnet")
    imp = reaches("stages.imp_round.compute", "core.networks.resnet.resnet", "core.criteria.magnitude")
    figure = reaches("stages.figure.compute", "results.figures.rewinding.rewinding")
    data = reaches("stages.data.compute", "datasets.embedded.digits")
    assert {"core.training.train", "core.images.shuffled_batches", "core.networks.resnet.ResNet"} <= dense
    assert "core.masks.prune_by_magnitude" in imp - dense
    assert not any(name.startswith(("core.training", "core.networks", "results.claims")) for name in figure)
    assert "datasets.embedded.digits" in data
    assert "datasets.embedded.photo_digits" not in data
    assert not any(name.startswith(("study", "runtime", "results", "datasets")) for name in dense | imp)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of this package; call it with names of definitions by module, get the stages whose edit changes."""
    shutil.copytree(provenance.SOURCE, tmp_path / "earlyphase", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "SOURCE", tmp_path / "earlyphase")

    def fingerprints():
        forget()
        return {name: provenance.fingerprint(f"stages.{name}.compute") for name in stage_names()}

    before = fingerprints()

    def edit(edits):
        texts = {provenance.source_file(module): names for module, names in edits.items()}
        originals = {path: path.read_text() for path in texts}
        for path, names in texts.items():
            tree = ast.parse(originals[path])
            for name in names:
                alter(tree, name)
            path.write_text(ast.unparse(tree))
        after = fingerprints()
        for path, text in originals.items():
            path.write_text(text)
        return {name for name in before if before[name] != after[name]}

    yield edit
    forget()


def alter(tree, name):
    """Let a function or a class do something more, or give a constant another value."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef) and statement.name == name:
            statement.body.insert(1, ast.parse("altered = 1").body[0])
            return
        if isinstance(statement, ast.Assign) and name in [
            ast.unparse(target) for target in statement.targets
        ]:
            statement.value = ast.Tuple([statement.value, ast.Constant("altered")], ast.Load())
            return
    raise AssertionError(f"nothing is called {name}: mend this test")


def test_an_edit_of_what_plans_stages_changes_no_fingerprint(copy):
    """Of all that the record of a stage names, and of what is called in it: jobs, work, size, schema, ..."""
    edits = {"stages._settings": provenance.parse("stages._settings").definitions}  # what stages share for it
    assert {"training_spec", "training_work", "state_size", "TIMES", "section", "from_k"} <= set(
        *edits.values()
    )
    for module in (f"stages.{name}" for name in stage_names()):
        own = provenance.parse(module).definitions
        (record,) = own["STAGE"]
        edits[module] = {one.id for one in ast.walk(record) if isinstance(one, ast.Name) and one.id in own}
    assert copy(edits) == set()


TRAINING = {
    "dense", "imp_round", "perturb", "deficit", "pretrain", "pretrain_ticket", "train_ticket", "telemetry",
    "curvature", "edge_of_stability", "fisher", "kernel", "stability", "consecutive", "butterfly", "layerwise", "checkpoint",
    "early_bird",
}  # fmt: skip


def test_an_edit_of_what_builds_a_training_changes_every_training(copy):
    measured = {"inference", "scores"}  # on a task as well
    assert copy({"stages._training": ["training_job"]}) == TRAINING
    assert copy({"stages._training": ["task_of"]}) == TRAINING | measured
    assert copy({"stages._training": ["TrainingJob"]}) == TRAINING


def test_canonical_text_ignores_the_order_of_keys():
    assert provenance.canonical({"b": 1, "a": [2, 1]}) == provenance.canonical({"a": [2, 1], "b": 1})


def test_the_run_record_names_versions_and_code():
    record = run_record(
        {"a": 1}, "stages.dense.compute 0", {"data": "0"}, {"instructions": "AVX2"}, device="cpu"
    )
    assert record["versions"].keys() >= {"python", "torch", "numpy", "earlyphase"}
    assert record["device"] == "cpu"
    assert record["machine"].items() >= {"instructions": "AVX2"}.items()
