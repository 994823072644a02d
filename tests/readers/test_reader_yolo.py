"""YOLO: the YAML, where it looks for images and labels, lines of boxes and polygons, and faults."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest

from headstart.data.annotations import Annotations
from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.readers.formats import open_dataset
from headstart.readers.yaml_files import read_mapping
from support.miniatures import HEIGHT, WIDTH, image, text
from support.miniatures_lists import make_yolo

TRAIN = "labels/train/a.txt"


def boxes(table: Annotations, name: str) -> list[list[float]]:
    return table.boxes_of(list(table.image_ids).index(name)).xyxy.tolist()


class TestValues:
    def test_boxes_and_polygons_worked_by_hand(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        table = open_dataset(tmp_path)
        assert table.image_ids.tolist() == [f"images/{n}" for n in ("train/a", "train/b", "train/c", "val/d", "test/e")]
        # 40 x 30: the center (20, 15), 10 wide, 15 high; the triangle (4, 3), (20, 3), (20, 27).
        assert np.allclose(boxes(table, "images/train/a"), [[15, 7.5, 25, 22.5], [4, 3, 20, 27]], rtol=0, atol=1e-12)
        assert table.boxes_source[0].tolist() == [0.5, 0.5, 0.25, 0.5]
        assert table.outline(0) is None and np.allclose(table.outline(1)[1], [[4, 3, 20, 3, 20, 27]])
        assert table.box_classes == ("dog", "cat", "bird") and table.box_class_ids == (0, 1, 2)
        assert table.box_labels.tolist() == [1, 0, 2, 0]

    def test_an_empty_file_is_an_image_without_objects_and_a_missing_one_is_not(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        table = open_dataset(tmp_path)
        assert table.boxes_known.tolist() == [True, True, True, True, False]
        assert any("1 of 5 images have no label file and take no part in detection; first:" in n for n in table.notes)
        told = open_dataset(tmp_path, missing_labels="empty")
        assert told.boxes_known.all() and not any("no label file" in note for note in told.notes)

    def test_mixed_boxes_and_polygons_are_noted(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        (note,) = [note for note in open_dataset(tmp_path).notes if "are polygons" in note]
        assert note == (
            f"{tmp_path / 'data.yaml'}: of 4 labels, 1 are polygons and the others boxes; lines of four "
            "numbers are read as center, width and height"
        )

    def test_rounded_edges_leave_no_image(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        text(tmp_path / TRAIN, "0 0.166667 0.5 0.333335 1.000000", "0 0.1 0.5 0.3 0.5")
        (note,) = [note for note in open_dataset(tmp_path).notes if "leave their" in note]
        assert note.endswith(
            f"1 boxes leave their images and are clipped where they are trained on; first: {tmp_path / TRAIN}: line 2"
        )


class TestYaml:
    def write(self, root: Path, *lines: str) -> Path:
        make_yolo(root)
        text(root / "data.yaml", *lines)
        return root

    def test_names_keep_their_numbers_and_their_spelling(self, tmp_path: Path) -> None:
        names = "names: {2: 'no', 0: on, 7: 3.10, 1: null}"
        self.write(tmp_path, "train: images/train", names)
        table = open_dataset(tmp_path)
        assert table.box_classes == ("on", "null", "no", "3.10") and table.box_class_ids == (0, 1, 2, 7)
        assert table.box_labels.tolist() == [1, 0, 2]

    def test_lists_of_folders_and_list_files(self, tmp_path: Path) -> None:
        lines = ("images/train/a.jpg", "", str(tmp_path / "images/train/c.jpg"))
        self.write(tmp_path, "train: [some.txt, images/test]", "val:", "  - images/val", "names: [dog, cat, bird]")
        text(tmp_path / "some.txt", *lines)
        table = open_dataset(tmp_path)
        assert [i[7:] for i in table.image_ids] == ["train/a", "train/c", "test/e", "val/d"]
        assert table.splits.tolist() == ["train", "train", "train", "val"]

    def test_roboflow_goes_up_first(self, tmp_path: Path) -> None:
        for k, part in enumerate(("train", "valid")):
            image(tmp_path / part / "images/x.jpg", k)
            text(tmp_path / part / "labels/x.txt", "0 0.5 0.5 0.5 0.5")
        text(
            tmp_path / "data.yaml",
            "train: ../train/images",
            "val: ../valid/images",
            "nc: 1",
            "names: ['x']",
            "roboflow:",
            "  license: CC BY 4.0",
        )
        table = open_dataset(tmp_path)
        assert table.image_ids.tolist() == ["train/images/x", "valid/images/x"] and table.boxes_known.all()

    @pytest.mark.parametrize("elsewhere", ["/content/data", "../datasets/coco8", "coco8", "C:\\data"])
    def test_a_path_of_another_machine_is_told(self, tmp_path: Path, elsewhere: str) -> None:
        self.write(tmp_path, f"path: {elsewhere}", "train: images/train", "names: [dog, cat, bird]")
        table = open_dataset(tmp_path)
        there = tmp_path / "images/train"
        assert table.notes[0].endswith(f"train` is not where `path: {elsewhere}` says; {there} is read")

    def test_a_path_that_leads_nowhere_says_where_was_looked(self, tmp_path: Path) -> None:
        self.write(tmp_path, "path: ../coco", "train: pictures", "names: [dog]")
        with pytest.raises(DataError, match=r"`path: \.\./coco` is not there \(looked at .*pictures\)\. Correct"):
            open_dataset(tmp_path)

    def test_absolute_path_inside(self, tmp_path: Path) -> None:
        self.write(tmp_path, f"path: {tmp_path}", "train: images/train", "names: [dog, cat, bird]")
        assert len(open_dataset(tmp_path)) == 3

    def test_several_files_need_a_choice(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        (tmp_path / "data.yaml").rename(tmp_path / "first.yaml")
        text(tmp_path / "second.yaml", (tmp_path / "first.yaml").read_text())
        with pytest.raises(DataError, match=r"first\.yaml and second\.yaml could both .*Name one of them"):
            open_dataset(tmp_path)
        assert len(open_dataset(tmp_path / "second.yaml")) == 5
        (tmp_path / "second.yaml").rename(tmp_path / f"{tmp_path.name}.yaml")
        assert len(open_dataset(tmp_path)) == 5

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (("names: [a", "train: images/train"), r"data\.yaml: cannot be read as YAML .*line 2.*Correct the file"),
            (("names:", "train: images/train"), r"`names` is no list of class names\. Give the name of every class"),
            (("names: {a: b}", "train: x"), r"`names` has the entry 'a': 'b'; a class number and its name"),
            (("names: {0: a, 0: b}", "train: x"), r"cannot be read as YAML \(a key stands twice"),
            (("names: [a, a]", "train: x"), r"gives 'a' to more than one class\. Give every class its own name"),
            (("names: [[a]]", "train: x"), r"`names` has the entry '0': \['a'\]"),
            (("names: [a]", "nc: 2", "train: x"), r"`nc` is '2', but `names` has 1 classes\. Correct one of the two"),
            (("names: [a]", "train: {x: y}"), r"`train` is neither a folder, a list file nor a list of such"),
            (("names: [a]", "train:"), r"names no images\. Add `train`, `val` or `test`"),
            (("names: [a]", "path: [x]", "train: x"), r"`path` is no text"),
            (("names: [a]", "val: x", "valid: y"), r"`valid` stands beside another key for the val images"),
            (("names: &n [*n]", "train: x"), r"cannot be read as YAML"),
            (("names: " + "[" * 3000, "train: x"), r"cannot be read as YAML"),
        ],
    )
    def test_faults(self, tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
        self.write(tmp_path, *lines)
        with pytest.raises(DataError, match=message) as caught:
            open_dataset(tmp_path)
        assert str(tmp_path / "data.yaml") in str(caught.value)

    def test_nothing_of_python_is_made(self, tmp_path: Path) -> None:
        self.write(tmp_path, "names: !!python/object/apply:os.system ['touch made']", "train: images/train")
        with pytest.raises(DataError):
            open_dataset(tmp_path / "data.yaml")
        assert not Path("made").exists()


class TestFaults:
    @pytest.mark.parametrize(
        ("line", "rule", "message"),
        [
            ("0 0.5 0.5 0.5", "line-malformed", "line 2 is '0 0.5 0.5 0.5'; a class number and a box of four numbers"),
            ("0 0.5 0.5 0.5 0.5 0.9", "line-malformed", "line 2 is '0 0.5 0.5 0.5 0.5 0.9'; a class number"),
            ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "line-malformed", "or a polygon of three or more points"),
            ("dog 0.5 0.5 0.5 0.5", "line-malformed", "is 'dog 0.5 0.5 0.5 0.5'"),
            ("0 0.5 0.5 nan 0.5", "line-malformed", "is '0 0.5 0.5 nan 0.5'"),
            ("0 0.5 0.5 0_5 0.5", "line-malformed", "0_5"),
            ("3 0.5 0.5 0.5 0.5", "label-unknown", "has class 3; data.yaml names 3 classes, 0 to 2"),
            ("-1 0.5 0.5 0.5 0.5", "label-unknown", "has class -1"),
            ("9999999999999999999 0.5 0.5 0.5 0.5", "line-malformed", "is '9999999999999999999"),
            ("0 20 15 10 10", "box-not-relative", "has 20, and fractions of the image go from 0 to 1"),
            ("0 0.5 0.5 1e999 0.5", "box-not-relative", "has inf"),
            ("0 0.5 0.5 0.5 0", "box-without-extent", "has width 0.5 and height 0"),
            ("0 0.5 0.5 0.5 -0.005", "box-without-extent", "has width 0.5 and height -0.005"),
            ("0 0.1 0.5 0.2 0.5 0.3 0.5", "box-without-extent", "has width 0.2 and height 0"),
        ],
    )
    def test_lines(self, tmp_path: Path, line: str, rule: str, message: str) -> None:
        make_yolo(tmp_path)
        text(tmp_path / TRAIN, "1 0.5 0.5 0.25 0.5", line)
        with pytest.raises(DataError, match=re.escape(message)) as caught:
            open_dataset(tmp_path)
        assert f"{tmp_path / TRAIN}: line 2 " in str(caught.value)
        table = open_dataset(tmp_path, on_bad_box="skip", on_bad_record="skip")
        assert [(f.rule, f.path, f.record) for f in table.left_out] == [(rule, str(tmp_path / TRAIN), "line 2")]
        assert boxes(table, "images/train/a") == [[15, 7.5, 25, 22.5]] and len(table) == 5

    def test_label_files_that_cannot_be_read_and_that_are_orphans(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        (tmp_path / TRAIN).write_bytes(b"\xff\xfe\x00\x01")
        text(tmp_path / "labels/train/classes.txt", "dog")
        text(tmp_path / "labels/train/lost.txt", "0 0.5 0.5 0.5 0.5")
        with pytest.raises(DataError, match=r"lost\.txt: no image in .*images/train has its name\. Put the image back"):
            open_dataset(tmp_path)
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert [f.rule for f in table.left_out] == ["annotation-without-image", "annotation-unreadable"]
        assert "images/train/a" not in table.image_ids and len(table) == 4

    def test_no_label_at_all(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        (tmp_path / "labels").rename(tmp_path / "boxes")
        with pytest.raises(DataError, match=r"none of the 5 images has a label file; for .*a\.jpg there is no "):
            open_dataset(tmp_path)
        assert len(open_dataset(tmp_path, labels="boxes").box_labels) == 4

    def test_list_lines_that_lead_nowhere(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        odd = "./test/x.jpg", "../../../etc/passwd", "/etc/passwd", "test/e\0.jpg", "n" * 5000
        text(tmp_path / "images/test.txt", "./test/e.jpg", *odd)
        with pytest.raises(DataError, match=r"test\.txt: line 2 names '\./test/x\.jpg', which is not there\. Put the"):
            open_dataset(tmp_path)
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert [f.record for f in table.left_out] == [f"line {k}" for k in range(2, 7)] and len(table) == 5

    def test_test_images_may_not_be_trained_on(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        text(tmp_path / "images/test.txt", "./train/a.jpg")
        with pytest.raises(DataError, match=r"a\.jpg is a test image and a train image too\. Test images must not"):
            open_dataset(tmp_path)

    def test_train_and_val_of_the_same_images_are_told(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        text(tmp_path / "data.yaml", "train: images/train", "val: images/train", "names: [dog, cat, bird]")
        table = open_dataset(tmp_path)
        assert set(table.splits) == {"train"}
        assert table.left_out[0].rule == "val-is-train"
        assert "3 images are both train and val, and are read as train" in table.left_out[0].why

    def test_a_damaged_image_keeps_its_lines(self, tmp_path: Path) -> None:
        make_yolo(tmp_path)
        (tmp_path / "images/train/a.jpg").write_bytes(b"no image")
        table = open_dataset(tmp_path)
        assert table.size_hw(0) == (0, 0) and len(table.box_labels) == 4 and table.outline(1) is None
        assert "1 polygons are kept as boxes only" in table.left_out[0].why
        assert np.allclose(table.boxes_of(0, (HEIGHT, WIDTH)).xyxy[1], [4, 3, 20, 27])


def test_references_that_would_multiply_are_refused(tmp_path: Path) -> None:
    """Ten lines that stand for 10^9 words; a reference to a plain list is read."""
    lines = ["names: &n0 [cat, dog]", *(f"x{k}: &n{k} [{', '.join([f'*n{k - 1}'] * 10)}]" for k in range(1, 10))]
    (tmp_path / "data.yaml").write_text("\n".join([*lines, "train: images"]) + "\n")
    began = time.process_time()
    with pytest.raises(DataError, match=r"data\.yaml: cannot be read as YAML \(too many references to other parts"):
        read_mapping(open_place(tmp_path / "data.yaml"))
    assert time.process_time() - began < 5
    (tmp_path / "data.yaml").write_text("names: &n [cat, dog]\nagain: *n\n")
    assert read_mapping(open_place(tmp_path / "data.yaml")) == {"names": ["cat", "dog"], "again": ["cat", "dog"]}
