"""The explorer of images in a real browser: filters, sliders, the address, the keyboard, copying, text from data."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from headstart.report.build import build
from support.reports.browser import Browser, find_chromium
from support.reports.contrast import CONTRAST
from support.reports.fake_pair import write_pair
from support.reports.fake_run import HOSTILE, write_run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine"),
]
CHOOSE = """
((name, value) => {
  const control = document.querySelector(`[data-control=${name}]`);
  if (control.type === 'checkbox') control.checked = value; else control.value = value;
  control.dispatchEvent(new Event('input'));
})
"""
CARDS = "[...document.querySelectorAll('.cards > .card .name')].map(c => c.textContent)"
ROWS = "[...document.querySelectorAll('[data-part=rows] tr')].map(r => [...r.cells].map(c => c.textContent))"
INK = """
(() => {
  const canvas = document.querySelector('.cards > .card canvas'), context = canvas.getContext('2d');
  return [...context.getImageData(0, 0, canvas.width, canvas.height).data].reduce((sum, v, k) => sum + v * (k % 97), 0);
})()
"""
PAINTED = "new Promise(done => setTimeout(done, 150))"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("why") / "run", seeds=(0,))
    write_pair(run, ("boxes", "labels"), classes=(HOSTILE, '"quoted" & <b>bold</b>', *"cdefghij"))
    return build(run)


def choose(chromium: Browser, name: str, value: object) -> None:
    chromium.evaluate(f"{CHOOSE}({name!r}, {str(value).lower() if isinstance(value, bool) else repr(value)})")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (768, 1024), (360, 780)])
def test_quiet_and_readable(chromium, report, width, height, dark):
    seen = chromium.visit(report, width, height, dark)
    chromium.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert (seen.console, seen.requests) == ([], [])
    assert chromium.evaluate("document.documentElement.scrollWidth") == width
    assert chromium.evaluate(CONTRAST) == []
    assert chromium.evaluate("[...document.querySelectorAll('.detail img')].every(i => i.complete && i.naturalWidth)")


def test_one_list_is_behind_the_gallery_and_the_table(chromium, report):
    chromium.visit(report)
    rows = chromium.evaluate(ROWS)
    assert chromium.evaluate(CARDS) == [row[0] for row in rows][:12] and len(rows) == 30
    assert rows[-1][4:] == ["–"] * 3, "an image without a score comes last"
    apart = [round(abs(float(r[4]) - float(r[5])), 6) for r in rows[:-1]]
    assert apart == sorted(apart, reverse=True)
    choose(chromium, "ahead", "a")
    ahead = chromium.evaluate(ROWS)
    assert 0 < len(ahead) < 25 and all(row[6] == "boxes" and float(row[4]) > float(row[5]) for row in ahead)
    choose(chromium, "count", "1")
    both = chromium.evaluate(ROWS)
    assert [row for row in ahead if row[2] == "1"] == both
    said = f"{len(both)} of 30 images; boxes is ahead on {len(both)}, labels on 0"
    assert chromium.evaluate("document.querySelector('[data-part=said]').textContent") == said
    chromium.evaluate("document.querySelector('[data-part=clear]').click()")
    assert chromium.evaluate(ROWS) == rows
    choose(chromium, "find", "i2")
    assert {row[0] for row in chromium.evaluate(ROWS)} == {"i2", *(f"i{k}" for k in range(20, 30))}
    choose(chromium, "find", "nothing of the kind")
    assert chromium.evaluate("!document.querySelector('[data-part=none]').hidden") and not chromium.evaluate(CARDS)


def test_what_is_chosen_stands_in_the_address(chromium, report):
    chromium.visit(report)
    choose(chromium, "sort", "order")
    chromium.evaluate("document.querySelectorAll('.cards > .card')[4].click()")
    assert chromium.evaluate("location.hash") == "#img=i4&sort=order"
    assert chromium.evaluate("document.querySelector('.detail h4').textContent") == "i4"
    chromium.evaluate(PAINTED)
    assert chromium.evaluate("document.querySelector('.detail canvas').width") >= 640, "names in it can be read"
    near = chromium.evaluate("[...document.querySelectorAll('.space-of img')].map(i => i.alt.split(',')[0])")
    assert len(near) == 16 and "i4" not in near
    chromium.evaluate("document.querySelector('.space-of .card').click()")
    assert chromium.evaluate("document.querySelector('.detail h4').textContent") == near[0]
    url = chromium.evaluate("location.href")
    chromium.visit(report)
    chromium.evaluate(f"location.assign({url!r})")
    chromium.evaluate(PAINTED)
    assert chromium.evaluate("document.querySelector('.detail h4').textContent") == near[0]
    assert chromium.evaluate("document.querySelector('[data-control=sort]').value") == "order"
    chromium.evaluate("document.querySelector('[data-part=clear]').click()")
    assert chromium.evaluate("location.hash") == ""


def test_thresholds_and_boxes_are_painted(chromium, report):
    chromium.visit(report)
    chromium.evaluate(PAINTED)
    seen = [chromium.evaluate(INK)]
    for name, value in (("truth", False), ("threshold", "95"), ("show", "maps"), ("threshold", "5"), ("truth", True)):
        choose(chromium, name, value)
        chromium.evaluate(PAINTED)
        seen.append(chromium.evaluate(INK))
    assert len(set(seen)) == len(seen), "every step changes the picture"


def test_the_keyboard_does_it_all(chromium, report):
    chromium.visit(report)
    chromium.evaluate("document.querySelector('.cards > .card').focus()")

    def press(key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            values = {"type": kind, "key": key, "windowsVirtualKeyCode": code} | ({"text": text} if text else {})
            chromium.call("Input.dispatchKeyEvent", chromium.session, **values)

    press("ArrowRight", 39)
    second = chromium.evaluate(CARDS)[1]
    assert chromium.evaluate("document.activeElement.querySelector('.name').textContent") == second
    press("Enter", 13, "\r")
    assert chromium.evaluate("document.querySelector('.detail h4').textContent") == second
    assert chromium.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    reachable = "[...document.querySelectorAll('.explorer button, .explorer select, .explorer input')]"
    assert chromium.evaluate(f"{reachable}.every(e => e.tabIndex === 0)")
    nodes = chromium.call("Accessibility.getFullAXTree", chromium.session)["nodes"]
    kinds = {"button", "combobox", "slider", "checkbox", "searchbox", "image", "img"}
    used = [n for n in nodes if n.get("role", {}).get("value") in kinds and not n.get("ignored")]
    assert len(used) > 40 and all(n.get("name", {}).get("value") for n in used)


def test_tables_are_copied_whole(chromium, report):
    chromium.visit(report)
    chromium.evaluate("navigator.clipboard.writeText = async text => { window.copied = text; }")
    chromium.evaluate(
        "document.querySelector('[data-part=rows]').closest('.scroll').nextElementSibling.children[0].click()"
    )
    rows = list(csv.reader(io.StringIO(chromium.evaluate("window.copied"))))
    assert rows[0] == ["image", "class", "objects", "mean area", "boxes", "labels"] and len(rows) == 31
    assert {row[1] for row in rows[1:]} <= {HOSTILE, '"quoted" & <b>bold</b>', "c", ""}
    chromium.evaluate("document.querySelector('#answer .copying').children[1].click()")
    latex = chromium.evaluate("window.copied")
    chromium.evaluate("document.querySelector('#answer td.num').textContent = '\u22121,234,500.5'")
    chromium.evaluate("document.querySelector('#answer .copying').children[0].click()")
    assert ",-1234500.5," in chromium.evaluate("window.copied"), "as other programs read numbers"
    assert latex.startswith("\\begin{tabular}{l") and " & " in latex and "−" not in latex


def test_two_pairs_keep_their_own_views(chromium, tmp_path):
    run = write_run(tmp_path / "run", seeds=(0,))
    write_pair(run, ("boxes", "labels"), 14)
    write_pair(run, ("labels", "random"), 14)
    page = build(run)
    seen = chromium.visit(page)
    assert (seen.console, seen.requests) == ([], [])
    said = "[...document.querySelectorAll('[data-part=said]')].map(s => s.textContent)"
    first, second = chromium.evaluate(said)
    assert "boxes is ahead" in first and "random on" in second
    assert len(chromium.evaluate("[...document.querySelectorAll('script.image-data')].map(s => 1)")) == 1, "once"
    find = "document.querySelectorAll('[data-control=find]')[1]"
    chromium.evaluate(f"(c => {{ c.value = 'i7'; c.dispatchEvent(new Event('input')) }})({find})")
    assert chromium.evaluate("location.hash") == "#pair=1&find=i7"
    chromium.evaluate("document.querySelectorAll('.explorer')[1].querySelector('.cards > .card').click()")
    url = chromium.evaluate("location.href")
    chromium.visit(page)
    chromium.evaluate(f"location.assign({url!r})")
    chromium.evaluate(PAINTED)
    assert chromium.evaluate(said)[0] == first and chromium.evaluate(said)[1].startswith("1 of 14 images")
    assert chromium.evaluate("document.querySelectorAll('.detail h4')[1].textContent") == "i7"


def test_text_from_data_stays_text(chromium, report):
    seen = chromium.visit(report)
    assert (seen.console, seen.requests) == ([], [])
    assert chromium.evaluate("[...document.scripts].map(s => s.type)") == ["application/json", "application/json", ""]
    options = chromium.evaluate("[...document.querySelector('[data-control=class]').options].map(o => o.text)")
    assert HOSTILE in options and '"quoted" & <b>bold</b>' in options
    assert chromium.evaluate("document.querySelectorAll('.explorer b').length") == 0
    choose(chromium, "class", HOSTILE)
    assert chromium.evaluate(f"document.querySelector('.explorer').innerText.includes({HOSTILE!r})")
    script = "const s = document.createElement('script'); s.textContent = 'window.broken = 1'; document.body.append(s)"
    chromium.evaluate(script)
    assert chromium.evaluate("window.broken === undefined"), "the policy refuses every script but ours"
