"""Places on disk, as callers give them."""

from __future__ import annotations

from pathlib import Path

PathLike = str | Path


def as_path(path: PathLike | None) -> Path | None:
    """Text or a path as a path; None stays."""
    return None if path is None else Path(path)
