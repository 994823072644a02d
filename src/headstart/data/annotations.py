"""The table that every reader returns: Arrow columns, memory-mapped where they come from the cache, a row per image.

Letters used for shapes: n images, m boxes, k boxes of one image. No Python object exists per box; those of image i are
rows `box_offsets[i]:box_offsets[i + 1]`, and `boxes_of(i)` gives them in microseconds whatever m is. The table keeps
what the source said in its own precision; edges in pixels are computed from it when asked for.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from headstart.data.boxes import RELATIVE, Convention, to_edges
from headstart.data.columns import Lists, TableFacts, arrow, hashable, nested
from headstart.data.faults import Fault
from headstart.data.flags import IGNORED, Target
from headstart.data.summaries import lines
from headstart.errors import DataError, StoreError
from headstart.places.arrow import plain
from headstart.places.paths import DataPath, Place
from headstart.store.batches import load_batch, save_batch

FACTS_KEY = b"headstart"


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """The k boxes of one image: xyxy (k, 4) float64 pixels, labels (k,), flags (k,) uint8."""

    xyxy: NDArray[np.float64]
    labels: NDArray[np.integer]
    flags: NDArray[np.uint8]


class Annotations:
    """What a data set says. Made by `annotate`, which fills what a format lacks; columns are read-only.

    Properties that return one value per image or box are numpy views of Arrow memory where the types allow it. Those of
    strings (`image_ids`, `paths`, `splits`) are made when first asked for: with millions of images, use `image_id(i)`,
    `image_path(i)` and `rows_of(split)`.
    """

    def __init__(self, batch: pa.RecordBatch, facts: TableFacts, place: Place, file: Path | None = None) -> None:
        self.batch = batch
        self.facts = facts
        self.place = place
        """Where images and masks are."""
        self.file = file
        """The Arrow file behind the columns; None while they are in memory only."""
        boxes = batch.column("boxes")
        self.box_offsets, rows = nested(boxes)
        """(n + 1,)"""
        self._rows = rows
        self._source = _of_four(rows.field("source"))
        self.box_labels: NDArray[np.integer] = plain(rows.field("label"))
        """(m,) index into `box_classes`, no background."""
        self.box_flags: NDArray[np.uint8] = plain(rows.field("flags"))
        """(m,) bits DIFFICULT, CROWD, ..."""
        self._heights, self._widths = plain(batch.column("height")), plain(batch.column("width"))

    # What the table says as a whole

    @property
    def root(self) -> DataPath:
        """The folder, archive or URL that was opened."""
        return DataPath(self.place)

    @property
    def format(self) -> str:
        """Name of the reader."""
        return self.facts.format

    @property
    def source_convention(self) -> Convention:
        """A key of `headstart.data.boxes.CONVENTIONS`."""
        return self.facts.source_convention

    @property
    def box_classes(self) -> tuple[str, ...]:
        return self.facts.box_classes

    @property
    def box_class_ids(self) -> tuple[int | str, ...]:
        """The source's own ids of `box_classes`; empty where names are all it has."""
        return self.facts.box_class_ids

    @property
    def image_classes(self) -> tuple[str, ...]:
        return self.facts.image_classes

    @property
    def image_class_ids(self) -> tuple[int | str, ...]:
        return self.facts.image_class_ids

    @property
    def mask_classes(self) -> tuple[str, ...]:
        return self.facts.mask_classes

    @cached_property
    def mask_lut(self) -> NDArray[np.uint8]:
        """(256,) value in a mask file -> index into `mask_classes`, or IGNORED."""
        return np.array(self.facts.mask_lut or [IGNORED] * 256, np.uint8)

    @property
    def mask_void(self) -> tuple[int, ...]:
        """Values in mask files that the source calls void. A value that is neither void nor a class is a fault."""
        return self.facts.mask_void

    @property
    def mask_colors(self) -> tuple[tuple[int, int, int], ...]:
        """Where masks are color images: the RGB that stands for value 0, 1, .. of `mask_lut`; empty for index masks."""
        return self.facts.mask_colors

    @property
    def mask_kind(self) -> str:
        """`index`: values are looked up in `mask_lut`. `panoptic`: R + 256 G + 256^2 B is a box's id."""
        return self.facts.mask_kind

    @property
    def hierarchy(self) -> dict[str, tuple[str, ...]]:
        """Class name -> names of the classes right above it (Open Images has some with two); empty without one."""
        return self.facts.hierarchy

    @property
    def class_kinds(self) -> dict[str, str]:
        """Class name -> what the source says of it: rare, common or frequent (LVIS); thing or stuff (panoptic)."""
        return self.facts.class_kinds

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd: one sentence each, with file and object. Callers show them."""
        return self.facts.notes

    @cached_property
    def left_out(self) -> tuple[Fault, ...]:
        """Records that reading left out, since it was told to skip bad ones, and what it reads without."""
        return tuple(Fault(*entry) for entry in self.facts.left_out)

    @property
    def num_left_out(self) -> int:
        """Of records alone."""
        return sum(fault.of_record for fault in self.left_out)

    def __len__(self) -> int:
        return self.batch.num_rows

    # One value per image

    def image_id(self, i: int) -> str:
        """The source's own name of image i; unique."""
        return str(self.batch.column("id")[i].as_py())

    def image_name(self, i: int) -> str:
        """Path of image i, with forward slashes, relative to the place."""
        if self.facts.path_pattern:
            split = self.batch.column("split")[i].as_py()
            folder = self.facts.split_folders.get(split, split)
            return self.facts.path_pattern.format(id=self.image_id(i), split=folder).lstrip("/")
        return str(self.batch.column("path")[i].as_py())

    def image_path(self, i: int) -> DataPath:
        return DataPath(self.place, self.image_name(i))

    def mask_path(self, i: int) -> DataPath | None:
        name = self.batch.column("mask")[i].as_py() if "mask" in self.batch.schema.names else None
        return DataPath(self.place, name) if name else None

    def size_hw(self, i: int) -> tuple[int, int]:
        """Height and width that the annotation was made for; (0, 0) where not known until the image is decoded."""
        return int(self._heights[i]), int(self._widths[i])

    def crop(self, i: int) -> tuple[int, ...] | None:
        """Where image i is a part of its file: x1, y1, x2, y2 in whole pixels (x2, y2 not in it), and the file's height
        and width; `size_hw` is the part's. None: it is the whole file."""
        return tuple(self.batch.column("crop")[i].as_py()) if "crop" in self.batch.schema.names else None

    @cached_property
    def image_ids(self) -> NDArray[np.str_]:
        """(n,)"""
        return _strings(self.batch.column("id"))

    @cached_property
    def paths(self) -> NDArray[np.str_]:
        """(n,) relative to the place, with forward slashes."""
        if self.facts.path_pattern:
            return np.array([self.image_name(i) for i in range(len(self))], np.str_)
        return _strings(self.batch.column("path"))

    @cached_property
    def sizes_hw(self) -> NDArray[np.int32]:
        """(n, 2), see `size_hw`."""
        return np.stack([self._heights, self._widths], 1)

    @cached_property
    def splits(self) -> NDArray[np.str_]:
        """(n,) each one of `SPLITS`; '' is in no list of the source."""
        return _strings(self.batch.column("split"))

    def rows_of(self, split: str) -> NDArray[np.int64]:
        """Rows of the images of a split, ascending."""
        column = self.batch.column("split")
        names = column.dictionary.to_pylist()
        return np.flatnonzero(plain(column.indices) == names.index(split)) if split in names else np.zeros(0, np.int64)

    @cached_property
    def groups(self) -> NDArray[np.str_] | None:
        """(n,) images of one group (a video, a patient) belong together; '' stands alone. None: the source has none."""
        return _strings(self.batch.column("group")) if "group" in self.batch.schema.names else None

    @cached_property
    def image_labels(self) -> NDArray[np.int32]:
        """(n,) index into `image_classes`; -1 where the image has no label, or several."""
        if "label" in self.batch.schema.names:
            return plain(self.batch.column("label"))
        offsets, present = self._listed("present")
        single = np.diff(offsets) == 1
        return np.where(single, np.append(present, -1)[np.minimum(offsets[:-1], len(present))], -1).astype(np.int32)

    @cached_property
    def mask_paths(self) -> NDArray[np.str_]:
        """(n,) relative to the place; '' where there is no mask."""
        if "mask" not in self.batch.schema.names:
            return np.full(len(self), "", np.str_)
        return _strings(self.batch.column("mask"))

    @cached_property
    def boxes_known(self) -> NDArray[np.bool_]:
        """(n,) whether the source lists the boxes of this image; such a list may be empty."""
        return plain(self.batch.column("boxes_known"))

    @property
    def multi_label(self) -> bool:
        """Whether an image may have several image-level labels, or labels verified as absent."""
        return "present" in self.batch.schema.names

    def verified(self, i: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """Indices into `image_classes` that people said of image i: present, absent, and present but not every instance
        is boxed (LVIS: not exhaustive). Empty where the source says nothing."""
        present, absent, partial = (self._listed(name) for name in ("present", "absent", "partial"))
        return tuple(values[offsets[i] : offsets[i + 1]] for offsets, values in (present, absent, partial))  # type: ignore[return-value]

    def verified_lists(self, what: Literal["present", "absent", "partial"]) -> Lists:
        """Offsets (n + 1,) and class indices of all images, see `verified`."""
        return self._listed(what)

    def _listed(self, name: str) -> Lists:
        if name not in self.batch.schema.names:
            return np.zeros(len(self) + 1, np.int64), np.zeros(0, np.int32)
        offsets, values = nested(self.batch.column(name))
        return offsets, plain(values)

    # One value per box

    def boxes_of(self, i: int, size_hw: tuple[int, int] | None = None) -> ImageBoxes:
        """Boxes of image i. `size_hw`: of the decoded image, for relative boxes where the table does not know it."""
        rows = slice(self.box_offsets[i], self.box_offsets[i + 1])
        size = size_hw or (self._heights[i], self._widths[i])
        if self.source_convention in RELATIVE and not all(size):
            raise DataError(
                f"{self.image_path(i)}: its boxes are fractions of the image, and its size is unknown. "
                "Fill it in with `headstart.data.sizes.with_sizes`, or pass it here."
            )
        values = self._source[rows] / self.facts.box_scale
        xyxy = to_edges(values, self.source_convention, np.array(size))
        return ImageBoxes(xyxy, self.box_labels[rows], self.box_flags[rows])

    @property
    def boxes_source(self) -> NDArray[np.float64]:
        """(m, 4) exactly as the source says, in its own convention. Computed when asked for."""
        return self._source / self.facts.box_scale

    @cached_property
    def boxes_xyxy(self) -> NDArray[np.float64]:
        """(m, 4) absolute pixels of the original image, continuous edges; a box may leave its image. Computed when
        first asked for. Raises DataError where boxes are relative and sizes not known."""
        counts = np.diff(self.box_offsets)
        if self.source_convention in RELATIVE:
            unknown = np.flatnonzero((counts > 0) & ~self.sizes_hw.any(1))
            if len(unknown):
                self.boxes_of(int(unknown[0]))
            return to_edges(self.boxes_source, self.source_convention, np.repeat(self.sizes_hw, counts, axis=0))
        return to_edges(self.boxes_source, self.source_convention, np.zeros(2, np.int32))

    @property
    def box_ids(self) -> NDArray[np.int64] | None:
        """(m,) the source's own ids of the boxes, where it has such."""
        return plain(self._rows.field("id")) if self._has("id") else None

    @property
    def box_areas(self) -> NDArray[np.float64] | None:
        """(m,) the source's own areas (COCO: of the mask), where it has such."""
        return plain(self._rows.field("area")) if self._has("area") else None

    def outline(self, row: int) -> tuple[str, Any] | None:
        """How box `row` (0..m-1) is outlined: ("polygons", list of rings (2 k,) x0 y0 x1 y1 ..) or ("rle", bytes of
        COCO's text for `headstart.data.rle`); None where it is not."""
        for name in ("polygons", "rle"):
            value = self._rows.field(name)[row] if self._has(name) else None
            if value is not None and value.is_valid:
                return name, value.as_py() if name == "rle" else [plain(ring.values) for ring in value]
        return None

    def _has(self, name: str) -> bool:
        return any(field.name == name for field in self._rows.type)

    # What it can be used for, and parts of it

    def supports(self, task: Target) -> NDArray[np.bool_]:
        """(n,) which images can be trained on and scored for the task. An empty list of boxes counts."""
        if task == "detect":
            return self.boxes_known.copy()
        if task == "segment":
            return (self.mask_paths != "") if self.mask_classes else np.zeros(len(self), bool)
        return self.image_labels >= 0

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
        facts = self.facts.to_json()
        told = {k: v for k, v in facts.items() if k not in ("notes", "left_out")}
        digest.update(json.dumps(told, sort_keys=True).encode())
        for name in self.batch.schema.names:
            digest.update(name.encode())
            for part in hashable(self.batch.column(name)):
                digest.update(part)
        images = (self.image_path(i).size() for i in range(len(self)))
        masks = (m.size() if (m := self.mask_path(i)) else -1 for i in range(len(self)))
        digest.update(np.fromiter(images, np.int64, len(self)).tobytes())
        digest.update(np.fromiter(masks, np.int64, len(self)).tobytes())
        return digest.hexdigest()

    def select(self, indices: ArrayLike) -> Annotations:
        """The rows `indices` (k,), in that order, with their boxes; facts and notes stay."""
        rows = arrow(np.asarray(indices, np.int64))
        return Annotations(self.batch.take(rows), self.facts, self.place)

    def with_facts(self, **changes: Any) -> Annotations:
        """The same rows with other facts (fields of `TableFacts`)."""
        return Annotations(self.batch, replace(self.facts, **changes), self.place, self.file)

    # Files

    def write(self, path: Path) -> None:
        """The table as an Arrow file of one record batch with its digest, which `read` maps into memory."""
        facts = {FACTS_KEY: json.dumps(self.facts.to_json()).encode()}
        save_batch(path, self.batch.replace_schema_metadata(facts))

    @classmethod
    def read(cls, path: Path, place: Place) -> Annotations:
        """A table that `write` wrote, mapped into memory: opening reads no rows. Raises DataError for other files."""
        try:
            batch = load_batch(path)
            facts = TableFacts.from_json(json.loads(batch.schema.metadata[FACTS_KEY]))
        except (StoreError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not a table of annotations ({error}). Delete it; it is made again.") from error
        return cls(batch, facts, place, path)

    def __reduce__(self) -> tuple[Any, ...]:
        """Tables from a file are sent to other processes as its path, so that all share one mapping."""
        if self.file is not None:
            return Annotations.read, (self.file, self.place)
        return Annotations, (self.batch, self.facts, self.place)

    def summary(self) -> tuple[str, ...]:
        """A few lines to print, see `headstart.data.summaries`."""
        return lines(self)


def _of_four(array: pa.Array) -> NDArray[Any]:
    """(m, 4) of lists of four. Not by `flatten`, which imports Arrow's functions: a twentieth of a second."""
    return plain(array.values)[4 * array.offset : 4 * (array.offset + len(array))].reshape(-1, 4)


def _strings(array: pa.Array) -> NDArray[np.str_]:
    values = array.to_pylist()
    return np.array(["" if v is None else v for v in values], np.str_) if values else np.zeros(0, np.str_)
