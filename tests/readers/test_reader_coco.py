"""COCO instances, LVIS and Objects365: numbers kept exactly, against pycocotools; where files are; what is refused."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.flags import CROWD, DIFFICULT, OCCLUDED
from headstart.data.masks import instance_masks
from headstart.errors import DataError
from headstart.readers.formats import open_dataset
from support.miniatures_coco import (
    HEIGHT,
    WIDTH,
    an_annotation,
    an_image,
    coco_json,
    make_coco,
    make_lvis,
    make_objects365,
    photo,
    square,
    write,
)

SHARED = Path(__file__).parents[3] / "shared" / "data"
TRAIN, VAL = "annotations/instances_train2017.json", "annotations/instances_val2017.json"


def edited(root: Path, change: Any, name: str = VAL) -> Path:
    """The miniature with one file changed in place."""
    make_coco(root)
    path = root / name
    content = json.loads(path.read_text())
    change(content)
    return write(path, content)


class TestCoco:
    def test_says_what_the_files_say(self, tmp_path: Path) -> None:
        make_coco(tmp_path)
        table = open_dataset(tmp_path)
        assert list(table.image_ids) == ["12", "11", "7"] and table.box_offsets.tolist() == [0, 0, 3, 4]
        assert table.box_classes == ("cat", "dog") and table.box_class_ids == (1, 3)
        assert table.boxes_known.all(), "an image without annotations has an empty list of boxes"
        assert table.box_ids is not None and table.box_ids.tolist() == [500, 490, 510, 3]
        assert table.box_areas is not None and table.box_areas.tolist() == [9.75, 3, 5, 100]
        assert table.box_labels.tolist() == [1, 0, 0, 1] and table.box_flags.tolist() == [0, CROWD, 0, 0]
        assert table.boxes_source[0].tolist() == [1.25, 2, 3, 4.5]
        assert table.boxes_xyxy[0].tolist() == [1.25, 2, 4.25, 6.5]
        kind, rings = table.outline(0) or ("", [])
        assert kind == "polygons" and [ring.tolist() for ring in rings] == square(1, 2, 3)
        assert table.outline(2) == ("rle", b"05[U1")

    def test_masks_of_each_kind(self, tmp_path: Path) -> None:
        make_coco(tmp_path)
        table = open_dataset(tmp_path)
        assert instance_masks(table, 0).shape == (0, HEIGHT, WIDTH)
        polygon, uncompressed, compressed = instance_masks(table, 1)
        assert polygon.sum() == 9 and polygon[2:5, 1:4].all()
        assert np.argwhere(uncompressed).tolist() == [[2, 0], [3, 0], [4, 0]]
        assert np.argwhere(compressed).tolist() == [[k, 0] for k in range(5)]

    def test_one_file_alone_finds_its_images(self, tmp_path: Path) -> None:
        make_coco(tmp_path)
        table = open_dataset(tmp_path / VAL)
        assert list(table.image_ids) == ["7"] and list(table.splits) == ["val"] and table.image_path(0).is_file()

    @pytest.mark.parametrize(
        ("file", "images", "split"),
        [
            ("train/_annotations.coco.json", "train", "train"),
            ("valid/_annotations.coco.json", "valid", "val"),
            ("_annotations.coco.json", "", ""),
            ("annotations/test.json", "images/test", "test"),
            ("annotations/instances_default.json", "images/default", ""),
            ("labels.json", "data", ""),
            ("annotations/instances_minitrain2017.json", "images", ""),
            ("val.json", "images", "val"),
        ],
    )
    def test_layouts_of_exporters(self, tmp_path: Path, file: str, images: str, split: str) -> None:
        photo(tmp_path / images / "a.jpg")
        coco_json(tmp_path / file, [an_image(0, "a.jpg")], [an_annotation(0, 0, [1, 2, 3, 4])])
        table = open_dataset(tmp_path)
        assert table.format == "coco" and list(table.splits) == [split]
        assert list(table.paths) == [f"{images}/a.jpg".lstrip("/")]

    def test_equal_ids_of_two_files_get_their_names(self, tmp_path: Path) -> None:
        for part in ("train", "valid"):
            photo(tmp_path / part / "a.jpg")
            coco_json(
                tmp_path / part / "_annotations.coco.json", [an_image(0, "a.jpg")], [an_annotation(0, 0, [1, 2, 3, 4])]
            )
        table = open_dataset(tmp_path)
        assert list(table.image_ids) == ["train/0", "valid/0"] and list(table.splits) == ["train", "val"]

    def test_boxes_alone_are_enough(self, tmp_path: Path) -> None:
        photo(tmp_path / "images/a.jpg")
        content = {
            "images": [{"id": "a", "file_name": "a.jpg"}],
            "annotations": [
                {"image_id": "a", "category_id": 1, "bbox": [1, 2, 3, 4]},
                {"image_id": "a", "category_id": 3, "bbox": [5, 2, 3, 4], "segmentation": []},
            ],
            "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}],
        }
        write(tmp_path / "annotations/train.json", content)
        table = open_dataset(tmp_path)
        assert table.box_ids is None and table.box_areas is None and table.outline(0) is None
        assert table.sizes_hw.tolist() == [[0, 0]] and list(table.image_ids) == ["a"]
        with pytest.raises(DataError, match=r"a\.jpg: its size is not known\. Fill it in with .*with_sizes"):
            instance_masks(table, 0)
        with pytest.raises(DataError, match=r"box 0 of image 'a': it has no outline\. Correct its outline"):
            instance_masks(table, 0, (HEIGHT, WIDTH))

    def test_missing_areas_are_those_of_boxes_and_told(self, tmp_path: Path) -> None:
        edited(tmp_path, lambda c: c["annotations"][0].pop("area"), TRAIN)
        table = open_dataset(tmp_path)
        assert table.box_areas is not None and table.box_areas.tolist() == [13.5, 3, 5, 100]
        assert any("1 annotations have no area" in note and "annotation 500" in note for note in table.notes)

    def test_flags_and_labels_beyond_cocos_own(self, tmp_path: Path) -> None:
        def add(content: dict[str, Any]) -> None:
            content["annotations"][0] |= {"difficult": 1, "occluded": True, "inside": 0, "truncated": 0.3}
            content["images"][0]["label"] = "farm"

        edited(tmp_path, add)
        table = open_dataset(tmp_path / VAL)
        assert table.box_flags.tolist() == [DIFFICULT | OCCLUDED]
        assert table.image_classes == ("farm",) and table.image_labels.tolist() == [0]
        assert any("1 values of difficult, " in note for note in table.notes)
        assert open_dataset(tmp_path).image_classes == (), "not every image has a label"

    def test_a_name_that_two_categories_share(self, tmp_path: Path) -> None:
        """Roboflow's exports list the project as category 0, which may be named as a class."""
        edited(tmp_path, lambda c: c["categories"].append({"id": 0, "name": "dog"}))
        assert open_dataset(tmp_path).box_class_ids == (1, 3)
        edited(
            tmp_path,
            lambda c: (
                c["categories"].append({"id": 0, "name": "dog"}),
                c["annotations"].append(an_annotation(9, 7, [1, 1, 2, 2], 0)),
            ),
        )
        with pytest.raises(DataError, match=r"the categories 3, 0 are all named 'dog'\. Give each a name of its own"):
            open_dataset(tmp_path)

    def test_images_elsewhere(self, tmp_path: Path) -> None:
        make_coco(tmp_path / "a")
        shutil.move(tmp_path / "a/val2017", tmp_path / "photos")
        with pytest.raises(
            DataError, match=r"none of its images is there: looked for '7\.jpg' in .*--read images=FOLDER"
        ):
            open_dataset(tmp_path / "a" / VAL)
        table = open_dataset(tmp_path / "a" / VAL, images=str(tmp_path / "photos"))
        assert table.image_path(0).is_file() and str(table.image_path(0)) == str(tmp_path / "photos/7.jpg")

    def test_names_with_folders_are_tried_by_their_ends(self, tmp_path: Path) -> None:
        photo(tmp_path / "images/a.jpg")
        coco_json(tmp_path / "result.json", [an_image(0, "C:\\upload\\3\\a.jpg")], [an_annotation(0, 0, [1, 2, 3, 4])])
        assert list(open_dataset(tmp_path).paths) == ["images/a.jpg"]

    def test_files_that_share_images_or_splits(self, tmp_path: Path) -> None:
        make_coco(tmp_path)
        shutil.copy(tmp_path / TRAIN, tmp_path / "annotations/instances_train2014.json")
        with pytest.raises(
            DataError, match=r"instances_train2014\.json and instances_train2017\.json are both the train"
        ):
            open_dataset(tmp_path)
        (tmp_path / "annotations/instances_train2014.json").rename(tmp_path / "annotations/instances_mini.json")
        with pytest.raises(
            DataError, match=r"the image 'train2017/12\.jpg' is in instances_.*\.json too\. Name the one"
        ):
            open_dataset(tmp_path)

    def test_a_list_of_detections_is_told_apart(self, tmp_path: Path) -> None:
        path = write(tmp_path / "results.json", [an_annotation(1, 1, [1, 2, 3, 4], score=0.5)])
        with pytest.raises(DataError, match=r"results\.json: is a list, as files of detections are"):
            open_dataset(path, format="coco")


BAD_ANNOTATIONS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"bbox": None}, "box-missing", "annotation 3 has no bbox", "--on-bad-box skip"),
    ({"bbox": [1, 2, 3]}, "box-not-finite", "has bbox [1, 2, 3], which is not four numbers", "--on-bad-box skip"),
    ({"bbox": [1, 2, "3", 4]}, "box-not-finite", "not four numbers", "--on-bad-box skip"),
    ({"bbox": [1, 2, True, 4]}, "box-not-finite", "not four numbers", "--on-bad-box skip"),
    ({"bbox": [1, 2, 10**400, 4]}, "box-not-finite", "no pixel positions", "--on-bad-box skip"),
    ({"bbox": [1, 2, float("nan"), 4]}, "box-not-finite", "no pixel positions", "--on-bad-box skip"),
    ({"bbox": [1, 2, 0, 4]}, "box-without-extent", "has width 0 and height 4", "--on-bad-box skip"),
    ({"bbox": [100, 2, 3, 4]}, "box-outside", "lies outside the image of 40 x 30", "--on-bad-box skip"),
    ({"category_id": None}, "label-missing", "has category_id None", "Correct it, or list the category."),
    ({"category_id": 77}, "label-unknown", "has category_id 77, which is no category", "Correct it"),
    ({"category_id": [3]}, "label-unknown", "has category_id [3]", "Correct it"),
    ({"image_id": 999}, "annotation-without-image", "is of image 999, which the file does not list", "List the image"),
    ({"image_id": {"a": 1}}, "annotation-without-image", "is of image {'a': 1}", "List the image"),
    ({"image_id": None}, "annotation-without-image", "is of image None", "List the image"),
    ({"iscrowd": 7}, "flag-unknown", "has iscrowd 7, which is neither 0 nor 1", "Write 0 or 1."),
    ({"area": "big"}, "area-impossible", "has area 'big'", "take area out."),
    ({"area": -1}, "area-impossible", "has area -1", "take area out."),
    ({"segmentation": [1, 2, 3, 4, 5, 6]}, "outline-unreadable", "inside the list of polygons", "Export"),
    ({"segmentation": [[1, 2, 3]]}, "outline-unreadable", "a polygon of 3 numbers lacks one", "Export the outline"),
    ({"segmentation": [[1, 2, "3", 4]]}, "outline-unreadable", "cannot be read", "Export the outline again"),
    ({"segmentation": [[1, 2, 1e300, 4, 5, 6]]}, "outline-unreadable", "more than 1000000 pixels away", "Correct the"),
    ({"segmentation": "x" * 10**6}, "outline-unreadable", "has a segmentation 'xxx", "Export the outline again"),
    ({"segmentation": {"counts": [1, 2], "size": [30, 40]}}, "outline-unreadable", "3 pixels together", "Export the"),
    ({"segmentation": {"counts": "\u20ac", "size": [30, 40]}}, "outline-unreadable", "cannot be read", "Export the"),
    ({"segmentation": {"counts": "05[U", "size": [30, 40]}}, "outline-unreadable", "ends within a number", "Export"),
    ({"segmentation": {"counts": [1.5], "size": [30, 40]}}, "outline-unreadable", "neither a text nor", "Export the"),
    (
        {"segmentation": {"counts": [6], "size": [2, 3]}},
        "mask-size-differs",
        "run lengths of 3 x 2, its image is 40 x",
        "Export the mask at the size of its image.",
    ),
    ({"segmentation": {"counts": [], "size": [10**30, 1]}}, "outline-unreadable", "run lengths", "Export the outline"),
    ({"id": 2**70}, "id-missing", "has id", "Give it a whole number of its own."),
]


class TestBadRecords:
    @pytest.mark.parametrize(("change", "rule", "says", "advice"), BAD_ANNOTATIONS)
    def test_annotation_is_named_or_left_out(
        self, tmp_path: Path, change: dict[str, Any], rule: str, says: str, advice: str
    ) -> None:
        def add(content: dict[str, Any]) -> None:
            content["annotations"].insert(0, an_annotation(4, 7, [1, 1, 2, 2]))
            content["annotations"][1] |= change

        path = edited(tmp_path, add)
        with pytest.raises(DataError) as caught:
            open_dataset(tmp_path)
        record = f"annotation {change.get('id', 3)} "
        assert f"{path}: {record}" in str(caught.value) and says in str(caught.value) and advice in str(caught.value)
        table = open_dataset(tmp_path, on_bad_box="skip", on_bad_record="skip")
        assert [fault.rule for fault in table.left_out] == [rule]
        kept = {"area", "segmentation"} & change.keys()  # A part of the annotation: its box stays.
        assert table.box_offsets.tolist() == [0, 0, 3, 5 if kept else 4]
        assert table.boxes_source[3].tolist() == [1, 1, 2, 2]
        assert not kept or table.outline(4) is None or "area" in change

    @pytest.mark.parametrize(
        ("change", "rule", "says"),
        [
            ({"id": None}, "id-missing", "image number 1 ('8.jpg') has id None. Give it an id."),
            ({"file_name": None}, "image-name-missing", "image 8 has file_name None. Write the path"),
            ({"file_name": "../"}, "image-name-missing", "image 8 has file_name '../'"),
            ({"file_name": "x" * 10**5}, "image-name-missing", "image 8 has file_name 'xxx"),
            ({"width": "40"}, "size-impossible", "image 8 has the size '40' x 30. Write its width"),
            ({"height": 10**40}, "size-impossible", "image 8 has the size 40 x a whole number of more than 30 digits"),
            ({"height": -30}, "size-impossible", "image 8 has the size 40 x -30"),
            ({"id": 7}, "id-not-unique", "image 7 stands for two images, so whose its annotations are cannot be known"),
            ({"id": 7, "file_name": "7.jpg"}, "id-not-unique", "image 7 stands twice ('7.jpg')"),
        ],
    )
    def test_image_is_named_or_left_out(self, tmp_path: Path, change: dict[str, Any], rule: str, says: str) -> None:
        path = edited(tmp_path, lambda c: c["images"].append(an_image(8, "8.jpg") | change))
        with pytest.raises(DataError) as caught:
            open_dataset(tmp_path)
        assert f"{path}: {says}" in str(caught.value)
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert [fault.rule for fault in table.left_out] == [rule]
        ambiguous = change == {"id": 7}
        assert list(table.image_ids) == ["12", "11", *([] if ambiguous else ["7"])]
        assert any("1 annotations were left out with their images" in note for note in table.notes) == ambiguous

    def test_ids_of_annotations_are_unique(self, tmp_path: Path) -> None:
        path = edited(tmp_path, lambda c: c["annotations"].append(an_annotation(3, 7, [1, 1, 2, 2])))
        with pytest.raises(DataError, match="annotation 3 is number 1 of the file and has the id of an earlier one"):
            open_dataset(tmp_path)
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert len(table.box_labels) == 4 and str(path) == table.left_out[0].path

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("{", "cannot be read as JSON"),
            ('{"images": ' + "[" * 10**5, "nested too deeply"),
            ('{"images": [{"id": ' + "9" * 10**5 + "}]}", "cannot be read as JSON"),
            ('{"images": [], "images": []}', "the key 'images' stands twice in one object"),
            ('{"images": [{"id": 1, "file_name": "a", "id": 2}]}', "the key 'id' stands twice"),
            ('{"annotations": []}', "has no list `images`. Name the file that lists the images"),
            ('{"images": {}, "annotations": []}', "`images` is not a list of objects"),
            ('{"images": [3]}', "`images` is not a list of objects"),
            ('{"images": [], "annotations": 3}', "`annotations` is 3, not a list"),
            (
                '{"images": [], "annotations": [], "categories": [{"id": 1}]}',
                "category number 0 has id 1 and name None",
            ),
            (
                '{"images": [], "annotations": [], "categories": [{"id": 50, "name": "a"}, {"id": 50, "name": "b"}]}',
                "two categories have",
            ),
            ('{"images": [], "annotations": []} {', "cannot be read as JSON"),
            ('{"images": [], "annotations": [{"image_id": 1} {}]}', "cannot be read as JSON"),
            ('{"images" [], "annotations": []}', "cannot be read as JSON"),
            ('"text"', "is 'text', not an object"),
            ("\ufeff{", "cannot be read as JSON"),
        ],
    )
    def test_file_that_cannot_be_read(self, tmp_path: Path, text: str, says: str) -> None:
        make_coco(tmp_path)
        (tmp_path / VAL).write_text(text)
        with pytest.raises(DataError) as caught:
            open_dataset(tmp_path, on_bad_box="skip", on_bad_record="skip")
        assert f"{tmp_path / VAL}: " in str(caught.value) and says in str(caught.value)
        assert len(str(caught.value)) < 1000

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        make_coco(tmp_path)
        (tmp_path / VAL).write_bytes(b'{"images": "\xff"}')
        with pytest.raises(DataError, match="cannot be read as UTF-8 text"):
            open_dataset(tmp_path)

    def test_one_id_with_two_names(self, tmp_path: Path) -> None:
        edited(tmp_path, lambda c: c["categories"][0].update(name="wolf"))
        with pytest.raises(DataError, match=r"category 3 is 'wolf' here and 'dog' in instances_train2017"):
            open_dataset(tmp_path)


def test_lvis_keeps_what_is_verified(tmp_path: Path) -> None:
    make_lvis(tmp_path)
    table = open_dataset(tmp_path)
    assert list(table.paths) == ["train2017/2.jpg", "train2017/1.jpg", "val2017/3.jpg"]
    assert table.box_classes == table.image_classes == ("cat", "dog", "eel") and table.image_class_ids == (1, 2, 9)
    said = [[part.tolist() for part in table.verified(i)] for i in range(3)]
    assert said == [[[1], [2], [1]], [[0, 1], [], []], [[2], [0, 1], [2]]]
    assert table.class_kinds == {"cat": "frequent", "dog": "rare", "eel": "common"}
    assert instance_masks(table, 0)[0].sum() == 25

    content = json.loads((tmp_path / "annotations/lvis_v1_train.json").read_text())
    content["images"][0]["neg_category_ids"] = [9, 55]
    path = write(tmp_path / "annotations/lvis_v1_train.json", content)
    with pytest.raises(DataError, match="image 2 has 55 in neg_category_ids, which is no category") as caught:
        open_dataset(tmp_path)
    assert str(path) in str(caught.value)
    assert open_dataset(tmp_path, on_bad_record="skip").verified(0)[1].tolist() == [2]


def test_objects365_finds_patches(tmp_path: Path) -> None:
    make_objects365(tmp_path)
    table = open_dataset(tmp_path)
    assert list(table.image_ids) == ["train/1", "train/2", "val/1", "val/2"]
    assert table.paths[2] == "val/patch3/objects365_v1_00000001.jpg"
    assert table.boxes_source[1].tolist() == [2, 2.5, 7.25, 9.125]


@pytest.mark.parametrize("split", ["train", "val"])
def test_coco_tiny_equals_pycocotools_bit_for_bit(split: str) -> None:
    """Every box, area, crowd flag, category and mask of the 918 annotations."""
    from pycocotools.coco import COCO

    if not (SHARED / "coco_tiny").is_dir():
        pytest.skip("no coco_tiny beside the repository")
    table = open_dataset(SHARED / "coco_tiny")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(SHARED / f"coco_tiny/annotations/instances_{split}2017.json"))
    rows = table.rows_of(split)
    assert sorted(int(table.image_id(i)) for i in rows) == sorted(theirs.getImgIds())
    assert table.box_ids is not None and table.box_areas is not None
    assert table.box_class_ids == tuple(theirs.getCatIds())
    seen = 0
    for i in rows.tolist():
        anns = theirs.loadAnns(theirs.getAnnIds(int(table.image_id(i))))
        boxes = range(table.box_offsets[i], table.box_offsets[i + 1])
        assert [ann["id"] for ann in anns] == [int(table.box_ids[k]) for k in boxes]
        masks = instance_masks(table, i)
        for mask, k, ann in zip(masks, boxes, anns, strict=True):
            assert table.boxes_source[k].tolist() == ann["bbox"] and table.box_areas[k] == ann["area"]
            assert table.box_class_ids[table.box_labels[k]] == ann["category_id"]
            assert bool(table.box_flags[k] & CROWD) == bool(ann["iscrowd"])
            assert np.array_equal(mask, theirs.annToMask(ann).astype(bool))
        seen += len(anns)
    crowds = int(
        (table.box_flags[np.isin(np.repeat(np.arange(len(table)), np.diff(table.box_offsets)), rows)] & CROWD > 0).sum()
    )
    assert (seen, crowds) == {"train": (368, 6), "val": (550, 11)}[split]
