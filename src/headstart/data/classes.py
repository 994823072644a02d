"""Views of a data set with some of its classes, or with several classes made one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.columns import Lists, arrow, class_lists, relabeled
from headstart.data.flags import IGNORED
from headstart.data.hierarchy import unique_lists
from headstart.errors import UsageError


def with_classes(
    table: Annotations, classes: Sequence[str] | Mapping[str, str], drop_empty: bool = False
) -> Annotations:
    """Only these classes, in this order; or old name -> new name, where several may become one.

    Boxes and labels of other classes go; pixels of other classes are ignored. An image that shows none of the classes
    stays as one that shows nothing, unless `drop_empty`. Raises UsageError for a name that the table does not have.
    """
    renamed = dict(classes) if isinstance(classes, Mapping) else {name: name for name in classes}
    everything = {*table.box_classes, *table.image_classes, *table.mask_classes}
    if unknown := [name for name in renamed if name not in everything]:
        raise UsageError(f"{table.root}: no class {unknown[0]!r}. There are: {', '.join(sorted(everything))[:500]}.")
    batch, facts = table.batch, table.facts
    names, lut = _new_classes(table.box_classes, renamed)
    columns = {"boxes": _boxes_of_classes(table, lut)}
    changes: dict[str, Any] = {
        "box_classes": names,
        "box_class_ids": _ids(names, renamed, table.box_classes, table.box_class_ids),
    }
    names, lut = _new_classes(table.image_classes, renamed)
    changes |= {
        "image_classes": names,
        "image_class_ids": _ids(names, renamed, table.image_classes, table.image_class_ids),
    }
    if not table.multi_label:
        labels = table.image_labels
        columns["label"] = arrow(np.where(labels >= 0, np.append(lut, -1)[labels], -1).astype(np.int32))
    for name in ("present", "absent", "partial"):
        if name in batch.schema.names:
            columns[name] = class_lists(_lists_of_classes(table, name, lut, len(names)))
    if table.mask_kind == "panoptic" and "mask" in batch.schema.names and set(table.box_classes) - set(renamed):
        batch = batch.drop_columns(["mask"])  # Such masks name every box.
        changes["mask_classes"] = ()
    elif table.mask_classes:
        changes |= _masks_of_classes(table, renamed)
    for name, column in columns.items():
        batch = batch.set_column(batch.schema.get_field_index(name), name, column)
    changes["hierarchy"] = _hierarchy_of(table, renamed)
    changes["class_kinds"] = {new: facts.class_kinds[old] for old, new in renamed.items() if old in facts.class_kinds}
    made = Annotations(batch, replace(facts, **changes), table.place)
    return made.select(np.flatnonzero(_shows_something(made))) if drop_empty else made


def _new_classes(old: tuple[str, ...], renamed: Mapping[str, str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """New names, in the order of `renamed`, and old index -> new index (-1: gone)."""
    names = tuple(dict.fromkeys(renamed[name] for name in renamed if name in old))
    return names, np.array([names.index(renamed[name]) if name in renamed else -1 for name in old], np.int64)


def _ids(names: tuple[str, ...], renamed: Mapping[str, str], old: tuple[str, ...], ids: tuple) -> tuple:
    """The source's ids, where every class is still one of the source's."""
    of = {renamed[name]: i for name, i in zip(old, ids, strict=False) if name in renamed}
    merged = sum(name in renamed for name in old) > len(names)
    return () if merged or not ids else tuple(of[name] for name in names)


def _boxes_of_classes(table: Annotations, lut: NDArray[np.int64]) -> pa.Array:
    labels = lut[table.box_labels] if len(lut) else np.zeros(0, np.int64)
    rows = np.flatnonzero(labels >= 0)
    offsets = np.concatenate([[0], np.cumsum(labels >= 0)])[table.box_offsets]
    return relabeled(table.batch.column("boxes"), offsets, rows, labels[rows])


def _lists_of_classes(
    table: Annotations, name: Literal["present", "absent", "partial"], lut: NDArray[np.int64], num_classes: int
) -> Lists:
    """A class made of several is present when one of them is, and absent when all are."""
    offsets, values = table.verified_lists(name)
    images, labels = np.repeat(np.arange(len(table)), np.diff(offsets)), lut[values]
    images, labels = images[labels >= 0], labels[labels >= 0]
    if name == "absent":
        keys, said = np.unique(images * max(num_classes, 1) + labels, return_counts=True)
        images, labels = keys // max(num_classes, 1), keys % max(num_classes, 1)
        whole = said == np.bincount(lut[lut >= 0], minlength=num_classes)[labels]
        images, labels = images[whole], labels[whole]
    return unique_lists(images, labels, len(table), num_classes)


def _masks_of_classes(table: Annotations, renamed: Mapping[str, str]) -> dict[str, Any]:
    """Changed facts: values of classes that are gone are ignored from now on."""
    names, lut = _new_classes(table.mask_classes, renamed)
    values = np.append(lut, -1)[np.where(table.mask_lut == IGNORED, len(lut), table.mask_lut)]
    gone = np.flatnonzero((values < 0) & (table.mask_lut != IGNORED)).tolist()
    return {
        "mask_classes": names,
        "mask_lut": tuple(np.where(values < 0, IGNORED, values).tolist()),
        "mask_void": (*table.mask_void, *gone),
    }


def _hierarchy_of(table: Annotations, renamed: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The nearest classes above that are still there."""

    def above(name: str) -> list[str]:
        direct = table.hierarchy.get(name, ())
        return [new for p in direct for new in ([renamed[p]] if p in renamed else above(p))]

    parents_of: dict[str, list[str]] = {}
    for old, new in renamed.items():
        parents_of.setdefault(new, []).extend(p for p in above(old) if p != new)
    return {name: tuple(dict.fromkeys(parents)) for name, parents in parents_of.items() if parents}


def _shows_something(table: Annotations) -> NDArray[np.bool_]:
    shows = (np.diff(table.box_offsets) > 0) | (table.image_labels >= 0) | (table.mask_paths != "")
    return shows | (np.diff(table.verified_lists("present")[0]) > 0)
