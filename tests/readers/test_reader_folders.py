"""What is particular to class folders, index masks and Oxford pets."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.readers.formats import open_dataset, recognize
from support.miniatures import (
    HEIGHT,
    WIDTH,
    image,
    make_class_folders,
    make_index_masks,
    make_pets,
    mask,
    text,
)


class TestClassFolders:
    def test_labels_follow_sorted_names(self, tmp_path: Path) -> None:
        make_class_folders(tmp_path)
        table = open_dataset(tmp_path)
        assert table.image_classes == ("Iris", "tulip")
        assert [table.image_classes[k] for k in table.image_labels] == [p.split("/")[1] for p in table.paths]
        assert [(f.rule, f.path, f.why) for f in table.left_out] == [
            ("file-left-aside", f"{tmp_path / 'train/tulip'}", "1 entries are no images and were left aside")
        ]

    def test_without_splits(self, tmp_path: Path) -> None:
        for k, path in enumerate(("bus/1.jpg", "train/1.jpg", "car/1.jpg", ".cache/1.jpg")):
            image(tmp_path / path, k)
        table = open_dataset(tmp_path)
        assert table.image_classes == ("bus", "car", "train") and set(table.splits) == {""}

    def test_class_without_training_images(self, tmp_path: Path) -> None:
        make_class_folders(tmp_path)
        image(tmp_path / "test/rose/1.jpg")
        with pytest.raises(DataError, match=r"test/rose: class 'rose' has no training images.*rename or remove"):
            open_dataset(tmp_path)

    def test_class_without_test_images_is_noted(self, tmp_path: Path) -> None:
        make_class_folders(tmp_path)
        shutil.rmtree(tmp_path / "test/Iris")
        assert open_dataset(tmp_path).notes[0] == f"{tmp_path / 'test'}: no images of 1 of 2 classes; first: Iris"

    def test_two_folders_of_one_split(self, tmp_path: Path) -> None:
        make_class_folders(tmp_path)
        shutil.copytree(tmp_path / "test", tmp_path / "testing")
        with pytest.raises(DataError, match=r"test/ and testing/ both hold test images\. Join the two"):
            open_dataset(tmp_path)

    @pytest.mark.parametrize(
        "folders",
        [
            ("train2017", "val2017"),
            ("train", "trainannot"),
            ("panoptic_train2017", "panoptic_val2017"),
            ("cats", "dogs", "Annotations"),
            ("only",),
        ],
    )
    def test_other_layouts_are_not_taken_for_classes(self, tmp_path: Path, folders: tuple[str, ...]) -> None:
        for folder in folders:
            image(tmp_path / folder / "1.jpg")
        assert "class-folders" not in recognize(open_place(tmp_path))


class TestIndexMasks:
    def test_named_void_is_ignored(self, tmp_path: Path) -> None:
        make_index_masks(tmp_path)
        table = open_dataset(tmp_path)
        assert table.mask_classes == ("sky", "road", "car") and table.mask_void == (3,)
        assert table.mask_lut[:5].tolist() == [0, 1, 2, 255, 255]
        assert table.notes == ()

    def test_without_names_every_value_is_a_class(self, tmp_path: Path) -> None:
        image(tmp_path / "images/a.jpg")
        mask(tmp_path / "masks/a_mask.png", (0, 255))
        table = open_dataset(tmp_path)
        assert (
            table.mask_classes == ("0", "255") and table.mask_lut[[0, 255]].tolist() == [0, 1] and not table.mask_void
        )
        assert "no classes.txt, so each of the 2 mask values that occur is a class" in table.notes[0]

    def test_values_can_be_given(self, tmp_path: Path) -> None:
        image(tmp_path / "images/train/a.jpg")
        mask(tmp_path / "masks/train/a.png", (7, 9, 255))
        text(tmp_path / "classes.txt", "9 wide road", "7 sky", "255 Void")
        table = open_dataset(tmp_path)
        assert (
            table.mask_classes == ("sky", "wide road") and table.mask_void == (255,) and list(table.splits) == ["train"]
        )

    def test_split_folders_with_images_and_masks(self, tmp_path: Path) -> None:
        for split in ("train", "test"):
            image(tmp_path / split / "images/a.jpg")
            mask(tmp_path / split / "masks/a.png", (0, 1))
        table = open_dataset(tmp_path)
        assert list(table.splits) == ["test", "train"] and table.mask_paths[1] == "train/masks/a.png"

    def test_missing_and_surplus_masks_are_noted(self, tmp_path: Path) -> None:
        make_index_masks(tmp_path)
        (tmp_path / "trainannot/x.png").rename(tmp_path / "trainannot/q.png")
        table = open_dataset(tmp_path)
        assert table.supports("segment").tolist() == [True, False, True, True]
        assert "1 images have no mask and take no part in segmentation; first: x.png" in table.notes[0]
        assert "1 masks have no image; first: q.png" in table.notes[1]

    def test_faults_are_named(self, tmp_path: Path) -> None:
        make_index_masks(tmp_path)
        Image.new("L", (WIDTH, HEIGHT + 2)).save(tmp_path / "trainannot/x.png")
        with pytest.raises(DataError, match=r"trainannot/x\.png: the mask is 40 x 32 pixels, its image x\.png 40 x 30"):
            open_dataset(tmp_path)
        make_index_masks(tmp_path)
        text(tmp_path / "classes.txt", "sky", "sky")
        with pytest.raises(DataError, match=r"classes\.txt: a class name stands twice"):
            open_dataset(tmp_path)
        text(tmp_path / "classes.txt", "1 sky", "1 road")
        with pytest.raises(DataError, match=r"classes\.txt: values must differ and be at most 255"):
            open_dataset(tmp_path)
        text(tmp_path / "classes.txt", "sky")
        with pytest.raises(DataError, match=r"the masks have 1 classes \(sky\); segmentation needs two"):
            open_dataset(tmp_path)
        for path in (tmp_path / "trainannot").iterdir():
            path.rename(path.with_name(f"other_{path.name}"))
        with pytest.raises(
            DataError, match=r"no mask is named like an image .*\(first image x\.png, first mask other_x\.png\)"
        ):
            open_dataset(tmp_path)


class TestPets:
    def test_three_tasks(self, tmp_path: Path) -> None:
        make_pets(tmp_path)
        table = open_dataset(tmp_path)
        assert table.image_classes == ("american_bulldog", "Bengal") and table.image_class_ids == (2, 6)
        assert list(table.image_ids) == ["Bengal_10", "Bengal_2", "american_bulldog_1", "american_bulldog_3"]
        assert table.image_labels.tolist() == [1, 1, 0, 0]
        assert table.boxes_known.tolist() == [False, True, True, False] and table.box_classes == ("cat", "dog")
        assert table.boxes_xyxy.tolist() == [[0, 0, 20, 20], [10, 5, 20, 20]]
        assert table.mask_classes == ("background", "pet") and table.mask_lut[:4].tolist() == [255, 1, 0, 255]
        assert table.mask_void == (3,) and table.notes == ()

    @pytest.mark.parametrize(
        ("part", "line", "says"),
        [
            ("test", "Bengal_2 6 1 1", "test.txt: 'Bengal_2' stands twice, in trainval.txt and here"),
            ("test", "Bengal_10 6", "test.txt: entry 0 is 'Bengal_10 6'; a name and three numbers are expected"),
            ("test", "Bengal_11 6 1 1", "test.txt: 'Bengal_11' has no image in"),
            ("test", "Persian_1 6 1 1", "test.txt: 'Persian_1' has class 6, elsewhere the breed 'Bengal'"),
            ("list", "Bengal_2 7 1 1", "list.txt: 'Bengal_2' has class 7 here and 6 in trainval.txt. Correct one"),
        ],
    )
    def test_faults_are_named(self, tmp_path: Path, part: str, line: str, says: str) -> None:
        make_pets(tmp_path)
        text(tmp_path / f"annotations/{part}.txt", line, *(["Bengal_10 6 1 1"] if part == "list" else []))
        if part == "test" and "Bengal_11" in line:
            text(tmp_path / "annotations/list.txt", "Bengal_10 6 1 1", "american_bulldog_3 2 1 1")
        with pytest.raises(DataError) as caught:
            open_dataset(tmp_path)
        assert says in str(caught.value) and str(tmp_path) in str(caught.value)

    def test_missing_heads_and_trimaps_are_noted(self, tmp_path: Path) -> None:
        make_pets(tmp_path)
        (tmp_path / "annotations/xmls/Bengal_2.xml").unlink()
        (tmp_path / "annotations/trimaps/Bengal_2.png").unlink()
        notes = open_dataset(tmp_path).notes
        assert "1 trainval images have no XML file" in notes[0] and "1 images have no trimap" in notes[1]
