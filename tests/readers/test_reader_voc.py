"""Pascal VOC: the shift by one, odd boxes, bad XML, which image belongs to which file."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data.flags import DIFFICULT, OCCLUDED, TRUNCATED
from headstart.errors import DataError
from headstart.readers.formats import open_dataset
from support.miniatures import (
    HEIGHT,
    WIDTH,
    image,
    make_voc,
    text,
    voc_object,
    voc_xml,
)


class TestVoc:
    def test_boxes_lose_one_at_top_left_only(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        table = open_dataset(tmp_path)
        assert table.box_classes == ("cat", "dog") and table.source_convention == "voc"
        assert table.boxes_source[0].tolist() == [1, 1, WIDTH, HEIGHT]
        assert table.boxes_xyxy.tolist() == [[0, 0, WIDTH, HEIGHT], [2, 4, 10, 25], [1.5, 1, 4, 4], [0, 0, 2, 2]]
        assert table.box_labels.tolist() == [1, 0, 1, 0] and table.box_offsets.tolist() == [0, 2, 3, 3, 4]
        assert table.box_flags.tolist() == [TRUNCATED | DIFFICULT, 0, OCCLUDED, 0]
        assert table.boxes_known.all(), "an XML file without objects is an empty list, not an unknown one"

    def test_zero_based_files_keep_their_corners(self, tmp_path: Path) -> None:
        image(tmp_path / "images/a.jpg")
        voc_xml(tmp_path / "annotations/a.xml", voc_object("cat", 0, 0, WIDTH, 9))
        assert open_dataset(tmp_path, zero_based=True).boxes_xyxy.tolist() == [[0, 0, WIDTH, 9]]
        counted_from_one = open_dataset(tmp_path)
        assert counted_from_one.boxes_xyxy.tolist() == [[-1, -1, WIDTH, 9]]
        assert "1 boxes leave their images" in counted_from_one.notes[0] and "zero_based" in counted_from_one.notes[0]

    def test_odd_boxes_are_refused_or_listed(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        odd = (
            voc_object("cat", 5, 5, 5, 9),
            voc_object("cat", 30, 20, 99, 25),
            voc_object("dog", 50, 1, 60, 9),
            voc_object("dog", 1, 1, 9, 9),
        )
        path = voc_xml(tmp_path / "Annotations/d.xml", *odd)
        table = open_dataset(tmp_path, on_bad_box="skip")
        assert table.boxes_xyxy[3:].tolist() == [[29, 19, 99, 25], [0, 0, 9, 9]]
        assert table.boxes_source[3].tolist() == [30, 20, 99, 25]
        assert [str(fault).replace(str(path), "d.xml") for fault in table.left_out] == [
            "d.xml: object 0 ('cat') has xmax 5 <= xmin 5. Correct the file",
            "d.xml: object 2 ('dog') lies outside the image of 40 x 30 with (50, 1, 60, 9). Correct the file",
        ]
        assert [note.replace(str(path), "d.xml") for note in table.notes] == [
            "1 boxes leave their images and are clipped where they are trained on; first: d.xml: object 1 ('cat')"
        ]
        with pytest.raises(
            DataError, match=r"object 0 \('cat'\) has xmax 5 <= xmin 5\. Correct the file, or pass --on-bad-box skip"
        ) as caught:
            open_dataset(tmp_path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ("<annotation><object>", "not readable as XML (no element found: line 1, column 20). Export or fetch"),
            ("", "not readable as XML"),
            ('<!DOCTYPE a [<!ENTITY e "x">]><annotation>&e;</annotation>', "declares a document type, and entities"),
            ('<!DOCTYPE a SYSTEM "file:///etc/hostname"><annotation/>', "Remove the DOCTYPE line"),
            ("<dataset/>", "the root is <dataset>, Pascal VOC has <annotation>"),
            ("<annotation><object/></annotation>", "object 0 has no <name>. Give the object its class"),
            ("<annotation><object><name>cat</name></object></annotation>", "object 0 ('cat') has no <bndbox>. Draw"),
            (
                f"<annotation>{voc_object('cat', 'nan', 1, 2, 2)}</annotation>",
                "has xmin 'nan', which is no number. Write",
            ),
            (f"<annotation>{voc_object('cat', 1, '', 2, 2)}</annotation>", "object 0 ('cat') has ymin ''"),
        ],
    )
    def test_bad_xml_is_named(self, tmp_path: Path, content: str, says: str) -> None:
        make_voc(tmp_path)
        (tmp_path / "Annotations/b.xml").write_text(content)
        with pytest.raises(DataError) as caught:
            open_dataset(tmp_path)
        assert f"{tmp_path / 'Annotations/b.xml'}: " in str(caught.value) and says in str(caught.value)

    def test_entities_are_refused_in_any_encoding(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        content = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY e "x">]><annotation/>'
        (tmp_path / "Annotations/b.xml").write_bytes(content.encode("utf-16"))
        with pytest.raises(DataError, match="declares a document type"):
            open_dataset(tmp_path)

    def test_image_is_found_by_stem_or_by_the_name_inside(self, tmp_path: Path) -> None:
        image(tmp_path / "images/a.png")
        image(tmp_path / "images/real.jpg", 1)
        image(tmp_path / "images/alone.jpg", 2)
        voc_xml(tmp_path / "annotations/a.xml", voc_object("cat", 1, 1, 9, 9), filename="a.jpg")
        voc_xml(tmp_path / "annotations/b.xml", voc_object("cat", 1, 1, 9, 9), filename="C:\\photos\\real.jpg")
        table = open_dataset(tmp_path)
        assert dict(zip(table.image_ids, table.paths, strict=True)) == {
            "a": "images/a.png",
            "b": "images/real.jpg",
            "alone": "images/alone.jpg",
        }
        assert table.boxes_known.tolist() == [name != "alone" for name in table.image_ids]
        assert not any("another image" in n for n in table.notes)
        assert any(
            "1 images have no XML file and take no part in detection; first: alone.jpg" in n for n in table.notes
        )

    def test_stem_wins_over_the_name_inside(self, tmp_path: Path) -> None:
        image(tmp_path / "images/a.png")
        image(tmp_path / "images/b.png", 1)
        for stem, inside in (("a", "b.png"), ("b", "b.png")):
            voc_xml(tmp_path / f"annotations/{stem}.xml", voc_object("cat", 1, 1, 9, 9), filename=inside)
        table = open_dataset(tmp_path)
        assert list(table.paths) == ["images/a.png", "images/b.png"]
        assert (
            "1 files name another image than their own name does, which was used; first: a.xml (b.png)"
            in table.notes[0]
        )
        image(tmp_path / "images/a.jpg")
        with pytest.raises(DataError, match=r"a\.xml: more than one image in .* is named 'a' or 'b\.png'"):
            open_dataset(tmp_path)

    def test_xml_without_image_is_named(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        (tmp_path / "JPEGImages/b.jpg").unlink()
        with pytest.raises(
            DataError, match=r"Annotations/b\.xml: no image in .* is named 'b'.*Put the one image there"
        ):
            open_dataset(tmp_path)

    def test_wrong_size_is_named_and_missing_size_read_from_the_image(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        voc_xml(tmp_path / "Annotations/d.xml", voc_object("cat", 1, 1, 2, 2), size="")
        assert open_dataset(tmp_path).sizes_hw[3].tolist() == [HEIGHT, WIDTH]
        wrong = "<size><width>400</width><height>300</height></size>"
        voc_xml(tmp_path / "Annotations/d.xml", voc_object("cat", 1, 1, 2, 2), size=wrong)
        with pytest.raises(
            DataError, match=r"d\.xml: <size> says 400 x 300, the image d\.jpg is 40 x 30.*remove <size>"
        ):
            open_dataset(tmp_path)

    def test_lists_that_do_not_hold_are_named(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        text(tmp_path / "ImageSets/Main/test.txt", "a")
        with pytest.raises(
            DataError, match=r"test\.txt: 'a' is a test image and in train\.txt too\. .*out of one list"
        ):
            open_dataset(tmp_path)
        text(tmp_path / "ImageSets/Main/test.txt", "nowhere")
        with pytest.raises(DataError, match=r"test\.txt: 'nowhere' has neither an image nor an XML file"):
            open_dataset(tmp_path)

    def test_files_beside_images_in_split_folders(self, tmp_path: Path) -> None:
        for split in ("train", "valid"):
            image(tmp_path / split / "a.jpg")
            voc_xml(tmp_path / split / "a.xml", voc_object("cat", 1, 1, 9, 9))
        table = open_dataset(tmp_path)
        assert list(table.image_ids) == ["train/a", "valid/a"] and list(table.splits) == ["train", "val"]

    def test_no_objects_at_all(self, tmp_path: Path) -> None:
        image(tmp_path / "images/a.jpg")
        voc_xml(tmp_path / "annotations/a.xml")
        with pytest.raises(DataError, match="none of the 1 XML files holds an object"):
            open_dataset(tmp_path)
