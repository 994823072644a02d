"""Data sets and files of detections, changed in thousands of ways, end in a message or are read."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from headstart.data.detection_files import read_columns
from headstart.data.detections import scored_rows
from headstart.data.faults import Faults
from headstart.errors import DataError
from headstart.evaluation.files import evaluate_files
from headstart.evaluation.request import EvaluationRequest, protocols_of
from headstart.evaluation.result import Evaluation
from headstart.places.paths import DataPath, Folder
from headstart.readers.file_names import inner
from headstart.readers.formats import open_dataset
from headstart.readers.masks.pairs import named_values
from headstart.readers.openimages.csv_files import Rows, read_csv
from support.fuzz.data import DATA
from support.fuzz.expect import FEW, MANY, sound
from support.miniatures import make_pets, make_voc
from support.miniatures_coco import an_annotation, an_image, coco_json, make_coco, make_coco_panoptic
from support.miniatures_lists import make_yolo
from support.miniatures_openimages import CLASSES, LABELS_HEADER, TRAIN, boxes_csv, make_annotation

NAMES = [target.name for target in DATA]


@pytest.mark.parametrize("name", NAMES)
def test_some_changed_data_end_in_a_message(name: str, tmp_path: Path) -> None:
    assert not sound(name, FEW, tmp_path).findings


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_changed_data_end_in_a_message(name: str, tmp_path: Path) -> None:
    assert not sound(name, MANY, tmp_path).findings


# What was found.


def test_half_a_character_in_the_name_of_a_mask(tmp_path: Path) -> None:
    make_coco_panoptic(tmp_path)
    path = tmp_path / "annotations/panoptic_train2017.json"
    whole = json.loads(path.read_text())
    whole["annotations"][1]["file_name"] = "\ud800.png"
    path.write_text(json.dumps(whole))
    with pytest.raises(DataError, match=r"\\ud800"):
        open_dataset(tmp_path, "coco-panoptic", for_scoring=True)


def changed_coco(root: Path, table: str, **values: object) -> Path:
    """The miniature of COCO with other values in the first record of a table of its training file."""
    make_coco(root)
    path = root / "annotations/instances_train2017.json"
    whole = json.loads(path.read_text())
    whole[table][0] |= values
    path.write_text(json.dumps(whole))
    return root


@pytest.mark.parametrize("name", [7, {"a": 1}, ["x.jpg"]])
def test_an_image_named_by_no_text(name: object, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file_name"):
        open_dataset(changed_coco(tmp_path, "images", file_name=name), "coco")


def test_an_address_that_is_none(tmp_path: Path) -> None:
    """A bracket without its end, where the number of a server would stand."""
    with pytest.raises(DataError, match="file_name"):
        open_dataset(changed_coco(tmp_path, "images", file_name=None, coco_url="http://[x/1.jpg"), "coco")
    assert inner("http://[x/1.jpg") == "" and inner("http://x/a/1.jpg") == "a/1.jpg"
    assert inner("/data/local-files/?d=photos/a.jpg") == "photos/a.jpg"


@pytest.mark.parametrize("above", [{}, [], 3])
def test_a_supercategory_that_is_no_text_is_none(above: object, tmp_path: Path) -> None:
    table = open_dataset(changed_coco(tmp_path, "categories", supercategory=above), "coco")
    assert table.box_classes == ("cat", "dog")


@pytest.mark.parametrize("width", ["1e308", "nan", "-inf", "1000001"])
def test_a_size_that_no_image_has_is_none(width: str, tmp_path: Path) -> None:
    """As where VOC's file states none: it is read from the image."""
    make_voc(tmp_path)
    path = tmp_path / "Annotations/d.xml"
    path.write_text(path.read_text().replace("<width>40<", f"<width>{width}<"))
    table = open_dataset(tmp_path, "voc")
    assert {table.size_hw(row) for row in range(len(table))} == {(30, 40)}


def test_numbers_of_thousands_of_digits_are_no_classes(tmp_path: Path) -> None:
    make_pets(tmp_path)
    (tmp_path / "annotations/test.txt").write_text(f"Bengal_10 {'9' * 5000} 1 1\n")
    with pytest.raises(DataError, match="a name and three numbers are expected"):
        open_dataset(tmp_path, "oxford-pets")
    (tmp_path / "classes.txt").write_text(f"{'9' * 5000} sky\n")
    assert named_values(DataPath(Folder(str(tmp_path)), "classes.txt")) == {0: f"{'9' * 5000} sky"}


@pytest.mark.parametrize("name", ["a" * 300, "a/" * 3000, "x\0y"])
def test_names_that_no_file_can_have_name_none(name: str, tmp_path: Path) -> None:
    place = Folder(str(tmp_path))
    assert (place.kind(name), place.stamp(name), place.entries(name), place.no_files(name)) == ("", None, {}, {})
    make_yolo(tmp_path)
    data = (tmp_path / "data.yaml").read_text()
    (tmp_path / "data.yaml").write_text(data.replace("images/val", json.dumps(f"images/{name}")))
    with pytest.raises(DataError, match=r"data\.yaml"):
        open_dataset(tmp_path, "yolo")


BOX = {"image_id": 7, "category_id": 3, "bbox": [5.0, 5, 10, 10], "score": 0.9}


def scored(folder: Path, protocol: str, files: dict[str, str]) -> Evaluation:
    """Detections in `folder` on COCO's miniature."""
    make_coco(folder / "data")
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    request = EvaluationRequest(protocols_of(protocol), bootstrap=0)
    detections = [folder / next(iter(files)).partition("/")[0]]
    return evaluate_files(detections, folder / "data", request, say=lambda _: None)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 1e300])
@pytest.mark.parametrize("key", ["bbox", "score"])
def test_numbers_that_are_none_in_the_first_detections(key: str, number: float, tmp_path: Path) -> None:
    """They decide how the others are read."""
    first = {**BOX, key: [number, 5, 10, 10] if key == "bbox" else number}
    text = json.dumps([first, BOX, BOX])
    if math.isfinite(number):
        assert scored(tmp_path, "coco", {"a.json": text}).num_boxes == 4
    else:
        with pytest.raises(DataError, match=r"a\.json: 1 of 3 detections"):
            scored(tmp_path, "coco", {"a.json": text})


@pytest.mark.parametrize("outline", [[[{"x": 1}, 2, 8, 2]], [["1", 2, 8, 2, 8, 9]], [[1, 2], 3], [[[1, 2], [3, 4]]]])
def test_polygons_of_no_numbers(outline: object, tmp_path: Path) -> None:
    text = json.dumps([{**BOX, "segmentation": outline}])
    with pytest.raises(DataError, match="record 0 has a segmentation that cannot be read: its polygons are not lists"):
        scored(tmp_path, "coco-segm", {"a.json": text})


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("number", ["9223372036854775808", "1e308", "inf", "nan", "0.5"])
def test_classes_of_yolo_that_are_no_whole_numbers(number: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"7\.txt: line 1: class .* is no whole number, in 1 of 1 lines"):
        scored(tmp_path, "coco", {"found/7.txt": f"{number} 0.5 0.5 0.2 0.2 0.9\n"})


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_box_without_end_is_scored_without_a_warning(tmp_path: Path) -> None:
    """It overlaps with nothing by half."""
    found = scored(tmp_path, "voc-area", {"d/comp4_det_test_dog.txt": "7 0.9 1 1 1e300 1e300\n7 0.5 6 6 15 15\n"})
    assert found.metrics["det/voc-area/map@0.5"] < 0.5


def test_images_numbered_by_more_digits_than_an_integer_has(tmp_path: Path) -> None:
    """They stay in the table's order, and can be told apart."""
    ids = ["9" * 5000, "9" * 19, "3"]
    images = [an_image(number, f"{k}.jpg") for k, number in enumerate(ids)]
    boxes = [an_annotation(k, number, [1, 1, 5, 5]) for k, number in enumerate(ids)]
    coco_json(tmp_path / "a.json", images, boxes)
    table = open_dataset(tmp_path / "a.json", for_scoring=True)
    assert scored_rows(table, None).tolist() == [0, 1, 2]


@pytest.mark.parametrize("record", [{"id": "\ud800"}, {"file_name": "x\udcff.jpg"}])
def test_half_a_character_is_no_text(record: dict[str, str], tmp_path: Path) -> None:
    """Which JSON can write, and no file in UTF-8."""
    images = [an_image(1, "1.jpg"), an_image(2, "2.jpg") | record]
    coco_json(tmp_path / "a.json", images, [an_annotation(1, 1, [1, 1, 5, 5])])
    with pytest.raises(DataError, match=r"\\ud(800|cff).* is no text in Unicode. Rename it"):
        open_dataset(tmp_path / "a.json", for_scoring=True)


@pytest.mark.parametrize("line", ["1", "000002b66c9c498e,,/m/01yrx,1"])
def test_short_rows_of_open_images_have_room(line: str, tmp_path: Path) -> None:
    """Rows that are cut short, and rows without what is not read: the compiled pass wrote beyond its columns' ends."""
    make_annotation(tmp_path)
    file = tmp_path / "train-annotations-human-imagelabels-boxable.csv"
    file.write_text(f"{LABELS_HEADER}\n" + f"{line}\n" * 3000)
    faults = Faults("skip", "skip", False)
    rows = Rows(faults, list(CLASSES), "class-descriptions-boxable.csv", with_boxes=False)
    read_csv([DataPath(Folder(str(tmp_path)), file.name)], rows)
    assert len(rows) == 3000 <= min(len(rows.labels), len(rows.flags), len(rows.run_rows) - 1)


@pytest.mark.parametrize("number", ["0.11e170.2", "0.12345678901234567890123x", "1e400 "])
def test_numbers_with_more_behind_them_are_none(number: str, tmp_path: Path) -> None:
    """They begin as numbers that are left to Python."""
    boxes_csv(tmp_path, f"{TRAIN},xclick,/m/01yrx,1,{number},0.5,0.1,0.6,0,0,0,0,0")
    with pytest.raises(DataError, match=r"line 2.*for XMin, which is not a number"):
        read_csv(
            [DataPath(Folder(str(tmp_path)), "train-annotations-bbox.csv")],
            Rows(Faults("error", "error", False), list(CLASSES), "descriptions", with_boxes=True, in_floats=True),
        )


def parquet_file(path: Path, names: list[str], ids: pa.Array) -> Path:
    """A detection with these columns; ids: of its image."""
    parquet.write_table(pa.Table.from_arrays([ids, pa.array([1]), *[pa.array([1.0])] * (len(names) - 2)], names), path)
    return path


COLUMNS = ["image_id", "category_id", "x1", "y1", "x2", "y2", "score"]


def test_texts_of_parquet_that_are_no_text(tmp_path: Path) -> None:
    """In the names of columns, and in a column."""
    ids = pa.StringArray.from_buffers(1, pa.py_buffer(bytes(4) + b"\2\0\0\0"), pa.py_buffer(b"\xc0x"))
    file = parquet_file(tmp_path / "a.parquet", COLUMNS, ids)
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet .*Invalid UTF8"):
        read_columns(file)
    parquet_file(file, COLUMNS, pa.array([7]))
    assert read_columns(file).images == [7]
    file.write_bytes(file.read_bytes().replace(b"image_id", b"\xc0mage_id"))
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet .*can't decode byte 0xc0"):
        read_columns(file)


def test_a_column_that_stands_twice(tmp_path: Path) -> None:
    file = parquet_file(tmp_path / "a.parquet", [*COLUMNS, "score"], pa.array([7]))
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet .*Multiple matches .*score"):
        read_columns(file)
