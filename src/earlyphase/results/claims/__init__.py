"""Tables to verdicts on the paper's claims.

A claim is a function beside its statement and its criterion, see `claim`; the modules below have one for
each section of the papers, and `CLAIMS` all of them in the order of the table. What they ask of tables is in
`network`, the tests are in `evidence`, and what follows from these in `judging`.
"""

from collections.abc import Mapping
from itertools import product

from pandas import DataFrame, concat

from earlyphase import registry
from earlyphase.results.claims import critical_periods as critical
from earlyphase.results.claims import data_dependence as data
from earlyphase.results.claims import (
    data_diet,
    decomposition,
    noise,
    noisy_labels,
    optimizers,
    promises,
    rewinding,
)
from earlyphase.results.claims import early_bird as early
from earlyphase.results.claims import edge_of_stability as edge
from earlyphase.results.claims import first_iterations as first
from earlyphase.results.claims import kernel as tangent
from earlyphase.results.claims import perturbations as perturbed
from earlyphase.results.claims.claim import UNDECIDABLE, Claim, claim_of
from earlyphase.results.claims.evidence import ERROR
from earlyphase.results.claims.judging import FINDING, assess
from earlyphase.results.claims.network import Network, Tables
from earlyphase.results.summaries import NETWORK

CLAIMS = (  # written out, so that a fingerprint, which follows names, covers each
    rewinding.R1, rewinding.R2, rewinding.R3, rewinding.R4,
    rewinding.R5, rewinding.R6, rewinding.R7, rewinding.R8,
    perturbed.P1, perturbed.P2, perturbed.P3, perturbed.P4, perturbed.P5, perturbed.P6, perturbed.P7,
    perturbed.P8, perturbed.P9, perturbed.P10, perturbed.P11, perturbed.P12, perturbed.P13, perturbed.P14,
    first.S1, first.S2, first.S3, first.S4, first.S5, first.S6, first.S7, first.S8, first.C1,
    data.D1, data.D2, data.D3, data.D4, data.D5, data.D6, data.D7, data.D8, data.D9,
    data_diet.D10, data_diet.D11, noisy_labels.D12,
    critical.C2, critical.C3, critical.C4, critical.C5, rewinding.C6,
    optimizers.O1, optimizers.O2, optimizers.O3, optimizers.O4,
    promises.L1, promises.L2, promises.L3, promises.L4,
    noise.N1, noise.N2, noise.N3, noise.N4,
    decomposition.M1, decomposition.M2,
    edge.E1, edge.E2, edge.E3, early.B1, tangent.K1,
)  # fmt: skip
COLUMNS = [  # of the table of claims
    "id", "reading", *NETWORK, "statement", "paper", "measured", "ours", "interval", "margin", "n",
    "criterion", "test", "verdict", "same_test_as", "source", "cited",
]  # fmt: skip
CONTRASTS = [  # of the table of contrasts
    "id", "reading", *NETWORK, "contrast", "ours", "unit", "std", "n", "low", "high", "margin",
    "target_low", "target_high", "p_for", "p_against", "reported", "note",
]  # fmt: skip


def claims(changed: Mapping[str, Mapping | None] | None = None) -> dict[str, Claim]:
    """All claims by id, those of plugins last.

    Args:
        changed: numbers of claims that differ; None removes a claim.
    """
    changed = changed or {}
    own = [function for function in registry.claim.values() if function not in CLAIMS]
    functions = {function.__name__: function for function in (*CLAIMS, *own)}
    return {
        name: claim_of(function, changed.get(name))
        for name, function in functions.items()
        if changed.get(name, {}) is not None
    }


def judge(tables: Tables, study: Mapping) -> tuple[DataFrame, DataFrame]:
    """Judge every claim in every network.

    Args:
        tables: name -> collected table, a row per evaluation.
        study: all optional: `claims`, see `claims`; `sources`, table name -> the file it came from, with
            {dataset} and {model} in it; `networks`, "dataset/model" -> `function`, the function that makes
            the network, and the facts of `network.Network`.

    Returns:
        A row per claim, reading and network, of text but for `n`: `id`; `reading`, what the claim is taken to
        mean where it may mean several things, such as "own masks" or "masks of k" for rewinding to 0;
        `dataset`, `model`; `statement`, with the k and density measured; `paper`, with its own; `measured`,
        the name of what is reported, and `ours`, it with its unit: a difference is ticket minus reference, so
        negative is worse; `interval`, two-sided 95 %; `margin`, how much counts as nothing, in the same unit;
        `n`, seeds, or points; `criterion`, a sentence; `test`, `verdict`; `same_test_as`, an earlier claim
        whose test this row repeats; `source`, the tables; `cited`, where the claim stands. And a row for a
        contrast that a verdict rests on: `id`, `reading`, `dataset`, `model`, and those of `judging.row_of`.
    """
    known = claims(study.get("claims"))
    rows, contrasts = [], []
    facts = study.get("networks", {})
    judged = {pair: of_network(tables, *pair, facts.get("/".join(pair))) for pair in networks(tables)}
    for claim, (dataset, model) in product(known.values(), judged):
        sources = [study.get("sources", {}).get(name, name) for name in claim.reads]
        said = {
            "paper": claim.paper,
            "criterion": claim.judged_by(),
            "same_test_as": same_test_as(claim, known),
            "source": ", ".join(sources).format(dataset=dataset, model=model),
            "cited": claim.source,
        }
        for reading in claim.readings:
            about = {"id": claim.id, "reading": reading, "dataset": dataset, "model": model}
            found, behind = assess(judged[dataset, model], claim, reading)
            rows.append(about | found | said)
            contrasts += [about | contrast for contrast in behind]
    return DataFrame(rows, columns=COLUMNS).fillna(""), DataFrame(contrasts, columns=CONTRASTS)


def same_test_as(claim: Claim, known: Mapping[str, Claim]) -> str:
    """The claim, with its reading, whose test a claim repeats; none where the numbers of one were changed."""
    name, reading = claim.same_as if isinstance(claim.same_as, tuple) else (claim.same_as, "")
    if name not in known or dict(known[name].numbers) != dict(claim.numbers):
        return ""
    return f"{name} ({reading})" if reading else name


def expected_false(judged: DataFrame) -> float:
    """How many of the verdicts in `judged` may be falsely `reproduced`, on average: see `ACROSS_CLAIMS`."""
    tests = ~judged["verdict"].isin(UNDECIDABLE) & (judged["same_test_as"] == "") & (judged["id"] != FINDING)
    return ERROR * int(tests.sum())


def networks(tables: Tables) -> list[tuple[str, str]]:
    """Data set and model of each network in `tables`; one nameless network if there is none."""
    named = [table[NETWORK] for table in tables.values() if len(table)]
    found = concat(named).drop_duplicates().sort_values(NETWORK) if named else DataFrame(columns=NETWORK)
    return list(found.itertuples(index=False, name=None)) or [("", "")]


def of_network(tables: Tables, dataset: str, model: str, facts: Mapping | None = None) -> Network:
    """The rows of one network, and the deficits in the other models on its data set."""
    on_data = {name: table[table["dataset"] == dataset] for name, table in tables.items()}
    own = {name: table[table["model"] == model] for name, table in on_data.items()}
    others = {name: table[table["model"] != model] for name, table in on_data.items()}
    return Network(own, others, facts or {})
