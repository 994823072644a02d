"""The report in a real browser: laptop, phone, dark and print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.api import judge, show_chips
from headstart.doctor.checkup import check
from headstart.progress import silent
from headstart.recipes.pretraining import PretrainingOptions
from headstart.report.build import build
from headstart.report.doctor import write_page
from headstart.world.shapes import write_coco
from support.miniatures import make_voc, voc_object, voc_xml
from support.reports.browser import find_chromium
from support.reports.contrast import CONTRAST
from support.reports.fake_run import CLASSES, HOSTILE, write_comparison, write_run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine"),
]
SECTIONS = ["answer", "findings", "results", "precision", "neighbors", "activations", "composition", "provenance"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(write_run(tmp_path_factory.mktemp("study") / "run"))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_whole_quiet_and_readable(chromium, report, width, height, dark):
    seen = chromium.visit(report, width, height, dark)
    assert seen.console == []
    assert seen.requests == []
    assert seen.scroll_width == width  # nothing makes the page scroll sideways
    assert chromium.evaluate("[...document.querySelectorAll('section')].map(s => s.id)") == SECTIONS
    assert chromium.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert all(f'id="{section}"' in seen.dom for section in SECTIONS)
    assert chromium.evaluate(CONTRAST) == []


def test_dark_is_dark_and_print_is_light(chromium, report):
    def ground() -> int:
        return chromium.evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])")

    chromium.visit(report, dark=True)
    assert ground() < 40
    chromium.visit(report, dark=True, media="print")
    assert ground() == 255
    assert chromium.evaluate("document.querySelector('details:not([open]) table').getBoundingClientRect().height") > 0


def test_every_picture_has_a_name(chromium, report):
    chromium.visit(report)
    nodes = chromium.call("Accessibility.getFullAXTree", chromium.session)["nodes"]
    pictures = [n for n in nodes if n.get("role", {}).get("value") in ("image", "img") and not n.get("ignored")]
    assert len(pictures) > 80
    assert all(n.get("name", {}).get("value") for n in pictures)


def test_strips_share_their_axis(chromium, report):
    """All rows and the axis below them begin and end at the same place, or a dot would not lie where the axis says."""
    chromium.visit(report)
    strips = chromium.evaluate(
        "[...document.querySelector('.forest').querySelectorAll('.strip')].map(s => [s.getBoundingClientRect().left,"
        " s.getBoundingClientRect().width])"
    )
    assert len({tuple(map(round, strip)) for strip in strips}) == 1


def test_hostile_names_stay_text(chromium, tmp_path):
    run = write_run(tmp_path / "run", seeds=(0,), classes=(HOSTILE, "<img src=x onerror=alert(1)>", *CLASSES[2:]))
    seen = chromium.visit(build(run))
    assert seen.console == [] and seen.requests == []
    assert chromium.evaluate("document.scripts.length") == 0
    assert chromium.evaluate("document.body.innerText.includes('<script>alert')")


def test_comparison(chromium, tmp_path):
    seen = chromium.visit(build(write_comparison(tmp_path / "run")), 390, 844)
    assert seen.console == [] and seen.requests == [] and seen.scroll_width == 390
    assert chromium.evaluate("[...document.querySelectorAll('section')].map(s => s.id)") == [
        "answer",
        "results",
        "precision",
        "provenance",
    ]


def test_harness_hears_requests_and_errors(chromium, tmp_path):
    """Else silence would prove nothing."""
    page = tmp_path / "loud.html"
    page.write_text('<img src="http://example.invalid/a.png"><script>console.error("heard")</script>')
    seen = chromium.visit(page)
    assert seen.requests == ["http://example.invalid/a.png"]
    assert any("heard" in line for line in seen.console)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_page_of_a_check_is_quiet_and_readable(chromium, tmp_path, width, height, dark):
    make_voc(tmp_path / "set")
    hostile = voc_object("&lt;script&gt;alert(1)&lt;/script&gt;", 5, 5, 5, 9)
    voc_xml(tmp_path / "set/Annotations/a.xml", hostile, voc_object("cat", 11, 11, 90, 20))
    page = write_page(check(tmp_path / "set", images=True), tmp_path / "index.html")
    seen = chromium.visit(page, width, height, dark)
    assert (seen.console, seen.requests) == ([], []) and seen.scroll_width <= width
    assert all(f'id="{name}"' in seen.dom for name in ("wrong", "inside", "read")) and "<script" not in seen.dom
    assert chromium.evaluate(CONTRAST) == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (360, 780)])
def test_the_page_of_a_judged_table_is_quiet_and_readable(chromium, tmp_path, width, height, dark):
    scores = [
        f"s{d},g{d % 2},{m},{d + k * (d % 3) / 10}" for d in range(9) for k, m in enumerate((HOSTILE, "b", "c" * 60))
    ]
    (tmp_path / "t.csv").write_text("\n".join(["data set,group,model,score", *(scores[:5] + scores[6:])]))
    seen = chromium.visit(judge(tmp_path / "t.csv", out=tmp_path / "page").page, width, height, dark)
    assert (seen.console, seen.requests, seen.scroll_width) == ([], [], width)
    assert all(f'id="{name}"' in seen.dom for name in ("answer", "groups", "otherwise", "precision", "unknown", "read"))
    assert chromium.evaluate("document.scripts.length") == 0
    assert chromium.evaluate(CONTRAST) == []


@pytest.fixture(scope="module")
def chips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chips")
    write_coco("base", 12, 0, 192, out=out / "drawn", progress=silent)
    file = out / "drawn" / "annotations" / "instances.json"
    file.write_text(file.read_text().replace('"name": "', '"name": "<script>alert(1)</script>'))
    return show_chips(out / "drawn", "shapes-chips", out / "chips.html", PretrainingOptions(on_empty_class="skip"))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_page_of_chips_is_quiet_and_readable(chromium, chips, tmp_path, width, height, dark):
    seen = chromium.visit(chips, width, height, dark)
    assert (seen.console, seen.requests, seen.scroll_width) == ([], [], width)
    assert chromium.evaluate("document.scripts.length") == 0
    assert "<script>alert(1)" in chromium.evaluate("document.querySelector('.chips .facts').innerText")
    assert chromium.evaluate(CONTRAST) == []
    top = chromium.evaluate("Math.round(document.querySelector('.panels .k0').getBoundingClientRect().top)")
    shot = np.asarray(Image.open(chromium.screenshot(tmp_path / "shot.png", top=top, height=400)).convert("RGB"))
    assert len(np.unique(shot.reshape(-1, 3), axis=0)) > 1000  # the image itself, which every scale's picture shares
    assert (shot == (0xFF, 0xD6, 0x0A)).all(2).sum() > 100  # the first chip's line and number
