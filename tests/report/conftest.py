"""A browser for the pages of reports, one for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.reports.browser import Browser, browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened
