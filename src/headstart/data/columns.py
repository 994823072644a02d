"""From a reader's columns to one Arrow record batch: a row per image, its boxes as one list in that row.

Numbers keep the source's own precision in as few bytes as that takes: box coordinates are integers over a power of
ten where that gives back every number exactly (VOC: 1, COCO: 100, OpenImages: 10^6), float64 else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from headstart.data.boxes import Convention
from headstart.errors import DataError
from headstart.places.arrow import plain

LARGEST_POWER = 9
Lists = tuple[NDArray[np.int64], NDArray[np.int32]]
"""Offsets (n + 1,) and values: a list of class indices for every image."""


@dataclass(frozen=True, eq=False)
class BoxColumns:
    """Boxes of all n images end to end, m in all, as a reader hands them over. Optional columns are None where the
    source has no such thing."""

    offsets: NDArray[np.int64]
    """(n + 1,): boxes of image i are offsets[i]:offsets[i + 1]."""
    source: NDArray[np.float64] | NDArray[np.int32]
    """(m, 4) as the source says, in its convention; int32 with `scale` where a reader already knows its decimals."""
    labels: NDArray[np.integer]
    """(m,) 0..K-1."""
    flags: NDArray[np.uint8]
    """(m,) bits of `headstart.data.annotations`."""
    known: NDArray[np.bool_]
    """(n,) whether the source lists the boxes of this image; such a list may be empty."""
    classes: tuple[str, ...] = ()
    convention: Convention = ""
    scale: int = 1
    """The source's numbers are `source / scale`."""
    class_ids: tuple[int | str, ...] = ()
    """The source's own ids of `classes`; empty where the class names are all it has."""
    ids: NDArray[np.int64] | None = None
    """(m,) the source's own ids of the boxes."""
    areas: NDArray[np.float64] | None = None
    """(m,) the source's own areas, square pixels."""
    polygons: pa.Array | None = None
    """(m,) list<list<double>>: rings x0 y0 x1 y1 .. in pixels; null where the box has none."""
    rles: pa.Array | None = None
    """(m,) binary: COCO's compressed run lengths for the image's size, column-major; null where there is none."""


def no_boxes(num_images: int) -> BoxColumns:
    """Columns of a data set that says nothing about boxes: m = 0, and no image's boxes are known."""
    return BoxColumns(
        offsets=np.zeros(num_images + 1, np.int64),
        source=np.zeros((0, 4)),
        labels=np.zeros(0, np.int32),
        flags=np.zeros(0, np.uint8),
        known=np.zeros(num_images, bool),
    )


@dataclass(frozen=True)
class TableFacts:
    """What a table says besides its rows; JSON in the metadata of the Arrow schema. Fields: see `Annotations`."""

    format: str
    source_convention: Convention = ""
    box_scale: int = 1
    box_classes: tuple[str, ...] = ()
    box_class_ids: tuple[int | str, ...] = ()
    image_classes: tuple[str, ...] = ()
    image_class_ids: tuple[int | str, ...] = ()
    mask_classes: tuple[str, ...] = ()
    mask_lut: tuple[int, ...] = ()
    mask_void: tuple[int, ...] = ()
    mask_colors: tuple[tuple[int, int, int], ...] = ()
    mask_kind: str = "index"
    path_pattern: str = ""
    split_folders: dict[str, str] = field(default_factory=dict)
    hierarchy: dict[str, tuple[str, ...]] = field(default_factory=dict)
    class_kinds: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str, str, str, str, bool], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TableFacts:
        """Inverse of `to_json` after a JSON round trip."""
        return cls(**{k: _frozen(v) for k, v in value.items()})


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _frozen(v) for k, v in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def decimals(values: NDArray[np.float64]) -> tuple[NDArray[np.int32] | NDArray[np.float64], int]:
    """(integers, power of ten) when integers / power gives back every value exactly; else (values, 1).

    A float64 division of integers is correctly rounded, so the quotient is the number that parsing the decimal gives.
    """
    if not np.isfinite(values).all():
        return values, 1
    largest = float(np.abs(values).max(initial=0))
    for power in range(LARGEST_POWER + 1):
        scale = 10**power
        if largest * scale >= 2**31 - 1:
            break
        whole = np.rint(values * scale)
        if np.array_equal(whole / scale, values):
            return whole.astype(np.int32), scale
    return values, 1


def box_lists(boxes: BoxColumns) -> tuple[pa.Array, int]:
    """`list<struct>` (n,) and the power of ten of its coordinates."""
    source, scale = (
        (boxes.source, boxes.scale) if boxes.source.dtype == np.int32 else decimals(boxes.source.astype(np.float64))
    )
    label_type = np.int16 if len(boxes.classes) < 2**15 else np.int32
    columns: dict[str, pa.Array] = {
        "source": pa.FixedSizeListArray.from_arrays(arrow(np.ascontiguousarray(source).reshape(-1)), 4),
        "label": arrow(np.asarray(boxes.labels, label_type)),
        "flags": arrow(np.asarray(boxes.flags, np.uint8)),
    }
    optional = {"id": boxes.ids, "area": boxes.areas, "polygons": boxes.polygons, "rle": boxes.rles}
    for name, column in optional.items():
        if column is not None:
            columns[name] = column if isinstance(column, pa.Array) else arrow(column)
    rows = pa.StructArray.from_arrays(list(columns.values()), list(columns))
    return list_array(boxes.offsets, rows), scale


def list_array(offsets: NDArray[np.integer], values: pa.Array) -> pa.Array:
    """A list column; with 64-bit offsets only where they have to be."""
    if offsets[-1] < 2**31:
        return pa.ListArray.from_arrays(arrow(offsets.astype(np.int32)), values)
    return pa.LargeListArray.from_arrays(arrow(offsets.astype(np.int64)), values)


def relabeled(
    boxes: pa.Array, offsets: NDArray[np.int64], rows: NDArray[np.int64], labels: NDArray[np.integer]
) -> pa.Array:
    """The boxes `rows` of a list column under other labels, as one with these offsets (n + 1,)."""
    taken = boxes.flatten().take(arrow(rows))
    fields = {taken.type.field(k).name: taken.field(k) for k in range(taken.type.num_fields)}
    fields["label"] = arrow(labels).cast(fields["label"].type)
    return list_array(offsets, pa.StructArray.from_arrays(list(fields.values()), list(fields)))


def class_lists(lists: Lists) -> pa.Array:
    """list<int32> (n,) from offsets and values."""
    offsets, values = lists
    return pa.ListArray.from_arrays(arrow(offsets.astype(np.int32)), arrow(values.astype(np.int32)))


def image_columns(
    image_ids: Sequence[str] | pa.Array,
    paths: Sequence[str] | pa.Array | None,
    sizes_hw: ArrayLike,
    splits: Sequence[str] | pa.Array,
    *,
    groups: Sequence[str] | None,
) -> dict[str, pa.Array]:
    """The columns that every table has; without `paths`, a pattern in the facts gives them."""
    n = len(image_ids)
    sizes = np.asarray(sizes_hw, np.int32).reshape(n, 2)
    columns = {"id": texts(image_ids, "the image id")}
    if paths is not None:
        columns["path"] = texts(paths, "the name of an image")
    columns["height"] = arrow(sizes[:, 0])
    columns["width"] = arrow(sizes[:, 1])
    columns["split"] = splits if isinstance(splits, pa.Array) else texts(splits, "the split").dictionary_encode()
    if groups is not None:
        columns["group"] = texts(groups, "the group")
    return columns


def texts(values: Sequence[str | None] | pa.Array, what: str) -> pa.Array:
    """Raises DataError, with its words for what they are, for a text with half a character, as JSON's "\\ud800" is,
    or with bytes of a file's name that are no UTF-8."""
    try:
        return values if isinstance(values, pa.Array) else pa.array(values, pa.string())
    except UnicodeEncodeError as error:
        raise DataError(f"{what} {error.object!a:.200} is no text in Unicode. Rename it.") from None


def arrow(values: NDArray[Any]) -> pa.Array:
    """A primitive Arrow array over the same memory; booleans are packed. The inverse of `plain`, and for its reason."""
    n, values = len(values), np.ascontiguousarray(values)
    if values.dtype == np.bool_:
        return pa.Array.from_buffers(pa.bool_(), n, [None, pa.py_buffer(np.packbits(values, bitorder="little"))])
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), n, [None, pa.py_buffer(values)])


def strings(values: Sequence[str]) -> pa.Array:
    """A string array, made without pandas, too."""
    encoded = [value.encode() for value in values]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in encoded])]).astype(np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def nested(array: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """Offsets (n + 1,) from 0 and values of a list array, whatever slice of a longer one it is."""
    offsets = plain(array.offsets)
    first = int(offsets[0]) if len(offsets) else 0
    values = array.values.slice(first, int(offsets[-1]) - first if len(offsets) else 0)
    return (offsets - first if first else offsets), values


def hashable(array: pa.Array) -> list[bytes]:
    """Bytes that are equal for equal content, whichever slice, dictionary or null buffers hold it."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    out = [str(array.type).encode()]
    if array.null_count:
        out.append(np.packbits(plain(array.is_null())).tobytes())
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        offsets, values = nested(array)
        return [*out, np.diff(offsets).astype(np.int64).tobytes(), *hashable(values)]
    if pa.types.is_fixed_size_list(array.type):
        return [*out, *hashable(array.flatten())]
    if pa.types.is_struct(array.type):
        return [*out, *(part for k in range(array.type.num_fields) for part in hashable(array.field(k)))]
    if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        parts = [b"" if v is None else v for v in array.cast(pa.binary()).to_pylist()]
        return [*out, np.array([len(p) for p in parts], np.int64).tobytes(), b"".join(parts)]
    if array.null_count:
        array = array.fill_null(False if pa.types.is_boolean(array.type) else 0)
    return [*out, plain(array).tobytes()]
