"""Tables that do not say what they are, and VIA's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.readers.formats import open_dataset, recognize
from support.miniatures import image, text


def listed(root: Path, *lines: str, name: str = "train.csv", folder: str = "images") -> Path:
    for k, stem in enumerate("abc"):
        image(root / folder / f"{stem}.jpg", k)
    text(root / name, *lines)
    return root


class TestLabels:
    @pytest.mark.parametrize(
        "lines",
        [
            ("id,breed", "a,cat", "b,dog", "c,dog"),
            ("image_id,label", "a,cat", "b,dog", "c,dog"),
            ("Image,Id", "a.jpg,cat", "b.jpg,dog", "c.jpg,dog"),
            ("picture,kind", "a,cat", "b,dog", "c,dog"),
            ("filename,cat,dog", "a.jpg,1,0", "b.jpg,0,1", "c.jpg,0,1"),
            ("image_id\tcat\tdog", "a\t1.0\t0.0", "b\t0\t1", "c\t0\t1"),
            ("a.jpg,cat", "b.jpg,dog", "c.jpg,dog"),
            ("images/a.jpg;cat", "images/b.jpg;dog", "images/c.jpg;dog"),
        ],
    )
    @pytest.mark.parametrize("folder", ["images", "train", "train_images"])
    def test_a_class_for_each_image(self, tmp_path: Path, lines: tuple[str, ...], folder: str) -> None:
        lines = tuple(line.replace("images/", f"{folder}/") for line in lines)
        table = open_dataset(listed(tmp_path, *lines, folder=folder))
        assert table.format == "file-list" and table.image_classes == ("cat", "dog")
        assert table.image_labels.tolist() == [0, 1, 1]

    @pytest.mark.parametrize(
        "lines",
        [
            ("id,price", "a,1.5", "b,2.5"),
            ("id,breed", "x,cat", "y,dog"),
            ("one,two", "x,cat", "y,dog"),
            ("ImageId,EncodedPixels", "a,1 3 10 5", "b,2 2 9 1"),
            ("id,one,two", "a,cat,1", "b,dog,2"),
            ("id", "a", "b"),
        ],
    )
    def test_other_tables_are_none(self, tmp_path: Path, lines: tuple[str, ...]) -> None:
        assert recognize(open_place(listed(tmp_path, *lines))) == {}

    def test_several_classes_of_one_image(self, tmp_path: Path) -> None:
        root = listed(tmp_path, "id,dog,cat", "a,1,0", "b,1,1", "c,0,0")
        table = open_dataset(root)
        assert table.multi_label and table.image_classes == ("cat", "dog")
        said = [[part.tolist() for part in table.verified(i)[:2]] for i in range(3)]
        assert said == [[[1], [0]], [[0, 1], []], [[], [0, 1]]]
        text(root / "train.csv", "id,dog,cat", *("a,1,0",) * 12000, "b,1,-1")
        with pytest.raises(DataError, match=r"line 12002 has '-1' in the column 'cat', which is neither 0 nor 1"):
            open_dataset(root)


class TestBoxes:
    def test_in_one_column(self, tmp_path: Path) -> None:
        lines = ('a,40,30,"[5.0, 6.0, 20.0, 14.0]",x', 'b,40,30,"(1 2 3 4)",x', "c,40,30,,x")
        table = open_dataset(listed(tmp_path, "image_id,width,height,bbox,source", *lines))
        assert table.boxes_source.tolist() == [[5, 6, 20, 14], [1, 2, 3, 4]] and table.source_convention == "coco"
        assert table.box_classes == ("object",) and table.splits.tolist() == ["train"] * 3
        text(tmp_path / "train.csv", "image_id,bbox", 'a,"[5, 6, 20]"')
        with pytest.raises(DataError, match=r"line 2 has x '\[5, 6, 20\]'.*four numbers are expected"):
            open_dataset(tmp_path)

    def test_under_the_names_of_competitions(self, tmp_path: Path) -> None:
        lines = ("a,5,6,20,14,1", "b,,,,,0", "c,1,2,3,4,1")
        table = open_dataset(listed(tmp_path, "patientId,x,y,width,height,Target", *lines))
        assert table.boxes_source.tolist() == [[5, 6, 20, 14], [1, 2, 3, 4]] and table.source_convention == "coco"
        assert table.box_offsets.tolist() == [0, 1, 1, 2] and table.box_classes == ("1",)

    def test_of_makesense(self, tmp_path: Path) -> None:
        table = open_dataset(listed(tmp_path, "cat,5,6,20,14,a.jpg,40,30", "dog,1,2,3,4,b.jpg,40,30"))
        assert table.boxes_source.tolist() == [[5, 6, 20, 14], [1, 2, 3, 4]] and table.box_classes == ("cat", "dog")

    def test_without_a_header(self, tmp_path: Path) -> None:
        lines = ("images/a.jpg,5,6,25,20,cat", "images/a.jpg,1,1,3,3,dog", "images/b.jpg,,,,,")
        table = open_dataset(listed(tmp_path, *lines, name="annotations.csv"))
        assert table.boxes_xyxy.tolist() == [[5, 6, 25, 20], [1, 1, 3, 3]] and table.box_offsets.tolist() == [0, 2, 2]
        assert table.box_classes == ("cat", "dog")
        text(tmp_path / "annotations.csv", *lines, "images/c.jpg,5,6")
        with pytest.raises(DataError, match="line 4 has 3 fields, the first line has 6"):
            open_dataset(tmp_path)

    def test_names_from_elsewhere(self, tmp_path: Path) -> None:
        lines = ("/data/x/images/a.jpg,5,6,25,20,cat", "C:\\data\\b.jpg,1,1,3,3,dog")
        table = open_dataset(listed(tmp_path, *lines))
        assert table.paths.tolist() == ["images/a.jpg", "images/b.jpg"]
        assert "2 names lead out of the data set" in "".join(table.notes)

    def test_two_names_that_would_be_one_file(self, tmp_path: Path) -> None:
        root = listed(tmp_path, "/cam1/a.jpg,5,6,25,20,cat", "/cam2/a.jpg,1,1,3,3,dog")
        with pytest.raises(DataError, match=r"line 2 names '/cam2/a\.jpg', which is not there"):
            open_dataset(root)


RECT = {"name": "rect", "x": 5, "y": 6, "width": 20, "height": 14}


class TestVia:
    def csv(self, root: Path, shape: dict[str, Any], attributes: dict[str, Any], head: str = "filename") -> Path:
        listed(root, name="other.txt")
        quoted = [json.dumps(json.dumps(part)).replace('\\"', '""') for part in (shape, attributes)]
        names = "file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
        text(
            root / "via.csv", f"{head},{names}", f'a.jpg,9,"{{}}",1,0,{",".join(quoted)}', 'b.jpg,9,"{}",0,0,"{}","{}"'
        )
        return root

    @pytest.mark.parametrize("head", ["filename", "#filename"])
    @pytest.mark.parametrize(
        "attributes", [{"class": "cat"}, {"kind": "cat"}, {"Label": "cat", "seen": "yes"}, {"class": {"cat": True}}]
    )
    def test_csv(self, tmp_path: Path, head: str, attributes: dict[str, Any]) -> None:
        table = open_dataset(self.csv(tmp_path, RECT, attributes, head))
        assert table.boxes_source.tolist() == [[5, 6, 20, 14]] and table.box_classes == ("cat",)
        assert table.box_offsets.tolist() == [0, 1, 1], "an image without regions shows no object"

    @pytest.mark.parametrize(
        ("shape", "box"),
        [
            ({"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [2, 4, 8]}, [1, 2, 8, 6]),
            ({"name": "circle", "cx": 10, "cy": 10, "r": 4}, [6, 6, 8, 8]),
            ({"name": "ellipse", "cx": 10, "cy": 10, "rx": 4, "ry": 2}, [6, 8, 8, 4]),
        ],
    )
    def test_outlines_are_said_to_be_lost(self, tmp_path: Path, shape: dict[str, Any], box: list[float]) -> None:
        table = open_dataset(self.csv(tmp_path, shape, {"class": "cat"}))
        assert table.boxes_source.tolist() == [box]
        assert [fault.rule for fault in table.left_out] == ["outline-not-read"]

    @pytest.mark.parametrize(
        ("shape", "attributes", "says"),
        [
            ({"name": "point", "cx": 3, "cy": 4}, {"class": "cat"}, "a region of the shape 'point', around which"),
            (RECT, {"a": "x", "b": "y"}, "a region with the attributes a, b. Give each region one attribute"),
            (RECT | {"x": "left"}, {"class": "cat"}, "a region of the shape 'rect', around which there is no box"),
        ],
    )
    def test_faults(self, tmp_path: Path, shape: dict[str, Any], attributes: dict[str, Any], says: str) -> None:
        with pytest.raises(DataError) as caught:
            open_dataset(self.csv(tmp_path, shape, attributes))
        assert f"{tmp_path / 'via.csv'}: entry 2 (a.jpg) has {says}" in str(caught.value)

    @pytest.mark.parametrize("project", [False, True])
    def test_json(self, tmp_path: Path, project: bool) -> None:
        listed(tmp_path, name="other.txt")
        region = {"shape_attributes": RECT, "region_attributes": {"class": "cat"}}
        images = {
            "a.jpg9": {"filename": "a.jpg", "size": 9, "regions": [region]},
            "b.jpg9": {"filename": "b.jpg", "size": 9, "regions": {"0": region, "1": region}},
        }
        whole = {"_via_settings": {}, "_via_img_metadata": images} if project else images
        (tmp_path / "via_project.json").write_text(json.dumps(whole))
        assert open_dataset(tmp_path).box_offsets.tolist() == [0, 1, 3]
        (tmp_path / "via_project.json").write_text(json.dumps(whole)[:-3])
        with pytest.raises(DataError, match=r"via_project\.json: is not as VIA writes it .*Export it from VIA again"):
            open_dataset(tmp_path)
