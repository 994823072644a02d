"""Masks as arrays: panoptic segments as classes and instances, the same in prepared sets and in scoring."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.data.flags import CROWD, IGNORED
from headstart.data.masks import class_mask, instance_masks, segment_classes
from headstart.doctor.checkup import check
from headstart.errors import DataError
from headstart.readers.formats import open_dataset
from support.miniatures_coco import HEIGHT, WIDTH, make_coco_panoptic, segments_png, write

SHARED = Path(__file__).parents[3] / "shared" / "data"
VAL = "annotations/panoptic_val2017.json"


def edited(root: Path, **changes: object) -> Path:
    """The miniature with the one panoptic annotation of its validation file changed."""
    make_coco_panoptic(root)
    content = json.loads((root / VAL).read_text())
    content["annotations"][0] |= changes
    return write(root / VAL, content)


class TestPanoptic:
    def test_segments_are_boxes(self, tmp_path: Path) -> None:
        make_coco_panoptic(tmp_path)
        table = open_dataset(tmp_path)
        assert table.box_classes == table.mask_classes == ("dog", "sky") and table.box_class_ids == (18, 200)
        assert table.class_kinds == {"dog": "thing", "sky": "stuff"}
        assert table.box_ids is not None and table.box_ids.tolist() == [5, 70000] * 3
        assert table.box_labels.tolist() == [1, 0] * 3 and table.box_flags.tolist() == [0, CROWD] * 3
        assert table.boxes_xyxy[1].tolist() == [0, 2, 10, 30] and table.box_areas is not None
        assert "1 of 2 classes are stuff" in table.notes[0]

    def test_pixels_are_classes_and_instances(self, tmp_path: Path) -> None:
        make_coco_panoptic(tmp_path)
        table = open_dataset(tmp_path)
        mask = class_mask(table, 2)
        expected = np.ones((HEIGHT, WIDTH), np.uint8)
        expected[:, :10], expected[:2] = 0, IGNORED
        assert mask is not None and mask.dtype == np.uint8 and np.array_equal(mask, expected)
        sky, dog = instance_masks(table, 2)
        assert np.array_equal(sky, expected == 1) and np.array_equal(dog, expected == 0)
        with pytest.raises(DataError, match="the mask is 40 x 30 pixels, its image 41 x 30"):
            instance_masks(table, 2, (30, 41))

    def test_prepared_sets_score_the_same_classes(self, tmp_path: Path) -> None:
        make_coco_panoptic(tmp_path / "data")
        table = open_dataset(tmp_path / "data")
        make_image_set(
            table,
            [2, 0],
            [0, 1],
            "segment",
            size_hw=(HEIGHT, WIDTH),
            resize="stretch",
            out=tmp_path / "out",
            progress=lambda *_: None,
        )
        images = ImageSet.open(tmp_path / "out")
        assert images.segment_ids is not None
        images = replace(images, mask_place=table.place)
        assert images.masks is not None
        for k, row in enumerate((2, 0)):
            assert np.array_equal(images.masks[k], class_mask(table, row))
            assert np.array_equal(images.true_mask(k), class_mask(table, row))

    def test_a_segment_left_out_takes_the_mask_with_it(self, tmp_path: Path) -> None:
        flat = {"id": 5, "category_id": 200, "iscrowd": 0, "bbox": [10, 2, 0, 28], "area": 840}
        path = edited(tmp_path, segments_info=[flat])
        with pytest.raises(DataError, match=r"annotation 5 has width 0 .*--on-bad-box skip"):
            open_dataset(tmp_path)
        table = open_dataset(tmp_path, on_bad_box="skip")
        assert table.supports("segment").tolist() == [True, True, False] and table.boxes_known.all()
        assert f"{path}: 1 images have no mask, since segments of them were left out; first: 3.jpg" in table.notes

    def test_a_segment_that_is_not_annotated(self, tmp_path: Path) -> None:
        make_coco_panoptic(tmp_path)
        path = segments_png(tmp_path / "annotations/panoptic_val2017/3.png", np.full((HEIGHT, WIDTH), 77))
        with pytest.raises(DataError, match="segment 77 is drawn and not in the annotation of its image") as caught:
            class_mask(open_dataset(tmp_path), 2)
        assert str(path) in str(caught.value)
        with pytest.raises(DataError, match="segment 77"):
            segment_classes(path, np.zeros(0, np.int64), np.zeros(0, np.int16))

    def test_the_doctor_looks_at_every_segment(self, tmp_path: Path) -> None:
        make_coco_panoptic(tmp_path)
        assert check(tmp_path, images=True).clean
        ids = np.full((HEIGHT, WIDTH + 1), 5)
        ids[:, :9] = 77
        path = segments_png(tmp_path / "annotations/panoptic_val2017/3.png", ids)
        faults = {
            (f.rule, f.path, f.record) for finding in check(tmp_path, images=True).findings for f in finding.faults
        }
        assert faults == {
            ("mask-size-differs", str(path), ""),
            ("mask-value-unknown", str(path), "segment 77"),
            ("segment-not-drawn", str(path), "segment 70000"),
        }
        Image.new("L", (WIDTH, HEIGHT)).save(path)
        assert [f.rule for f in check(tmp_path, images=True).findings] == ["mask-unreadable"]

    def test_a_mask_that_is_no_color_image(self, tmp_path: Path) -> None:
        make_coco_panoptic(tmp_path)
        Image.new("L", (WIDTH, HEIGHT)).save(tmp_path / "annotations/panoptic_val2017/3.png")
        with pytest.raises(DataError, match=r"3\.png: the mask has mode L; the ids of segments are stored as RGB"):
            class_mask(open_dataset(tmp_path), 2)

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"image_id": 9}, "annotation 5 is of image 9, which the file does not list"),
            ({"image_id": 9, "segments_info": []}, "annotation number 0 (image 9) is of an image which the file does"),
            ({"file_name": None}, "annotation number 0 (image 3) has file_name None. Write the name of its PNG file"),
            ({"segments_info": 3}, "has segments_info that are no list of objects with a category_id each"),
            ({"segments_info": [{"id": 3}]}, "has segments_info that are no list of objects with a category_id each"),
        ],
    )
    def test_bad_annotation_is_named(self, tmp_path: Path, changes: dict[str, object], says: str) -> None:
        path = edited(tmp_path, **changes)
        with pytest.raises(DataError) as caught:
            open_dataset(tmp_path)
        assert f"{path}: " in str(caught.value) and says in str(caught.value)

    def test_two_annotations_of_one_image(self, tmp_path: Path) -> None:
        make_coco_panoptic(tmp_path)
        content = json.loads((tmp_path / VAL).read_text())
        content["annotations"].append({"image_id": 3, "file_name": "3.png", "segments_info": []})
        write(tmp_path / VAL, content)
        with pytest.raises(DataError, match=r"annotation number 1 \(image 3\) is the second of its image\. Take one"):
            open_dataset(tmp_path)
        assert not open_dataset(tmp_path, on_bad_record="skip").supports("segment")[2]

    def test_folders_that_are_not_there(self, tmp_path: Path) -> None:
        make_coco_panoptic(tmp_path)
        (tmp_path / "annotations/panoptic_val2017/3.png").unlink()
        with pytest.raises(DataError, match=r"panoptic_val2017: none of its first PNG files is there .*Unpack"):
            open_dataset(tmp_path)
        (tmp_path / "annotations/panoptic_val2017").rmdir()
        with pytest.raises(DataError, match=r"with its PNG files is not there\. Unpack panoptic_val2017\.zip beside"):
            open_dataset(tmp_path)

    def test_read_as_instances_it_names_the_right_format(self, tmp_path: Path) -> None:
        make_coco_panoptic(tmp_path)
        with pytest.raises(DataError, match=r"which are panoptic ones\. Read it with --format coco-panoptic"):
            open_dataset(tmp_path / VAL, format="coco")


def test_coco128_panoptic_as_its_semantic_masks() -> None:
    """The same folder holds masks whose values are the category ids: another way to the same pixels."""
    root = SHARED / "coco128"
    if not root.is_dir():
        pytest.skip("no coco128 beside the repository")
    table = open_dataset(root, format="coco-panoptic")
    assert [len(table.rows_of(split)) for split in ("train", "val")] == [30, 30] and len(table.box_labels) == 623
    assert int(np.diff(table.box_offsets)[table.rows_of("train")].sum()) == 305
    ids = np.array([*table.box_class_ids, *[0] * (256 - len(table.box_class_ids))])
    assert table.box_areas is not None
    for i in range(len(table)):
        mask = class_mask(table, i)
        split = table.image_path(i).parent.name
        drawn = np.asarray(Image.open(root / "semantic_masks" / split / f"{table.image_path(i).stem}.png"))
        assert mask is not None and np.array_equal(np.where(mask == IGNORED, 0, ids[mask]), drawn)
        rows = slice(table.box_offsets[i], table.box_offsets[i + 1])
        assert instance_masks(table, i).sum((1, 2)).tolist() == table.box_areas[rows].tolist()
