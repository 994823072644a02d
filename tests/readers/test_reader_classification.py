"""SUN-397, Caltech-256 and Oxford Flowers-102: classes, official splits, and faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from headstart.errors import DataError, UsageError
from headstart.places.opening import open_place
from headstart.readers.formats import open_dataset, recognize
from support.miniatures import image, text
from support.miniatures_classification import make_caltech256, make_flowers102, make_sun397


def left_out(root: Path, **options: int) -> list[str]:
    return [fault.rule for fault in open_dataset(root, on_bad_record="skip", **options).left_out]


class TestSun:
    def test_classes_and_the_first_partition(self, tmp_path: Path) -> None:
        make_sun397(tmp_path)
        table = open_dataset(tmp_path)
        assert table.image_ids.tolist() == [
            "a/abbey/sun_b",
            "a/abbey/sun_c",
            "a/arch/sun_d",
            "b/bow_window/indoor/sun_e",
        ]
        assert table.image_classes == ("abbey", "arch", "bow_window/indoor") and table.image_labels.tolist() == [
            0,
            0,
            1,
            2,
        ]
        assert table.image_class_ids == ("/a/abbey", "/a/arch", "/b/bow_window/indoor")
        assert table.splits.tolist() == ["train", "test", "train", ""]
        assert table.notes == (f"{tmp_path}: 1 of 4 images are in neither part of partition 1",)

    def test_other_partitions(self, tmp_path: Path) -> None:
        make_sun397(tmp_path)
        assert open_dataset(tmp_path, partition=10).splits.tolist() == ["test", "train", "train", ""]
        assert set(open_dataset(tmp_path, partition=0).splits) == {""}
        with pytest.raises(
            DataError, match=r"Training_02\.txt and Testing_02\.txt of partition 2 is not there\. Put it"
        ):
            open_dataset(tmp_path, partition=2)
        with pytest.raises(UsageError, match="option 'partition' is 11; there are partitions 1 to 10"):
            open_dataset(tmp_path, partition=11)
        for path in (tmp_path / "Partitions").iterdir():
            path.unlink()
        assert "so there are no official splits" in open_dataset(tmp_path).notes[0]

    def test_opened_beside_the_letters(self, tmp_path: Path) -> None:
        make_sun397(tmp_path)
        table = open_dataset(tmp_path / "SUN397")
        assert table.image_ids[0] == "a/abbey/sun_b" and set(table.splits) == {""}

    def test_lists_that_do_not_fit(self, tmp_path: Path) -> None:
        make_sun397(tmp_path)
        text(tmp_path / "Partitions/Testing_01.txt", "/a/abbey/sun_b.jpg", "/a/abbey/sun_x.jpg")
        with pytest.raises(DataError, match=r"Testing_01\.txt: line 1 names '/a/abbey/sun_b\.jpg', a train image too"):
            open_dataset(tmp_path)
        assert left_out(tmp_path) == ["image-in-two-splits", "image-missing"]
        text(tmp_path / "SUN397/ClassName.txt", "/a/abbey", "/a/attic")
        with pytest.raises(DataError, match=r"ClassName\.txt: '/a/attic' has no images in .*a/attic\. Put them there"):
            open_dataset(tmp_path, partition=0)
        table = open_dataset(tmp_path, partition=0, on_bad_record="skip")
        assert table.notes[0].endswith(
            "2 folders of images are not in ClassName.txt and were left aside; first: /a/arch"
        )
        for lines, message in (
            (("abbey",), "entry 0 is 'abbey'; a class such as /a/abbey is expected"),
            (("/a/../b",), "entry 0 is '/a/../b'"),
            (("/a/x", "/a/x"), "entry 1, '/a/x', stands"),
            (("/a/x", "/b/x"), "two of one name"),
        ):
            text(tmp_path / "SUN397/ClassName.txt", *lines)
            with pytest.raises(DataError, match=message.replace(".", r"\.")):
                open_dataset(tmp_path, partition=0)


class TestCaltech:
    @pytest.mark.parametrize("inside", ["", "256_ObjectCategories"])
    def test_classes_and_clutter(self, tmp_path: Path, inside: str) -> None:
        make_caltech256(tmp_path)
        assert list(recognize(open_place(tmp_path / inside))) == ["caltech256"]
        table = open_dataset(tmp_path / inside)
        assert table.image_classes == ("ak47", "clutter") and table.image_class_ids == ("001.ak47", "257.clutter")
        assert dict(zip(table.image_ids.tolist(), table.image_labels.tolist(), strict=True)) == {
            "001_0001": 0,
            "001_0002": 0,
            "257_0001": 1,
        }
        assert "clutter is a class like others here" in table.notes[0] and set(table.splits) == {""}

    def test_faults(self, tmp_path: Path) -> None:
        make_caltech256(tmp_path)
        base = tmp_path / "256_ObjectCategories"
        image(base / "001.ak47/198_0001.jpg")
        (base / "001.ak47/RENAME2").write_text("")
        with pytest.raises(
            DataError, match=r"198_0001\.jpg: lies in the folder of class 001, and its name begins with 198"
        ):
            open_dataset(tmp_path)
        assert left_out(tmp_path) == ["label-contradicts"]
        assert (
            "001.ak47: 1 entries are no images and were left aside"
            in open_dataset(tmp_path, on_bad_record="skip").notes[0]
        )
        image(base / "001.american-flag/001_0009.jpg")
        with pytest.raises(DataError, match=r"001\.ak47/ and 001\.american-flag/ have the same number\. Rename one"):
            open_dataset(tmp_path)

    def test_numbered_class_folders_among_others_are_class_folders(self, tmp_path: Path) -> None:
        for k, name in enumerate(("001.a", "002.b", "c")):
            image(tmp_path / name / "x.jpg", k)
        assert list(recognize(open_place(tmp_path))) == ["class-folders"]


class TestFlowers:
    def test_labels_and_splits(self, tmp_path: Path) -> None:
        make_flowers102(tmp_path)
        table = open_dataset(tmp_path)
        assert table.image_classes == ("3", "77", "102") and table.image_class_ids == (3, 77, 102)
        assert table.image_labels.tolist() == [1, 0, 0, 2, 1]
        assert table.splits.tolist() == ["train", "train", "", "test", "val"] and not table.notes

    def test_images_that_do_not_fit(self, tmp_path: Path) -> None:
        make_flowers102(tmp_path)
        (tmp_path / "jpg/image_00003.jpg").rename(tmp_path / "jpg/image_3.jpg")
        with pytest.raises(
            DataError, match=r"image_3\.jpg: is none of image_00001 to 00005, so its class is not known"
        ):
            open_dataset(tmp_path)
        assert left_out(tmp_path) == ["image-not-listed", "image-missing"]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("imagelabels.mat", {"labels": [0, 1, 2, 3, 4]}, "`labels` holds 0; classes count from 1"),
            ("imagelabels.mat", {"labels": [1.5, 1, 2, 3, 4]}, "`labels` does not hold whole numbers"),
            ("imagelabels.mat", {"labels": [np.nan, 1, 2, 3, 4]}, "`labels` does not hold whole numbers"),
            ("imagelabels.mat", {"labels": [1e300, 1, 2, 3, 4]}, r"`labels` holds 1e\+300"),
            ("imagelabels.mat", {"labels": "text"}, "`labels` does not hold whole numbers"),
            ("imagelabels.mat", {"label": [1, 2]}, "holds no variable 'labels'"),
            ("setid.mat", {"trnid": [1], "valid": [2], "tstid": [6]}, "`tstid` holds 6, and there are labels for 5"),
            ("setid.mat", {"trnid": [1], "valid": [2], "tstid": [1]}, "image 1 is in `tstid` and a train image too"),
            ("setid.mat", {"trnid": [1], "valid": [2]}, "holds no variable 'tstid'"),
            ("setid.mat", None, "cannot be read as a MATLAB file"),
        ],
    )
    def test_files(self, tmp_path: Path, name: str, content: dict | None, message: str) -> None:
        make_flowers102(tmp_path)
        if content is None:
            (tmp_path / name).write_bytes(b"MATLAB 5.0" + bytes(range(256)) * 3)
        else:
            savemat(tmp_path / name, content)
        with pytest.raises(DataError, match=message) as caught:
            open_dataset(tmp_path)
        assert str(tmp_path / name) in str(caught.value) and "Fetch" in str(caught.value)
