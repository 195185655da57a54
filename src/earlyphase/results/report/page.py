"""The page of one study: claims, figures with captions, provenance; one file of HTML that asks for no other.

Template and style are found here by `with_name`, so that an edit of one makes the page anew.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pandas import DataFrame

from earlyphase.errors import InvalidInput
from earlyphase.results.claims import expected_false
from earlyphase.results.claims.judging import ACROSS_CLAIMS
from earlyphase.results.report.claims import counts_of, rows_of
from earlyphase.results.report.figures import in_order, shown
from earlyphase.results.report.provenance import means_of, times_of, total_time

LEADING = "rewinding"  # the figure that the page begins with: Figure 1 of the paper


def report_page(
    study: dict, verdicts: DataFrame, contrasts: DataFrame, records: Mapping[str, list[dict]]
) -> str:
    """Write the page of one study.

    Args:
        study: `configuration`, `runs`, `figures`, `descriptions`, `left_out` and `citation`, as the spec of
            the report has them.
        verdicts: the table of claims, of text.
        contrasts: those that the verdicts rest on, of text.
        records: name of a stage -> its run records.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    rows = rows_of(verdicts, contrasts)
    entries = in_order(study["figures"])
    figures = [shown(entry, study["descriptions"][entry["function"]]) for entry in entries]
    leads = bool(entries) and entries[0]["function"] == LEADING
    here = Path(__file__)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=unparted
    )
    return environment.from_string(here.with_name("page.html.j2").read_text(encoding="utf-8")).render(
        style=Markup(here.with_name("page.css").read_text(encoding="utf-8")),
        sentences=[sentence_on(run) for run in study["runs"]],
        claims=rows,
        counts=counts_of(rows),
        expected=f"{expected_false(verdicts):.1f}",
        across=ACROSS_CLAIMS.replace("`", ""),
        networks=len(study["runs"]),
        leading=figures[:1] if leads else [],
        figures=figures[1:] if leads else figures,
        left_out=study["left_out"],
        configuration=yaml.safe_dump(study["configuration"], allow_unicode=True, width=100),
        means=means_of(records),
        times=times_of(records),
        total=total_time(records),
        cite=cited(study["citation"]),
    )


def unparted(value: object) -> object:
    """Keep a number with its %, its ± or its k = on one line."""
    if type(value) is not str:
        return value
    for apart in (" %", " ±", "± ", "k = "):
        value = value.replace(apart, apart.replace(" ", "\u00a0"))
    return value


def sentence_on(run: dict) -> str:
    """Say in three sentences what was done with one network."""
    arguments = [
        f"{key.replace('_', ' ')} {value}" for key, value in run["network"].items() if key != "function"
    ]
    network = f"{run['model']} ({', '.join([run['network']['function'], *arguments])})"
    task = "" if run["task"] == "supervised" else f", on the task {run['task']},"
    seeds, rounds = run["seeds"], run["rounds"]
    left = (1 - run["prune_fraction"]) ** rounds
    return (
        f"{network} learns {run['dataset']}{task} for {run['iterations']:,} iterations of "
        f"{run['batch_size']} images, with the seed{'' if len(seeds) == 1 else 's'} {listed(seeds)}. Its "
        f"weights are rewound to iteration k = {listed([f'{k:,}' for k in run['rewind_iterations']])}. "
        f"Each round of pruning removes {100 * run['prune_fraction']:.3g} % of those that are left: "
        f"{100 * left:.3g} % remain after {rounds} round{'' if rounds == 1 else 's'}."
    )


def listed(words: list) -> str:
    """Join words: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(map(str, words[:-1])), str(words[-1])]))


def cited(citation: dict) -> list[dict]:
    """List the works to cite: the preferred one first, then the software.

    Args:
        citation: the content of CITATION.cff; may be empty.

    Returns:
        `authors`, `title`, `place` and `url` of each.

    Raises:
        InvalidInput: a work has no title, or no authors.
    """
    works = []
    for work in filter(None, (citation.get("preferred-citation"), citation)):
        if missing := [key for key in ("title", "authors") if key not in work]:
            title = work.get("title", "a work")
            raise InvalidInput(f"CITATION.cff: {title} has no {' and no '.join(missing)}")
        names = [
            author.get("name") or f"{author.get('given-names', '')} {author.get('family-names', '')}".strip()
            for author in work["authors"]
        ]
        version = f"version {work['version']}" if "version" in work else ""
        parts = [work.get("conference", {}).get("name"), work.get("journal"), version, work.get("year")]
        works.append({
            "authors": listed(names),
            "title": work["title"],
            "place": ", ".join(str(part) for part in parts if part),
            "url": work.get("url") or work.get("repository-code") or "",
        })  # fmt: skip
    return works
