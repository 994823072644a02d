"""The page as PDF: by a browser that is there, and a kind message where none is, or it prints nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.errors import UsageError
from headstart.report.printed import pdf
from support.reports.browser import find_chromium

PAGE = "<!doctype html><title>x</title><p>Printed.</p>"


def test_without_a_browser_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(pdf, "PLACES", ())
    with pytest.raises(
        UsageError, match=r"none was found\. Install one, or set CHROMIUM to its path; or open .*x\.html"
    ):
        pdf.print_page(tmp_path / "x.html", tmp_path / "x.pdf")


def test_a_browser_that_prints_nothing_is_named_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "chromium"
    broken.write_text("#!/bin/sh\necho no display >&2\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CHROMIUM", str(broken))
    page, out = tmp_path / "x.html", tmp_path / "x.pdf"
    page.write_text(PAGE)
    out.write_bytes(b"before")
    with pytest.raises(UsageError, match=r"chromium did not print .*x\.html; it said: no display"):
        pdf.print_page(page, out)
    assert out.read_bytes() == b"before"
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="gone did not print"):
        pdf.print_page(page, out)


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")
def test_a_page_is_printed(tmp_path: Path) -> None:
    page = tmp_path / 'a "quoted" page.html'
    page.write_text(PAGE)
    assert pdf.print_page(page, tmp_path / "x.pdf").read_bytes().startswith(b"%PDF-")
