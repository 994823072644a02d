"""Labels of whole images against what is worked by hand, with every word of each refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from headstart.batches.label_source import LabelSource, label_source, with_examples
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.errors import DataError
from headstart.places.paths import DataPath, Folder

CLASSES = ("ant", "bee", "cow", "dog")
ROOT = DataPath(Folder("somewhere"))


def boxed(
    lists: list[list[int]], known: list[bool] | None = None, classes: tuple[str, ...] = CLASSES, **more: Any
) -> Annotations:
    """Images with boxes of these classes."""
    labels = np.array([c for own in lists for c in own], np.int32)
    columns = BoxColumns(
        offsets=np.cumsum([0, *map(len, lists)]).astype(np.int64),
        source=np.tile([1.0, 1.0, 5.0, 5.0], (len(labels), 1)),
        labels=labels,
        flags=np.zeros(len(labels), np.uint8),
        known=np.ones(len(lists), bool) if known is None else np.array(known),
        classes=classes,
        convention="edges",
    )
    return table(len(lists), boxes=columns, **more)


def table(count: int, root: DataPath = ROOT, **more: Any) -> Annotations:
    names = [f"{k}.png" for k in range(count)]
    return annotate(
        root,
        "made",
        [f"n{k}" for k in range(count)],
        names,
        sizes_hw=[(9, 9)] * count,
        splits=["train"] * count,
        **more,
    )


def lists(*of: list[int]) -> tuple[Any, Any]:
    return np.cumsum([0, *map(len, of)]).astype(np.int64), np.array([c for own in of for c in own], np.int32)


def single(labels: list[int], classes: tuple[str, ...] = CLASSES) -> Annotations:
    return table(len(labels), image_labels=labels, image_classes=classes)


# Labels of images


def test_one_label_an_image() -> None:
    source = label_source(single([2, -1, 0, 2]))
    assert source.rule == "one" and source.classes == CLASSES and source.complete is True and not source.several
    assert source.known.tolist() == [True, False, True, True]
    labels = source.labels([3, 1, 2])
    assert labels.tolist() == [2, -1, 0] and labels.dtype == np.int64
    assert source.examples([0, 1, 3, 3]).tolist() == [0, 0, 2, 0] and source.examples([0, 1]).dtype == np.int64
    assert source.examples([0, 2], "absent").tolist() == [0, 0, 0, 0] and source.examples([]).tolist() == [0] * 4
    assert source.table.image_labels.tolist() == [2, -1, 0, 2]


def test_one_label_an_image_with_fewer_classes() -> None:
    fewer = label_source(single([2, -1, 0, 3])).only([True, False, False, True])
    assert fewer.classes == ("ant", "dog") and fewer.labels([0, 1, 2, 3]).tolist() == [-1, -1, 0, 1]
    assert fewer.single is not None and fewer.single.dtype == np.int32 and fewer.rule == "one"
    assert fewer.known.tolist() == [False, False, True, True] and fewer.above is None


def test_labels_before_boxes_and_boxes_before_nothing() -> None:
    """Labels of images need two classes, and one image that has one."""
    boxes = [[0], [1, 2]]
    both = boxed(boxes, image_labels=[1, 0], image_classes=("x", "y"))
    assert label_source(both).rule == "one" and label_source(both).classes == ("x", "y")
    assert label_source(boxed(boxes, image_labels=[-1, -1], image_classes=("x", "y"))).rule == "boxes"
    assert label_source(boxed(boxes, image_labels=[0, 0], image_classes=("x",))).rule == "boxes"
    assert label_source(boxed(boxes, image_labels=[0, -1], image_classes=("x", "y"))).classes == ("x", "y")


def test_boxes_of_one_class_in_every_image_are_its_label() -> None:
    source = label_source(boxed([[1, 1], [3], [0, 0, 0]]))
    assert source.rule == "one" and source.labels(range(3)).tolist() == [1, 3, 0] and source.complete is True
    assert source.single is not None and source.single.dtype == np.int32
    partly = label_source(boxed([[], [3, 3], []], known=[False, True, False]))
    assert partly.rule == "one" and partly.labels(range(3)).tolist() == [-1, 3, -1]


@pytest.mark.parametrize(
    ("of", "known", "classes"),
    [
        ([[1, 1], [3, 0]], None, CLASSES),  # two classes in an image
        ([[1], []], None, CLASSES),  # an image of nothing
        ([[0], [0]], None, ("ant",)),  # nothing to tell apart
        ([[1], [0]], [True, False], CLASSES),  # a box where boxes are not known
    ],
)
def test_else_a_class_with_a_box_is_present(
    of: list[list[int]], known: list[bool] | None, classes: tuple[str, ...]
) -> None:
    source = label_source(boxed(of, known, classes))
    assert source.rule == "boxes" and source.complete is True and source.several and source.classes == classes
    assert source.of_box.tolist() == list(range(len(classes))) and source.of_box.dtype == np.int32
    assert source.of_label.tolist() == [] and source.of_label.dtype == np.int32 and source.above is None
    assert source.known.tolist() == (known or [True, True])


def test_tables_of_boxes_by_hand() -> None:
    source = label_source(boxed([[1, 1, 3], [], [0, 2]], known=[True, True, True]))
    found = source.label_table([2, 0, 1])
    assert found.tolist() == [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]] and found.dtype == np.int8
    assert source.labels([2, 0]).tolist() == [-1, -1] and source.labels([2, 0]).dtype == np.int64
    assert source.examples([0, 2]).tolist() == [1, 1, 1, 1] and source.examples([1]).tolist() == [0] * 4
    assert source.examples([0]).tolist() == [0, 1, 0, 1] and source.examples([0, 2], "absent").tolist() == [0] * 4
    fewer = source.only(np.array([False, True, True, True]))
    assert fewer.classes == ("bee", "cow", "dog") and fewer.of_box.tolist() == [-1, 0, 1, 2]
    assert fewer.of_box.dtype == np.int32
    assert fewer.label_table([0, 2]).tolist() == [[1, 0, 1], [0, 1, 0]] and fewer.known.all()
    assert fewer.examples([0, 1, 2]).tolist() == [1, 1, 1]


def test_what_is_above_a_class_that_is_present_is_not_known() -> None:
    """An ant is a cow, and a cow a dog, here; an image with the ant and the cow knows of the cow."""
    hierarchy = {"ant": ("cow",), "cow": ("dog",)}
    source = label_source(boxed([[0], [2, 1], [0, 2], []], hierarchy=hierarchy))
    assert source.label_table(range(4)).tolist() == [[1, 0, -1, -1], [0, 1, 1, -1], [1, 0, 1, -1], [0] * 4]
    assert source.above is not None and source.above.shape == (4, 4)
    fewer = source.only([True, False, True, True])
    assert fewer.above is not None and fewer.above.shape == (3, 3)
    assert fewer.label_table(range(3)).tolist() == [[1, -1, -1], [0, 1, -1], [1, 1, -1]]
    last = source.only([True, True, False, True])
    assert last.label_table(range(2)).tolist() == [[1, 0, -1], [0, 1, 0]]


def test_verified_labels_beside_boxes() -> None:
    """Boxes of two classes; labels name one of them, and one that has no box anywhere."""
    more = {"image_classes": ("cow", "elk", "ant"), "present": lists([0], [1], []), "absent": lists([2], [], [0, 2])}
    source = label_source(boxed([[1], [0], []], known=[True, True, False], hierarchy={"bee": ("cow",)}, **more))
    assert source.rule == "boxes" and source.complete is False and source.several
    assert source.of_label.tolist() == [2, -1, 0] and source.of_label.dtype == np.int32 and source.above is None
    assert source.label_table(range(3)).tolist() == [[0, 1, 1, -1], [1, -1, -1, -1], [0, -1, 0, -1]]
    assert source.known.tolist() == [True, True, True]
    assert source.examples(range(3)).tolist() == [1, 1, 1, 0]
    assert source.examples(range(3), "absent").tolist() == [2, 0, 1, 0]
    assert source.examples([0, 1], "absent").tolist() == [1, 0, 0, 0]
    fewer = source.only([False, True, True, False])
    assert fewer.of_label.tolist() == [1, -1, -1] and fewer.of_box.tolist() == [-1, 0, 1, -1]
    assert fewer.known.tolist() == [True, False, True]


def test_one_class_in_every_image_is_no_label_where_labels_are_verified() -> None:
    more = {"image_classes": CLASSES, "present": lists([], []), "absent": lists([1], [])}
    assert label_source(boxed([[1], [2]], **more)).rule == "boxes"


def test_lists_of_labels_are_complete_where_nothing_is_said_to_be_absent() -> None:
    source = label_source(table(3, image_classes=CLASSES, present=lists([0, 3], [], [2])))
    assert source.rule == "lists" and source.complete is True and source.classes == CLASSES
    assert source.known.tolist() == [True, False, True] and source.of_label.tolist() == [0, 1, 2, 3]
    assert source.label_table(range(3)).tolist() == [[1, 0, 0, 1], [-1] * 4, [0, 0, 1, 0]]
    assert source.of_box.tolist() == [] and source.of_label.dtype == np.int32
    said = label_source(table(3, image_classes=CLASSES, present=lists([0, 3], [], [2]), absent=lists([], [1], [])))
    assert said.complete is False and said.known.tolist() == [True, True, True]
    assert said.label_table(range(3)).tolist() == [[1, -1, -1, 1], [-1, 0, -1, -1], [-1, -1, 1, -1]]
    assert said.examples(range(3), "absent").tolist() == [0, 1, 0, 0]


def test_a_class_that_is_listed_twice_counts_once() -> None:
    source = label_source(table(2, image_classes=CLASSES, present=lists([1, 1, 1], [1, 2])))
    assert source.examples([0, 1]).tolist() == [0, 2, 1, 0]


# Refusals


def test_tables_without_labels_are_refused() -> None:
    said = (
        "somewhere: read as made, it has no labels of images, and no boxes to take them from. Use a data set that has, "
        "or name another format."
    )
    for of in (
        table(2),
        boxed([[], []], [False, False]),
        boxed([[], []], [True, True], ()),
        table(2, image_labels=[-1, -1], image_classes=("ant",)),
        table(2, image_classes=CLASSES, present=lists([], [])),
        table(2, image_classes=CLASSES, present=lists([], []), absent=lists([1], [])),
    ):
        with pytest.raises(DataError) as fault:
            label_source(of)
        assert str(fault.value) == said
    with pytest.raises(DataError) as fault:
        label_source(single([0, -1], ("ant",)))
    assert str(fault.value) == (
        "somewhere: 'ant' is the only class of its images, so there is nothing to tell apart. Add images of other "
        "classes, or train with boxes."
    )


def refused(source: LabelSource, rows: list[int], *more: Any) -> str:
    with pytest.raises(DataError) as fault:
        with_examples(source, rows, *more)
    return str(fault.value)


def test_rows_that_teach_nothing_are_refused() -> None:
    source = label_source(boxed([[0, 1], [], [1], []], known=[True, False, True, False]))
    assert refused(source, []) == (
        "somewhere: there are no images to train on. Name a part of the data set that has some."
    )
    assert refused(source, [0, 3, 1]) == (
        "somewhere/3.png: nothing is known of what image 'n3' shows; so it is with 2 of 3 training images. "
        "Leave them out (`LabelSource.known`)."
    )
    assert refused(source, [0, 2]) == (
        "somewhere: 2 of 4 classes have no example among the 2 training images: 'cow', 'dog'. Add examples, or leave "
        "such classes out (--on-empty-class skip)."
    )
    assert refused(source, [0, 2], "error") == refused(source, [0, 2])


@pytest.mark.parametrize(("count", "named"), [(10, 10), (11, 10), (12, 10)])
def test_ten_classes_are_named(count: int, named: int) -> None:
    """Those without an example: all but the first two."""
    names = tuple(f"c{k}" for k in range(count + 2))
    said = refused(label_source(boxed([[0, 1]], classes=names)), [0])
    shown = ", ".join(repr(name) for name in names[2 : 2 + named]) + (", .." if count > named else "")
    assert f"{count} of {count + 2} classes have no example among the 1 training images: {shown}. Add" in said


def test_classes_without_examples_are_left_out_where_that_is_said() -> None:
    source = label_source(boxed([[0, 1], [1], [3, 2]]))
    assert with_examples(source, [0, 1, 2]) is source
    fewer = with_examples(source, np.array([0, 1]), "leave_out")
    assert fewer.classes == ("ant", "bee") and fewer.label_table([0, 1, 2]).tolist() == [[1, 1], [0, 1], [0, 0]]
    lacking = label_source(boxed([[0, 1], []]))
    assert "4 of 4 classes have no example" in refused(lacking, [1], "leave_out"), "not all of them can be"


def test_a_class_that_no_image_lacks_is_refused_where_it_is_alone() -> None:
    only = (
        "somewhere: no training image is known to lack a class ({}), so there is nothing to tell apart. "
        "Add images without it, or train with boxes."
    )
    source = label_source(boxed([[0, 1], [1, 0], [1]], classes=("ant", "bee")))
    assert refused(source, [0, 1]) == only.format("'ant', 'bee'")
    assert with_examples(source, [0, 1, 2]) is source
    more = {"image_classes": CLASSES[:2], "present": lists([0], [1], [0, 1])}
    said = label_source(table(3, **more, absent=lists([1], [], [])))
    assert refused(said, [1, 2]) == only.format("'ant', 'bee'")
    assert with_examples(said, [0, 1]) is said


def test_a_label_that_all_images_have_is_refused() -> None:
    source = label_source(single([1, 1, 0, 2], CLASSES[:3]))
    assert refused(source, [0, 1], "leave_out") == (
        "somewhere: 'bee' is the only class of the training images, so there is nothing to tell apart. Add images of "
        "other classes."
    )
    assert with_examples(source, [0, 2], "leave_out").classes == ("ant", "bee")
