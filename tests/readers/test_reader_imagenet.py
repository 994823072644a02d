"""ImageNet in its layouts: classes and their order, boxes, labels of the validation images, and faults."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from headstart.data.annotations import Annotations
from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.readers.formats import open_dataset, recognize
from support.miniatures import image, text, voc_object, voc_xml
from support.miniatures_imagenet import (
    BIRD,
    CRANE,
    FISH,
    MACHINE,
    make_imagenet,
    make_imagenet_fall11,
    make_imagenet_loc,
    make_tiny_imagenet,
)

XML = "ILSVRC/Annotations/CLS-LOC"


def rows(table: Annotations) -> dict[str, tuple[int, list[list[float]]]]:
    return {
        name: (int(label), table.boxes_of(k).xyxy.tolist())
        for k, (name, label) in enumerate(zip(table.image_ids.tolist(), table.image_labels, strict=True))
    }


def wrong(root: Path, message: str, *left: str, **options: str) -> Annotations:
    """Raises by default with the message; skipping leaves out what the rules say."""
    with pytest.raises(DataError, match=message):
        open_dataset(root, **options)
    table = open_dataset(root, on_bad_box="skip", on_bad_record="skip", **options)
    assert [fault.rule for fault in table.left_out] == list(left)
    return table


class TestLocalization:
    def test_boxes_count_from_0_and_include_both_ends(self, tmp_path: Path) -> None:
        make_imagenet_loc(tmp_path)
        table = open_dataset(tmp_path)
        assert rows(table) == {
            f"{FISH}_10": (0, [[0, 0, 40, 30], [1, 2, 4, 5]]),
            f"{FISH}_2": (0, [[5, 6, 8, 9]]),
            f"{BIRD}_7": (1, [[5, 6, 8, 9]]),
            "ILSVRC2012_val_00000001": (1, [[0, 6, 8, 9]]),
            "ILSVRC2012_val_00000002": (0, [[0, 6, 8, 9]]),
            "ILSVRC2012_test_00000001": (-1, []),
        }
        assert table.image_class_ids == table.box_class_ids == (FISH, BIRD) and not table.notes
        assert table.image_classes == ("tench, Tinca tinca", "brambling, Fringilla montifringilla")
        assert table.boxes_known.tolist() == [True] * 5 + [False]

    def test_solutions_stand_in_for_xml_files(self, tmp_path: Path) -> None:
        make_imagenet_loc(tmp_path)
        whole = rows(open_dataset(tmp_path))
        shutil.rmtree(tmp_path / XML)
        table = open_dataset(tmp_path)
        assert rows(table) == whole and not table.sizes_hw.any()
        text(
            tmp_path / "LOC_val_solution.csv",
            "ImageId,PredictionString",
            f"ILSVRC2012_val_00000001,{FISH} 1 2 3 4 {FISH} 9 2 3 4",
        )
        table = wrong(
            tmp_path,
            rf"LOC_val_solution\.csv: line 2, object 1 \('{FISH}'\) has xmax 3 <= xmin 9",
            "box-without-extent",
        )
        assert table.notes[-1].startswith("1 validation images have no class") or len(table.notes) == 2

    def test_xml_files_tell_the_class_where_no_solution_does(self, tmp_path: Path) -> None:
        make_imagenet_loc(tmp_path)
        (tmp_path / "LOC_val_solution.csv").unlink()
        assert open_dataset(tmp_path).image_labels[3:5].tolist() == [1, 0]
        voc_xml(
            tmp_path / XML / "val/ILSVRC2012_val_00000001.xml",
            voc_object(BIRD, 1, 2, 3, 4),
            voc_object(FISH, 1, 2, 3, 4),
        )
        table = wrong(tmp_path, rf"00000001\.xml: has objects of {FISH} and {BIRD}, so the class", "label-contradicts")
        assert table.image_labels[3] == -1 and len(table.boxes_of(3).xyxy) == 2

    def test_validation_images_in_folders(self, tmp_path: Path) -> None:
        make_imagenet_loc(tmp_path)
        whole = rows(open_dataset(tmp_path))
        val = tmp_path / "ILSVRC/Data/CLS-LOC/val"
        for name, wnid in (("00000001", BIRD), ("00000002", FISH)):
            (val / wnid).mkdir()
            (val / f"ILSVRC2012_val_{name}.JPEG").rename(val / wnid / f"ILSVRC2012_val_{name}.JPEG")
        assert rows(open_dataset(tmp_path)) == whole
        assert rows(open_dataset(tmp_path / "ILSVRC")) == whole  # Without words, in the same order.

    def test_images_without_boxes_are_counted(self, tmp_path: Path) -> None:
        make_imagenet_loc(tmp_path)
        (tmp_path / XML / f"train/{FISH}/{FISH}_2.xml").unlink()
        table = open_dataset(tmp_path)
        assert "1 training and validation images have no boxes and take no part in detection" in table.notes[0]
        assert not table.boxes_known[1] and table.size_hw(1) == (0, 0) and table.image_labels[1] == 0

    def test_a_selection_of_classes(self, tmp_path: Path) -> None:
        make_imagenet_loc(tmp_path)
        voc_xml(
            tmp_path / XML / f"train/{FISH}/{FISH}_2.xml", voc_object(FISH, 5, 6, 7, 8), voc_object(BIRD, 1, 1, 9, 9)
        )
        chosen = tmp_path / "chosen.lst"
        text(chosen, f"{FISH} tench")
        table = open_dataset(tmp_path, classes=str(chosen))
        assert rows(table).keys() == {f"{FISH}_10", f"{FISH}_2", "ILSVRC2012_val_00000002"}
        assert table.box_class_ids == (FISH,) and len(table.box_labels) == 4
        assert "3 of 6 images are of classes that were not chosen" in table.notes[0]
        assert "1 objects are of classes that were not chosen" in table.notes[1]
        text(chosen, f"{FISH}", f"{BIRD}")  # The list's content is part of the key of the cached table.
        assert len(open_dataset(tmp_path, classes=str(chosen)).box_labels) == 7
        for content, message in (
            ("fish", "entry 0 is 'fish'; a WordNet id such"),
            ("", "holds no WordNet"),
            (CRANE, "no image is of one of the 1 chosen classes"),
        ):
            text(chosen, content)
            with pytest.raises(DataError, match=message):
                open_dataset(tmp_path, classes=str(chosen))
        with pytest.raises(DataError, match=r"is a folder\. Name a text file"):
            open_dataset(tmp_path, classes=str(tmp_path))

    def test_faults_of_trees_and_lists(self, tmp_path: Path) -> None:
        make_imagenet_loc(tmp_path)
        (tmp_path / f"ILSVRC/Data/CLS-LOC/train/{FISH}/{FISH}_2.JPEG").unlink()
        table = wrong(
            tmp_path,
            rf"{FISH}_2\.xml: no image in .*train/{FISH} is named '{FISH}_2'\. Put the image there",
            "annotation-without-image",
            "image-missing",
        )
        assert table.left_out[1].record == "line 2" and table.left_out[1].path.endswith("train_cls.txt")

    def test_an_unlisted_image_is_told(self, tmp_path: Path) -> None:
        make_imagenet_loc(tmp_path)
        text(tmp_path / "ILSVRC/ImageSets/CLS-LOC/val.txt", "ILSVRC2012_val_00000002 2")
        assert "val.txt: 1 images of " in open_dataset(tmp_path).notes[0]

    def test_objects_and_folders_of_unknown_classes(self, tmp_path: Path) -> None:
        make_imagenet_loc(tmp_path)
        voc_xml(tmp_path / XML / f"train/{FISH}/{FISH}_2.xml", voc_object("fish", 5, 6, 7, 8))
        image(tmp_path / f"ILSVRC/Data/CLS-LOC/train/{CRANE}/{CRANE}_1.JPEG", 8)
        table = wrong(
            tmp_path,
            rf"{FISH}_2\.xml: has objects of fish, but the folder .*{FISH} says that its image",
            "label-contradicts",
            "label-unknown",
            "label-unknown",
        )
        assert table.left_out[1].path.endswith(f"{CRANE}_1.JPEG") and len(table) == 6
        assert table.left_out[2].record == "object 0 ('fish')"

    @pytest.mark.parametrize(
        ("name", "lines", "message"),
        [
            ("LOC_val_solution.csv", ("ImageId,Labels",), "its header is not ImageId,PredictionString"),
            ("LOC_val_solution.csv", ("ImageId,PredictionString", "x,n01440764 1 2 3"), "line 2 is 'x,n01440764 1 2 3"),
            ("LOC_val_solution.csv", ("ImageId,PredictionString", "x,"), "line 2 is 'x,'; an image and, for each"),
            ("LOC_val_solution.csv", ("ImageId,PredictionString", 'x,"n01440764'), "line 2 cannot be read as CSV"),
            ("LOC_val_solution.csv", ("ImageId,PredictionString", *["x,n01440764 1 2 3 4"] * 2), "'x' a second time"),
            ("LOC_synset_mapping.txt", ("n01440764",), "entry 0 is 'n01440764'; a WordNet id such as n01440764 and"),
            ("LOC_synset_mapping.txt", ("n01440764 a", "n01440764 b"), "n01440764 stands twice with different words"),
        ],
    )
    def test_faults_of_files(self, tmp_path: Path, name: str, lines: tuple[str, ...], message: str) -> None:
        make_imagenet_loc(tmp_path)
        text(tmp_path / name, *lines)
        with pytest.raises(DataError, match=re.escape(message)) as caught:
            open_dataset(tmp_path)
        assert str(tmp_path / name) in str(caught.value)

    def test_a_thousand_classes_are_in_the_usual_order(self, tmp_path: Path) -> None:
        make_imagenet_loc(tmp_path)
        others = [f"n{k:08d} thing {k}" for k in range(1, 999)]
        words = (tmp_path / "LOC_synset_mapping.txt").read_text().splitlines()
        text(tmp_path / "LOC_synset_mapping.txt", *words, *others)
        table = open_dataset(tmp_path)
        assert len(table.image_classes) == 1000 and table.image_class_ids == tuple(sorted(table.image_class_ids))
        assert table.image_labels.tolist() == [998, 998, 999, 999, 998, -1]


class TestFall11:
    def test_boxes_of_all_classes_and_names_that_differ(self, tmp_path: Path) -> None:
        make_imagenet_fall11(tmp_path)
        table = open_dataset(tmp_path)
        assert table.image_classes == (f"crane ({CRANE})", f"crane ({MACHINE})")
        assert rows(table) == {
            f"{CRANE}_1": (0, [[2, 3, 10, 10], [5, 5, 9, 9]]),
            f"{CRANE}_2": (0, [[0, 0, 40, 30]]),
            f"{MACHINE}_3": (1, [[0, 0, 40, 30]]),
        }

    @pytest.mark.parametrize("inside", ["fall11_whole", "images"])
    def test_a_selection_in_other_trees(self, tmp_path: Path, inside: str) -> None:
        make_imagenet_fall11(tmp_path)
        for wnid in (CRANE, MACHINE):
            shutil.move(tmp_path / wnid, tmp_path / inside / wnid)
        text(tmp_path / "list.lst", CRANE, FISH)
        table = open_dataset(tmp_path, classes=str(tmp_path / "list.lst"))
        assert table.format == "imagenet-fall11" and table.box_class_ids == (FISH, CRANE)
        assert table.box_labels.tolist() == [1, 1] and len(table) == 2
        assert [note.partition(": ")[2][:38] for note in table.notes] == [
            "1 of 2 chosen classes have no folder o",
            "1 folders are of classes that were not",
            "",
        ]
        assert table.notes[2].startswith("1 objects are of classes that were not chosen")
        text(tmp_path / "list.lst", FISH)
        with pytest.raises(DataError, match=r"none of the 1 classes has an image\. Check the list"):
            open_dataset(tmp_path, classes=str(tmp_path / "list.lst"))

    def test_faults(self, tmp_path: Path) -> None:
        make_imagenet_fall11(tmp_path)
        (tmp_path / f"{CRANE}/{CRANE}_2.JPEG").unlink()
        (tmp_path / f"Annotation/{MACHINE}/{MACHINE}_3.xml").write_text("<annotation>")
        table = wrong(tmp_path, rf"{CRANE}_2\.xml: no image in ", "annotation-without-image", "annotation-unreadable")
        assert table.boxes_known.tolist() == [True, False]


class TestTiny:
    def test_values_and_test_images(self, tmp_path: Path) -> None:
        make_tiny_imagenet(tmp_path)
        table = open_dataset(tmp_path)
        assert rows(table) == {
            f"{FISH}_0": (0, [[0, 0, 40, 30]]),
            f"{BIRD}_0": (1, [[0, 1, 40, 30]]),
            "val_0": (1, [[1, 2, 4, 5]]),
            "test_0": (-1, []),
        }
        assert table.image_classes == ("tench, Tinca tinca", "brambling") and table.boxes_known.tolist()[3] is False

    def test_chosen_classes(self, tmp_path: Path) -> None:
        """By their ids or a file of them; of the others nothing is said but that they were left aside."""
        make_tiny_imagenet(tmp_path / "data")
        text(tmp_path / "list", f"{BIRD} brambling")
        for chosen in (BIRD, f"\n{BIRD}\n", str(tmp_path / "list")):
            table = open_dataset(tmp_path / "data", classes=chosen)
            assert table.image_classes == ("brambling",) and not table.left_out
            assert rows(table) == {
                f"{BIRD}_0": (0, [[0, 1, 40, 30]]),
                "val_0": (0, [[1, 2, 4, 5]]),
                "test_0": (-1, []),
            }
            assert any("1 of 2 classes were not chosen" in note for note in table.notes)
        with pytest.raises(DataError, match=rf"1 of 2 chosen classes are not in it; first: {CRANE}"):
            open_dataset(tmp_path / "data", classes=f"{BIRD} {CRANE}")

    def test_a_named_format_is_found_in_the_only_folder_of_an_archive(self, tmp_path: Path) -> None:
        make_tiny_imagenet(tmp_path / "tiny-imagenet-200")
        shutil.make_archive(str(tmp_path / "tiny"), "zip", tmp_path, "tiny-imagenet-200")
        said = open_dataset(tmp_path / "tiny.zip", "tiny-imagenet")
        assert (
            rows(said)
            == rows(open_dataset(tmp_path / "tiny.zip"))
            == rows(open_dataset(tmp_path / "tiny-imagenet-200"))
        )

    def test_a_box_of_one_pixel(self, tmp_path: Path) -> None:
        make_tiny_imagenet(tmp_path)
        text(tmp_path / f"train/{FISH}/{FISH}_boxes.txt", f"{FISH}_0.JPEG\t39\t0\t39\t5")
        assert open_dataset(tmp_path).boxes_of(0).xyxy.tolist() == [[39, 0, 40, 6]]

    @pytest.mark.parametrize(
        ("name", "line", "rule", "message"),
        [
            (f"train/{FISH}/{FISH}_boxes.txt", "x.JPEG 1 2 3 4", "image-missing", "line 2 names 'x.JPEG', which is"),
            (f"train/{FISH}/{FISH}_boxes.txt", "x.JPEG 1 2 3", "line-malformed", "line 2 is 'x.JPEG 1 2 3'; a file"),
            (f"train/{FISH}/{FISH}_boxes.txt", "x.JPEG 1 2 3 nan", "line-malformed", "line 2 is 'x.JPEG 1 2 3 nan'"),
            (f"train/{FISH}/{FISH}_boxes.txt", f"{FISH}_0.JPEG 1 2 3 4", "line-contradicts", "a second time (line 1"),
            ("val/val_annotations.txt", f"v {FISH} 1 2 3", "line-malformed", "a file name, a WordNet id, and four"),
        ],
    )
    def test_lines(self, tmp_path: Path, name: str, line: str, rule: str, message: str) -> None:
        make_tiny_imagenet(tmp_path)
        with (tmp_path / name).open("a") as file:
            file.write(line + "\n")
        table = wrong(tmp_path, re.escape(message), rule)
        assert table.left_out[0].path == str(tmp_path / name) and table.left_out[0].record == "line 2"

    def test_classes_and_images_that_do_not_fit(self, tmp_path: Path) -> None:
        make_tiny_imagenet(tmp_path)
        image(tmp_path / "val/images/val_1.JPEG", 9)
        text(tmp_path / "wnids.txt", FISH, CRANE)
        table = wrong(
            tmp_path,
            rf"train/{BIRD}: wnids\.txt does not list {BIRD}\. Add it there",
            "label-unknown",
            "image-not-listed",
            "label-unknown",
        )
        assert rows(table) == {f"{FISH}_0": (0, [[0, 0, 40, 30]]), "val_0": (-1, []), "test_0": (-1, [])}
        assert not table.boxes_known[1] and "1 of 2 classes have no images; first: " in table.notes[0]
        text(tmp_path / "wnids.txt", FISH, FISH)
        with pytest.raises(DataError, match=rf"entry 1, '{FISH}', stands twice\. Correct the line"):
            open_dataset(tmp_path)

    def test_missing_and_binary_lists(self, tmp_path: Path) -> None:
        make_tiny_imagenet(tmp_path)
        (tmp_path / "val/val_annotations.txt").write_bytes(b"\xff\x00")
        with pytest.raises(DataError, match=r"val_annotations\.txt: cannot be read as UTF-8 text"):
            open_dataset(tmp_path)
        (tmp_path / "val/val_annotations.txt").unlink()
        with pytest.raises(DataError, match=r"val_annotations\.txt: cannot be read"):
            open_dataset(tmp_path)


class TestFlatValidation:
    def labels(self, root: Path) -> list[int]:
        return open_dataset(root).image_labels.tolist()

    def test_numbers_of_the_development_kit_are_not_the_sorted_order(self, tmp_path: Path) -> None:
        make_imagenet(tmp_path)
        table = open_dataset(tmp_path)
        assert rows(table) == {
            f"{FISH}_10": (0, []),
            f"{BIRD}_7": (1, []),
            "ILSVRC2012_val_00000001": (1, []),
            "ILSVRC2012_val_00000002": (0, []),
        }
        assert table.image_class_ids == (FISH, BIRD)

    def test_meta_mat(self, tmp_path: Path) -> None:
        make_imagenet(tmp_path)
        kit = tmp_path / "ILSVRC2012_devkit_t12/data"
        (kit / "map_clsloc.txt").unlink()
        with pytest.raises(
            DataError, match=r"those of the development kit\. Put meta\.mat or map_clsloc\.txt beside it"
        ):
            open_dataset(tmp_path)
        synsets = np.zeros((2, 1), [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")])
        synsets[:, 0] = [(1, BIRD, "brambling"), (2, FISH, "tench")]
        savemat(kit / "meta.mat", {"synsets": synsets})
        assert self.labels(tmp_path) == [0, 1, 1, 0]
        content = (kit / "meta.mat").read_bytes()
        for broken in (content[: len(content) // 2], b"", b"MATLAB 5.0 MAT-file" + bytes(200), content[200:]):
            (kit / "meta.mat").write_bytes(broken)
            with pytest.raises(DataError, match=r"meta\.mat: (cannot be read as a MATLAB file|holds no variable)"):
                open_dataset(tmp_path)

    def test_lists_by_name(self, tmp_path: Path) -> None:
        make_imagenet(tmp_path)
        shutil.rmtree(tmp_path / "ILSVRC2012_devkit_t12")
        with pytest.raises(DataError, match=r"val: nothing tells the classes of its 2 images\. Put LOC_val_solution"):
            open_dataset(tmp_path)
        text(tmp_path / "val.txt", "ILSVRC2012_val_00000002.JPEG 1", "ILSVRC2012_val_00000001.JPEG 0")
        assert list(recognize(open_place(tmp_path))) == ["imagenet"] and self.labels(tmp_path) == [0, 1, 0, 1]
        text(
            tmp_path / "LOC_val_solution.csv",
            "ImageId,PredictionString",
            f"ILSVRC2012_val_00000002,{FISH} 0 6 7 8 ",
            f"ILSVRC2012_val_00000001,{BIRD} 0 6 7 8 ",
        )
        assert self.labels(tmp_path) == [0, 1, 1, 0]

    def test_faults(self, tmp_path: Path) -> None:
        make_imagenet(tmp_path)
        truth = tmp_path / "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
        for lines, message in (
            (("1",), r"has 1 lines for 2 images in .*val, and tells them by their order only"),
            (("1", "3"), r"line 2 is '3'; a number of the development kit from 1 to 2"),
        ):
            text(truth, *lines)
            with pytest.raises(DataError, match=message):
                open_dataset(tmp_path)
        text(tmp_path / "val.txt", "ILSVRC2012_val_00000002.JPEG 2", "ILSVRC2012_val_00000001.JPEG 0")
        table = wrong(
            tmp_path,
            r"val\.txt: line 1 is 'ILSVRC2012_val_00000002\.JPEG 2'; an image and a number",
            "line-malformed",
            "image-not-listed",
        )
        assert len(table) == 3
        text(
            tmp_path / "LOC_val_solution.csv",
            "ImageId,PredictionString",
            f"ILSVRC2012_val_00000002,{CRANE} 0 6 7 8",
            f"ILSVRC2012_val_00000001,{BIRD} 0 6 7 8",
        )
        wrong(tmp_path, rf"has the class '{CRANE}', of which there is no folder", "label-unknown")
