"""Data sets: COCO's JSON and its kin, VOC's XML, YOLO, CSV and other lists; and files of detections on one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from random import Random
from typing import Any

from headstart.data.annotations import Annotations
from support.fuzz.changes import Change, either, of_bytes, of_cells, of_lines, of_words
from support.fuzz.target import Case, Read, Target, files_in
from support.fuzz.trees import changed, of_json, of_xml, of_yaml

JSON = either(of_json, of_json, of_json, of_words, of_bytes)
XML = either(of_xml, of_xml, of_xml, of_words, of_bytes)
LINES = either(of_cells, of_cells, of_words, of_lines, of_bytes)
YAML = either(of_yaml, of_words, of_words, of_lines, of_bytes)
CHANGES: dict[str, Change] = {".json": JSON, ".xml": XML, ".csv": LINES, ".txt": LINES, ".yaml": YAML, ".names": LINES}
CHANGES[".data"] = LINES


def _opened(kind: str | None, place: str = "") -> Read:
    """As `check` opens a data set, in a tenth without being told its format."""

    def read(folder: Path, draw: Random) -> None:
        from headstart.readers.formats import open_dataset

        bad = {name: draw.choice(("error", "skip")) for name in ("on_bad_box", "on_bad_record")}
        format = kind if draw.random() < 0.9 else None
        table = open_dataset(folder / place, format, **bad, for_scoring=draw.random() < 0.3)
        assert len(table) >= 0

    return read


def _of_maker(kind: str, scratch: Path, leave: tuple[str, ...] = ()) -> Case:
    """A miniature in the layout of a format. leave: parts of names of files that it can do without: each costs time."""
    from support.miniatures import MAKERS

    MAKERS[kind](scratch / kind)
    files = {
        name: content for name, content in files_in(scratch / kind).items() if not any(part in name for part in leave)
    }
    changes = {name: CHANGES[ending] for name in files if (ending := Path(name).suffix) in CHANGES}
    return Case(kind, files, changes, _opened(kind))


def _coco(scratch: Path) -> list[Case]:
    cases = [_of_maker(kind, scratch, ("_val",)) for kind in ("coco", "lvis", "objects365", "coco-panoptic")]
    alone = {"a.json": cases[0].files["annotations/instances_train2017.json"]}
    return [*cases, Case("a file", alone, {"a.json": JSON}, _opened(None, "a.json"))]


def _voc(scratch: Path) -> list[Case]:
    small = _of_maker("voc", scratch, leave=("/c.", "/d.", "test.txt"))
    return [small, small, small, *(_of_maker(kind, scratch) for kind in ("voc", "imagenet-loc", "oxford-pets"))]


def _yolo(scratch: Path) -> list[Case]:
    from support.miniatures import image, text

    image(scratch / "images/train/a.jpg")
    image(scratch / "images/val/b.jpg", 1)
    text(scratch / "data.yaml", "path: .", "train: images/train", "val: images/list.txt", "names: {0: dog, 1: cat}")
    text(scratch / "images/list.txt", "./val/b.jpg")
    text(scratch / "labels/train/a.txt", "1 0.5 0.5 0.25 0.5", "0 0.1 0.1 0.5 0.1 0.5 0.9")
    text(scratch / "labels/val/b.txt", "0 0.5 0.5 1.0 1.0")
    files = files_in(scratch)
    changes = {name: CHANGES[ending] for name in files if (ending := Path(name).suffix) in CHANGES}
    small = Case("yolo, two images", files, changes, _opened("yolo"))
    return [small] * 5 + [_of_maker("yolo", scratch / "more")]


def _lists(scratch: Path) -> list[Case]:
    table = _of_maker("file-list", scratch, leave=("test.csv", "c.jpg", "d.jpg"))
    kinds = ("file-list", "openimages", "openimages", "camvid", "tiny-imagenet", "imagenet")
    return [table, table, table, table, *(_of_maker(kind, scratch) for kind in kinds)]


def _evaluated(place: str, table: Annotations, *, masks: bool = False) -> Read:
    """As `evaluate DETECTIONS --data DATA` scores them on the images of a table."""

    def read(folder: Path, draw: Random) -> None:
        from headstart.evaluation.files import evaluate_files
        from headstart.evaluation.request import EvaluationRequest

        protocol = "coco-segm" if masks and draw.random() < 0.7 else draw.choice(("coco", "voc07-11pt"))
        request = EvaluationRequest((protocol,), bootstrap=0, allow_unknown=draw.random() < 0.5)
        evaluate_files([folder / place], table, request, say=lambda _: None)

    return read


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


ROWS = [
    {"image_id": k % 3, "category_id": c, "x1": 1.0, "y1": 2.0, "x2": 9.5, "y2": 20.0, "score": 0.1 * k}
    for k, c in enumerate((1, 3, 1, 3, 3))
]
for _row, _id in zip(ROWS, (7, 11, 12, 7, 11), strict=True):
    _row["image_id"] = _id


def _rows_changed(_: bytes, draw: Random) -> bytes:
    """A Parquet file of other values and types."""
    import pyarrow

    while True:
        rows = changed(ROWS, draw)
        try:
            return _parquet(rows if isinstance(rows, list) else [{"x": 1}])
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError, AttributeError, RecursionError):
            continue  # what cannot be written


def _detections(scratch: Path) -> list[Case]:
    from headstart.readers.formats import open_dataset
    from support.miniatures import MAKERS

    MAKERS["coco"](scratch)
    table = open_dataset(scratch, "coco", for_scoring=True)
    box = {"image_id": 7, "category_id": 3, "bbox": [5.0, 5, 10, 10], "score": 0.9}
    run = {"size": [30, 40], "counts": "05[U1"}
    records = [
        *(box, {**box, "image_id": 11, "category_id": 1}, {**box, "score": 1e-3}),
        {**box, "segmentation": run},
        {**box, "image_id": 12, "category_id": 1, "segmentation": [[1, 2, 8, 2, 8, 9.5]]},
        {"image_id": 11, "category_id": 3, "score": 0.5, "segmentation": {"size": [30, 40], "counts": [2, 3, 1195]}},
    ]
    named = [{**box, "image_id": "7.jpg", "category_id": "dog"}]
    plain, outlines, names = (json.dumps(value).encode() for value in (records[:3], records[3:], named))
    voc = {
        "d/comp4_det_test_dog.txt": b"7 0.9 5 5 15 15\n11 0.25 1 2 3 4\n",
        "d/comp4_det_test_cat.txt": b"11 1e-3 1 1 9 9\n",
    }
    yolo = {
        "d/7.txt": b"0 0.5 0.5 0.25 0.5 0.9\n",
        "d/11.txt": b"1 0.1 0.1 0.1 0.1 0.5\n",
        "d/classes.txt": b"cat\ndog\n",
    }
    return [
        Case("COCO's results", {"a.json": plain}, {"a.json": JSON}, _evaluated("a.json", table)),
        Case("outlines", {"a.json": outlines}, {"a.json": JSON}, _evaluated("a.json", table, masks=True)),
        Case("names", {"a.json": names}, {"a.json": JSON}, _evaluated("a.json", table)),
        Case("VOC's results", voc, dict.fromkeys(voc, LINES), _evaluated("d", table)),
        Case("YOLO's results", yolo, dict.fromkeys(yolo, LINES), _evaluated("d", table)),
        Case(
            "Parquet",
            {"a.parquet": _parquet(ROWS)},
            {"a.parquet": either(_rows_changed, of_bytes)},
            _evaluated("a.parquet", table),
        ),
    ]


DATA = (
    Target("coco", _coco),
    Target("voc", _voc),
    Target("yolo", _yolo),
    Target("csv", _lists),
    Target("detections", _detections),
)
