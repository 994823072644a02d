"""What a data set says about whole images, worked out by hand on miniatures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headstart.batches.label_source import label_source, with_examples
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.data.views import as_crops, as_labels
from headstart.errors import DataError
from headstart.places.paths import DataPath, Folder
from headstart.readers.formats import open_dataset
from support.miniatures import make_class_folders, make_voc
from support.miniatures_coco import CATEGORIES, an_annotation, an_image, coco_json, make_coco, make_lvis, photo
from support.miniatures_openimages import HEADER, TRAIN, TRAIN2, TREE, VALIDATION, boxes_csv, make_openimages

CLASSES = ("ant", "bee", "cow", "dog")


def boxed(classes_of_images: list[list[int]], known: list[bool] | None = None, classes=CLASSES, **more) -> Annotations:
    counts = [len(k) for k in classes_of_images]
    labels = np.array([c for k in classes_of_images for c in k], np.int32)
    columns = BoxColumns(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        source=np.tile([1.0, 1.0, 5.0, 5.0], (len(labels), 1)),
        labels=labels,
        flags=np.zeros(len(labels), np.uint8),
        known=np.ones(len(counts), bool) if known is None else np.array(known),
        classes=classes,
        convention="edges",
    )
    names = [str(k) for k in range(len(counts))]
    root = DataPath(Folder("somewhere"))
    return annotate(
        root,
        "made",
        names,
        [f"{k}.jpg" for k in names],
        sizes_hw=[[9, 9]] * len(names),
        splits=["train"] * len(names),
        boxes=columns,
        **more,
    )


def rows_by_id(table: Annotations, *ids: str) -> list[int]:
    return [table.image_ids.tolist().index(k) for k in ids]


class TestBoxes:
    def test_coco_lists_everything(self, tmp_path: Path) -> None:
        """Image 11 shows a cat (twice, one of them in a crowd) and a dog; 12 nothing; 7 a dog."""
        make_coco(tmp_path)
        table = open_dataset(tmp_path, format="coco")
        source = label_source(table)
        assert (source.rule, source.classes, source.several, source.complete) == ("boxes", ("cat", "dog"), True, True)
        rows = rows_by_id(table, "11", "12", "7")
        assert source.label_table(rows).tolist() == [[1, 1], [0, 0], [0, 1]]
        assert source.known.all() and source.labels(rows).tolist() == [-1, -1, -1]
        assert source.examples(rows).tolist() == [1, 2] and source.examples(rows[1:]).tolist() == [0, 1]

    def test_voc_counts_difficult_objects(self, tmp_path: Path) -> None:
        """a: a difficult dog, and a cat; b: a dog; c: nothing; d: a cat."""
        make_voc(tmp_path)
        table = open_dataset(tmp_path, format="voc")
        source = label_source(table)
        assert source.classes == ("cat", "dog")
        assert source.label_table(rows_by_id(table, *"abcd")).tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]

    def test_images_whose_boxes_nobody_listed(self) -> None:
        source = label_source(boxed([[0, 1], [], []], known=[True, False, True]))
        assert source.known.tolist() == [True, False, True]
        assert source.label_table([0, 1, 2]).tolist() == [[1, 1, 0, 0], [-1] * 4, [0] * 4]

    def test_one_class_in_every_image_is_its_label(self) -> None:
        source = label_source(boxed([[1, 1], [], [3]], known=[True, False, True]))
        assert source.rule == "one" and not source.several and source.classes == CLASSES
        assert source.labels([0, 1, 2]).tolist() == [1, -1, 3] and source.known.tolist() == [True, False, True]
        assert label_source(boxed([[1, 1], [], [3]])).several, "an image of nothing has no label"

    def test_what_is_above_a_class_is_not_absent(self) -> None:
        table = boxed([[0], [2], [1, 2]], hierarchy={"ant": ("cow",), "cow": ("dog",)})
        assert label_source(table).label_table([0, 1, 2]).tolist() == [[1, 0, -1, -1], [0, 0, 1, -1], [0, 1, 1, -1]]

    def test_the_label_of_an_image_goes_before_its_boxes(self, tmp_path: Path) -> None:
        for k in (1, 2):
            photo(tmp_path / f"train/{k}.jpg", k)
        images = [an_image(1, "1.jpg", label="night"), an_image(2, "2.jpg", label="day")]
        coco_json(tmp_path / "instances_train.json", images, [an_annotation(1, 1, [0, 0, 9, 9])], CATEGORIES)
        source = label_source(open_dataset(tmp_path))
        assert source.rule == "one" and source.classes == ("day", "night")
        assert source.labels([0, 1]).tolist() == [1, 0]

    def test_crops_have_the_label_of_their_box(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        crops = as_crops(open_dataset(tmp_path, format="voc"))
        source = label_source(crops)
        assert source.rule == "one"
        assert [source.classes[k] for k in source.labels(range(4))] == ["dog", "cat", "dog", "cat"]


class TestVerified:
    def test_open_images(self, tmp_path: Path) -> None:
        """The first image: a cat and a tree, verified not to show an animal; of a dog and a pet nobody said."""
        make_openimages(tmp_path)
        table = open_dataset(tmp_path)
        source = label_source(table)
        assert source.classes == ("Animal", "Cat", "Dog", "Pet", "Tree") and not source.complete
        rows = rows_by_id(table, TRAIN, TRAIN2, VALIDATION)
        want = [[0, 1, -1, -1, 1], [-1, -1, 1, -1, -1], [1, -1, 0, -1, -1]]
        assert source.label_table(rows).tolist() == want
        assert source.examples(rows).tolist() == [1, 1, 1, 0, 1]
        assert source.examples(rows, "absent").tolist() == [1, 0, 1, 0, 0]
        fewer = source.only([False, False, True, False, True])
        assert fewer.label_table(rows).tolist() == [[-1, 1], [1, -1], [0, -1]]

    def test_a_hierarchy_makes_more_known(self, tmp_path: Path) -> None:
        """A cat is an animal, whatever the label says, and a pet."""
        make_openimages(tmp_path)
        table = open_dataset(tmp_path, expand_hierarchy=True)
        assert label_source(table).label_table(rows_by_id(table, TRAIN)).tolist() == [[1, 1, 0, 1, 1]]

    def test_open_images_without_verified_labels(self, tmp_path: Path) -> None:
        """Lists of boxes are then complete, as scoring takes them, but for the animal and the pet that a cat is."""
        rows = [
            f"{TRAIN},xclick,/m/01yrx,1,0.1,0.2,0.1,0.5,0,1,0,0,0",
            f"{TRAIN},x,/m/07j7r,1,0,1,0,0.5,0,0,0,0,0",
            f"{TRAIN2},xclick,/m/07j7r,1,0.1,0.2,0.3,0.4,1,0,1,1,1",
        ]
        boxes_csv(tmp_path, *rows, header=HEADER)
        (tmp_path / "bbox_labels_600_hierarchy.json").write_text(json.dumps(TREE))
        source = label_source(open_dataset(tmp_path))
        assert source.complete and source.label_table([0, 1]).tolist() == [[-1, 1, 0, -1, 1], [0, 0, 0, 0, 1]]

    def test_lvis(self, tmp_path: Path) -> None:
        """Image 2: a dog, of which not every one is boxed; no eel. 3: neither cat nor dog, an eel that has no box."""
        make_lvis(tmp_path)
        table = open_dataset(tmp_path, format="lvis")
        source = label_source(table)
        assert source.classes == ("cat", "dog", "eel")
        assert source.label_table(rows_by_id(table, "2", "3")).tolist() == [[-1, 1, 0], [0, 0, 1]]

    def test_labels_of_images_without_boxes(self, tmp_path: Path) -> None:
        make_coco(tmp_path)
        coco = as_labels(open_dataset(tmp_path, format="coco"))
        source = label_source(coco)
        assert source.rule == "lists" and source.complete
        assert source.label_table(rows_by_id(coco, "11", "7")).tolist() == [[1, 1], [0, 1]]
        assert source.known.tolist() == [k != "12" for k in coco.image_ids], "an empty list may be nobody's word"
        make_openimages(tmp_path / "other")
        table = open_dataset(tmp_path / "other")
        found = as_labels(table)
        assert label_source(found).rule == "lists"
        assert np.array_equal(label_source(found).label_table(range(4)), label_source(table).label_table(range(4)))

    def test_said_to_be_both_is_present(self) -> None:
        ones = np.array([0, 1, 2], np.int64), np.array([0, 2], np.int32)
        nothing = np.array([0, 2, 3], np.int64), np.array([0, 1, 1], np.int32)
        source = label_source(boxed([[], []], [False, False], (), present=ones, absent=nothing, image_classes=CLASSES))
        assert source.label_table([0, 1]).tolist() == [[1, 0, -1, -1], [-1, 0, 1, -1]]


class TestFaults:
    def test_no_labels(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"somewhere: read as made, it has no labels of images, and no boxes.*Use a"
        ):
            label_source(boxed([[], []], [False, False], ()))

    def test_one_class_alone(self) -> None:
        table = boxed([[0], [0]], classes=("ant",))
        with pytest.raises(
            DataError, match=r"somewhere: no training image is known to lack a class \('ant'\).*Add images without"
        ):
            with_examples(label_source(table), [0, 1])
        assert with_examples(label_source(boxed([[0], []], classes=("ant",))), [0, 1]).several
        single = boxed([[], []], [False, False], (), image_labels=[0, 0], image_classes=("ant",))
        with pytest.raises(DataError, match=r"'ant' is the only class of its images.*or train with boxes"):
            label_source(single)

    def test_classes_without_examples(self) -> None:
        table = boxed([[0, 2], [2], [1]])
        source = label_source(table)
        with pytest.raises(
            DataError,
            match=r"somewhere: 2 of 4 classes have no example among the 2 training images: 'bee', 'dog'\. Add",
        ):
            with_examples(source, [0, 1])
        fewer = with_examples(source, [0, 1], "leave_out")
        assert fewer.classes == ("ant", "cow")
        assert fewer.label_table([0, 1, 2]).tolist() == [[1, 1], [0, 1], [0, 0]]
        many = boxed([[0, 1]], classes=tuple(f"c{k}" for k in range(30)))
        with pytest.raises(DataError, match=r"28 of 30 classes .*: 'c2', .*'c11', \.\.\. Add examples"):
            with_examples(label_source(many), [0])

    def test_classes_without_examples_of_single_labels(self, tmp_path: Path) -> None:
        make_class_folders(tmp_path)
        table = open_dataset(tmp_path)
        source = label_source(table)
        tulips = [i for i in table.rows_of("train") if source.labels([i])[0] == source.classes.index("tulip")]
        with pytest.raises(DataError, match=r"1 of 2 classes have no example.*'Iris'"):
            with_examples(source, tulips)
        with pytest.raises(DataError, match="'tulip' is the only class of the training images"):
            with_examples(source, tulips, "leave_out")

    def test_images_without_labels(self) -> None:
        source = label_source(boxed([[0], [], [1, 2, 3]], known=[True, False, True]))
        with pytest.raises(
            DataError, match=r"somewhere/1\.jpg: nothing is known of what image '1' shows; so it is with 1 of 3"
        ):
            with_examples(source, [0, 1, 2])
        with pytest.raises(DataError, match="somewhere: there are no images to train on"):
            with_examples(source, [])

    def test_leaving_classes_out_may_leave_an_image_without_labels(self) -> None:
        """0: an ant, no bee. 1: no cow, and none is anywhere. 2: a bee."""
        present = np.array([0, 1, 1, 2], np.int64), np.array([0, 1], np.int32)
        absent = np.array([0, 1, 2, 2], np.int64), np.array([1, 2], np.int32)
        table = boxed([[], [], []], [False] * 3, (), present=present, absent=absent, image_classes=CLASSES)
        fewer = with_examples(label_source(table), [0, 1, 2], "leave_out")
        assert fewer.classes == ("ant", "bee") and fewer.known.tolist() == [True, False, True]
        assert fewer.label_table([0, 1, 2]).tolist() == [[1, 0], [-1, -1], [-1, 1]]
