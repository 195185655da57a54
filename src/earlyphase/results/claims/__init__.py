"""Tables to verdicts on the paper's claims: a module for each section of them, and `judging` for how."""

from pandas import DataFrame, concat

from earlyphase.results.claims.first_iterations import FIRST_ITERATIONS
from earlyphase.results.claims.judging import Tables, assess
from earlyphase.results.claims.perturbations import PERTURBATIONS
from earlyphase.results.claims.rewinding import REWINDING
from earlyphase.results.summaries import NETWORK

CLAIMS = (*REWINDING, *PERTURBATIONS, *FIRST_ITERATIONS)


def judge(tables: Tables, study: dict) -> DataFrame:
    """Judge every claim in every network.

    Args:
        tables: name -> collected table, a row per evaluation.
        study: `full_scale`, whether network, data and length are the paper's; `sources`, optional,
            table name -> the file it came from, with {dataset} and {model} in it.

    Returns:
        A row per claim and network, of text but for `n`: `id`, `dataset`, `model`, `statement`,
        `paper`, `ours` with its unit, `error` (± sample standard deviation over seeds; over points the
        one-sided 95 % bounds), `n` (seeds used; over points their number), `test`, `verdict`, `source`.

    Source: the paper's Figure 1 and text; equivalence by two one-sided tests, Schuirmann 1987.
    """
    sources = study.get("sources", {})
    rows = []
    for claim in CLAIMS:
        criterion = claim.full if study["full_scale"] else claim.short
        for dataset, model in networks(tables):
            files = [sources.get(name, name) for name in claim.tables]
            source = ", ".join(files).format(dataset=dataset, model=model)
            ours = assess(of_network(tables, dataset, model), criterion, claim.unit)
            name = {"id": claim.id, "dataset": dataset, "model": model}
            rows.append(
                {**name, "statement": claim.statement, "paper": claim.paper, **ours, "source": source}
            )
    return DataFrame(rows)


def networks(tables: Tables) -> list[tuple[str, str]]:
    """Data set and model of each network in `tables`; one nameless network if there is none."""
    named = [table[NETWORK] for table in tables.values() if len(table)]
    found = concat(named).drop_duplicates().sort_values(NETWORK) if named else DataFrame(columns=NETWORK)
    return list(found.itertuples(index=False, name=None)) or [("", "")]


def of_network(tables: Tables, dataset: str, model: str) -> Tables:
    """The rows of one network."""
    return {
        name: table[(table["dataset"] == dataset) & (table["model"] == model)]
        for name, table in tables.items()
    }
