"""The shell of every page: one file, no network, readable in light, dark and print; no script but our own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from markupsafe import Markup

from headstart.page.embedded import script, script_source

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""Content policy written into every page: the browser itself refuses whatever is not in the file."""


@cache
def stylesheet(name: str = "style") -> str:
    """A style sheet of this folder: `style` is in every page, `explorer` in those with scripts."""
    return (Path(__file__).parent / f"{name}.css").read_text(encoding="utf-8")


def document(title: str, body: Markup, description: str = "", scripted: bool = False) -> str:
    """A whole HTML document. `title` and `description` are escaped; `body` is markup. scripted: with our scripts."""
    policy, style, end = POLICY, stylesheet(), Markup("")
    if scripted:
        policy += f"; script-src {script_source()}"
        style += stylesheet("explorer")
        end = Markup("<script>{}</script>\n").format(Markup(script()))
    return Markup(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="description" content="{}">\n'
        '<link rel="icon" href="data:,">\n<title>{}</title>\n<style>\n{}</style>\n'
        "</head>\n<body>\n{}\n{}</body>\n</html>\n"
    ).format(policy, description, title, Markup(style), body, end)
