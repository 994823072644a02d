"""A section of the report, and the templates that sections are written with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from headstart.page import numbers


@dataclass(frozen=True)
class Section:
    """`id` is the anchor, `title` the heading, `body` what stands below it. scripted: whether it needs our scripts."""

    id: str
    title: str
    body: Markup
    scripted: bool = False


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        measured=numbers.measured,
        fixed=numbers.fixed,
        p_value=numbers.p_value,
        count=numbers.count,
        magnitude=numbers.magnitude,
        significant=numbers.significant,
        duration=numbers.duration,
        listed=numbers.listed,
    )
    environment.globals.update(bracket=numbers.bracket, NO_VALUE=numbers.NO_VALUE)
    return environment


def render(template: str, **context: object) -> Markup:
    """Markup of a template (`templates/NAME.html`). Every value is escaped unless it is markup already."""
    return Markup(_templates().get_template(f"{template}.html").render(**context))
