"""Templates filled with facts: HTML in which every text is escaped and safe to print."""

import html
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.report.charts.svg import Drawing
from deploy.report.words import sentences
from deploy.report.words.figures import count, interval, joules, percent, plain, seconds
from deploy.report.words.read import at

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")


def fill(template: str | Path, **facts: Any) -> str:
    """A template of `templates/`, or of any path, with its facts; a name without a fact is an error.

    Of the report, which may lack anything, templates read `report | at("cores", "used")`: None where
    it is not there.
    """
    return _environment().get_template(str(template)).render(facts)


@cache
def _environment() -> "Environment":
    # Here, since the commands that make no page must start at once.
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for filter_ in (at, count, interval, joules, labelled, percent, seconds):
        environment.filters[filter_.__name__] = filter_
    environment.globals["words"] = sentences
    return environment


def labelled(cells: str, head: Sequence[object]) -> Drawing:
    """Cells of a row, each with its column's head, which a phone shows before it. cells: markup."""
    heads = iter(["", *(text for text in head[1:])])

    def named(tag: re.Match[str]) -> str:
        text = next(heads, "")
        said = "" if hasattr(text, "__html__") else html.escape(plain(text))
        return f'{tag[0]} data-label="{said}"' if said else tag[0]

    return Drawing(re.sub("<t[dh](?=[ >])", named, str(cells)))


def _source(name: str) -> tuple[str, str, None]:
    path = TEMPLATES / name  # a section's own path is absolute, and stays what it is
    return path.read_text(encoding="utf-8"), str(path), None


def _printable(value: object) -> object:
    """What is written for a value before it is escaped: nothing for None, no control characters."""
    return "" if value is None else value if hasattr(value, "__html__") else plain(value)
