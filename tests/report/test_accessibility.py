"""What axe-core says of the pages, where it is installed (`make axe`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.report.build import build
from support.reports.axe import find_axe, violations
from support.reports.browser import find_chromium
from support.reports.fake_pair import write_pair
from support.reports.fake_run import HOSTILE, write_comparison, write_run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine"),
    pytest.mark.skipif(find_axe() is None, reason="no axe-core: make axe"),
]
SIZES = [(1440, 900, False), (360, 780, True)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A study with everything, the explorer too, and a comparison."""
    root = tmp_path_factory.mktemp("axe")
    study = write_run(root / "study")
    write_pair(study, ("boxes", "labels"), classes=(HOSTILE, '"quoted" & <b>bold</b>', *"cdefghij"))
    return [build(study), build(write_comparison(root / "comparison"))]


@pytest.mark.parametrize(("width", "height", "dark"), SIZES)
def test_axe_finds_nothing(chromium, pages, width, height, dark):
    axe = find_axe()
    assert axe
    for page in pages:
        chromium.visit(page, width, height, dark)
        assert violations(chromium, axe) == [], page


def test_axe_finds_what_there_is(chromium, tmp_path):
    """Else silence would prove nothing."""
    axe, page = find_axe(), tmp_path / "bad.html"
    assert axe
    page.write_text(
        '<p style="color: #aaa; background: #fff">pale</p><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'
    )
    chromium.visit(page)
    found = [line.split(":")[0] for line in violations(chromium, axe)]
    assert {"serious color-contrast", "critical image-alt", "serious html-has-lang"} <= set(found)
