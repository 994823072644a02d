"""Views of a data set: labels, crops, subsets, classes, selections. Properties over drawn tables; worked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.classes import with_classes
from headstart.data.columns import BoxColumns
from headstart.data.flags import CROWD, GROUP_OF, IGNORED
from headstart.data.subsets import class_pairs, few_shot, fraction, nested_order
from headstart.data.views import as_crops, as_labels, by_area, by_instances
from headstart.errors import DataError, UsageError
from headstart.places.images import read_rgb
from headstart.places.paths import DataPath, Folder
from headstart.readers.formats import open_dataset
from support.miniatures import HEIGHT, WIDTH, make_index_masks, make_voc
from support.miniatures_openimages import TRAIN, make_openimages

quiet = settings(max_examples=60, deadline=None, derandomize=True)
CLASSES = ("ant", "bee", "cat", "dog")


def boxes_table(
    labels: list[list[int]], boxes: list[list[tuple[float, ...]]] | None = None, flags: list[int] | None = None
) -> Annotations:
    """Images of 100 x 200 pixels with boxes of these classes."""
    counts = [len(k) for k in labels]
    values = np.array([b for of in boxes for b in of] if boxes else [[1, 1, 11, 21]] * sum(counts), float).reshape(
        -1, 4
    )
    columns = BoxColumns(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        source=values,
        labels=np.array([k for of in labels for k in of], np.int32),
        known=np.ones(len(labels), bool),
        classes=CLASSES,
        flags=np.array(flags or [0] * sum(counts), np.uint8),
        convention="edges",
        class_ids=(10, 20, 30, 40),
    )
    return table_of(len(labels), sizes_hw=[(100, 200)] * len(labels), boxes=columns)


def table_of(count: int, **columns: Any) -> Annotations:
    ids = [f"i{k}" for k in range(count)]
    files = [f"{i}.jpg" for i in ids]
    return annotate(DataPath(Folder("/nowhere")), "drawn", ids, files, splits=["train"] * count, **columns)


def labels_table(labels: list[int]) -> Annotations:
    return table_of(len(labels), sizes_hw=np.zeros((len(labels), 2)), image_labels=labels, image_classes=CLASSES)


several = st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=60).map(boxes_table)
single = st.lists(st.integers(-1, 3), min_size=1, max_size=80).map(labels_table)
either = st.one_of(several.map(lambda t: (t, "detect")), single.map(lambda t: (t, "classify")))


class TestFractions:
    @quiet
    @given(either, st.floats(0.001, 1), st.floats(0.001, 1), st.integers(0, 3))
    def test_the_smaller_is_in_the_larger(self, drawn, one, other, seed) -> None:
        table, task = drawn
        less, more = (fraction(table, share, task, seed) for share in sorted((one, other)))
        assert set(less.image_ids) <= set(more.image_ids)
        assert len(less) == max(1, int(min(one, other) * len(table) + 0.5))
        assert sorted(less.image_ids, key=lambda i: int(i[1:])) == list(less.image_ids)

    @quiet
    @given(either, st.integers(0, 3), st.randoms(use_true_random=False))
    def test_order_of_files_decides_nothing(self, drawn, seed, random) -> None:
        table, task = drawn
        rows = list(range(len(table)))
        random.shuffle(rows)
        mixed = table.select(rows)
        assert list(mixed.image_ids[nested_order(mixed, task, seed)]) == list(
            table.image_ids[nested_order(table, task, seed)]
        )

    @quiet
    @given(single, st.floats(0.01, 1))
    def test_every_beginning_is_stratified(self, table, share) -> None:
        order = nested_order(table, "classify")
        assert sorted(order) == list(range(len(table)))
        labels, taken = table.image_labels, order[: int(share * len(table) + 0.5)]
        for label in range(-1, 4):
            # A class is within one image of its share, and so are the others: ties may add as many again.
            expected = (labels == label).mean() * len(taken)
            assert abs((labels[taken] == label).sum() - expected) <= 1 + 5 / 2

    def test_balanced_classes_stay_balanced(self) -> None:
        table = labels_table([k % 4 for k in range(400)])
        for share in (0.1, 0.2, 0.5):
            assert np.bincount(fraction(table, share, "classify").image_labels).tolist() == [int(100 * share)] * 4

    def test_the_rarest_class_decides_where_there_are_several(self) -> None:
        """100 images of ants, 20 of them with a bee: a tenth has 10 ants, 2 of them with a bee."""
        table = boxes_table([[0, 1] if k % 5 == 0 else [0] for k in range(100)])
        tenth = fraction(table, 0.1, "detect")
        assert len(tenth) == 10 and np.bincount(tenth.box_labels).tolist() == [10, 2]

    def test_a_sample_for_good(self) -> None:
        """Recorded: a change would make other subsets of the same seed."""
        table = labels_table([0, 0, 0, 0, 1, 1, 2, 3, -1, -1])
        assert nested_order(table, "classify").tolist() == [0, 8, 4, 1, 7, 6, 2, 5, 9, 3]
        assert nested_order(table, "classify", seed=7).tolist() == [1, 4, 8, 3, 6, 7, 2, 5, 9, 0]

    @pytest.mark.parametrize("share", [0, -0.1, 1.5])
    def test_shares_that_are_none(self, share: float) -> None:
        with pytest.raises(UsageError, match="Give more than 0 and at most 1"):
            fraction(labels_table([0]), share, "classify")


class TestFewShot:
    @quiet
    @given(either, st.integers(1, 6), st.integers(0, 3))
    def test_nested_and_enough_of_each_class(self, drawn, shots, seed) -> None:
        table, task = drawn
        less, more = few_shot(table, shots, task, seed), few_shot(table, shots + 1, task, seed)
        assert set(less.image_ids) <= set(more.image_ids)

        def count(t):
            return np.bincount(class_pairs(t, task)[1], minlength=4)

        assert (count(less) >= np.minimum(count(table), shots)).all()
        if task == "classify":
            assert (count(less) == np.minimum(count(table), shots)).all() and (less.image_labels >= 0).all()

    def test_none_of_a_class(self) -> None:
        with pytest.raises(UsageError, match="Give 1 or more"):
            few_shot(labels_table([0]), 0, "classify")


class TestAsLabels:
    @quiet
    @given(several)
    def test_present_are_the_classes_of_boxes(self, table) -> None:
        view = as_labels(table)
        assert view.image_classes == CLASSES and view.image_class_ids == (10, 20, 30, 40) and view.box_classes == ()
        want = [
            sorted(set(table.box_labels[a:b].tolist()))
            for a, b in zip(table.box_offsets, table.box_offsets[1:], strict=False)
        ]
        if all(len(k) == 1 for k in want):
            assert not view.multi_label and view.image_labels.tolist() == [k[0] for k in want]
        else:
            assert [view.verified(i)[0].tolist() for i in range(len(view))] == want
        assert not view.supports("detect").any() and list(view.image_ids) == list(table.image_ids)

    def test_verified_labels_are_added(self, tmp_path: Path) -> None:
        """The first image: boxes of a cat and a tree, verified: cat and tree, no animal."""
        make_openimages(tmp_path)
        view = as_labels(open_dataset(tmp_path))
        assert view.image_id(0) == TRAIN and [k.tolist() for k in view.verified(0)] == [[1, 4], [0], []]
        assert view.image_path(0).is_file()

    def test_without_boxes(self) -> None:
        with pytest.raises(DataError, match="no boxes to make labels of images of"):
            as_labels(labels_table([0]))


class TestAsCrops:
    def test_pixels_and_labels(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        table = open_dataset(tmp_path)
        crops = as_crops(table)
        assert crops.image_ids[:2].tolist() == ["a#0", "a#1"] and crops.image_classes == ("cat", "dog")
        assert crops.image_labels.tolist() == table.box_labels.tolist() and crops.tasks == ("classify",)
        assert crops.size_hw(0) == (HEIGHT, WIDTH) and crops.crop(1) == (2, 4, 10, 25, HEIGHT, WIDTH)
        assert crops.size_hw(1) == (21, 8) and list(crops.splits[:2]) == ["train", "train"]
        assert crops.groups is not None and list(crops.groups[:3]) == ["a", "a", "b"]
        make_image_set(
            crops,
            [1],
            [0],
            "classify",
            size_hw=(21, 8),
            resize="stretch",
            out=tmp_path / "out",
            progress=lambda share, what: None,
        )
        made = ImageSet.open(tmp_path / "out")
        assert np.array_equal(made.images[0], read_rgb(tmp_path / "JPEGImages/a.jpg")[4:25, 2:10])
        assert made.image_labels.tolist() == [0] and made.sizes_hw.tolist() == [[21, 8]]

    def test_context_within_the_image(self) -> None:
        """A box of 20 x 40 at the left edge: a quarter more on each side, cut off at 0."""
        crops = as_crops(boxes_table([[0]], [[(2, 30, 22, 70)]]), context=0.25)
        assert crops.crop(0) == (0, 20, 27, 80, 100, 200)

    @quiet
    @given(
        st.lists(st.tuples(st.floats(-5, 190), st.floats(-5, 90), st.floats(0.01, 50), st.floats(0.01, 50)), max_size=5)
    )
    def test_crops_cover_their_boxes(self, drawn) -> None:
        boxes = [(x, y, x + w, y + h) for x, y, w, h in drawn]
        crops = as_crops(boxes_table([[0] * len(boxes)], [boxes]), least=1)
        inside = [b for b in boxes if min(b[2], 200) > max(b[0], 0) and min(b[3], 100) > max(b[1], 0)]
        assert len(crops) == len(inside)
        for i, (x1, y1, x2, y2) in enumerate(inside):
            left, top, right, bottom, *_ = crops.crop(i)
            assert left <= max(x1, 0) < left + 1 and top <= max(y1, 0) < top + 1
            assert right - 1 < min(x2, 200) <= right and bottom - 1 < min(y2, 100) <= bottom
            assert crops.size_hw(i) == (bottom - top, right - left)

    def test_groups_and_slivers_are_left_out_and_told(self) -> None:
        boxes = [(0, 0, 9, 9), (0, 0, 50, 50), (0, 0, 50, 50), (0, 0, 50, 50)]
        table = boxes_table([[0, 1], [2, 3]], [boxes[:2], boxes[2:]], [0, GROUP_OF, CROWD, 0])
        crops = as_crops(table, least=10)
        assert list(crops.image_ids) == ["i1#1"] and crops.image_labels.tolist() == [3]
        assert crops.notes == ("3 boxes are no crops: around several objects, or with a side of less than 10 pixels",)

    def test_unknown_sizes(self, tmp_path: Path) -> None:
        make_openimages(tmp_path)
        with pytest.raises(DataError, match=rf"{TRAIN}\.jpg: its size is unknown, so no box can be cut out\. Fill"):
            as_crops(open_dataset(tmp_path))


class TestWithClasses:
    @quiet
    @given(several, st.lists(st.sampled_from(CLASSES), min_size=1, unique=True))
    def test_a_subset_in_its_own_order(self, table, names) -> None:
        view = with_classes(table, names)
        assert view.box_classes == tuple(names) and view.box_class_ids == tuple(
            10 * CLASSES.index(n) + 10 for n in names
        )
        for i in range(len(table)):
            before, after = table.boxes_of(i), view.boxes_of(i)
            kept = [k for k, label in enumerate(before.labels) if CLASSES[label] in names]
            assert [names[k] for k in after.labels] == [CLASSES[before.labels[k]] for k in kept]
            assert np.array_equal(after.xyxy, before.xyxy[kept])
        assert view.boxes_known.all()
        filled = with_classes(table, names, drop_empty=True)
        assert (np.diff(filled.box_offsets) > 0).all() and len(filled.box_labels) == len(view.box_labels)

    def test_merged(self, tmp_path: Path) -> None:
        """Present when one of them is, absent when all are; the tree above them follows."""
        make_openimages(tmp_path)
        table = open_dataset(tmp_path)
        view = with_classes(table, {"Cat": "carnivore", "Dog": "carnivore", "Animal": "animal"})
        assert view.box_classes == ("carnivore", "animal") and view.box_class_ids == ()
        assert view.box_labels.tolist() == [0, 0, 1] and view.hierarchy == {"carnivore": ("animal",)}
        assert [k.tolist() for k in view.verified(0)] == [[0], [1], []]
        assert [k.tolist() for k in view.verified(2)] == [[1], [], []]  # A dog is absent; of cats nothing is said.

    def test_masks_ignore_what_is_gone(self, tmp_path: Path) -> None:
        make_index_masks(tmp_path)
        table = open_dataset(tmp_path)
        view = with_classes(table, ["car", "sky"])
        before = {v: table.mask_classes[k] for v, k in enumerate(table.mask_lut) if k != IGNORED}
        after = {v: view.mask_classes[k] for v, k in enumerate(view.mask_lut) if k != IGNORED}
        assert after == {v: name for v, name in before.items() if name != "road"}
        assert set(view.mask_void) == set(table.mask_void) | {v for v, name in before.items() if name == "road"}
        make_image_set(
            view,
            range(4),
            range(4),
            "segment",
            size_hw=(30, 40),
            resize="stretch",
            out=tmp_path / "out",
            progress=lambda share, what: None,
        )
        assert set(np.unique(ImageSet.open(tmp_path / "out").masks)) == {0, 1, IGNORED} - (
            {0} if "car" not in {before.get(v) for v in (0, 1, 3)} else set()
        )

    def test_labels(self) -> None:
        view = with_classes(labels_table([0, 1, -1, 3]), {"dog": "mammal", "ant": "insect", "bee": "insect"})
        assert view.image_classes == ("mammal", "insect") and view.image_labels.tolist() == [1, 1, -1, 0]
        assert len(with_classes(view, ["mammal"], drop_empty=True)) == 1

    def test_unknown_class(self) -> None:
        with pytest.raises(UsageError, match=r"no class 'cow'\. There are: ant, bee, cat, dog"):
            with_classes(labels_table([0]), ["cow"])


class TestSelections:
    @quiet
    @given(several, st.integers(0, 3), st.integers(0, 4))
    def test_by_instances(self, table, least, more) -> None:
        counts = np.diff(table.box_offsets)
        chosen = np.flatnonzero((counts >= least) & (counts <= least + more))
        view = by_instances(table, least, least + more)
        assert list(view.image_ids) == list(table.image_ids[chosen])
        assert len(by_instances(table, least)) == (counts >= least).sum()

    def test_by_area(self) -> None:
        """Boxes of 100 and 400 square pixels: 0.5 and 2 % of the image. The lower edge belongs to a range."""
        small, large = (0, 0, 10, 10), (0, 0, 20, 20)
        table = boxes_table([[0], [0, 0], [0], []], [[small], [small, large], [large], []])

        def ids(**options) -> list:
            return list(by_area(table, **options).image_ids)

        assert (
            ids(most=400) == ["i0"] and ids(most=400, of="any") == ["i0", "i1"] and ids(least=100) == ["i0", "i1", "i2"]
        )
        assert ids(least=400, of="any") == ["i1", "i2"] and ids(least=100.1) == ["i2"]
        assert ids(least=0.02, share=True) == ["i2"] and ids(most=0.02, share=True) == ["i0"]

    def test_shares_of_relative_boxes_need_no_size(self, tmp_path: Path) -> None:
        make_openimages(tmp_path)
        table = open_dataset(tmp_path)
        assert list(by_area(table, least=0.5, share=True).image_ids) == [table.image_id(2)]
        with pytest.raises(DataError, match="its boxes are fractions of the image, and its size is unknown"):
            by_area(table, least=0.5)
