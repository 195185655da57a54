"""What the pages say, and the pages themselves: one file of HTML each, which asks for no other."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pandas import DataFrame

from earlyphase.errors import InvalidInput
from earlyphase.results.claims import expected_false
from earlyphase.results.claims.judging import ACROSS_CLAIMS
from earlyphase.results.report.claims import counts_of, names_in, rows_of
from earlyphase.results.report.figures import in_order, read_points, shown
from earlyphase.results.report.findings import event_name, listed, when
from earlyphase.results.report.provenance import means_of, times_of, total_time

if TYPE_CHECKING:
    from jinja2 import Environment

TIMELINE = "timeline"  # the figure that has a section of its own
FIRST = (
    *("runs", "seeds", "rewind_iterations", "rounds", "prune_fraction", "training", "datasets", "models"),
    "tasks",
)  # sections of a configuration, in the order in which one reads them; the others follow by name


@cache
def environment() -> "Environment":
    """The templates. Whatever is put into one is escaped, but for our own style and script."""
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    here = Path(__file__)
    templates = {
        "base": here.with_name("base.html.j2").read_text(),
        "parts": here.with_name("parts.html.j2").read_text(),
        "report": here.with_name("report.html.j2").read_text(),
        "comparison": here.with_name("comparison.html.j2").read_text(),
    }
    made = Environment(
        loader=DictLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["style"] = Markup(here.with_name("page.css").read_text())
    made.globals["script"] = Markup(here.with_name("page.js").read_text())
    return made


def report_page(
    study: dict, verdicts: DataFrame, contrasts: DataFrame, records: Mapping[str, list[dict]], citation: str
) -> str:
    """Write the page of one study.

    Args:
        study: `configuration`; `runs`, `figures`, `descriptions` and `left_out`, as the spec of the report
            has them.
        verdicts: the table of claims, of text.
        contrasts: those that the verdicts rest on.
        records: name of a stage -> its run records.
        citation: the content of CITATION.cff.
    """
    rows = rows_of(verdicts, contrasts)
    names = names_in(study["configuration"].get("claims", {}))
    entries = in_order(study["figures"])
    figures = [shown(one, study["descriptions"][one["function"]], rows, names) for one in entries]
    return (
        environment()
        .get_template("report")
        .render(
            sentences=[sentence_on(run) for run in study["runs"]],
            claims=rows,
            counts=counts_of(rows),
            expected=f"{expected_false(verdicts):.1f}",
            across=ACROSS_CLAIMS.replace("`", ""),
            networks=len(study["runs"]),
            figures=[
                one for one, entry in zip(figures, entries, strict=True) if entry["function"] != TIMELINE
            ],
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
            cite=cited(citation),
        )
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
        f"{listed([f'{k:,}' for k in run['rewind_iterations']])}, and pruned in {counted(rounds, 'round')}, each of "
        f"which removes {100 * run['prune_fraction']:.3g} % of those that are left: {100 * left:.3g} % remain in the "
        "end."
    )


def counted(number: int, noun: str) -> str:
    """A number of things: "1 round", "6 rounds"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def events_in(path: str) -> list[dict]:
    """The events of a timeline, as its table has them, for people."""
    return [
        {
            "event": event_name(row["event"]),
            "iteration": when(row),
            "seeds": f"{int(row['n'])} of {int(row['n'] + row['not_found'])}",
            "rule": row["rule"],
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


def cited(citation: str) -> list[dict]:
    """Works to cite, of the content of a CITATION.cff: the preferred one first, then the software.

    Raises:
        InvalidInput: it is not YAML, or a work has no title.
    """
    try:
        software = yaml.safe_load(citation)
        works = [*filter(None, [software.get("preferred-citation")]), software]
        return [work_of(work) for work in works]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"CITATION.cff cannot be read ({error}); every work needs a title and authors"
        ) from None


def work_of(work: dict) -> dict:
    """Authors, title and place of one work."""
    authors = [
        one.get("name") or f"{one.get('given-names', '')} {one['family-names']}".strip()
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
