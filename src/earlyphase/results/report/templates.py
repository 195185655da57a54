"""Templates to pages: one file of HTML each, which asks for no other.

Every file is named here by `with_name`, so that an edit of one makes pages anew.
"""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def filled(template: str, **values: object) -> str:
    """Fill a template in: "report" or "comparison"."""
    return environment().get_template(template).render(**values)


@cache
def environment() -> "Environment":
    """The templates. Whatever is put into one is escaped, but for our own style and script."""
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    here = Path(__file__)
    templates = {
        "base": here.with_name("base.html.j2").read_text(encoding="utf-8"),
        "parts": here.with_name("parts.html.j2").read_text(encoding="utf-8"),
        "report": here.with_name("report.html.j2").read_text(encoding="utf-8"),
        "comparison": here.with_name("comparison.html.j2").read_text(encoding="utf-8"),
    }
    made = Environment(
        loader=DictLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=unparted,
    )
    made.globals["style"] = Markup(here.with_name("page.css").read_text(encoding="utf-8"))
    made.globals["script"] = Markup(here.with_name("page.js").read_text(encoding="utf-8"))
    return made


def unparted(value: object) -> object:
    """Keep a number with its %, its ± or its k = on one line."""
    if type(value) is not str:
        return value
    for apart in (" %", " ±", "± ", "k = "):
        value = value.replace(apart, apart.replace(" ", "\u00a0"))
    return value
