"""Tables to verdicts on the paper's claims.

`claims.yaml` has the claims, `catalogue` reads them, `judging` says what follows from the tests in
`evidence`. Every other module has measures: registered functions, tables of one network ->
quantities. Importing this package imports each of them.
"""

from importlib import import_module
from pkgutil import iter_modules

from pandas import DataFrame, concat

from earlyphase.results.claims.catalogue import catalogue
from earlyphase.results.claims.judging import ERROR, FINDING, NOT_RUN, OTHERS, Tables, assess, not_run
from earlyphase.results.summaries import NETWORK

for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")


CONTRASTS = [  # columns of the table of contrasts
    "id", "reading", *NETWORK, "contrast", "ours", "error", "n", "low", "high", "target_low", "target_high",
    "p_inside", "p_outside", "reported",
]  # fmt: skip


def judge(tables: Tables, study: dict) -> DataFrame:
    """Judge every claim in every network: the first table of `judge_with_contrasts`."""
    return judge_with_contrasts(tables, study)[0]


def judge_with_contrasts(tables: Tables, study: dict) -> tuple[DataFrame, DataFrame]:
    """Judge every claim in every network.

    Args:
        tables: name -> collected table, a row per evaluation.
        study: `full_scale`, whether network, data and length are the paper's; `sources`, optional,
            table name -> the file it came from, with {dataset} and {model} in it; `claims`, optional, see
            `catalogue`; `functions`, optional, model -> the registered function that makes its networks;
            `lacks`, optional, model -> what these have not: "batch norm", "convolutions".

    Returns:
        A row per claim, reading and network, of text but for `n`: `id`; `reading`, what the claim is taken to
        mean where it may mean several things, such as "own masks" or "masks of k" for rewinding to 0;
        `dataset`, `model`, `statement`, `paper`; `ours` with its unit; `error` (± sample standard
        deviation over seeds; over points the one-sided 95 % bounds); `n` (seeds used; over points their
        number); `test`, `verdict`; `same_test_as`, an earlier claim of which this row repeats the test;
        `source`, the tables; `cited`, where the claim stands.

        And a row per contrast that the verdicts rest on: `id`, `reading`, `dataset`, `model`, and the columns
        that `assess` gives.
    """
    scale = "full" if study["full_scale"] else "short"
    of_each = {network: of_network(tables, *network) for network in networks(tables)}
    rows, contrasts, first = [], [], []
    for claim in catalogue(study.get("claims")):
        test = getattr(claim, f"{scale}_test")
        same = next((earlier for earlier, other in first if test is not None and other == test), "")
        first.append((claim.id, test))
        for network, own in of_each.items():
            source = source_of(claim.tables, study.get("sources", {}), network)
            lacks = study.get("lacks", {}).get(network[1], ())
            for reading, criterion in claim.criteria(scale, lacks).items():
                name = {"id": claim.id, "reading": reading} | dict(zip(NETWORK, network, strict=True))
                said = {"statement": claim.statement, "paper": claim.paper}
                function = study.get("functions", {}).get(network[1])
                if claim.applies_to(function):
                    found, behind = assess(own, criterion, claim.unit)
                else:
                    found, behind = not_run(f"{criterion.rule}: it is no claim on networks of {function}"), []
                last = {"same_test_as": same, "source": source, "cited": claim.cited}
                rows.append(name | said | found | last)
                contrasts += [name | one for one in behind]
    return DataFrame(rows), DataFrame(contrasts, columns=CONTRASTS)


def source_of(names: tuple[str, ...], sources: dict[str, str], network: tuple[str, str]) -> str:
    """The files that the tables `names` of a network came from."""
    files = ", ".join(sources.get(name, name) for name in names)
    return files.format(dataset=network[0], model=network[1])


def expected_false(judged: DataFrame) -> float:
    """How many of the verdicts in `judged` may be falsely `reproduced`, on average: see `ACROSS_CLAIMS`."""
    tests = (judged["verdict"] != NOT_RUN) & (judged["same_test_as"] == "") & (judged["id"] != FINDING)
    return ERROR * int(tests.sum())


def networks(tables: Tables) -> list[tuple[str, str]]:
    """Data set and model of each network in `tables`; one nameless network if there is none."""
    named = [table[NETWORK] for table in tables.values() if len(table)]
    found = concat(named).drop_duplicates().sort_values(NETWORK) if named else DataFrame(columns=NETWORK)
    return list(found.itertuples(index=False, name=None)) or [("", "")]


def of_network(tables: Tables, dataset: str, model: str) -> Tables:
    """The rows of one network; as `OTHERS`, deficits in other models on its data set, where there are any."""
    own = {
        name: table[(table["dataset"] == dataset) & (table["model"] == model)]
        for name, table in tables.items()
    }
    if "deficits" in tables:
        table = tables["deficits"]
        own[OTHERS] = table[(table["dataset"] == dataset) & (table["model"] != model)]
    return own
