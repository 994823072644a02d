"""Where caches are, and when a source is too fresh to be cached."""

from __future__ import annotations

import os
from pathlib import Path

SETTLED_NS = 1_000_000_000
"""A source that changed within so many ns before it was read might change again under the same time: not cached."""


def cache_folder() -> Path:
    """`HEADSTART_CACHE`, else `headstart` in `XDG_CACHE_HOME`, else in `~/.cache`."""
    if folder := os.environ.get("HEADSTART_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headstart"
