"""Tables to verdicts on the paper's claims.

A module for each section of them, `evidence` for the tests, `judging` for what follows from these, and
`decomposition` for a finding of our own.
"""

from pandas import DataFrame, concat

from earlyphase.results.claims.critical_periods import CRITICAL_PERIODS, OTHERS
from earlyphase.results.claims.data_dependence import DATA_DEPENDENCE
from earlyphase.results.claims.decomposition import FINDING, FINDING_ID, finding
from earlyphase.results.claims.first_iterations import FIRST_ITERATIONS
from earlyphase.results.claims.judging import ERROR, NOT_RUN, Claim, Tables, assess
from earlyphase.results.claims.perturbations import PERTURBATIONS
from earlyphase.results.claims.promises import PROMISES
from earlyphase.results.claims.rewinding import REWINDING
from earlyphase.results.claims.tickets import TICKETS
from earlyphase.results.summaries import NETWORK

CLAIMS = (
    *REWINDING, *TICKETS, *PERTURBATIONS, *FIRST_ITERATIONS, *DATA_DEPENDENCE, *CRITICAL_PERIODS, *PROMISES,
)  # fmt: skip
GAIN_TABLES = ("perturbed", "imp")  # that the finding reads


def judge(tables: Tables, study: dict) -> DataFrame:
    """Judge every claim in every network.

    Args:
        tables: name -> collected table, a row per evaluation.
        study: `full_scale`, whether network, data and length are the paper's; `sources`, optional,
            table name -> the file it came from, with {dataset} and {model} in it.

    Returns:
        A row per claim, reading and network, of text but for `n`: `id`; `reading`, what the claim is taken to
        mean where it may mean several things, such as "own masks" or "masks of k" for rewinding to 0;
        `dataset`, `model`, `statement`, `paper`; `ours` with its unit; `error` (± sample standard
        deviation over seeds; over points the one-sided 95 % bounds); `n` (seeds used; over points their
        number); `test`, `verdict`; `same_test_as`, an earlier claim of which this row repeats the test;
        `source`. The last row of each network is the finding M1, which has no verdict.
    """
    sources = study.get("sources", {})
    of_each = {network: of_network(tables, *network) for network in networks(tables)}
    rows = []
    for claim in CLAIMS:
        criterion = claim.full if study["full_scale"] else claim.short
        fixed = {"statement": claim.statement, "paper": claim.paper}
        same = {"same_test_as": same_test_as(claim, full_scale=study["full_scale"])}
        for network, own in of_each.items():
            source = {"source": source_of(claim.tables, sources, network)}
            for reading in claim.readings:
                name = named(claim.id, reading, network)
                rows.append(name | fixed | assess(own, criterion, claim.unit, reading) | same | source)
    for network, own in of_each.items():
        name = named(FINDING_ID, "", network) | {"statement": FINDING, "paper": ""}
        source = {"same_test_as": "", "source": source_of(GAIN_TABLES, sources, network)}
        rows.append(name | finding(own) | source)
    return DataFrame(rows)


def named(claim_id: str, reading: str, network: tuple[str, str]) -> dict[str, str]:
    """The columns that name a row."""
    return {"id": claim_id, "reading": reading, "dataset": network[0], "model": network[1]}


def source_of(names: tuple[str, ...], sources: dict[str, str], network: tuple[str, str]) -> str:
    """The files that the tables `names` of a network came from."""
    files = ", ".join(sources.get(name, name) for name in names)
    return files.format(dataset=network[0], model=network[1])


def same_test_as(claim: Claim, *, full_scale: bool) -> str:
    """The first claim before `claim` that has its criterion, hence its verdict; empty if none."""
    for earlier in CLAIMS[: CLAIMS.index(claim)]:
        if (earlier.full is claim.full) if full_scale else (earlier.short is claim.short):
            return earlier.id
    return ""


def expected_false(judged: DataFrame) -> float:
    """How many of the verdicts in `judged` may be falsely `reproduced`, on average: see `ACROSS_CLAIMS`."""
    tests = (judged["verdict"] != NOT_RUN) & (judged["same_test_as"] == "") & (judged["id"] != FINDING_ID)
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
