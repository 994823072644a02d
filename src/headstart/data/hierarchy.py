"""Labels carried up (and absences down) a class hierarchy, for training targets and for evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.columns import Lists, class_lists, relabeled
from headstart.errors import DataError
from headstart.metrics.openimages import lineage, spread


def related(table: Annotations, classes: tuple[str, ...]) -> NDArray[np.bool_]:
    """(K, K) whether class j is class i or one above it, by the table's hierarchy. Raises DataError for a circle."""
    place = {name: k for k, name in enumerate(classes)}
    parents = {
        place[name]: [place[p] for p in above if p in place] for name, above in table.hierarchy.items() if name in place
    }
    try:
        return lineage(parents, len(classes))
    except ValueError as error:
        raise DataError(f"{table.root}: the hierarchy of classes is none ({error}). Correct it.") from error


def expand(table: Annotations) -> Annotations:
    """The table as the official evaluation of Open Images sees it: every box once more for each class above its own,
    every label "present" for those above it, every label "absent" for those below.

    A detector that is to name the classes above, too, is trained on such boxes; a table is expanded once, for training
    and for scoring (`headstart.metrics.openimages.expanded` does the same to a truth). Raises DataError without a
    hierarchy.
    """
    if not table.hierarchy:
        raise DataError(
            f"{table.root}: no hierarchy of classes is known. Put bbox_labels_600_hierarchy.json beside "
            "the annotation, or leave labels as they are."
        )
    batch, note = table.batch, "labels are expanded over the class hierarchy"
    if note in table.notes:
        raise DataError(f"{table.root}: its labels are expanded already. Expand a table once.")
    rows, labels = spread(np.asarray(table.box_labels, np.int64), related(table, table.box_classes))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(table.box_labels)))])[table.box_offsets]
    columns = {"boxes": relabeled(batch.column("boxes"), offsets, rows, labels)}
    up = related(table, table.image_classes)
    for name, relation in (("present", up), ("partial", up), ("absent", up.T)):
        if name in batch.schema.names:
            columns[name] = class_lists(_spread_lists(table.verified_lists(name), relation))  # type: ignore[arg-type]
    for name, column in columns.items():
        batch = batch.set_column(batch.schema.get_field_index(name), name, column)
    return Annotations(batch, replace(table.facts, notes=(*table.notes, note)), table.place)


def _spread_lists(lists: Lists, relation: NDArray[np.bool_]) -> Lists:
    """Every image's classes and those related to them, each once, ascending."""
    offsets, values = lists
    rows, labels = spread(values.astype(np.int64), relation)
    images = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[rows]
    return unique_lists(images, labels, len(offsets) - 1, len(relation))


def unique_lists(images: NDArray[np.integer], labels: NDArray[np.integer], num_images: int, num_classes: int) -> Lists:
    """Class lists of all images from pairs (image, class), each pair once, ascending."""
    keys = np.sort(images.astype(np.int64) * max(num_classes, 1) + labels)
    keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]  # Ten times as fast as `np.unique`.
    offsets = np.searchsorted(keys // max(num_classes, 1), np.arange(num_images + 1)).astype(np.int64)
    return offsets, (keys % max(num_classes, 1)).astype(np.int32)
