import ast
import subprocess
import sys

import pytest

from earlyphase.errors import InvalidInput
from earlyphase.runtime.record import run_record
from earlyphase.study import fingerprints as provenance

SOURCES = {
    "commands/work.py": """
        '''A command.'''
        from earlyphase.core.science import compute
        from earlyphase.core import tools
        def run(args):
            return compute(args) + tools.used(args)
        def unrelated():
            return 1
    """,
    "core/science.py": """
        import numpy as np
        from earlyphase.core.tools import CONSTANT
        LIMIT = 3
        def compute(x):
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


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package; call with (file, old, new) to edit it, get the fingerprint back."""
    from textwrap import dedent

    for name, source in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(source))
    monkeypatch.setattr(provenance, "SOURCE", tmp_path)

    def edit(name=None, old="", new="", roots=("commands.work.run",)):
        if name:
            text = (tmp_path / name).read_text()
            assert old in text
            (tmp_path / name).write_text(text.replace(old, new))
        provenance.definitions.cache_clear()
        provenance.fingerprint.cache_clear()
        provenance.parse.cache_clear()
        provenance._described.cache_clear()
        return provenance.fingerprint(*roots)

    yield edit
    provenance.definitions.cache_clear()
    provenance.fingerprint.cache_clear()
    provenance.parse.cache_clear()
    provenance._described.cache_clear()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("core/science.py", "'''Doc.'''", "'''Another doc.'''"),
        ("core/science.py", "'''Doc.'''", ""),
        ("core/science.py", "LIMIT = 3", "LIMIT   =  3  # why"),
        ("core/science.py", "def other(x):\n    return x", "def other(x):\n    return 2 * x"),
        ("commands/work.py", "return 1", "return 2"),
        ("commands/work.py", "'''A command.'''", ""),
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
        ("commands/work.py", "compute(args) +", "compute(args) -"),
    ],
)
def test_an_edit_of_what_runs_changes_the_fingerprint(package, name, old, new):
    before = package()
    assert package(name, old, new) != before


def test_a_variation_looked_up_by_name_counts_where_it_is_named(package):
    roots = ("commands.work.run", "core.science.registered")
    alone, both = package(), package(roots=roots)
    assert package("core/science.py", "return x + 1", "return x + 2") == alone
    assert package(roots=roots) != both


def test_a_root_that_does_not_exist_is_refused(package):
    with pytest.raises(InvalidInput, match="defines no 'gone'"):
        provenance.fingerprint("core.science.gone")


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
            "class C(B): limit = None",
            "ClassDef(name='C', bases=[Name(id='B', ctx=Load())], keywords=[], "
            "body=[Assign(targets=[Name(id='limit', ctx=Store())], value=Constant(value=None))], decorator_list=[])",
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


def reaches(root, *variations):
    return {name.split(".(")[0] for name in provenance.definitions(root, *variations)}


def test_stages_reach_what_they_run_and_no_more():
    dense = reaches("commands.dense.run", "core.networks.resnet.resnet")
    imp = reaches("commands.imp_round.run", "core.networks.resnet.resnet", "core.criteria.magnitude")
    figure = reaches("commands.figure.run", "results.figures.rewinding.rewinding")
    data = reaches("commands.data.run", "datasets.embedded.digits")
    assert {
        "core.training.train",
        "core.optimizer.MaskedOptimizer",
        "core.images.shuffled_batches",
        "core.networks.resnet.ResNet",
    } <= dense
    assert "core.masks.prune_by_magnitude" in imp - dense
    assert not any(name.startswith(("core.training", "core.networks", "results.claims")) for name in figure)
    assert "datasets.embedded.digits" in data
    assert "datasets.embedded.photo_digits" not in data
    assert not any(name.startswith(("study", "runtime", "results", "datasets")) for name in dense | imp)


def test_only_training_jobs_import_torch():
    light = ("collect", "figure", "claims", "data", "checkpoint", "fingerprint")
    code = (
        "; ".join(f"import earlyphase.commands.{name}" for name in light) + "; import earlyphase.study.study"
    )
    heavy = "('torch', 'torchvision', 'snakemake', 'sklearn')"
    code += f"; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_canonical_text_ignores_the_order_of_keys():
    assert provenance.canonical({"b": 1, "a": [2, 1]}) == provenance.canonical({"a": [2, 1], "b": 1})


def test_the_run_record_names_versions_and_code():
    record = run_record(
        {"a": 1}, "commands.dense.run 0", {"data": "0"}, {"instructions": "AVX2"}, device="cpu"
    )
    assert record["versions"].keys() >= {"python", "torch", "numpy", "earlyphase"}
    assert record["device"] == "cpu"
    assert record["machine"].items() >= {"instructions": "AVX2"}.items()
