"""What is in a table, in a few lines to print."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.boxes import CONVENTIONS
from headstart.data.flags import DIFFICULT, SPLITS
from headstart.places.paths import absolute

log = logging.getLogger(__name__)
NOTES = f"{__name__}.notes"
"""Name of the logger of notes, which `--quiet` silences; what was lost is a fault, and is told all the same."""
_told: set[str] = set()
"""Lines that this process told or showed."""
SHOWN = 10
"""Notes, left-out records and, of long label maps, classes at each end."""
LONG = 50


def lines(table: Any) -> tuple[str, ...]:
    """Format, counts, splits, label maps with counts, the first notes and left-out records.

    table: an `Annotations`, whose module imports this one.
    """
    splits = ", ".join(f"{k or 'in no list'} {c}" for k in SPLITS if (c := len(table.rows_of(k))))
    out = [f"{table.root.name}: {table.format}, {len(table)} images ({splits}); tasks: {', '.join(table.tasks)}"]
    if table.box_classes:
        empty = int((table.boxes_known & (np.diff(table.box_offsets) == 0)).sum())
        odd = int((table.box_flags & DIFFICULT > 0).sum())
        out.append(
            f"boxes: {len(table.box_labels)} in {int(table.boxes_known.sum())} images ({empty} without any; "
            f"{odd} difficult), as {CONVENTIONS[table.source_convention]}"
        )
        out.append(f"box labels: {_counted(table.box_classes, table.box_class_ids, table.box_labels)}")
    if table.image_classes:
        values = table.verified_lists("present")[1] if table.multi_label else table.image_labels
        out.append(f"image labels: {_counted(table.image_classes, table.image_class_ids, values)}")
    if table.mask_classes:
        named = "as the boxes"
        if table.mask_kind == "index":
            drawn = [int(np.flatnonzero(table.mask_lut == k)[0]) for k in range(len(table.mask_classes))]
            pairs = enumerate(zip(table.mask_classes, drawn, strict=True))
            named = ", ".join(f"{k} {name} (value {v})" for k, (name, v) in pairs)
        void = f"; ignored: value {', '.join(map(str, table.mask_void))}" if table.mask_void else ""
        out.append(f"masks: {int(table.supports('segment').sum())}: {named}{void}")
    told = told_of(table)
    there = absolute(str(table.root), Path.cwd())  # as a study that is made of the data names it
    mark_told([*told, *(line.replace(str(table.root), there) for line in told)])
    return (*out, *told)


def told_of(table: Any) -> list[str]:
    """What a command that reads the table tells of it: the first notes, and the first records that were left out."""
    return [*_first("note", list(table.notes)), *_first("left out", [str(fault) for fault in table.left_out])]


def tell(said: Iterable[str]) -> None:
    """Logs what was not told yet, as warnings: programs show them on standard error."""
    said = list(dict.fromkeys(said))
    for line in said:
        if line not in _told:
            (logging.getLogger(NOTES) if line.startswith("note: ") else log).warning("%s", line)
    mark_told(said)


@contextmanager
def without_notes(quiet: bool) -> Iterator[None]:
    """Within it notes are not told, where `quiet`."""
    logger = logging.getLogger(NOTES)
    before = logger.level
    logger.setLevel(logging.ERROR if quiet else before)
    try:
        yield
    finally:
        logger.setLevel(before)


def mark_told(said: Iterable[str]) -> None:
    """These were shown by other means."""
    _told.update(said)


def _first(word: str, entries: list[str]) -> list[str]:
    more = len(entries) - SHOWN
    return [f"{word}: {e}" for e in entries[:SHOWN]] + ([f"{word}: and {more} more"] if more > 0 else [])


def _counted(classes: tuple[str, ...], ids: tuple[int | str, ...], labels: NDArray[np.integer]) -> str:
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    id_words = [f" [{i}]" if ids and str(i) != name else "" for i, name in zip(ids or classes, classes, strict=True)]
    each = [f"{k} {name}{id_words[k]} {counts[k]}" for k, name in enumerate(classes)]
    if len(each) > LONG:
        each = [*each[:SHOWN], f".. {len(each) - 2 * SHOWN} more ..", *each[-SHOWN:]]
    return ", ".join(each)
