"""The shell of every page: one file, no network, no script, readable in light, dark and print."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from markupsafe import Markup

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""Content policy written into every page: the browser itself refuses whatever is not in the file."""


@cache
def stylesheet() -> str:
    """The style sheet that every page carries inside itself."""
    return (Path(__file__).parent / "style.css").read_text(encoding="utf-8")


def document(title: str, body: Markup, description: str = "") -> str:
    """A whole HTML document. `title` and `description` are escaped; `body` is markup."""
    return Markup(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="{}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="description" content="{}">\n'
        '<link rel="icon" href="data:,">\n<title>{}</title>\n<style>\n{}</style>\n'
        "</head>\n<body>\n{}\n</body>\n</html>\n"
    ).format(POLICY, description, title, Markup(stylesheet()), body)
