"""No part of a record vanishes, and no file for the way in which it is written."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import DataError
from headstart.readers.formats import open_dataset
from support.miniatures import image, make_voc, text, voc_object, voc_xml
from support.miniatures_coco import an_annotation, an_image, coco_json, photo, square, write

BOX = "<bndbox><xmin>{}</xmin><ymin>2</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox>"


def a_voc(root: Path, body: str, head: str = "", encoding: str = "utf-8") -> Path:
    """Two images, the first with `body`."""
    for stem in ("a", "b"):
        image(root / f"JPEGImages/{stem}.jpg")
    voc_xml(root / "Annotations/b.xml", voc_object("dog", 2, 2, 9, 9))
    (root / "Annotations/a.xml").write_bytes(f"{head}<annotation>{body}</annotation>".encode(encoding))
    return root


class TestElements:
    @pytest.mark.parametrize(
        ("body", "ends"),
        [
            (f"<object><name>cat</name>{BOX.format(1, 5)}{BOX.format(11, 15)}</object>", [5, 15]),
            (f"<objects><object><name>cat</name>{BOX.format(1, 5)}</object></objects>", [5]),
            (
                f"<object><name>a</name>{BOX.format(1, 5)}<object><name>a</name>{BOX.format(1, 7)}</object></object>",
                [5, 7],
            ),
            (
                f"<object><name>a</name>{BOX.format(1, 5)}<part><name>head</name>{BOX.format(1, 3)}</part></object>",
                [5],
            ),
        ],
    )
    def test_every_box_is_an_object(self, tmp_path: Path, body: str, ends: list[int]) -> None:
        table = open_dataset(a_voc(tmp_path, body))
        assert table.boxes_source[:-1, 2].tolist() == ends and table.left_out == ()

    @pytest.mark.parametrize(
        ("body", "rule", "says"),
        [
            (f"<object><name>a</name><name>b</name>{BOX.format(1, 5)}</object>", "element-twice", "the names 'a', 'b'"),
            (
                "<object><name>a</name>" + BOX.format(1, "5</xmax><xmax>6") + "</object>",
                "element-twice",
                "object 0 ('a') has more than one xmax: 5, 6. Leave the right one",
            ),
            (BOX.format(1, 5), "element-misplaced", "<bndbox> in <annotation> is a box where Pascal VOC has none"),
            (
                f"<object><name>a</name>{BOX.format(1, 5)}<boxes>{BOX.format(1, 7)}</boxes></object>",
                "element-misplaced",
                "<bndbox> in <boxes>",
            ),
            (
                f"<Object><name>a</name>{BOX.format(1, 5)}</Object>",
                "element-misplaced",
                "<bndbox> in <Object>",
            ),
            (
                "<size><width>40</width><height>30</height></size><size><width>80</width><height>60</height></size>"
                f"<object><name>a</name>{BOX.format(1, 5)}</object>",
                "element-twice",
                "has more than one <size>: 40 x 30 and 80 x 60. Leave the one",
            ),
            (
                f"<object><name>a</name><difficult>0</difficult><difficult>1</difficult>{BOX.format(1, 5)}</object>",
                "element-twice",
                "is difficult and is not",
            ),
        ],
    )
    def test_what_cannot_be_one_is_a_fault(self, tmp_path: Path, body: str, rule: str, says: str) -> None:
        root = a_voc(tmp_path, body)
        with pytest.raises(DataError) as caught:
            open_dataset(root)
        assert str(root / "Annotations/a.xml") in str(caught.value) and says in str(caught.value)
        table = open_dataset(root, on_bad_record="skip")
        assert [fault.rule for fault in table.left_out] == [rule]

    def test_polygons_beside_boxes_are_said_to_be_lost(self, tmp_path: Path) -> None:
        table = open_dataset(a_voc(tmp_path, f"<object><name>a</name>{BOX.format(1, 5)}<polygon/></object>"))
        assert [fault.rule for fault in table.left_out] == ["outline-not-read"] and len(table.box_labels) == 2


class TestEncodings:
    @pytest.mark.parametrize(
        ("declared", "written"),
        [
            ("gbk", "gbk"),
            ("GB2312", "gbk"),
            ("Shift_JIS", "shift_jis"),
            ("euc-jp", "euc-jp"),
            ("utf8", "utf-8"),
            ("UTF-8", "utf-8-sig"),
            ("utf-16", "utf-16"),
            ("utf-16", "utf-8"),
            ("unicode", "utf-8"),
        ],
    )
    def test_of_xml_as_declared(self, tmp_path: Path, declared: str, written: str) -> None:
        head = f'<?xml version="1.0" encoding="{declared}"?>\n'
        table = open_dataset(a_voc(tmp_path, f"<object><name>\u732b</name>{BOX.format(1, 5)}</object>", head, written))
        assert "\u732b" in table.box_classes

    @pytest.mark.parametrize(
        ("head", "says"),
        [
            ("", "codec can't decode byte"),
            ('<?xml version="1.0" encoding="nonsense"?>', "the encoding 'nonsense' that it declares is not known"),
        ],
    )
    def test_that_cannot_be_are_named_with_their_number(self, tmp_path: Path, head: str, says: str) -> None:
        root = a_voc(tmp_path, f"<object><name>\u72d7</name>{BOX.format(1, 5)}</object>", head, "gbk")
        (root / "Annotations/b.xml").write_bytes((root / "Annotations/a.xml").read_bytes())
        with pytest.raises(DataError, match="not readable as XML") as caught:
            open_dataset(root)
        assert says in str(caught.value) and "Write the encoding that it has into its first line" in str(caught.value)
        with pytest.raises(DataError, match=r"nothing of it can be used, because of 2 faults: .*a\.xml: .*\(2 times\)"):
            open_dataset(root, on_bad_record="skip")

    def test_entities_are_not_followed(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="declares a document type"):
            open_dataset(a_voc(tmp_path, "", '<!DOCTYPE a [<!ENTITY b "c">]>'))


class TestCoco:
    @pytest.mark.parametrize(
        "name",
        [
            "..\\..\\up\\a.jpg",
            "../../x/a.jpg",
            "C:\\x\\a.jpg",
            "/data/x/a.jpg",
            "http://host/x/a%20b.jpg?v=1",
            "/data/local-files/?d=x/a.jpg",
            "x/../a.jpg",
        ],
    )
    def test_names_from_elsewhere_are_found_by_their_ends(self, tmp_path: Path, name: str) -> None:
        file = "a b.jpg" if "%20" in name else "a.jpg"
        photo(tmp_path / "images" / file)
        coco_json(tmp_path / "result.json", [an_image(0, name)], [an_annotation(0, 0, [1, 2, 3, 4])])
        assert list(open_dataset(tmp_path).paths) == [f"images/{file}"]

    @pytest.mark.parametrize(("said", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
    def test_names_in_another_form_of_unicode(self, tmp_path: Path, said: str, on_disk: str) -> None:
        name = "\u00dcbergr\u00f6\u00dfe.jpg"
        photo(tmp_path / "images" / unicodedata.normalize(on_disk, name))
        entry = an_image(0, unicodedata.normalize(said, name))  # type: ignore[arg-type]
        coco_json(tmp_path / "result.json", [entry], [an_annotation(0, 0, [1, 2, 3, 4])])
        assert open_dataset(tmp_path).image_path(0).is_file()
        voc = tmp_path / "voc"
        image(voc / "JPEGImages" / unicodedata.normalize(on_disk, name))
        voc_xml(voc / "Annotations" / f"{unicodedata.normalize(said, name)[:-4]}.xml", voc_object("cat", 1, 1, 9, 9))
        assert open_dataset(voc).image_path(0).is_file()

    @pytest.mark.parametrize(
        "more",
        [
            {"attributes": {"category_id": 7}},
            {"attributes": {"image_id": 7, "bbox": [1]}},
            {"history": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}]},
            {"attributes": {"segments_info": 3}},
        ],
    )
    def test_unknown_keys_are_ignored_wherever_they_are(self, tmp_path: Path, more: dict[str, Any]) -> None:
        photo(tmp_path / "a.jpg")
        content = {
            "info": {"image_id": 3, **more},
            "images": [an_image(0, "a.jpg", **more)],
            "annotations": [an_annotation(0, 0, [1, 2, 3, 4], **more)],
            "categories": [{"id": 1, "name": "cat", **more}],
            "more": [an_annotation(9, 0, [1, 2, 3, 4])],
        }
        write(tmp_path / "all.json", content)
        assert open_dataset(tmp_path).boxes_source.tolist() == [[1, 2, 3, 4]]

    def test_whole_numbers_written_as_floats(self, tmp_path: Path) -> None:
        photo(tmp_path / "a.jpg")
        entry = an_annotation(3.0, 5.0, [1, 2, 3, 4], 1.0)  # type: ignore[arg-type]
        coco_json(tmp_path / "a.json", [an_image(5.0, "a.jpg")], [entry], [{"id": 1.0, "name": "cat"}])  # type: ignore[arg-type]
        table = open_dataset(tmp_path)
        assert table.image_ids.tolist() == ["5"] and table.box_class_ids == (1,)
        assert table.box_ids is not None and table.box_ids.tolist() == [3]
        coco_json(
            tmp_path / "a.json",
            [an_image(5, "a.jpg")],
            [an_annotation(3, 5, [1, 2, 3, 4])],
            [{"id": 1.5, "name": "cat"}],
        )
        with pytest.raises(DataError, match=r"category number 0 has id 1\.5 and name 'cat'\. Give every"):
            open_dataset(tmp_path)

    @pytest.mark.parametrize(
        "outline",
        ["", [5, 6, 25, 6, 25, 21], [[5, 6], [25, 6], [25, 21]], [[1, 2, 3]], [[1, 2, "x", 4, 5, 6]], {"a": 1}],
    )
    def test_a_bad_outline_leaves_its_box(self, tmp_path: Path, outline: Any) -> None:
        photo(tmp_path / "a.jpg")
        good = an_annotation(1, 0, [1, 2, 3, 4], segmentation=square(1, 2, 3))
        bad = an_annotation(2, 0, [5, 2, 3, 4], segmentation=outline)
        coco_json(tmp_path / "a.json", [an_image(0, "a.jpg")], [bad, good])
        with pytest.raises(DataError, match=r"annotation 2 has a segmentation|annotation 2 has run lengths"):
            open_dataset(tmp_path)
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert [f.rule for f in table.left_out] == ["outline-unreadable"]
        assert table.boxes_source.tolist() == [[5, 2, 3, 4], [1, 2, 3, 4]]
        assert table.outline(0) is None and table.outline(1) is not None

    def test_a_root_category_is_no_class(self, tmp_path: Path) -> None:
        photo(tmp_path / "a.jpg")
        kinds = [
            {"id": 0, "name": "things", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": "things"},
            {"id": 2, "name": "dog", "supercategory": "things"},
        ]
        images, boxes = [an_image(0, "a.jpg")], [an_annotation(1, 0, [1, 2, 3, 4])]
        coco_json(tmp_path / "a.json", images, boxes, kinds)
        table = open_dataset(tmp_path)
        assert table.box_classes == ("cat", "dog") and table.box_class_ids == (1, 2)
        assert "the category 0 ('things') is the root of the others and has no box; it is no class" in table.notes[0]
        coco_json(tmp_path / "a.json", images, [*boxes, an_annotation(2, 0, [5, 2, 3, 4], 0)], kinds)
        assert open_dataset(tmp_path).box_classes == ("things", "cat", "dog")

    @pytest.mark.parametrize(
        "content",
        [
            {"categories": [{"id": 0, "name": "cat"}], "info": {}},
            {"images": ["a", "b"], "annotations": [], "size": 3},
            {"data": {"images": [], "annotations": []}},
            {"images": [{"id": 1}]},
            [1, 2],
        ],
    )
    def test_other_json_files_are_not_taken_for_it(self, tmp_path: Path, content: Any) -> None:
        make_voc(tmp_path)
        (tmp_path / "notes.json").write_text(json.dumps(content))
        assert open_dataset(tmp_path).format == "voc"

    def test_files_that_are_left_aside_are_said(self, tmp_path: Path) -> None:
        for name in ("train", "test"):
            photo(tmp_path / f"{name}.jpg")
        coco_json(tmp_path / "train.json", [an_image(0, "train.jpg")], [an_annotation(0, 0, [1, 2, 3, 4])])
        write(tmp_path / "test.json", {"images": [an_image(0, "test.jpg")]})
        (fault,) = open_dataset(tmp_path).left_out
        assert fault.path == str(tmp_path / "test.json") and fault.why.startswith("has no list `annotations`")


def test_the_lists_of_voc_in_another_form_of_unicode(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "\u00e9")
    image(tmp_path / f"JPEGImages/{name}.jpg")
    voc_xml(tmp_path / f"Annotations/{name}.xml", voc_object("cat", 1, 1, 9, 9))
    text(tmp_path / "ImageSets/Main/train.txt", "\u00e9")
    assert open_dataset(tmp_path).splits.tolist() == ["train"]
