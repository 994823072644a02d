"""CamVid: pairs of the SegNet tutorial's lists, and the original masks, whose colors are classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.data.flags import IGNORED
from headstart.data.masks import class_mask
from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.readers.formats import open_dataset, recognize
from support.miniatures import HEIGHT, WIDTH, image, mask, text
from support.miniatures_lists import make_camvid

SKY, ROAD, VOID = (128, 128, 128), (128, 64, 128), (0, 0, 0)


def color_mask(path: Path, *colors: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.array(colors, np.uint8)[np.resize(np.arange(len(colors)), HEIGHT)]
    Image.fromarray(np.repeat(rows[:, None], WIDTH, axis=1)).save(path)


def make_original(root: Path) -> None:
    for k, name in enumerate(("0001TP_006690", "0016E5_07959", "Seq05VD_f00000")):
        image(root / f"701_StillsRaw_full/{name}.png", k)
        color_mask(root / f"LabeledApproved_full/{name}_L.png", SKY, ROAD, VOID)
    text(root / "label_colors.txt", "128 64 128\tRoad", "128 128 128\t\tSky", "0 0 0\t\tVoid", "64 128 64 Animal")


class TestLists:
    def test_pairs_classes_and_videos(self, tmp_path: Path) -> None:
        make_camvid(tmp_path)
        table = open_dataset(tmp_path)
        assert table.image_ids.tolist() == [f"train/{n}" for n in ("0001TP_006690", "0001TP_006720")] + [
            "val/0016E5_07959",
            "test/Seq05VD_f00000",
        ]
        assert table.mask_paths[0] == "trainannot/0001TP_006690.png"
        assert table.groups.tolist() == ["0001TP", "0001TP", "0016E5", "Seq05VD"]
        assert len(table.mask_classes) == 11 and table.mask_classes[1] == "building" and table.mask_void == (11,)
        assert class_mask(table, 0)[:3, 0].tolist() == [0, 1, IGNORED]

    def test_the_lists_are_what_counts(self, tmp_path: Path) -> None:
        make_camvid(tmp_path)
        text(tmp_path / "train.txt", "train/0001TP_006720.png trainannot/0001TP_006720.png")
        table = open_dataset(tmp_path)
        assert len(table) == 3
        assert "1 images are in no list and were left aside; first: 0001TP_006690.png" in table.notes[0]
        (tmp_path / "val.txt").unlink()
        assert open_dataset(tmp_path).splits.tolist() == ["train", "test"]

    def test_lists_of_other_data_have_their_own_classes(self, tmp_path: Path) -> None:
        for k, name in enumerate(("a", "b")):
            image(tmp_path / f"pictures/{name}.jpg", k)
            mask(tmp_path / f"truth/{name}_id.png", (3, 7))
        text(tmp_path / "train.txt", *(f"pictures/{n}.jpg truth/{n}_id.png" for n in "ab"))
        assert open_dataset(tmp_path).mask_classes == ("3", "7")
        text(tmp_path / "classes.txt", "3 grass", "7 water")
        assert open_dataset(tmp_path).mask_classes == ("grass", "water")

    def test_faults_are_left_out(self, tmp_path: Path) -> None:
        make_camvid(tmp_path)
        text(
            tmp_path / "test.txt",
            "/SegNet/CamVid/test/x.png /SegNet/CamVid/testannot/x.png",
            "one.png",
            "train/0001TP_006690.png trainannot/0001TP_006690.png",
        )
        with pytest.raises(DataError, match=r"test\.txt: line 1 names '/SegNet/CamVid/test/x\.png', but no part of"):
            open_dataset(tmp_path)
        table = open_dataset(tmp_path, on_bad_record="skip")
        assert [(f.rule, f.record) for f in table.left_out] == [
            ("image-missing", "line 1"),
            ("line-malformed", "line 2"),
            ("image-in-two-splits", "line 3"),
        ]
        assert len(table) == 3

    def test_a_mask_of_another_size(self, tmp_path: Path) -> None:
        make_camvid(tmp_path)
        Image.new("L", (5, 5)).save(tmp_path / "valannot/0016E5_07959.png")
        with pytest.raises(DataError, match=r"valannot/0016E5_07959\.png: the mask is 5 x 5 pixels, its image"):
            open_dataset(tmp_path)


class TestColors:
    def test_colors_are_classes(self, tmp_path: Path) -> None:
        make_original(tmp_path)
        assert list(recognize(open_place(tmp_path))) == ["camvid"]
        table = open_dataset(tmp_path)
        assert table.mask_classes == ("Road", "Sky", "Animal") and table.mask_void == (2,)
        assert table.mask_colors == (ROAD, SKY, VOID, (64, 128, 64)) and table.tasks == ("segment",)
        assert class_mask(table, 1)[:4, 5].tolist() == [1, 0, IGNORED, 1]
        assert table.groups.tolist() == ["0001TP", "0016E5", "Seq05VD"]

    def test_prepared_masks_know_their_colors(self, tmp_path: Path) -> None:
        make_original(tmp_path / "camvid")
        table = open_dataset(tmp_path / "camvid")
        make_image_set(
            table,
            np.arange(3),
            np.arange(3),
            "segment",
            size_hw=(15, 20),
            resize="stretch",
            out=tmp_path / "out",
            progress=lambda done, what: None,
        )
        opened = ImageSet.open(tmp_path / "out")
        assert opened.masks[0][:3, 0].tolist() == [0, 1, IGNORED]  # Rows 1, 3 and 5: road, sky, void.
        assert opened.mask_colors.tolist() == [list(color) for color in table.mask_colors]
        assert replace(opened, mask_place=table.place).true_mask(0)[:3, 0].tolist() == [1, 0, IGNORED]

    def test_images_without_mask_and_masks_without_image(self, tmp_path: Path) -> None:
        make_original(tmp_path)
        (tmp_path / "701_StillsRaw_full/0016E5_07959.png").rename(tmp_path / "701_StillsRaw_full/0016E5_1.png")
        table = open_dataset(tmp_path)
        assert table.supports("segment").tolist() == [True, False, True]
        assert "1 images have no mask" in table.notes[0] and "1 masks have no image" in table.notes[1]

    def test_a_color_without_a_name(self, tmp_path: Path) -> None:
        make_original(tmp_path)
        path = tmp_path / "LabeledApproved_full/0016E5_07959_L.png"
        color_mask(path, SKY, (129, 64, 128))
        with pytest.raises(
            DataError, match=r"the color \(129, 64, 128\) is drawn and is none of the 4 .* Add it there"
        ):
            class_mask(open_dataset(tmp_path), 1)

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            (("128 64 Road",), "entry 0 is '128 64 Road'; red, green, blue up to 255 and a name are expected"),
            (("128 64 256 Road",), "entry 0 is '128 64 256 Road'"),
            (("1 2 3 Road", "1 2 3 Sky"), "entry 1, '1 2 3 Sky', has a color or a name for a second time"),
            (("1 2 3 Road", "1 2 4 Road"), "for a second time"),
            (("1 2 3 Road",), "gives 1 colors; 3 to 256 are expected"),
        ],
    )
    def test_faults_of_the_list_of_colors(self, tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
        make_original(tmp_path)
        text(tmp_path / "label_colors.txt", *lines)
        with pytest.raises(DataError, match=message) as caught:
            open_dataset(tmp_path)
        assert str(tmp_path / "label_colors.txt") in str(caught.value)
