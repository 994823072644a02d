"""How alike the stages of two networks are, as tables whose cells are tinted by their value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from headstart.page.numbers import NO_VALUE, fixed
from headstart.report.run_dir import RunDir

TINTS = 10
"""Shades of a cell, `tint-0` to `tint-9` in the page's style."""
MEASURES = (
    ("cka", "CKA", "0 is chance, 1 the same up to rotation and scale; strong directions decide"),
    ("procrustes", "Procrustes", "1 the same up to rotation and scale; in gray what images in another order give"),
)


def stages_alike(run: RunDir, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """A table for each measure: `columns` (stages of b), `rows` (stage of a, cells (text, tint, chance)); none where
    nothing could be compared, or the run is of before."""
    arrays = run.arrays(facts["pair_dir"], "stages.npz", ())
    if not arrays:
        return []
    names = [[str(name) for name in arrays[f"stages_{role}"]] for role in "ab"]
    tables = []
    for key, title, words in MEASURES:
        values, chance = arrays[key], arrays["chance"] if key == "procrustes" else None
        if not np.isfinite(values).any():
            continue
        rows = [
            (
                name,
                [
                    (_text(value), _tint(value), _text(chance[i, j]) if chance is not None else "")
                    for j, value in enumerate(values[i])
                ],
            )
            for i, name in enumerate(names[0])
        ]
        tables.append({"title": title, "words": words, "columns": names[1], "rows": rows})
    return tables


def _text(value: float) -> str:
    return fixed(float(value), 2) if math.isfinite(value) else NO_VALUE


def _tint(value: float) -> int:
    return min(TINTS - 1, int(TINTS * max(0.0, float(value)))) if math.isfinite(value) else 0
