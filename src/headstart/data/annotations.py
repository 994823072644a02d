"""The table that every reader returns: one row per image, boxes of all images end to end in shared columns.

Letters used for shapes: n images, m boxes. No Python object exists per box; the boxes of image i are rows
`box_offsets[i]:box_offsets[i + 1]`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError

DIFFICULT, CROWD, GROUP_OF, OCCLUDED, TRUNCATED, DEPICTION, INSIDE = 1, 2, 4, 8, 16, 32, 64
IGNORED = 255
"""Value of a prepared mask that is neither trained on nor scored."""
SPLITS = ("train", "val", "trainval", "test", "")
Target = Literal["detect", "segment", "classify"]
NOTES_SHOWN = 10


@dataclass(frozen=True, eq=False)
class BoxColumns:
    """Boxes as a reader hands them over; the fields are those of `Annotations`."""

    offsets: NDArray[np.int64]
    source: NDArray[np.float64]
    xyxy: NDArray[np.float64]
    labels: NDArray[np.int32]
    flags: NDArray[np.uint8]
    known: NDArray[np.bool_]
    classes: tuple[str, ...] = ()
    convention: str = ""


def no_boxes(num_images: int) -> BoxColumns:
    """Columns of a data set that says nothing about boxes: m = 0, and no image's boxes are known."""
    return BoxColumns(
        offsets=np.zeros(num_images + 1, np.int64),
        source=np.zeros((0, 4)),
        xyxy=np.zeros((0, 4)),
        labels=np.zeros(0, np.int32),
        flags=np.zeros(0, np.uint8),
        known=np.zeros(num_images, bool),
    )


@dataclass(frozen=True, eq=False)
class Annotations:
    """What a data set on disk says. Made by `annotate`, which fills the columns that a format lacks."""

    root: Path
    """Folder that `paths` and `mask_paths` are relative to."""
    format: str
    """Name of the reader."""
    image_ids: NDArray[np.str_]
    """(n,) the source's own names, unique."""
    paths: NDArray[np.str_]
    """(n,) with forward slashes, relative to `root`."""
    sizes_hw: NDArray[np.int32]
    """(n, 2) height and width that the annotation was made for; 0, 0 where not known until the image is decoded."""
    splits: NDArray[np.str_]
    """(n,) each one of `SPLITS`; '' is in no list of the source."""
    image_labels: NDArray[np.int32]
    """(n,) index into `image_classes`; -1 none."""
    image_classes: tuple[str, ...]
    image_class_ids: tuple[int, ...]
    """The source's own numbers of `image_classes`, where it has such; else empty."""
    box_offsets: NDArray[np.int64]
    """(n + 1,)"""
    boxes_source: NDArray[np.float64]
    """(m, 4) exactly as the source says, in its own convention."""
    source_convention: str
    """`voc`: xmin, ymin, xmax, ymax, 1-based, both ends inclusive. `voc-zero-based`: edges. '': no boxes."""
    boxes_xyxy: NDArray[np.float64]
    """(m, 4) absolute pixels of the original image, continuous edges, width = x2 - x1 > 0."""
    box_labels: NDArray[np.int32]
    """(m,) index into `box_classes`, no background."""
    box_flags: NDArray[np.uint8]
    """(m,) bits DIFFICULT, CROWD, ..."""
    box_classes: tuple[str, ...]
    boxes_known: NDArray[np.bool_]
    """(n,) whether the source lists the boxes of this image; such a list may be empty."""
    mask_paths: NDArray[np.str_]
    """(n,) relative to `root`; '' where there is no mask."""
    mask_lut: NDArray[np.uint8]
    """(256,) value in a mask file -> index into `mask_classes`, or IGNORED."""
    mask_void: tuple[int, ...]
    """Values in mask files that the source calls void. A value that is neither void nor a class is a fault."""
    mask_classes: tuple[str, ...]
    notes: tuple[str, ...]
    """What was repaired, left out or odd: one sentence each, with file and object. Callers show them."""

    def __len__(self) -> int:
        return len(self.image_ids)

    def image_path(self, i: int) -> Path:
        return self.root / str(self.paths[i])

    def mask_path(self, i: int) -> Path | None:
        return self.root / str(self.mask_paths[i]) if self.mask_paths[i] else None

    def supports(self, task: Target) -> NDArray[np.bool_]:
        """(n,) which images can be trained on and scored for the task. An empty list of boxes counts."""
        if task == "detect":
            return self.boxes_known.copy()
        return self.mask_paths != "" if task == "segment" else self.image_labels >= 0

    @property
    def tasks(self) -> tuple[Target, ...]:
        """The tasks that the source has annotation and classes for."""
        classes: dict[Target, int] = {
            "detect": len(self.box_classes),
            "segment": len(self.mask_classes) // 2,
            "classify": len(self.image_classes) // 2,
        }
        return tuple(task for task, enough in classes.items() if enough and bool(self.supports(task).any()))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (64 hex digits) of the table and of the names and sizes in bytes of the image and mask files.

        Times, the place of the folder and the files' bytes do not enter: reading them all would cost as much
        as decoding. Raises DataError when a file is gone.
        """
        digest = hashlib.sha256()
        facts = [self.format, self.source_convention, self.image_classes, self.image_class_ids, self.box_classes,
                 self.mask_classes, self.mask_void]  # fmt: skip
        digest.update(json.dumps(facts).encode())
        for strings in (self.image_ids, self.paths, self.splits, self.mask_paths):
            digest.update(json.dumps(strings.tolist()).encode())
        for array in (self.sizes_hw, self.image_labels, self.box_offsets, self.boxes_source, self.boxes_xyxy,
                      self.box_labels, self.box_flags, self.boxes_known, self.mask_lut):  # fmt: skip
            digest.update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        files = [str(p) for p in (*self.paths, *self.mask_paths) if p]
        digest.update(json.dumps([_bytes_in(self.root / p) for p in files]).encode())
        return digest.hexdigest()

    def select(self, indices: ArrayLike) -> Annotations:
        """The rows `indices` (k,), in that order; classes, table look-ups and notes stay."""
        rows = np.asarray(indices, np.int64)
        counts = np.diff(self.box_offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        boxes = np.repeat(self.box_offsets[rows] - offsets[:-1], counts) + np.arange(offsets[-1])
        per_image = ("image_ids", "paths", "sizes_hw", "splits", "image_labels", "boxes_known", "mask_paths")
        per_box = ("boxes_source", "boxes_xyxy", "box_labels", "box_flags")
        return replace(
            self,
            box_offsets=offsets,
            **{name: getattr(self, name)[rows] for name in per_image},
            **{name: getattr(self, name)[boxes] for name in per_box},
        )

    def summary(self) -> tuple[str, ...]:
        """A few lines to print: format, counts, splits, label maps with counts, the first notes."""
        splits = ", ".join(f"{k or 'in no list'} {c}" for k in SPLITS if (c := int((self.splits == k).sum())))
        lines = [f"{self.root.name}: {self.format}, {len(self)} images ({splits}); tasks: {', '.join(self.tasks)}"]
        if self.box_classes:
            empty = int((self.boxes_known & (np.diff(self.box_offsets) == 0)).sum())
            odd = int((self.box_flags & DIFFICULT > 0).sum())
            lines.append(f"boxes: {len(self.box_labels)} in {int(self.boxes_known.sum())} images ({empty} without "
                         f"any; {odd} difficult): {_counted(self.box_classes, self.box_labels)}")  # fmt: skip
        if self.image_classes:
            lines.append(f"image labels: {_counted(self.image_classes, self.image_labels)}")
        if self.mask_classes:
            values = [int(np.flatnonzero(self.mask_lut == k)[0]) for k in range(len(self.mask_classes))]
            named = ", ".join(f"{k} {name} (value {v})" for k, (name, v) in enumerate(zip(self.mask_classes, values, strict=True)))  # noqa: E501  # fmt: skip
            void = f"; ignored: value {', '.join(map(str, self.mask_void))}" if self.mask_void else ""
            lines.append(f"masks: {int(self.supports('segment').sum())}: {named}{void}")
        more = len(self.notes) - NOTES_SHOWN
        lines += [f"note: {note}" for note in self.notes[:NOTES_SHOWN]]
        return (*lines, *([f"note: and {more} more"] if more > 0 else []))


def annotate(
    root: Path,
    format: str,
    image_ids: Sequence[str],
    paths: Sequence[str],
    sizes_hw: ArrayLike,
    splits: Sequence[str],
    *,
    image_labels: ArrayLike | None = None,
    image_classes: Sequence[str] = (),
    image_class_ids: Sequence[int] = (),
    boxes: BoxColumns | None = None,
    mask_paths: Sequence[str] | None = None,
    mask_lut: NDArray[np.uint8] | None = None,
    mask_void: Sequence[int] = (),
    mask_classes: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Annotations:
    """A table from a reader's columns; what the format lacks is filled with "none". Fields: see `Annotations`."""
    n = len(image_ids)
    boxes = boxes or no_boxes(n)
    table = Annotations(
        root=root,
        format=format,
        image_ids=np.array(image_ids, np.str_),
        paths=np.array(paths, np.str_),
        sizes_hw=np.asarray(sizes_hw, np.int32).reshape(n, 2),
        splits=np.array(splits, np.str_),
        image_labels=np.full(n, -1, np.int32) if image_labels is None else np.asarray(image_labels, np.int32),
        image_classes=tuple(image_classes),
        image_class_ids=tuple(image_class_ids),
        box_offsets=boxes.offsets,
        boxes_source=boxes.source,
        source_convention=boxes.convention,
        boxes_xyxy=boxes.xyxy,
        box_labels=boxes.labels,
        box_flags=boxes.flags,
        box_classes=boxes.classes,
        boxes_known=boxes.known,
        mask_paths=np.array([""] * n if mask_paths is None else mask_paths, np.str_),
        mask_lut=np.full(256, IGNORED, np.uint8) if mask_lut is None else mask_lut,
        mask_void=tuple(mask_void),
        mask_classes=tuple(mask_classes),
        notes=tuple(notes),
    )
    _require_unique_ids(table)
    return table


def _require_unique_ids(table: Annotations) -> None:
    values, counts = np.unique(table.image_ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"{table.root}: the image id {str(values[counts > 1][0])!r} stands for {counts.max()} images. "
            "Ids must differ: rename one of the files."
        )


def _bytes_in(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Put the file back and start again.") from error


def _counted(classes: tuple[str, ...], labels: NDArray[np.int32]) -> str:
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    return ", ".join(f"{k} {name} {count}" for k, (name, count) in enumerate(zip(classes, counts, strict=True)))
