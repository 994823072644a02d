"""Layouts are recognized by what files hold, wherever they lie; a folder of no known format is described."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from headstart.doctor.checkup import check
from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.readers.formats import open_dataset, recognize
from support.miniatures import image, make_class_folders, make_voc, text, voc_object, voc_xml

LINE = "0 0.5 0.5 0.2 0.2"


def classes(root: Path) -> Path:
    for k in range(3):
        image(root / f"cat/cat{k}.jpg", k)
        image(root / f"dog/dog{k}.jpg", k + 3)
    return root


def voc_at(root: Path, xml: str, images: str) -> None:
    for stem in ("a", "b"):
        image(root / images / f"{stem}.jpg")
        voc_xml(root / xml / f"{stem}.xml", voc_object("cat", 2, 2, 9, 9))


class TestVoc:
    @pytest.mark.parametrize(
        ("xml", "images"),
        [("annots", "images"), ("ann/all", "pics"), ("boxes", "."), ("data/x", "data/y"), (".", "img")],
    )
    def test_in_folders_of_any_name(self, tmp_path: Path, xml: str, images: str) -> None:
        voc_at(tmp_path, xml, images)
        table = open_dataset(tmp_path)
        assert table.format == "voc" and len(table.box_labels) == 2 and table.image_ids.tolist() == ["a", "b"]

    def test_splits_by_folders_on_the_way(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            voc_at(tmp_path, f"{split}/annots", f"{split}/images")
        table = open_dataset(tmp_path)
        assert table.splits.tolist() == ["test", "test", "train", "train"]
        assert table.image_ids[0] == "test/annots/a" and table.paths[0] == "test/images/a.jpg"

    def test_data_sets_beside_each_other_are_not_joined(self, tmp_path: Path) -> None:
        voc_at(tmp_path, "one/annots", "one/images")
        voc_at(tmp_path, "two/annots", "two/images")
        with pytest.raises(DataError, match=r"Did you mean .*one \(or two\)\? Name it instead"):
            open_dataset(tmp_path)

    def test_xml_of_another_kind_is_none(self, tmp_path: Path) -> None:
        voc_at(tmp_path, "annots", "images")
        for path in (tmp_path / "annots").iterdir():
            path.write_text("<project/>")
        with pytest.raises(DataError, match="Near: voc lacks XML files that begin with <annotation>"):
            open_dataset(tmp_path)


class TestClassFolders:
    @pytest.mark.parametrize(
        ("base", "name", "lines"),
        [
            ("", "{}.txt", ("cat/cat0.jpg", "dog/dog0.jpg")),
            ("", "{}.txt", ("cat/cat0.jpg 0", "dog/dog0.jpg 1")),
            ("", "{}.txt", ("cat0.jpg", "dog0")),
            ("images", "meta/{}.txt", ("cat/cat0", "dog/dog0")),
            ("Images", "{}Images.txt", ("./cat/cat0.jpg", "Images/dog/dog0.jpg")),
        ],
    )
    def test_official_lists_make_splits(self, tmp_path: Path, base: str, name: str, lines: tuple[str, ...]) -> None:
        classes(tmp_path / base)
        text(tmp_path / name.format("train"), *lines)
        text(tmp_path / name.format("test"), *(line.replace("cat0", "cat1").replace("dog0", "dog1") for line in lines))
        table = open_dataset(tmp_path)
        assert table.format == "class-folders" and table.image_classes == ("cat", "dog")
        assert table.splits.tolist() == ["train", "test", "", "train", "test", ""]
        assert "2 images are in no list" in table.notes[0]

    def test_lists_with_faults(self, tmp_path: Path) -> None:
        classes(tmp_path)
        text(tmp_path / "train.txt", "cat/cat0.jpg", "cat/gone.jpg")
        with pytest.raises(DataError, match=r"train\.txt: entry 2 names 'cat/gone\.jpg', which is not there\. Put"):
            open_dataset(tmp_path)
        text(tmp_path / "train.txt", "cat/cat0.jpg")
        text(tmp_path / "test.txt", "cat/cat0.jpg")
        with pytest.raises(DataError, match=r"cat0\.jpg is in test\.txt, too\. Test images must not be trained on"):
            open_dataset(tmp_path)

    def test_folders_in_class_folders_are_walked(self, tmp_path: Path) -> None:
        classes(tmp_path)
        image(tmp_path / "cat/more/deep/x.jpg")
        image(tmp_path / "bird/only/y.jpg")
        table = open_dataset(tmp_path)
        assert table.image_classes == ("bird", "cat", "dog") and len(table) == 8
        assert "cat/more/deep/x.jpg" in table.paths and check(tmp_path).clean

    def test_classes_whose_images_all_lie_deeper(self, tmp_path: Path) -> None:
        for k, path in enumerate(("train/cat/x/1.jpg", "train/dog/2.jpg", "val/cat/y/3.jpg", "val/dog/z/4.jpg")):
            image(tmp_path / "a" / path, k)
            image(tmp_path / "b" / path.replace("dog/2", "dog/x/2"), k)
        for root in (tmp_path / "a", tmp_path / "b"):
            table = open_dataset(root)
            assert table.splits.tolist() == ["train", "train", "val", "val"]
            assert table.image_labels.tolist() == [0, 1, 0, 1]

    def test_what_is_left_aside_is_a_finding(self, tmp_path: Path) -> None:
        classes(tmp_path)
        (tmp_path / "bird").mkdir()
        image(tmp_path / "loose.jpg")
        text(tmp_path / "cat/photo.heic")
        rules = {f.rule: f.faults[0] for f in check(tmp_path).findings}
        assert rules.keys() == {"class-without-examples", "file-left-aside"}
        assert rules["class-without-examples"].path == str(tmp_path / "bird")
        assert len(open_dataset(tmp_path).left_out) == 3

    def test_a_link_to_itself_ends(self, tmp_path: Path) -> None:
        classes(tmp_path)
        (tmp_path / "cat/again").symlink_to(tmp_path / "cat")
        assert "a link that leads to itself?" in open_dataset(tmp_path).left_out[-1].why

    def test_other_data_sets_beside_them_are_not_hidden(self, tmp_path: Path) -> None:
        make_voc(tmp_path / "boxes")
        make_class_folders(tmp_path / "kinds")
        assert recognize(open_place(tmp_path)) == {}


class TestYolo:
    @pytest.mark.parametrize(
        ("images", "labels", "names"),
        [
            ("images", "labels", "classes.txt"),
            ("images/train", "labels/train", "classes.txt"),
            ("train/images", "train/labels", "classes.txt"),
            (".", ".", "classes.txt"),
            ("train", "train", "obj.names"),
        ],
    )
    def test_exports_without_yaml(self, tmp_path: Path, images: str, labels: str, names: str) -> None:
        image(tmp_path / images / "a.jpg")
        text(tmp_path / labels / "a.txt", LINE, "1.0 0.5 0.5 0.25 0.25")
        text(tmp_path / names, "cat", "dog")
        (tmp_path / "notes.json").write_text(json.dumps({"categories": [{"id": 0, "name": "cat"}], "info": {}}))
        table = open_dataset(tmp_path)
        assert table.format == "yolo" and table.box_classes == ("cat", "dog")
        assert table.box_labels.tolist() == [0, 1] and table.splits.tolist() == ["train" if "train" in images else ""]

    def test_cvat_and_darknet(self, tmp_path: Path) -> None:
        for folder, listed in (("obj_train_data", "train"), ("obj_valid_data", "valid")):
            image(tmp_path / folder / "sub/a.PNG")
            text(tmp_path / folder / "sub/a.txt", LINE)
            text(tmp_path / f"{listed}.txt", f"data/{folder}/sub/a.PNG")
        text(tmp_path / "obj.names", "cat", "dog")
        text(
            tmp_path / "obj.data",
            "classes = 2",
            "train = data/train.txt",
            "valid=data/valid.txt",
            "names = data/obj.names",
        )
        table = open_dataset(tmp_path)
        assert table.splits.tolist() == ["train", "val"] and len(table.box_labels) == 2
        (tmp_path / "obj.names").unlink()
        with pytest.raises(DataError, match=r"obj\.data: `names = data/obj\.names` is not there\. Put the list"):
            open_dataset(tmp_path)

    def yolo(self, root: Path, *yaml: str, line: str = LINE) -> Path:
        image(root / "images/train/a.jpg")
        text(root / "labels/train/a.txt", line)
        text(root / "data.yaml", "names: [cat, dog]", *yaml)
        return root

    @pytest.mark.parametrize("null", ["null", "~", "", "[null]", "Null"])
    def test_null_is_absent(self, tmp_path: Path, null: str) -> None:
        table = open_dataset(
            self.yolo(tmp_path, "train: images/train", f"test: {null}", f"path: {null}".replace("[null]", ""))
        )
        assert table.splits.tolist() == ["train"]

    def test_a_class_may_be_called_null(self, tmp_path: Path) -> None:
        root = self.yolo(tmp_path, "train: images/train")
        text(root / "data.yaml", "names: [null, no, ~]", "train: images/train")
        assert open_dataset(root).box_classes == ("null", "no", "~")

    @pytest.mark.parametrize(
        "entry",
        [
            "/data/sets/x/images/train",
            "C:\\sets\\x\\images\\train",
            "..\\..\\x\\images\\train",
            "../../../x/images/train",
        ],
    )
    def test_paths_of_other_machines(self, tmp_path: Path, entry: str) -> None:
        table = open_dataset(self.yolo(tmp_path, f"train: {entry}"))
        assert table.paths.tolist() == ["images/train/a.jpg"] and "is not where it says" in table.notes[0]

    def test_lists_of_other_machines(self, tmp_path: Path) -> None:
        root = self.yolo(tmp_path, "train: train.txt")
        text(root / "train.txt", "/data/x/images/train/a.jpg")
        table = open_dataset(root)
        assert table.paths.tolist() == ["images/train/a.jpg"] and "found by the ends of the names" in table.notes[-1]

    @pytest.mark.parametrize(("shape", "points"), [("[2, 2]", "0 0 0.35 0.35"), ("[1, 3]", "0.4 0.4 2")])
    def test_poses(self, tmp_path: Path, shape: str, points: str) -> None:
        root = self.yolo(tmp_path, "train: images/train", f"kpt_shape: {shape}", line=f"0 0.3 0.3 0.2 0.2 {points}")
        table = open_dataset(root)
        assert table.boxes_source.tolist() == [[0.3, 0.3, 0.2, 0.2]] and table.outline(0) is None
        assert [fault.rule for fault in table.left_out] == ["keypoints-not-read"]
        text(root / "labels/train/a.txt", f"0 0.3 0.3 0.2 0.2 {points} 0.1 0.1")
        with pytest.raises(DataError, match=r"numbers of keypoints after it \(kpt_shape of data\.yaml\), are expected"):
            open_dataset(root)

    @pytest.mark.parametrize("shape", ["17", "[17]", "[17, 4]", "[a, 3]", "[0, 3]"])
    def test_shapes_of_poses_with_faults(self, tmp_path: Path, shape: str) -> None:
        with pytest.raises(DataError, match=r"`kpt_shape` is .*Write such as \[17, 3\]"):
            open_dataset(self.yolo(tmp_path, "train: images/train", f"kpt_shape: {shape}"))

    @pytest.mark.parametrize(
        ("label", "good"), [("1.000e+00", True), ("1.0", True), ("10e-1", True), ("1.5", False), ("1e300", False)]
    )
    def test_class_numbers_that_are_exactly_whole(self, tmp_path: Path, label: str, good: bool) -> None:
        root = self.yolo(tmp_path, "train: images/train", line=f"{label} 0.5 0.5 0.2 0.2")
        if good:
            assert open_dataset(root).box_labels.tolist() == [1]
            return
        with pytest.raises(DataError, match="a class number and a box of four numbers"):
            open_dataset(root)


class TestNoKnownFormat:
    @pytest.mark.parametrize(
        ("files", "near"),
        [
            ({"a.jpg": "", "labels/a.txt": LINE}, "yolo lacks a data.yaml with `names` and `train`, or a classes.txt"),
            ({"a.jpg": "", "a.json": '{"images": [{"id": 1}]}'}, "coco lacks the list of objects `annotations`"),
            (
                {"a.jpg": "", "a.csv": "one,two,three\nx,1.5,y\n"},
                "file-list lacks rows that name images which are there",
            ),
            ({"a.jpg": "", "b.jpg": ""}, "class-folders lacks two or more folders of images"),
        ],
    )
    def test_what_is_there_and_what_is_lacking(self, tmp_path: Path, files: dict[str, str], near: str) -> None:
        for name, content in files.items():
            if content:
                text(tmp_path / name, content)
            else:
                image(tmp_path / name)
        with pytest.raises(DataError, match="in no known format") as caught:
            open_dataset(tmp_path)
        lines = str(caught.value).splitlines()
        assert any(near in line for line in lines) and len(lines) <= 10
        assert lines[1].startswith("Found: ") and "`headstart check --formats`" in lines[-1]


def test_yolo_and_lists_in_another_form_of_unicode(tmp_path: Path) -> None:
    one, other = (unicodedata.normalize(form, "\u00e9") for form in ("NFC", "NFD"))  # type: ignore[arg-type]
    image(tmp_path / f"yolo/images/{one}.jpg")
    text(tmp_path / f"yolo/labels/{other}.txt", LINE)
    text(tmp_path / "yolo/classes.txt", "cat")
    assert len(open_dataset(tmp_path / "yolo").box_labels) == 1
    image(tmp_path / f"list/images/{other}.jpg")
    text(tmp_path / "list/list.csv", "path,label,xmin,ymin,xmax,ymax", f"{one}.jpg,cat,2,2,9,9")
    assert open_dataset(tmp_path / "list").image_path(0).is_file()
