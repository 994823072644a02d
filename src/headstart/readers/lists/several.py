"""Lists with a column for each class: of every image it is known which classes it has, be it one, several or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.faults import Fault, Faults
from headstart.readers.lists.columns import ImageList

BITS = {"0": False, "1": True, "0.0": False, "1.0": True}
BETWEEN = "\x1f"
"""Stands between the classes of an image in the one field that they become."""
Row = tuple[int, tuple[str, ...]]


def marked_rows(known: ImageList, rows: Sequence[Row], faults: Faults) -> list[Row]:
    """The rows with their classes as a last field; those with a mark that is neither 0 nor 1 are reported."""
    out: list[Row] = []
    for line, fields in rows:
        marks = {name: BITS.get(fields[k].strip()) for k, name in known.one_hot}
        odd = next((name for name, mark in marks.items() if mark is None), None)
        if odd is None:
            out.append((line, (*fields, BETWEEN.join(name for name, mark in marks.items() if mark))))
            continue
        text = fields[next(k for k, name in known.one_hot if name == odd)]
        why = f"has {text[:40]!r} in the column {odd!r}, which is neither 0 nor 1"
        faults.record(Fault("line-malformed", str(known.path), f"line {line}", why, "Write 0 or 1."))
    return out


def several(labels: Sequence[str]) -> bool:
    """Whether some image has not exactly one class, of texts of `marked_rows`."""
    return any(not label or BETWEEN in label for label in labels)


def verified(labels: Sequence[str], lists: Sequence[ImageList]) -> dict[str, Any]:
    """Arguments of `annotate`: of every image the classes that are present, and all others as absent."""
    classes = sorted({name for one in lists for _, name in one.one_hot})
    number = {name: k for k, name in enumerate(classes)}
    present = np.zeros((len(labels), len(classes)), bool)
    for row, label in enumerate(labels):
        present[row, [number[name] for name in label.split(BETWEEN) if name]] = True
    return {"image_classes": classes, "present": _lists(present), "absent": _lists(~present)}


def _lists(marks: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    offsets = np.concatenate([[0], np.cumsum(marks.sum(1))]).astype(np.int64)
    return offsets, np.nonzero(marks)[1].astype(np.int32)
