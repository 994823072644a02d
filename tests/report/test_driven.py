"""What drives the reports of real runs (`make drive`) says nothing of a good one, and finds what is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.report.build import build
from support.reports.browser import find_chromium
from support.reports.driven import faults, looked_at
from support.reports.fake_pair import write_pair
from support.reports.fake_run import write_run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("driven") / "run", seeds=(0,))
    write_pair(run, ("boxes", "labels"))
    return build(run)


def test_a_good_report_has_no_faults(chromium, report):
    assert faults(chromium, report) == []


def test_what_is_broken_is_found(chromium, report, tmp_path):
    broken = (
        "<p style='width: 3000px'>wide</p>"
        "<p style='color: #bbb; background: #fff'>pale</p>"
        "<img src='http://127.0.0.1:9/x.png' alt='x'>"
    )
    page = tmp_path / "report.html"
    page.write_text(
        report.read_text().replace("</body>", f"{broken}</body>").replace("img-src data:", "img-src * data:")
    )
    found = list(looked_at(chromium, page))
    for fault in ("scrolls sideways", "pale", "asked for http://127.0.0.1:9", "1 broken pictures"):
        assert any(fault in one for one in found), found
