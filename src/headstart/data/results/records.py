"""COCO's results, read columnar: 500,000 detections in a quarter of a second, and faults told by record.

A table of numbers is made of records that are all laid out alike (`headstart.data.results.alike`). A compiled pass
(`headstart.data.results._pass`) reads what else is as usual. Anything else is read again record by record,
which says what is wrong; what is merely unusual (whole numbers written as 7.0, a key that stands twice) is read there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.results.alike import read_alike, values_of
from headstart.data.rle import Counts, checked, compress, decompress, from_polygon, merge, to_bbox
from headstart.errors import DataError

NAMED = 3
"""How many faulty records a message names before it only counts them."""
OTHER_KINDS = {
    "keypoints": "keypoints, which are scored by OKS; Headstart does not have it. pycocotools does",
    "segments_info": "panoptic segments, which are scored by panoptic quality (PQ); Headstart does not have it. "
    "panopticapi does",
}
"""Keys of results that cannot be scored here, and who scores them."""
ROTATED = "rotated boxes; Headstart scores upright boxes and masks only. Score them with a tool for rotated boxes"


@dataclass(frozen=True, eq=False)
class Results:
    """The d records of a file. images, classes: ids, whole numbers (an array) or also names. boxes (d, 4): x, y, width,
    height as written; where a record has none, that of its outline. scores (d,). outlines: the text of each record's
    `segmentation`, b"" where there is none; None where no record has one."""

    images: Sequence[int | str] | NDArray[np.int64]
    classes: Sequence[int | str] | NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    outlines: list[bytes] | None


def read_results(path: Path) -> Results:
    """The records of a JSON file. Raises DataError, naming the first few faulty records, for what is no list of
    detections."""
    try:
        if (alike := read_alike(path)) is not None:
            return Results(*alike, outlines=None)
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check the path and who may read it.") from error
    found = _scanned(content) or _read_slowly(path, content)
    return found if found.outlines is None else _with_boxes(path, found)


def outline_runs(text: bytes, size_hw: tuple[int, int] | None) -> tuple[Counts, tuple[int, int]]:
    """Run lengths of a `segmentation` as written, and height and width. Polygons need `size_hw`, of their image.

    Raises ValueError, saying why, for what is no outline.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if isinstance(value, list):
        if size_hw is None:
            raise ValueError("it is made of polygons, and the size of its image is not known")
        rings = value if value and isinstance(value[0], list) else [value]
        if not all(isinstance(ring, list) and all(map(_is_number, ring)) for ring in rings):
            raise ValueError("its polygons are not lists of numbers")
        return merge([from_polygon(ring, size_hw) for ring in rings], size_hw), size_hw
    if not isinstance(value, dict) or not _is_size(value.get("size")):
        raise ValueError("it is neither polygons nor run lengths with size [height, width] and counts")
    size, counts = (value["size"][0], value["size"][1]), value.get("counts")
    if isinstance(counts, str):
        return checked(decompress(counts.encode("latin-1", "replace")), size), size
    if isinstance(counts, list):
        return checked(decompress(compress(checked(counts, size))), size), size
    raise ValueError("its counts are neither a text nor a list of whole numbers")


def _scanned(content: bytes) -> Results | None:
    """What the compiled pass reads; None where it does not read all."""
    from headstart.data.results import _pass as compiled

    most = content.count(b"{")
    # Pages of zeros and of nothing cost time only where they are written.
    columns = compiled.Columns(
        numbers=np.empty((most, 5)),
        ids=np.empty((most, 2), np.int64),
        spans=np.zeros((most, 3, 2), np.int64),
        hard_text=np.empty(len(content) + 5 * most, np.uint8),
        hard_places=np.empty(5 * most, np.int64),
    )
    state = compiled.scan(np.frombuffer(content, np.uint8), columns)
    count, hard, hard_end, unread, seen = state.tolist()
    if unread:
        return None
    if hard:
        columns.numbers.reshape(-1)[columns.hard_places[:hard]] = _floats(columns.hard_text[:hard_end])
    numbers, ids, spans = columns.numbers[:count], columns.ids[:count], columns.spans[:count]
    boxless = bool(seen & (1 << compiled.BOX))
    if not np.isfinite(numbers[:, 4:] if boxless else numbers).all():
        return None
    outlines = None
    if seen & (1 << compiled.OUTLINE):
        outlines = [content[begin:end] for begin, end in spans[:, 2].tolist()]
    names = []
    for k, key in enumerate((compiled.IMAGE, compiled.CLASS)):
        try:
            names.append(_names(content, ids[:, k], spans[:, k]) if seen & (1 << key) else ids[:, k])
        except ValueError:  # A text with a damaged escape or byte.
            return None
    return Results(names[0], names[1], numbers[:, :4], numbers[:, 4], outlines)


def _floats(lines: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Decimal numbers, each with a line end, to the nearest float64."""
    import pyarrow as pa
    from pyarrow import csv

    options = csv.ReadOptions(column_names=["value"], use_threads=False)
    types = csv.ConvertOptions(column_types={"value": pa.float64()}, null_values=[])
    chunks = csv.read_csv(pa.BufferReader(lines.data), options, convert_options=types).column(0).chunks
    return values_of(chunks, np.float64)


def _names(content: bytes, numbers: NDArray[np.int64], spans: NDArray[np.int64]) -> list[int | str]:
    """Texts where there are some; no text begins at 0, where the list does."""
    return [
        number if begin == 0 else json.loads(content[begin - 1 : end + 1])
        for number, (begin, end) in zip(numbers.tolist(), spans.tolist(), strict=True)
    ]


def _with_boxes(path: Path, found: Results) -> Results:
    """Boxes of the outlines where records have none, as pycocotools makes them."""
    lacking = np.flatnonzero(np.isnan(found.boxes).any(1)).tolist()
    assert found.outlines is not None
    for i in lacking:
        try:
            found.boxes[i] = to_bbox(*outline_runs(found.outlines[i], None))
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"{path}: record {i} has no bbox, and its segmentation gives none: {error}. Write bbox, or run lengths."
            ) from error
    return found


# ---- record by record


def _read_slowly(path: Path, content: bytes) -> Results:
    records = _parsed(path, content)
    if not isinstance(records, list):
        raise DataError(_no_list(path, records))
    _refuse_other_kinds(path, records)
    faults = [(i, fault) for i, record in enumerate(records) if (fault := _fault(record))]
    if faults:
        named = "; ".join(f"record {i} {fault}" for i, fault in faults[:NAMED])
        more = f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise DataError(
            f"{path}: {len(faults)} of {len(records)} records are no detections: {named}{more}. Every record needs "
            "image_id, category_id, bbox of four numbers (or segmentation) and score; correct these or take them out."
        )
    boxes = [record.get("bbox") or [np.nan] * 4 for record in records]
    outlines = [json.dumps(r["segmentation"]).encode() if r.get("segmentation") else b"" for r in records]
    return Results(
        [_id(record["image_id"]) for record in records],
        [_id(record["category_id"]) for record in records],
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array([record["score"] for record in records], np.float64),
        outlines if any(outlines) else None,
    )


def _parsed(path: Path, content: bytes) -> Any:
    try:
        text = content.decode("utf-8-sig")
        return json.loads(text) if text.strip() else []
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no text in UTF-8 (byte {error.start}). Save it as plain text.") from error
    except (ValueError, RecursionError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise DataError(f"{path}: is no JSON ({said}). Write the results again.") from error


def _no_list(path: Path, value: Any) -> str:
    if isinstance(value, dict) and any("segments_info" in a for a in _objects(value.get("annotations"))):
        return f"{path}: holds {OTHER_KINDS['segments_info']}."
    what = "annotations of a data set" if isinstance(value, dict) and "images" in value else "no list"
    return (
        f"{path}: {what}, where COCO results are a list of records with image_id, category_id, bbox and score. Name "
        "the file of the detections."
    )


def _refuse_other_kinds(path: Path, records: list[Any]) -> None:
    """Raises DataError where the first record is of something that cannot be scored here."""
    for record in _objects(records[:1]):
        usual = "bbox" in record or "segmentation" in record
        for key, what in OTHER_KINDS.items():
            if key in record and not usual:
                raise DataError(f"{path}: holds {what}.")
        box = record.get("bbox")
        if (isinstance(box, list) and len(box) in (5, 8)) or ({"rbox", "obb", "poly"} & record.keys() and not usual):
            raise DataError(f"{path}: holds {ROTATED}.")


def _objects(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _fault(record: Any) -> str:
    """What is wrong with the form of a record; '' if nothing. Values are judged later."""
    if not isinstance(record, dict):
        return f"is {type(record).__name__}, no record"
    needed = ("image_id", "category_id", *(() if record.get("segmentation") else ("bbox",)), "score")
    if missing := [key for key in needed if key not in record]:
        return f"has no {', '.join(missing)}"
    for key in ("image_id", "category_id"):
        if type(_id(record[key])) not in (int, str):
            return f"has {key} {record[key]!r}"
    box, score = record.get("bbox"), record["score"]
    if (box is not None or not record.get("segmentation")) and not _is_box(box):
        return f"has bbox {str(box)[:60]}"
    return "" if _is_number(score) else f"has score {score!r}"


def _id(value: Any) -> Any:
    """A whole number written as 7.0 is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) < 10**300)


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(v) is int and 0 <= v <= 1_000_000 for v in value)
