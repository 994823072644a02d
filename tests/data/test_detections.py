"""Reading detections: four formats give the same arrays, and every fault is counted and named with path and place."""

import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from headstart.data.annotate import annotate
from headstart.data.columns import BoxColumns
from headstart.data.detections import read_detections, scored_rows
from headstart.errors import DataError
from headstart.metrics.boxes import CROWD
from headstart.tasks.truth import truth_of

CLASSES = ("cat", "dog", "traffic light")
ROWS = np.arange(3)
# image, class, x1, y1, x2, y2, score
FOUND = [
    ("a", "cat", 10.0, 20.0, 30.0, 60.0, 0.9),
    ("b", "dog", 0.5, 0.0, 20.5, 10.0, 0.25),
    ("a", "traffic light", 5.0, 5.0, 6.0, 9.0, 0.0),
]


@pytest.fixture
def data(tmp_path):
    """Images a (100 x 200 pixels), b, c with a box each but c, and d, whose boxes nobody annotated."""
    return table(tmp_path / "pictures")


def table(root, ids=("a", "b", "c", "d"), class_ids=(), convention="edges", splits=("test", "test", "train", "")):
    boxes = BoxColumns(
        offsets=np.array([0, 1, 2, 2, 2]),
        source=np.array([[10.0, 20, 30, 60], [0, 0, 20, 10]]),
        labels=np.array([0, 1]),
        flags=np.array([0, 64 | CROWD], np.uint8),
        known=np.array([True, True, True, False]),
        classes=CLASSES,
        convention=convention,
        class_ids=class_ids,
        areas=np.array([700.0, 150.0]),
    )
    return annotate(
        root,
        "drawn",
        list(ids),
        [f"images/{i}.jpg" for i in ids],
        sizes_hw=[(100, 200)] * 4,
        splits=list(splits),
        boxes=boxes,
    )


def coco(path, found=FOUND, **changes):
    records = [
        {"image_id": i, "category_id": c, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": s} | changes
        for i, c, x1, y1, x2, y2, s in found
    ]
    path.write_text(json.dumps(records))
    return path


def voc(folder, found=FOUND):
    folder.mkdir()
    for c in CLASSES:
        lines = [f"{i} {s} {x1 + 1} {y1 + 1} {x2} {y2}\n" for i, k, x1, y1, x2, y2, s in found if k == c]
        (folder / f"comp4_det_test_{c}.txt").write_text("".join(lines))
    return folder


def yolo(folder, found=FOUND):
    folder.mkdir()
    for image in dict.fromkeys(row[0] for row in found):
        lines = [
            f"{CLASSES.index(c)} {(x1 + x2) / 400} {(y1 + y2) / 200} {(x2 - x1) / 200} {(y2 - y1) / 100} {s}\n"
            for i, c, x1, y1, x2, y2, s in found
            if i == image
        ]
        (folder / f"{image}.txt").write_text("".join(lines))
    return folder


def parquet_file(path, found=FOUND):
    names = ("image_id", "class_name", "x1", "y1", "x2", "y2", "score")
    parquet.write_table(pa.table(dict(zip(names, map(list, zip(*found, strict=True)), strict=True))), path)
    return path


WRITERS = {"coco": ("r.json", coco), "voc": ("voc", voc), "yolo": ("yolo", yolo), "parquet": ("r.pq", parquet_file)}


@pytest.mark.parametrize("format", WRITERS)
def test_formats_give_the_same_arrays(data, tmp_path, format):
    name, write = WRITERS[format]
    side = read_detections(write(tmp_path / name), data, ROWS)
    found = side.detections
    order = np.argsort(-found.scores)
    assert side.format == format
    assert found.image_index[order].tolist() == [0, 1, 0]
    assert found.labels[order].tolist() == [0, 1, 2]
    assert found.scores[order].tolist() == [0.9, 0.25, 0.0]
    np.testing.assert_allclose(found.boxes_xyxy[order], [row[2:6] for row in FOUND], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.box_areas[order], [800, 200, 4], rtol=1e-12)
    assert (side.left_out, side.images_without, side.classes_without) == ({}, 1, ())


def test_coco_keeps_width_and_height_as_the_source_says(data, tmp_path):
    """0.1 + 0.2 - 0.1 is not 0.2; the area is that of the numbers in the file."""
    path = tmp_path / "r.json"
    path.write_text('[{"image_id": "a", "category_id": "cat", "bbox": [0.1, 0.1, 0.2, 0.2], "score": 1}]')
    assert read_detections(path, data, ROWS).detections.box_areas[0] == 0.2 * 0.2


def test_names_of_images(tmp_path):
    """The id itself; the path, file name and stem of the image; numbers whatever their leading zeros."""
    data = table(tmp_path / "pictures", ids=("000139", "000724", "x", "y"))
    for name in ("000139", "images/000139.jpg", "000139.jpg", 139):
        path = coco(tmp_path / "r.json", FOUND[:1], image_id=name)
        assert read_detections(path, data, ROWS).detections.image_index.tolist() == [0]
    with pytest.raises(DataError, match="'139'"):
        read_detections(coco(tmp_path / "r.json", FOUND[:1], image_id="139"), data, ROWS)


def test_numbers_of_classes(data, tmp_path):
    numbered = table(tmp_path / "pictures", class_ids=(1, 2, 10))
    path = coco(tmp_path / "r.json", FOUND[:1], category_id=10)
    assert read_detections(path, numbered, ROWS).detections.labels.tolist() == [2]
    with pytest.raises(DataError, match=r"r.json: record 0: 10. .* are cat, dog, traffic light. It numbers no classes"):
        read_detections(path, data, ROWS)


def test_numbers_of_yolo_classes_follow_its_own_list(data, tmp_path):
    folder = yolo(tmp_path / "labels", FOUND[:1])
    assert read_detections(folder, data, ROWS).notes == (
        "class numbers are positions in the data set's list of classes: 0 is cat",
    )
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    side = read_detections(tmp_path, data, ROWS)  # the folder above, as detectors write it
    assert side.detections.labels.tolist() == [1]
    assert side.notes == ("class numbers are positions in the detections' own list of classes: 0 is dog",)


def test_salted_names_of_voc_files(data, tmp_path):
    (tmp_path / "comp4_1f2e_det_test_dog.txt").write_text("a 0.5 1 1 10 10\n\n")
    side = read_detections(tmp_path, data, ROWS)
    assert side.detections.labels.tolist() == [1]
    assert side.detections.boxes_xyxy.tolist() == [[0, 0, 10, 10]]
    assert side.classes_without == ("cat", "traffic light") and side.images_without == 2


def test_truth_as_the_source_says(tmp_path):
    data = table(tmp_path / "pictures", convention="coco")
    truth = truth_of(data, [1, 0])
    assert truth.image_index.tolist() == [0, 1] and truth.num_images == 2 and truth.num_classes == 3
    assert truth.boxes_xyxy.tolist() == [[0, 0, 20, 10], [10, 20, 40, 80]]
    assert truth.box_areas.tolist() == [200, 1800] and truth.areas.tolist() == [150, 700]
    assert truth.flags.tolist() == [CROWD, 0]


def test_scored_images(data, tmp_path):
    assert scored_rows(data, None).tolist() == [0, 1, 2]  # d has no list of boxes
    assert scored_rows(data, "test").tolist() == [0, 1]
    numbers = table(tmp_path / "pictures", ids=("10", "9", "200", "x"))
    assert scored_rows(numbers, None).tolist() == [1, 0, 2]  # as pycocotools orders numbers
    with pytest.raises(DataError, match=r"pictures: no image of its split 'val' .* Splits with boxes: test, train"):
        scored_rows(data, "val")


# ---- what is wrong with detections


def voc_line(folder, *lines):
    folder.mkdir(exist_ok=True)
    (folder / "comp4_det_test_cat.txt").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"score": float("nan")}, r"3 of 3 detections have a score that is no number: .*: record 0: nan"),
        ({"score": float("-inf")}, r"record 1: -inf; .*record 2: -inf. A score is a finite number, higher when surer"),
        ({"score": 1e999}, r"score that is no number: .* inf"),
        (
            {"bbox": [1, 2, -3, 4]},
            r"3 of 3 detections have a width or height below 0: .*record 0: \(1, 2, -3, 4\)"
            r".*Boxes are x, y, width, height; convert",
        ),
        ({"bbox": [1, 2, float("inf"), 4]}, r"coordinates that are not finite: .*record 0: \(1, 2, inf, 4\).*Leave"),
        (
            {"image_id": "z"},
            r"3 of 3 detections are on images that pictures does not have: .*record 0: 'z'.*calls its "
            r"images 'a', 'b'.*\nOr pass --allow-unknown",
        ),
        ({"image_id": "d"}, r"3 of 3 detections are on images outside the 3 images that are scored: .*'d'.* --split"),
        ({"category_id": "cow"}, r"are of classes that pictures does not have: .*record 0: 'cow'.*are cat, dog"),
        ({"bbox": [1, 2, 3]}, r"3 of 3 records are no detections: record 0 has bbox \[1, 2, 3\]; .*correct these"),
        ({"bbox": None}, r"record 0 has bbox None"),
        ({"score": None}, r"record 0 has score None"),
        ({"image_id": 1.5}, r"record 0 has image_id 1.5"),
    ],
)
def test_faulty_records(data, tmp_path, changes, said):
    path = coco(tmp_path / "r.json", **changes)
    with pytest.raises(DataError, match=rf"(?s)^{path}: .*{said}"):
        read_detections(path, data, ROWS)


def test_more_than_a_few_are_counted(data, tmp_path):
    path = coco(tmp_path / "r.json", FOUND * 5, score=float("nan"))
    with pytest.raises(DataError, match=r"15 of 15 detections .* record 2: nan; and 12 more. A score"):
        read_detections(path, data, ROWS)


def test_all_kinds_of_unknown_are_told_at_once(data, tmp_path):
    found = [*FOUND, ("z", "cat", 0, 0, 1, 1, 0.5), ("d", "cat", 0, 0, 1, 1, 0.5), ("a", "cow", 0, 0, 1, 1, 0.5)]
    path = coco(tmp_path / "r.json", found)
    with pytest.raises(DataError) as fault:
        read_detections(path, data, ROWS)
    assert [line.split(" of ")[0].rpartition(" ")[2] for line in str(fault.value).splitlines()[:3]] == ["1", "1", "1"]
    side = read_detections(path, data, ROWS, allow_unknown=True)
    assert list(side.left_out.values()) == [1, 1, 1] and len(side.detections.scores) == 3


def test_allowing_unknown_does_not_allow_nothing(data, tmp_path):
    path = coco(tmp_path / "r.json", image_id="z")
    with pytest.raises(
        DataError, match=r"none of its 3 detections .* It names 'z', 'cat'; the data set has 'a', 'cat'"
    ):
        read_detections(path, data, ROWS, allow_unknown=True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "a 0.5 1 1 10",
            r"1 of 2 lines are not `image score xmin ymin xmax ymax`: .*cat.txt: line 2 \('a 0.5 1 1 10'\)",
        ),
        ("a 0.5 1 1 10 ten", r"line 2 \('a 0.5 1 1 10 ten'\). Write these 6 columns"),
        ("a nan 1 1 10 10", r"cat.txt: line 2: nan"),
        (
            "a 0.5 11 1 5 10",
            r"x2 < x1 or y2 < y1: .*cat.txt: line 2: \(11, 1, 5, 10\).*Boxes are xmin, ymin, xmax, ymax",
        ),
        ("z 0.5 1 1 10 10", r"cat.txt: line 2: 'z'"),
    ],
)
def test_faulty_voc_lines(data, tmp_path, line, said):
    with pytest.raises(DataError, match=said):
        read_detections(voc_line(tmp_path / "voc", "a 0.5 1 1 10 10", line), data, ROWS)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.1 0.1", r"1 of 1 lines are not `class x y width height confidence`: .*a.txt: line 1"),
        ("0.5 0.5 0.5 0.1 0.1 0.9", r"a.txt: line 1: class 0.5 is no whole number"),
        ("7 0.5 0.5 0.1 0.1 0.9", r"classes that pictures does not have: .*a.txt: line 1: 7.*put a classes.txt beside"),
        ("0 0.5 0.5 -0.1 0.1 0.9", r"a width or height below 0: .*a.txt: line 1: \(0.5, 0.5, -0.1, 0.1\)"),
    ],
)
def test_faulty_yolo_lines(data, tmp_path, line, said):
    folder = tmp_path / "yolo"
    folder.mkdir()
    (folder / "a.txt").write_text(line)
    with pytest.raises(DataError, match=said):
        read_detections(folder, data, ROWS)


@pytest.mark.parametrize("name", ["empty.json", "list.json", "voc", "yolo"])
def test_empty_files(data, tmp_path, name):
    path = tmp_path / name
    if path.suffix:
        path.write_text("[]" if name == "list.json" else "")
    else:
        path.mkdir()
        (path / ("comp4_det_test_cat.txt" if name == "voc" else "a.txt")).write_text("\n")
    with pytest.raises(
        DataError, match=rf"^{path}: (an|1) empty file \(.*no detection in all. .*check that the detector"
    ):
        read_detections(path, data, ROWS)


def test_files_in_no_known_format(data, tmp_path):
    with pytest.raises(DataError, match="nowhere: does not exist"):
        read_detections(tmp_path / "nowhere", data, ROWS)
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(DataError, match=r"in no known format. Looked for: coco .*; yolo .*Found: notes.md. Bring"):
        read_detections(tmp_path, data, ROWS)
    path = tmp_path / "r.json"
    for text, said in [
        ('{"images": [], "annotations": []}', "r.json: annotations of a data set, where COCO results are a list"),
        ("{}", "r.json: no list, where"),
        ("[1]", "1 of 1 records are no detections: record 0 is int, no record"),
        ('[{"image_id": 1}]', "record 0 has no category_id, bbox, score"),
        ("[{]", r"r.json: is no JSON \(.*line 1.*Write the results again"),
        ("[" * 100000, r"r.json: is no JSON"),
    ]:
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            read_detections(path, data, ROWS)
    path.write_bytes(b"\xff\xfe[")
    with pytest.raises(DataError, match=r"r.json: is no text in UTF-8 \(byte 0\)"):
        read_detections(path, data, ROWS)


def test_faulty_parquet(data, tmp_path):
    path = tmp_path / "r.parquet"
    path.write_bytes(b"PAR1 and nothing")
    with pytest.raises(DataError, match=r"r.parquet: cannot be read as Parquet"):
        read_detections(path, data, ROWS)
    whole = {
        "image_id": ["a"],
        "class_name": ["cat"],
        "x1": [0.0],
        "y1": [0.0],
        "x2": [1.0],
        "y2": [1.0],
        "score": [0.5],
    }
    for changes, said in [
        ({"score": None}, r"no column score \(it has image_id, class_name.*Detections need"),
        ({"x1": [None]}, r"no value for x1 in 1 rows of 1. Fill these in"),
        ({"x2": ["one"]}, r"x1, y1, x2, y2 and score must hold numbers"),
        ({"x2": [-1.0]}, r"x2 < x1 or y2 < y1: .*r.parquet: record 0: \(0, 0, -1, 1\)"),
    ]:
        columns = {k: v for k, v in (whole | changes).items() if v is not None}
        parquet.write_table(pa.table(columns), path)
        with pytest.raises(DataError, match=said):
            read_detections(path, data, ROWS)
