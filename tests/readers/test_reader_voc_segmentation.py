"""Pascal VOC's segmentation: lists of its own, void, objects, SBD; years of a devkit; lists of single classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.data.flags import IGNORED
from headstart.data.masks import class_mask, instance_masks
from headstart.errors import DataError
from headstart.readers.formats import open_dataset
from support.miniatures import HEIGHT, WIDTH, image, make_voc, text, voc_object, voc_xml
from support.miniatures_voc import make_voc_segmentation, palette_mask, two_objects

NAMES = ["2007_000032", "2007_000033", "2007_000039", "2008_000002"]


def make_annotated(root: Path) -> None:
    """With XML files, as the official set has them."""
    make_voc_segmentation(root)
    for name in ("2007_000032", "2007_000033"):
        voc_xml(root / f"Annotations/{name}.xml", voc_object("cat", 1, 6, 10, 20), voc_object("dog", 21, 6, 35, 20))
    text(root / "ImageSets/Main/train.txt", "2007_000033")
    text(root / "ImageSets/Main/val.txt", "2007_000032")


def test_classes_are_palette_numbers_and_void_is_kept(tmp_path: Path) -> None:
    make_voc_segmentation(tmp_path)
    table = open_dataset(tmp_path)
    assert list(table.image_ids) == NAMES and list(table.splits) == ["train", "val", "train", "test"]
    assert len(table.mask_classes) == 21 and table.mask_void == (255,)
    assert table.supports("segment").tolist() == [True, True, True, False]
    mask = class_mask(table, 0)
    classes = two_objects()[0]
    assert mask is not None and np.array_equal(mask, np.where(classes == 255, IGNORED, classes))
    assert (table.mask_classes[8], table.mask_classes[12], table.mask_classes[0]) == ("cat", "dog", "background")


def test_objects_are_masks_of_their_boxes(tmp_path: Path) -> None:
    make_annotated(tmp_path)
    table = open_dataset(tmp_path, "voc-segmentation")
    objects = two_objects()[1]
    cat, dog = instance_masks(table, 0)
    assert np.array_equal(cat, objects == 1) and np.array_equal(dog, objects == 2)
    assert table.boxes_xyxy[:2].tolist() == [[0, 5, 10, 20], [20, 5, 35, 20]] and table.box_classes == ("cat", "dog")
    assert table.boxes_known.tolist() == [True, True, False, False]
    voc_xml(tmp_path / "Annotations/2007_000032.xml", voc_object("cat", 9, 6, 9, 20), voc_object("dog", 21, 6, 35, 20))
    less = open_dataset(tmp_path, "voc-segmentation", on_bad_box="skip")
    assert np.array_equal(instance_masks(less, 0), (objects == 2)[None]), "a box left out shifts no other's mask"


def test_the_official_set_is_two_data_sets(tmp_path: Path) -> None:
    """Its lists for detection and for segmentation differ, so one table cannot serve both."""
    make_annotated(tmp_path)
    with pytest.raises(DataError, match=r"2 ways: voc-segmentation \(Pascal VOC segmentation.*voc \(Pascal VOC: "):
        open_dataset(tmp_path)
    table = open_dataset(tmp_path, "voc")
    assert list(table.image_ids)[:2] == ["2007_000032", "2007_000033"]
    assert list(table.splits) == ["val", "train", "", "", ""]


class TestSbd:
    def make(self, root: Path, *names: str, folder: str = "Segmentation", line: str = "{}") -> None:
        make_voc_segmentation(root)
        for name in names:
            palette_mask(root / f"SegmentationClassAug/{name}.png", np.full((HEIGHT, WIDTH), 3))
        text(root / f"ImageSets/{folder}/train_aug.txt", *(line.format(name) for name in names))

    @pytest.mark.parametrize(
        ("folder", "line"),
        [("Segmentation", "{}"), ("SegmentationAug", "/JPEGImages/{0}.jpg /SegmentationClassAug/{0}.png")],
    )
    def test_trains_on_the_augmented_list(self, tmp_path: Path, folder: str, line: str) -> None:
        self.make(tmp_path, "2007_000032", "2008_000001", folder=folder, line=line)
        table = open_dataset(tmp_path, sbd=True)
        assert dict(zip(table.image_ids, table.splits, strict=True)) == {
            "2007_000032": "train",
            "2008_000001": "train",
            "2007_000033": "val",
            "2008_000002": "test",
        }
        assert [path.split("/")[0] for path in table.mask_paths if path] == [
            "SegmentationClassAug",
            "SegmentationClass",
            "SegmentationClassAug",
        ]
        assert "2008_000001" not in open_dataset(tmp_path).image_ids

    def test_what_is_scored_is_not_trained_on(self, tmp_path: Path) -> None:
        self.make(tmp_path, "2007_000033")
        with pytest.raises(DataError, match=r"train_aug\.txt: '2007_000033' is in val\.txt too\. What is scored"):
            open_dataset(tmp_path, sbd=True)

    def test_missing_list_and_image(self, tmp_path: Path) -> None:
        make_voc_segmentation(tmp_path)
        with pytest.raises(DataError, match=r"there is no list train_aug\.txt .*Put it there, or read the set without"):
            open_dataset(tmp_path, sbd=True)
        self.make(tmp_path, "nowhere")
        with pytest.raises(DataError, match=r"train_aug\.txt: 'nowhere' has no image in JPEGImages"):
            open_dataset(tmp_path, sbd=True)


class TestFaults:
    def test_missing_mask(self, tmp_path: Path) -> None:
        make_voc_segmentation(tmp_path)
        (tmp_path / "SegmentationClass/2007_000033.png").unlink()
        with pytest.raises(
            DataError, match=r"SegmentationClass: '2007_000033' is in the val list and has no mask\. Put"
        ):
            open_dataset(tmp_path)
        assert "2007_000033" not in open_dataset(tmp_path, on_bad_record="skip").image_ids

    def test_mask_of_another_size(self, tmp_path: Path) -> None:
        make_voc_segmentation(tmp_path)
        path = palette_mask(tmp_path / "SegmentationClass/2007_000033.png", np.zeros((HEIGHT, WIDTH + 1)))
        with pytest.raises(
            DataError, match=r"the mask is 41 x 30 pixels, its image 2007_000033\.jpg 40 x 30"
        ) as caught:
            open_dataset(tmp_path)
        assert str(path) in str(caught.value)
        assert [fault.rule for fault in open_dataset(tmp_path, on_bad_record="skip").left_out] == ["mask-size-differs"]

    def test_colors_instead_of_numbers(self, tmp_path: Path) -> None:
        make_voc_segmentation(tmp_path)
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "SegmentationClass/2007_000033.png")
        with pytest.raises(DataError, match=r"the mask is a color image .*Convert its colors to class numbers"):
            class_mask(open_dataset(tmp_path), 1)

    def test_classes_of_ones_own(self, tmp_path: Path) -> None:
        make_voc_segmentation(tmp_path)
        palette_mask(tmp_path / "SegmentationClass/2007_000032.png", np.full((HEIGHT, WIDTH), 30))
        with pytest.raises(DataError, match="value 30 is neither a class nor void"):
            class_mask(open_dataset(tmp_path), 0)
        text(tmp_path / "classes.txt", "0 ground", "8 cat", "12 dog", "30 eel")
        table = open_dataset(tmp_path)
        mask = class_mask(table, 0)
        assert table.mask_classes == ("ground", "cat", "dog", "eel") and mask is not None and (mask == 3).all()


class TestDevkit:
    def test_years_are_read_together(self, tmp_path: Path) -> None:
        for year in ("VOC2007", "VOC2012"):
            make_voc(tmp_path / year)
        (tmp_path / "VOC2012/ImageSets/Main/test.txt").unlink()
        table = open_dataset(tmp_path)
        assert list(table.image_ids) == [f"{year}/{name}" for year in ("VOC2007", "VOC2012") for name in "abcd"]
        assert list(table.splits) == ["train", "val", "test", "", "train", "val", "", ""]
        assert len(table.box_labels) == 8 and table.image_path(4).is_file()

    def test_masks_of_all_years(self, tmp_path: Path) -> None:
        for year in ("VOC2007", "VOC2012"):
            make_voc_segmentation(tmp_path / year)
        table = open_dataset(tmp_path)
        assert table.format == "voc-segmentation" and len(table) == 8 and table.image_ids[4] == "VOC2012/2007_000032"


def test_lists_of_single_classes_make_splits(tmp_path: Path) -> None:
    """`cat_train.txt` names every image of the split, with 1, -1 or 0 for the class."""
    for k, stem in enumerate("ab"):
        image(tmp_path / f"JPEGImages/{stem}.jpg", k)
        voc_xml(tmp_path / f"Annotations/{stem}.xml", voc_object("cat", 1, 1, 9, 9))
    text(tmp_path / "ImageSets/Main/cat_train.txt", "a -1")
    text(tmp_path / "ImageSets/Main/cat_val.txt", "b  1")
    text(tmp_path / "ImageSets/Main/dog_val.txt", "b -1")
    assert list(open_dataset(tmp_path).splits) == ["train", "val"]
