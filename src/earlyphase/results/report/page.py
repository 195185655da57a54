"""The page of one study."""

from collections.abc import Mapping

import yaml
from pandas import DataFrame

from earlyphase.errors import InvalidInput
from earlyphase.results.claims import expected_false
from earlyphase.results.claims.judging import ACROSS_CLAIMS
from earlyphase.results.report.claims import counts_of, names_in, rows_of
from earlyphase.results.report.figures import in_order, read_points, shown
from earlyphase.results.report.findings import listed
from earlyphase.results.report.provenance import means_of, times_of, total_time
from earlyphase.results.report.templates import filled
from earlyphase.results.timeline import label_of, when

TIMELINE = "timeline"  # the figure that has a section of its own
FIRST = (  # sections of a configuration, in the order in which one reads them; the others follow by name
    "runs", "seeds", "rewind_iterations", "rounds", "prune_fraction", "training", "datasets", "models",
    "tasks",
)  # fmt: skip


def report_page(
    study: dict, verdicts: DataFrame, contrasts: DataFrame, records: Mapping[str, list[dict]]
) -> str:
    """Write the page of one study.

    Args:
        study: `configuration`, `runs`, `figures`, `descriptions`, `left_out` and `citation`, as the spec of
            the report has them.
        verdicts: the table of claims, of text.
        contrasts: those that the verdicts rest on.
        records: name of a stage -> its run records.
    """
    rows = rows_of(verdicts, contrasts)
    names = names_in(study["configuration"].get("claims", {}))
    entries = in_order(study["figures"])
    figures = [shown(one, study["descriptions"][one["function"]], rows, names) for one in entries]
    return filled(
        "report",
        sentences=[sentence_on(run) for run in study["runs"]],
        claims=rows,
        counts=counts_of(rows),
        expected=f"{expected_false(verdicts):.1f}",
        across=ACROSS_CLAIMS.replace("`", ""),
        networks=len(study["runs"]),
        figures=[one for one, entry in zip(figures, entries, strict=True) if entry["function"] != TIMELINE],
        timelines=[
            one | {"events": events_in(entry["table"])}
            for one, entry in zip(figures, entries, strict=True)
            if entry["function"] == TIMELINE
        ],
        left_out=study["left_out"],
        configuration=as_yaml(study["configuration"]),
        means=means_of(records),
        times=times_of(records),
        total=total_time(records),
        cite=cited(study["citation"]),
    )


def sentence_on(run: dict) -> str:
    """What was done with one network, in a sentence."""
    arguments = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in run["network"].items() if name != "function"
    )
    network = f"{run['model']} ({run['network']['function']}{', ' if arguments else ''}{arguments})"
    task = "" if run["task"] == "supervised" else f", on the task {run['task']},"
    seeds, rounds = run["seeds"], run["rounds"]
    left = (1 - run["prune_fraction"]) ** rounds
    return (
        f"{network} learns {run['dataset']}{task} for {run['iterations']:,} iterations of "
        f"{run['batch_size']} images, in {counted(len(seeds), 'replicate')} (seed{'s' * (len(seeds) > 1)} "
        f"{listed([str(seed) for seed in seeds])}). Its weights are rewound to iteration k = "
        f"{listed([f'{k:,}' for k in run['rewind_iterations']])}, and pruned in {counted(rounds, 'round')}, "
        f"each of which removes {100 * run['prune_fraction']:.3g} % of those that are left: "
        f"{100 * left:.3g} % remain in the end."
    )


def counted(number: int, noun: str) -> str:
    """A number of things: "1 round", "6 rounds"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def events_in(path: str) -> list[dict]:
    """The events of a timeline, as its table has them, for people."""
    return [
        {
            "event": label_of(row["event"]),
            "iteration": when(row),
            "seeds": f"{int(row['n'])} of {int(row['n'] + row['not_found'])}",
            "rule": row["rule"].replace("`", ""),
        }
        for _, row in read_points(path).iterrows()
    ]


def as_yaml(configuration: dict) -> str:
    """A configuration as YAML, its main sections first."""
    order = [name for name in FIRST if name in configuration]
    order += sorted(configuration.keys() - set(order))
    return yaml.safe_dump(
        {name: configuration[name] for name in order}, sort_keys=False, allow_unicode=True, width=100
    )


def cited(citation: dict) -> list[dict]:
    """Works to cite: the preferred one first, then the software.

    Args:
        citation: the content of CITATION.cff; may be empty.

    Returns:
        `authors`, `title`, `place` and `url` of each.

    Raises:
        InvalidInput: a work has no title, or no authors.
    """
    preferred = citation.get("preferred-citation")
    return [as_cited(work) for work in (preferred, citation) if work]


def as_cited(work: dict) -> dict:
    """Authors, title and place of one work."""
    if missing := [name for name in ("title", "authors") if name not in work]:
        raise InvalidInput(f"CITATION.cff: {work.get('title', 'a work')} has no {' and no '.join(missing)}")
    authors = [
        one.get("name") or f"{one.get('given-names', '')} {one.get('family-names', '')}".strip()
        for one in work["authors"]
    ]
    place = [
        work.get("conference", {}).get("name"),
        work.get("journal"),
        work.get("version") and f"version {work['version']}",
    ]
    place += [str(work["year"])] if "year" in work else []
    return {
        "authors": listed(authors),
        "title": work["title"],
        "place": ", ".join(filter(None, place)),
        "url": next((work[key] for key in ("url", "repository-code") if key in work), ""),
    }
