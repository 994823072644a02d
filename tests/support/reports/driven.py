"""Drives reports of real runs in a real browser, and says what is wrong with them.

    PYTHONPATH=tests python tests/support/reports/driven.py runs/compare-voc_bccd/report.html ...

Every page is opened on laptop, tablet and phone, light and dark: does it ask for anything, complain, scroll sideways,
show pale text, break a rule of axe-core (where `make axe` put it)? Then every explorer in it is used: each choice of
each list, both ends of the slider, an image, its neighbors, the address, the arrow keys. `make drive` does so for
`REPORTS`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from support.reports.axe import find_axe, violations
from support.reports.browser import Browser, browser
from support.reports.contrast import CONTRAST
from support.reports.pictures import WINDOWS

EXPLORER = "document.querySelectorAll('.explorer')[{}]"
CHOOSE = """
((root, name, value) => {
  const control = root.querySelector(`[data-control=${name}]`);
  if (control.type === 'checkbox') control.checked = value; else control.value = value;
  control.dispatchEvent(new Event('input'));
})
"""
LISTS = "[...{}.querySelectorAll('select')].map(s => [s.dataset.control, [...s.options].map(o => o.value)])"
INK = """
(root => {
  const canvas = root.querySelector('.cards > .card canvas');
  if (!canvas) return -1;
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return [...data].reduce((sum, v, k) => sum + v * (k % 97), 0);
})
"""
PAINTED = "new Promise(done => setTimeout(done, 150))"
FOLDED = "document.querySelectorAll('details').forEach(d => { d.open = true; })"
BROKEN = "[...document.images].filter(i => i.loading !== 'lazy' && !(i.complete && i.naturalWidth)).length"


def looked_at(opened: Browser, page: Path) -> Iterator[str]:
    """What is wrong in any window."""
    axe = find_axe()
    for width, height in WINDOWS:
        for dark in (False, True):
            where = f"{width} {'dark' if dark else 'light'}"
            seen = opened.visit(page, width, height, dark)
            opened.evaluate(FOLDED)
            wide = opened.evaluate("document.documentElement.scrollWidth")
            yield from (f"{where}: {said}" for said in seen.console)
            yield from (f"{where}: asked for {url}" for url in seen.requests)
            yield from ([f"{where}: scrolls sideways, {wide} pixels"] if wide != width else [])
            yield from (f"{where}: pale: {pale}" for pale in opened.evaluate(CONTRAST))
            yield from ([f"{where}: {broken} broken pictures"] if (broken := opened.evaluate(BROKEN)) else [])
            if axe:
                yield from (f"{where}: axe: {one}" for one in violations(opened, axe))


def used(opened: Browser, page: Path, k: int) -> Iterator[str]:
    """What is wrong with the use of the page's explorer `k`."""
    opened.visit(page, *WINDOWS[0])
    root = EXPLORER.format(k)

    def choose(name: str, value: object) -> None:
        opened.evaluate(f"{CHOOSE}({root}, {json.dumps(name)}, {json.dumps(value)})")

    def rows() -> list[str]:
        names = f"[...{root}.querySelectorAll('[data-part=rows] tr')].map(r => r.cells[0].textContent)"
        return list(opened.evaluate(names))

    def said() -> str:
        return str(opened.evaluate(f"{root}.querySelector('[data-part=said]').textContent"))

    whole = rows()
    total = int(said().split()[2].replace(",", ""))
    seen: dict[str, str] = {}
    for name, values in opened.evaluate(LISTS.format(root)):
        for value in values:
            choose(name, value)
            count = int(said().split()[0].replace(",", ""))
            hidden = opened.evaluate(f"{root}.querySelector('[data-part=none]').hidden")
            if count > total or (count == 0) == hidden or len(rows()) > count:
                yield f"{name} = {value!r}: {said()}, {len(rows())} rows"
            seen[f"{name}={value}"] = said()
        choose(name, values[0])
    if rows() != whole:
        yield "choices taken back do not give the first list again"
    if len(set(seen.values())) < 2:
        yield "no choice changed what is shown"
    inks = []
    shows = next((values for name, values in opened.evaluate(LISTS.format(root)) if name == "show"), [])
    for show in shows:
        choose("show", show)
        for threshold in ("5", "95"):
            choose("threshold", threshold)
            opened.evaluate(PAINTED)
            inks.append(opened.evaluate(f"{INK}({root})"))
    if -1 in inks or len(set(inks)) < len(shows):
        yield f"pictures do not follow what is to be shown and the threshold: {inks}"
    opened.evaluate(f"{root}.querySelector('[data-part=clear]').click()")
    yield from _image(opened, page, root)


def _image(opened: Browser, page: Path, root: str) -> Iterator[str]:
    """Choose an image by the keyboard, go to a neighbor of it, and open the address again."""

    def detail() -> str:
        return str(opened.evaluate(f"(h => h ? h.textContent : '')({root}.querySelector('.detail h4'))"))

    cards = opened.evaluate(f"[...{root}.querySelectorAll('.cards > .card .name')].map(c => c.textContent)")
    if len(cards) < 2:
        yield "fewer than two images"
        return
    opened.evaluate(f"{root}.querySelector('.cards > .card').focus()")
    for key, code, text in (("ArrowRight", 39, ""), ("Enter", 13, "\r")):
        for kind in ("keyDown", "keyUp"):
            values = {"type": kind, "key": key, "windowsVirtualKeyCode": code} | ({"text": text} if text else {})
            opened.call("Input.dispatchKeyEvent", opened.session, **values)
    if detail() != cards[1]:
        yield f"arrow and Enter chose {detail()!r}, not {cards[1]!r}"
    near = opened.evaluate(f"[...{root}.querySelectorAll('.space-of .card')].length")
    if near:
        opened.evaluate(f"{root}.querySelector('.space-of .card').click()")
    chosen, url = detail(), opened.evaluate("location.href")
    opened.visit(page, *WINDOWS[0])
    opened.evaluate(f"location.assign({url!r})")
    opened.evaluate(PAINTED)
    if detail() != chosen:
        yield f"the address gives {detail()!r}, not {chosen!r}"


def faults(opened: Browser, page: Path) -> list[str]:
    """All that is wrong with a page."""
    found = list(looked_at(opened, page))
    for k in range(opened.evaluate("document.querySelectorAll('.explorer').length")):
        found += [f"explorer {k + 1}: {fault}" for fault in used(opened, page, k)]
    return found


def main() -> None:
    """Say what is wrong with each page, and exit with 1 where anything is."""
    if len(sys.argv) < 2:
        sys.exit('name the pages: make drive REPORTS="runs/shapes/report.html"')
    print("axe-core:", find_axe() or "not installed (make axe)")
    wrong = False
    with browser() as opened:
        for name in sys.argv[1:]:
            found = faults(opened, Path(name))
            count = opened.evaluate("document.querySelectorAll('.explorer').length")
            print(f"{name}: {len(WINDOWS) * 2} windows, {count} explorers: {len(found) or 'no'} faults")
            print(*(f"    {fault}" for fault in found), sep="\n", end="\n" if found else "")
            wrong = wrong or bool(found)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
