"""From what a reader found to the table that it returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from headstart.data.annotations import Annotations
from headstart.data.columns import (
    BoxColumns,
    Lists,
    TableFacts,
    arrow,
    box_lists,
    class_lists,
    image_columns,
    no_boxes,
    texts,
)
from headstart.data.faults import Fault
from headstart.errors import DataError
from headstart.places.paths import DataPath, Folder


def annotate(
    root: DataPath | Path,
    format: str,
    image_ids: Sequence[str] | pa.Array,
    paths: Sequence[str] | pa.Array | None,
    *,
    sizes_hw: ArrayLike,
    splits: Sequence[str] | pa.Array,
    groups: Sequence[str] | None = None,
    image_labels: ArrayLike | None = None,
    image_classes: Sequence[str] = (),
    image_class_ids: Sequence[int | str] = (),
    present: Lists | None = None,
    absent: Lists | None = None,
    partial: Lists | None = None,
    boxes: BoxColumns | None = None,
    crops: ArrayLike | None = None,
    mask_paths: Sequence[str] | None = None,
    mask_lut: ArrayLike | None = None,
    mask_void: Sequence[int] = (),
    mask_colors: Sequence[tuple[int, int, int]] = (),
    mask_classes: Sequence[str] = (),
    mask_kind: Literal["index", "panoptic"] = "index",
    path_pattern: str = "",
    split_folders: dict[str, str] | None = None,
    hierarchy: dict[str, tuple[str, ...]] | None = None,
    class_kinds: dict[str, str] | None = None,
    notes: Sequence[str] = (),
    left_out: Sequence[Fault] = (),
    unique_ids: bool = False,
) -> Annotations:
    """A table from a reader's columns; what the format lacks is filled with "none". Fields: see `Annotations`.

    `path_pattern`: such as "{split}/{id}.jpg", instead of `paths`; `split_folders`: split -> what `{split}` stands for,
    where that is not its name. Give either `image_labels` (one label an image) or `present` and its companions
    (several). `crops` (n, 6): see `Annotations.crop`. Raises DataError when image ids are not unique, which
    is looked at unless the caller knows (`unique_ids`).
    """
    n = len(image_ids)
    boxes = boxes or no_boxes(n)
    columns = image_columns(image_ids, paths, sizes_hw, splits, groups=groups)
    if not unique_ids:
        _require_unique(columns["id"], str(root))
    if present is None:
        labels = np.full(n, -1) if image_labels is None else np.asarray(image_labels)
        columns["label"] = arrow(labels.astype(np.int32))
    for name, lists in (("present", present), ("absent", absent), ("partial", partial)):
        if lists is not None:
            columns[name] = class_lists(lists)
    columns["boxes_known"] = arrow(boxes.known)
    columns["boxes"], scale = box_lists(boxes)
    if crops is not None:
        numbers = np.ascontiguousarray(np.asarray(crops, np.int32).reshape(n, 6))
        columns["crop"] = pa.FixedSizeListArray.from_arrays(arrow(numbers.reshape(-1)), 6)
    if mask_paths is not None and any(mask_paths):
        columns["mask"] = texts([m or None for m in mask_paths], "the name of a mask")
    facts = TableFacts(
        format=format,
        source_convention=boxes.convention,
        box_scale=scale,
        box_classes=tuple(boxes.classes),
        box_class_ids=tuple(boxes.class_ids),
        image_classes=tuple(image_classes),
        image_class_ids=tuple(image_class_ids),
        mask_classes=tuple(mask_classes),
        mask_lut=() if mask_lut is None else tuple(np.asarray(mask_lut, int).tolist()),
        mask_void=tuple(mask_void),
        mask_colors=tuple(mask_colors),
        mask_kind=mask_kind,
        path_pattern=path_pattern,
        split_folders=split_folders or {},
        hierarchy=hierarchy or {},
        class_kinds=class_kinds or {},
        notes=tuple(notes),
        left_out=tuple((e.rule, e.path, e.record, e.why, e.fix, e.of_record) for e in left_out),
    )
    place = root.place if isinstance(root, DataPath) else Folder(str(root))
    return Annotations(pa.RecordBatch.from_arrays(list(columns.values()), list(columns)), facts, place)


def _require_unique(ids: pa.Array, root: str) -> None:
    counts = ids.value_counts()
    if len(counts) == len(ids):
        return
    most = max(counts.to_pylist(), key=lambda entry: entry["counts"])
    raise DataError(
        f"{root}: the image id {most['values']!r} stands for {most['counts']} images. "
        "Ids must differ: rename one of the files."
    )
