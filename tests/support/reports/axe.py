"""axe-core, where it is installed: what it finds on an open page that keeps somebody from reading it."""

from __future__ import annotations

import os
from pathlib import Path

from support.reports.browser import Browser

PLACES = (Path(__file__).parents[3] / ".axe/node_modules/axe-core/axe.min.js",)
"""Where `make axe` puts it; `AXE` names another file."""
FIND = """
axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(one =>
  `${one.impact} ${one.id}: ${one.help}: ${one.nodes.slice(0, 2).map(node => node.html.slice(0, 120)).join(' ')}`))
"""


def find_axe() -> Path | None:
    """The script of axe-core, None where it is not installed."""
    places = [Path(os.environ["AXE"])] if "AXE" in os.environ else PLACES
    return next((path for path in places if path.is_file()), None)


def violations(chromium: Browser, axe: Path) -> list[str]:
    """What it finds on the open page, as "IMPACT RULE: what it asks for: elements"; folded parts are opened first. The
    script is run from outside the page, whose own policy allows no other."""
    chromium.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    chromium.evaluate(f"{axe.read_text()}; 1")
    return list(chromium.evaluate(FIND))
