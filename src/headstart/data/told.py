"""Notes of data sets on the terminal, whichever command reads them: each once a process."""

from __future__ import annotations

import logging
from collections.abc import Iterable

log = logging.getLogger(__name__)
_told: set[str] = set()


def tell(lines: Iterable[str]) -> None:
    """Logs what was not told yet, as warnings: programs show them on standard error."""
    for line in lines:
        if line not in _told:
            log.warning("%s", line)
    mark_told(lines)


def mark_told(lines: Iterable[str]) -> None:
    """These were shown by other means."""
    _told.update(lines)
