"""Files of detections as they lie on disk: one function a format, columns of the source's own numbers out.

Letters: d detections. Nothing is looked up or converted here; `headstart.data.detections` does that. Every function
raises DataError, naming path and record, for what is not in its format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.data.boxes import Convention
from headstart.data.results.records import read_results
from headstart.errors import DataError

WHOLE = 2.0**53
"""Whole numbers below it are told apart by float64."""
NAMED = 3
"""How many faulty records a message names before it only counts them."""

VOC_NAME = re.compile(r"(?:.+_)?det_(?:trainval|train|val|test)[^_]*_(?P<name>.+)\.txt")
"""The devkit's names: comp3_det_test_aeroplane.txt, comp4_det_val_tvmonitor.txt, and py-faster-rcnn's with a salt."""
YOLO_CLASS_LISTS = ("classes.txt", "labels.txt", "obj.names")
PARQUET_CORNERS = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True, eq=False)
class DetectionColumns:
    """Detections as the files say them.

    images: ids of the images, text or whole numbers. classes: names (text) or numbers. numbers (d, 4) float64 in
    `convention` (`headstart.data.boxes.CONVENTIONS`). scores (d,) float64. files and places (d,): which of `paths`, and
    the line (from 1) or record (from 0) there; `unit` says which of the two. class_names: the files' own list of names,
    where class numbers are positions in one. outlines: `headstart.data.results.records.Results.outlines`.
    """

    format: str
    convention: Convention
    images: Sequence[str | int] | NDArray[np.int64]
    classes: Sequence[str | int] | NDArray[np.int64]
    numbers: NDArray[np.float64]
    scores: NDArray[np.float64]
    paths: tuple[Path, ...]
    files: NDArray[np.int64]
    places: NDArray[np.int64]
    unit: Literal["line", "record"]
    class_names: tuple[str, ...] = ()
    outlines: list[bytes] | None = None

    def where(self, i: int) -> str:
        """Path and line or record of detection i."""
        return f"{self.paths[self.files[i]]}: {self.unit} {self.places[i]}"


@dataclass(frozen=True)
class DetectionFormat:
    """`finds` gives the file or files when the path is in this format, else nothing; `layout` says what is looked
    for."""

    finds: Callable[[Path], list[Path]]
    read: Callable[[list[Path]], DetectionColumns]
    layout: str


def read_columns(path: Path) -> DetectionColumns:
    """The detections under `path`, in whichever of `FORMATS` it is; DataError when in none, or when there are none."""
    if not path.exists():
        raise DataError(f"{path}: does not exist. Check the path of the detections.")
    for name, kind in FORMATS.items():
        files = kind.finds(path)
        if files:
            columns = kind.read(files)
            if not len(columns.scores):
                empty = f"{len(files)} empty file{'s' * (len(files) > 1)}" if path.is_dir() else "an empty file"
                raise DataError(
                    f"{path}: {empty} ({name}), no detection in all. Nothing can be scored: check that the "
                    "detector wrote its results here."
                )
            return columns
    looked = "; ".join(f"{name} ({kind.layout})" for name, kind in FORMATS.items())
    inside = sorted(p.name for p in path.iterdir())[:6] if path.is_dir() else [path.name]
    raise DataError(
        f"{path}: detections in no known format. Looked for: {looked}. Found: "
        f"{', '.join(inside) or 'nothing'}. Bring them into one of these."
    )


def read_coco_results(paths: list[Path]) -> DetectionColumns:
    """COCO's results: a list of {"image_id", "category_id", "bbox": [x, y, width, height], "score"}.

    `image_id` and `category_id` may also be text: the image's name, the class's name. `segmentation` holds run lengths,
    or polygons; with it `bbox` may be left out.
    """
    records = read_results(paths[0])
    count = len(records.scores)
    return DetectionColumns(
        "coco",
        "coco",
        records.images,
        records.classes,
        records.boxes,
        records.scores,
        (paths[0],),
        np.zeros(count, np.int64),
        np.arange(count),
        "record",
        outlines=records.outlines,
    )


def read_voc_results(paths: list[Path]) -> DetectionColumns:
    """The devkit's text files, one a class: lines `image score xmin ymin xmax ymax`, 1-based inclusive pixels.

    A class without detections has an empty file, or none.
    """
    names = [_voc_class(path) for path in paths]
    lines = _lines(paths, 6, "image score xmin ymin xmax ymax", first_is_text=True)
    return DetectionColumns(
        "voc",
        "voc",
        lines.words,
        [names[k] for k in lines.files],
        lines.numbers[:, 1:],
        lines.numbers[:, 0],
        tuple(paths),
        lines.files,
        lines.places,
        "line",
    )


def read_yolo_results(paths: list[Path]) -> DetectionColumns:
    """One text file an image, of the image's name: lines `class x y width height confidence`, fractions of the image.

    An image without detections has an empty file, or none. `classes.txt` in the folder or beside it names the classes.
    """
    names = _yolo_names(paths[0].parent)
    lines = _lines(paths, 6, "class x y width height confidence", first_is_text=False)
    numbers = lines.numbers[:, 0]
    odd = np.flatnonzero((numbers != np.floor(numbers)) | ~(np.abs(numbers) < WHOLE))
    if len(odd):
        where = f"{paths[lines.files[odd[0]]]}: line {lines.places[odd[0]]}"
        raise DataError(
            f"{where}: class {lines.numbers[odd[0], 0]:g} is no whole number, in {len(odd)} of "
            f"{len(lines.places)} lines. The first column is the number of the class."
        )
    return DetectionColumns(
        "yolo",
        "yolo",
        [paths[k].stem for k in lines.files],
        lines.numbers[:, 0].astype(np.int64).tolist(),
        lines.numbers[:, 1:5],
        lines.numbers[:, 5],
        tuple(paths),
        lines.files,
        lines.places,
        "line",
        names,
    )


def read_parquet_results(paths: list[Path]) -> DetectionColumns:
    """Parquet with columns image_id, category_id (number) or class_name, x1, y1, x2, y2 (edges in pixels) and score."""
    import pyarrow
    from pyarrow import parquet

    path = paths[0]
    try:
        table = parquet.read_table(path)
        table.validate(full=True)  # texts are UTF-8, lists end within their values
        names = table.column_names
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({_short(error)}). Write the file again.") from error
    label = "class_name" if "class_name" in names else "category_id"
    needed = ("image_id", label, *PARQUET_CORNERS, "score")
    missing = [name for name in needed if name not in names]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)} (it has {', '.join(names)}). Detections "
            "need image_id, category_id or class_name, x1, y1, x2, y2 and score."
        )
    holes = [f"{name} in {table[name].null_count} rows" for name in needed if table[name].null_count]
    if holes:
        raise DataError(
            f"{path}: no value for {', '.join(holes)} of {table.num_rows}. Fill these in or take the rows out."
        )
    try:
        numbers = [table[name].to_numpy().astype(np.float64) for name in (*PARQUET_CORNERS, "score")]
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: x1, y1, x2, y2 and score must hold numbers ({_short(error)}).") from error
    return DetectionColumns(
        "parquet",
        "edges",
        table["image_id"].to_pylist(),
        table[label].to_pylist(),
        np.stack(numbers[:4], axis=1),
        numbers[4],
        (path,),
        np.zeros(table.num_rows, np.int64),
        np.arange(table.num_rows),
        "record",
    )


def _files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [path] if path.is_file() and path.suffix.lower() in suffixes else []


def _voc_files(path: Path) -> list[Path]:
    return sorted(p for p in path.glob("*.txt") if VOC_NAME.fullmatch(p.name)) if path.is_dir() else []


def _yolo_files(path: Path) -> list[Path]:
    """Text files of the folder, or of its `labels/`, where detectors write them."""
    for folder in (path, path / "labels"):
        files = sorted(p for p in folder.glob("*.txt") if p.name not in YOLO_CLASS_LISTS) if folder.is_dir() else []
        if files:
            return files
    return []


FORMATS = {
    "coco": DetectionFormat(lambda path: _files(path, (".json",)), read_coco_results, "a .json file of COCO results"),
    "parquet": DetectionFormat(
        lambda path: _files(path, (".parquet", ".pq")), read_parquet_results, "a .parquet file of detections"
    ),
    "voc": DetectionFormat(_voc_files, read_voc_results, "a folder of comp4_det_test_CLASS.txt"),
    "yolo": DetectionFormat(_yolo_files, read_yolo_results, "a folder of IMAGE.txt with class x y w h confidence"),
}


@dataclass(frozen=True, eq=False)
class _Lines:
    """words: the first column where it is text. numbers (d, columns): the others, or all."""

    words: list[str]
    numbers: NDArray[np.float64]
    files: NDArray[np.int64]
    places: NDArray[np.int64]


def _lines(paths: list[Path], columns: int, layout: str, first_is_text: bool) -> _Lines:
    skip = int(first_is_text)
    words: list[str] = []
    numbers: list[list[float]] = []
    files: list[int] = []
    places: list[int] = []
    faults: list[tuple[str, str]] = []
    for k, path in enumerate(paths):
        for number, line in enumerate(_text(path).splitlines(), 1):
            parts = line.split()
            if not parts:
                continue
            try:
                values = [float(part) for part in parts[skip:]]
            except ValueError:
                values = []
            if len(parts) != columns or len(values) != columns - skip:
                faults.append((f"{path}: line {number}", line.strip()[:80]))
                continue
            if skip:
                words.append(parts[0])
            numbers.append(values)
            files.append(k)
            places.append(number)
    if faults:
        named = "; ".join(f"{where} ({line!r})" for where, line in faults[:NAMED])
        raise DataError(
            f"{len(faults)} of {len(faults) + len(places)} lines are not `{layout}`: {named}"
            f"{_more(len(faults))}. Write these {columns} columns in every line."
        )
    return _Lines(
        words,
        np.array(numbers, np.float64).reshape(-1, columns - skip),
        np.array(files, np.int64),
        np.array(places, np.int64),
    )


def _voc_class(path: Path) -> str:
    match = VOC_NAME.fullmatch(path.name)
    assert match is not None
    return match["name"]


def _yolo_names(folder: Path) -> tuple[str, ...]:
    for place in (folder, folder.parent):
        for name in YOLO_CLASS_LISTS:
            if (place / name).is_file():
                return tuple(line.strip() for line in _text(place / name).splitlines() if line.strip())
    return ()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no text in UTF-8 (byte {error.start}). Save it as plain text.") from error


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _more(count: int) -> str:
    return f"; and {count - NAMED} more" if count > NAMED else ""
