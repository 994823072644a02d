"""Every reader through one battery on miniature folders in the official layouts; formats; real data."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from headstart.data.annotations import Annotations
from headstart.data.flags import CROWD, IGNORED, TRUNCATED
from headstart.data.masks import class_mask
from headstart.data.sizes import with_sizes
from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.readers.formats import READERS, layouts, open_dataset, recognize
from support.miniatures import (
    HEIGHT,
    MAKERS,
    WIDTH,
    image,
    make_index_masks,
    make_voc,
    text,
)

SHARED = Path(__file__).parents[3] / "shared" / "data"
SPLITS = {
    "voc": ["train", "val", "test", ""],
    "class-folders": ["test", "test", "train", "train", "train"],
    "index-masks": ["test", "train", "train", "val"],
    "oxford-pets": ["test", "trainval", "trainval", "test"],
    "yolo": ["train", "train", "train", "val", "test"],
    "voc-segmentation": ["train", "val", "train", "test"],
    "coco": ["train", "train", "val"],
    "lvis": ["train", "val", "val"],
    "objects365": ["train", "train", "val", "val"],
    "coco-panoptic": ["train", "train", "val"],
    "file-list": ["test", "test", "train", "train"],
    "imagenet-loc": ["train", "train", "train", "val", "val", "test"],
    "imagenet-fall11": ["", "", ""],
    "tiny-imagenet": ["train", "train", "val", "test"],
    "imagenet": ["train", "train", "val", "val"],
    "sun397": ["train", "test", "train", ""],
    "camvid": ["train", "train", "val", "test"],
    "caltech256": ["", "", ""],
    "flowers102": ["train", "train", "", "test", "val"],
    "openimages": ["train", "train", "val", "test"],
}
TASKS = {
    "voc": ("detect",),
    "class-folders": ("classify",),
    "index-masks": ("segment",),
    "oxford-pets": ("detect", "segment", "classify"),
    "yolo": ("detect",),
    "voc-segmentation": ("segment",),
    "coco": ("detect",),
    "lvis": ("detect", "classify"),
    "objects365": ("detect",),
    "coco-panoptic": ("detect", "segment"),
    "file-list": ("detect",),
    "imagenet-loc": ("detect", "classify"),
    "imagenet-fall11": ("detect", "classify"),
    "tiny-imagenet": ("detect", "classify"),
    "imagenet": ("classify",),
    "sun397": ("classify",),
    "camvid": ("segment",),
    "caltech256": ("classify",),
    "flowers102": ("classify",),
    "openimages": ("detect", "classify"),
}
OWN_ORDER = {"yolo", "openimages", "imagenet-loc", "imagenet-fall11", "tiny-imagenet"}
"""Formats whose own list gives the order of classes."""
UNSIZED = {"class-folders", "openimages", "imagenet", "imagenet-loc", "sun397", "caltech256", "flowers102"}
"""Formats whose images may have sizes that no annotation tells."""


@pytest.fixture(params=sorted(MAKERS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestEveryReader:
    def test_is_recognized_alone(self, kind: str, tmp_path: Path) -> None:
        MAKERS[kind](tmp_path)
        assert list(recognize(open_place(tmp_path))) == [kind]

    def test_columns_fit_and_files_exist(self, kind: str, tmp_path: Path) -> None:
        MAKERS[kind](tmp_path)
        table = open_dataset(tmp_path)
        n, m = len(table), len(table.box_labels)
        assert table.format == kind
        assert len(set(table.image_ids)) == n == len(table.paths) == len(table.splits) == len(table.mask_paths)
        assert (
            table.sizes_hw.shape == (n, 2) and table.box_offsets.shape == (n + 1,) and table.boxes_known.shape == (n,)
        )
        known = table.sizes_hw.any(1)
        assert known.all() or kind in UNSIZED
        table = with_sizes(table)
        assert table.boxes_xyxy.shape == table.boxes_source.shape == (m, 4) and table.box_flags.shape == (m,)
        assert table.box_offsets[0] == 0 and table.box_offsets[-1] == m
        assert all(table.image_path(i).is_file() for i in range(n))
        assert all(path.is_file() for i in range(n) if (path := table.mask_path(i)))
        assert (table.sizes_hw == (HEIGHT, WIDTH)).all()
        assert table.tasks == TASKS[kind] and list(table.splits) == SPLITS[kind]
        assert sorted(table.box_classes) == list(table.box_classes) or kind in OWN_ORDER

    def test_fingerprint_knows_content_not_place(self, kind: str, tmp_path: Path) -> None:
        MAKERS[kind](tmp_path / "here")
        first = open_dataset(tmp_path / "here").fingerprint
        shutil.copytree(tmp_path / "here", tmp_path / "there", copy_function=shutil.copyfile)  # New times, same bytes.
        assert open_dataset(tmp_path / "there").fingerprint == first
        longer = tmp_path / "there" / open_dataset(tmp_path / "there").image_name(0)
        longer.write_bytes(longer.read_bytes() + b"\0")
        assert open_dataset(tmp_path / "there").fingerprint != first

    def test_fingerprint_names_a_lost_file(self, kind: str, tmp_path: Path) -> None:
        MAKERS[kind](tmp_path)
        table = open_dataset(tmp_path)
        (tmp_path / table.image_name(1)).unlink()
        with pytest.raises(DataError, match="Put the file back") as caught:
            _ = table.fingerprint
        assert str(table.image_path(1)) in str(caught.value)

    def test_select_takes_rows_with_their_boxes(self, kind: str, tmp_path: Path) -> None:
        MAKERS[kind](tmp_path)
        table = open_dataset(tmp_path)
        chosen = table.select([2, 0])
        assert list(chosen.image_ids) == [table.image_ids[2], table.image_ids[0]]
        for new, old in enumerate((2, 0)):
            rows, before = (t.box_offsets[i : i + 2] for t, i in ((chosen, new), (table, old)))
            assert np.array_equal(chosen.boxes_source[slice(*rows)], table.boxes_source[slice(*before)])
        assert len(table.select([])) == 0 and len(table.select([]).box_labels) == 0

    def test_summary_tells_format_and_counts(self, kind: str, tmp_path: Path) -> None:
        MAKERS[kind](tmp_path)
        table = open_dataset(tmp_path)
        lines = table.summary()
        assert f"{kind}, {len(table)} images" in lines[0]
        for name in (*table.box_classes, *table.image_classes, *table.mask_classes):
            assert any(name in line for line in lines[1:])

    def test_damaged_image_is_left_to_decoding(self, kind: str, tmp_path: Path) -> None:
        MAKERS[kind](tmp_path)
        (tmp_path / open_dataset(tmp_path).image_name(0)).write_bytes(b"no image")
        assert open_dataset(tmp_path).tasks == TASKS[kind]


class TestFormats:
    def test_missing_folder_and_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"nowhere: does not exist\. Check the path"):
            open_dataset(tmp_path / "nowhere")
        text(tmp_path / "data.doc", "x")
        with pytest.raises(DataError, match=r"data\.doc: in no known format\.\n(.*\n)*Name the folder"):
            open_dataset(str(tmp_path / "data.doc"))

    def test_unknown_says_what_was_looked_for_and_found(self, tmp_path: Path) -> None:
        text(tmp_path / "labels.csv", "x")
        make_voc(tmp_path / "VOC2007")
        with pytest.raises(DataError, match="in no known format") as caught:
            open_dataset(tmp_path)
        message = str(caught.value)
        assert (
            "Found: 4 .xml (VOC2007/Annotations/a.xml, ..)" in message
            and f"Did you mean {tmp_path / 'VOC2007'}?" in message
        )
        assert message.count(chr(10)) < 10 and "`headstart check --formats`" in message
        assert [line.split()[0] for line in layouts()] == list(READERS)

    def test_two_formats_at_once_are_both_named(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        make_index_masks(tmp_path)
        with pytest.raises(DataError, match=r"2 ways: voc \(Pascal VOC.*index-masks \(index masks.*folder of its own"):
            open_dataset(tmp_path)

    def test_equal_ids_are_a_fault(self, tmp_path: Path) -> None:
        make_index_masks(tmp_path)
        image(tmp_path / "train/x.jpg")
        with pytest.raises(DataError, match="the image id 'train/x' stands for 2 images"):
            open_dataset(tmp_path)


def real(name: str, **options: object) -> Annotations:
    if not (SHARED / name).is_dir():
        pytest.skip(f"no {name} beside the repository")
    return open_dataset(SHARED / name, **options)


def test_raccoon() -> None:
    table = real("voc_raccoon")
    assert (len(table), len(table.box_labels), table.box_classes, table.notes) == (200, 217, ("raccoon",), ())
    first = int(np.flatnonzero(table.image_ids == "raccoon-1")[0])
    assert table.boxes_xyxy[table.box_offsets[first]].tolist() == [80, 87, 522, 408]
    assert table.sizes_hw[first].tolist() == [417, 650] and (table.box_flags == TRUNCATED).sum() == 59


def test_bccd_two_boxes_without_extent() -> None:
    with pytest.raises(DataError, match=r"BloodImage_00338\.xml: object 12 .*--on-bad-box skip"):
        real("voc_bccd")
    table = real("voc_bccd", on_bad_box="skip")
    assert len(table) == 364 and len(table.box_labels) + len(table.left_out) == 4888
    assert dict(zip(table.box_classes, np.bincount(table.box_labels).tolist(), strict=True)) == {
        "Platelets": 361,
        "RBC": 4155 - 2,
        "WBC": 372,
    }
    assert [str(fault).split("/")[-1].partition(". ")[0] for fault in table.left_out] == [
        "BloodImage_00338.xml: object 12 ('RBC') has xmax 504 <= xmin 504",
        "BloodImage_00343.xml: object 3 ('RBC') has xmax 181 <= xmin 181",
    ]
    assert {s: int((table.splits == s).sum()) for s in ("train", "val", "test")} == {
        "train": 205,
        "val": 87,
        "test": 72,
    }


def test_flowers() -> None:
    table = real("flowers17")
    for split, count in (("train", 16), ("test", 8)):
        assert np.bincount(table.image_labels[table.splits == split]).tolist() == [count] * 17


def test_oxford_pets() -> None:
    table = real("oxford_pets3")
    assert table.image_classes == ("Abyssinian", "american_bulldog", "Bengal")
    assert (table.splits == "trainval").sum() == 120 == table.boxes_known.sum() and (table.splits == "test").sum() == 60
    assert table.supports("segment").all() and len(table.box_labels) == 121


def test_camvid() -> None:
    table = real("camvid")
    assert {s: int((table.splits == s).sum()) for s in ("train", "val", "test")} == {"train": 18, "val": 8, "test": 12}
    assert len(table.mask_classes) == 11 and table.mask_void == (11,) and table.tasks == ("segment",)
    assert table.format == "camvid" and sorted(set(table.groups)) == ["0001TP", "0006R0", "0016E5", "Seq05VD"]
    assert not table.notes and all((class_mask(table, i) != IGNORED).any() for i in range(0, len(table), 9))


def test_coco128_semantic_masks() -> None:
    table = real("coco128", format="index-masks")
    assert [(table.splits == s).sum() for s in ("train", "val")] == [30, 30] and table.tasks == ("segment",)
    assert table.mask_void == (0,) and table.mask_classes[0] == "person" and table.mask_lut[13] == 11
    assert all(class_mask(table, i) is not None for i in range(0, 60, 10))  # Every value that is drawn has a name.


def test_coco128_boxes_of_yolo() -> None:
    table = real("coco128", format="yolo")
    assert len(table.box_classes) == 80 and table.box_class_ids == tuple(range(80)) and not table.notes
    for split, boxes, classes in (("train", 184, 42), ("val", 217, 46)):
        part = table.select(table.rows_of(split))
        assert (len(part), len(part.box_labels), len(set(part.box_labels.tolist()))) == (30, boxes, classes)
    assert table.supports("detect").all() and table.sizes_hw.all()


def test_coco128_polygons_of_yolo() -> None:
    if not (SHARED / "coco128").is_dir():
        pytest.skip("no coco128 beside the repository")
    table = open_dataset(SHARED / "coco128/polygon_classes.yaml", labels="polygon_labels")
    boxes = open_dataset(SHARED / "coco128", format="yolo")
    assert table.box_class_ids[:12] == (*range(1, 12), 13) and table.box_classes == boxes.box_classes
    assert len(table.box_labels) == 402 and table.outline(0)[0] == "polygons"
    # The first image has the same eight objects in both files, in another order.
    near = [np.abs(boxes.boxes_of(0).xyxy - box).max(1).min() for box in table.boxes_of(0).xyxy]
    assert max(near) < 3  # Pixels: the polygons were traced around coarser masks.


def test_raccoon_from_its_lists() -> None:
    voc = real("voc_raccoon")
    table = real("voc_raccoon", format="file-list")
    assert [(table.splits == s).sum() for s in ("train", "test")] == [160, 40] and len(table.box_labels) == 217
    assert table.image_ids[0] == "images/raccoon-146.jpg" and table.source_convention == "voc"
    for i, name in enumerate(table.image_ids):
        same = int(np.flatnonzero(voc.image_ids == name.split("/")[1].split(".")[0])[0])
        assert np.array_equal(table.boxes_of(i).xyxy, voc.boxes_of(same).xyxy)
        assert table.size_hw(i) == voc.size_hw(same)


def test_imagenet_sample() -> None:
    table = real("imagenet_sample100")
    assert table.image_class_ids == tuple(range(0, 1000, 10)) and table.tasks == ("classify",)
    assert table.image_ids[1] == "images/n01530575_brambling.JPEG" and table.image_labels[1] == 1


def test_tiny_imagenet() -> None:
    table = real("tiny_imagenet")
    assert [(table.splits == s).sum() for s in ("train", "val")] == [1500, 750] and len(table.box_labels) == 2250
    assert table.image_class_ids == tuple(sorted(table.image_class_ids)) == table.box_class_ids
    assert table.image_classes[0] == "Chihuahua" and len(table.image_classes) == 15
    assert np.bincount(table.image_labels[table.splits == "train"]).tolist() == [100] * 15
    row = list(table.image_ids).index("val_18")
    assert table.image_class_ids[table.image_labels[row]] == "n04285008"
    assert table.boxes_of(row).xyxy.tolist() == [[0, 11, 64, 58]] and table.size_hw(row) == (64, 64)
    # Read inclusively from 0, no box leaves its image and many fill it.
    assert not table.notes and table.boxes_xyxy.min() == 0 and table.boxes_xyxy.max() == 64


def test_coco128_is_two_data_sets_in_one_folder() -> None:
    with pytest.raises(
        DataError, match=r"2 ways: coco-panoptic \(COCO panoptic: panoptic/.*yolo \(YOLO: coco128\.yaml"
    ):
        real("coco128")
    boxes, segments = real("coco128", format="yolo"), real("coco128", format="coco-panoptic")
    assert (len(boxes), len(boxes.box_labels)) == (60, 401) and (len(segments), len(segments.box_labels)) == (60, 623)


def test_coco_tiny() -> None:
    table = real("coco_tiny")
    assert [len(table.rows_of(split)) for split in ("train", "val")] == [40, 40] and len(table.box_classes) == 80
    counts = np.diff(table.box_offsets)
    assert [int(counts[table.rows_of(split)].sum()) for split in ("train", "val")] == [368, 550]
    used = [len(set(table.select(table.rows_of(split)).box_labels.tolist())) for split in ("train", "val")]
    assert used == [61, 63] and (table.box_flags & CROWD > 0).sum() == 6 + 11
