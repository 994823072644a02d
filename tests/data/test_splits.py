"""Official splits, cross-fitting, groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.data.splits import assign, divide, has_test, num_of_role
from headstart.errors import DataError
from headstart.readers.formats import open_dataset

SHARED = Path(__file__).parents[3] / "shared" / "data"


def table(splits: Sequence[str], labels: Sequence[int], groups: Sequence[str] | None = None) -> Annotations:
    n = len(splits)
    names = [f"i{k:04d}.png" for k in range(n)]
    classes = [f"c{k}" for k in range(max(labels) + 1)]
    return annotate(
        Path("set"),
        "test",
        names,
        names,
        sizes_hw=[(8, 9)] * n,
        splits=splits,
        groups=groups,
        image_labels=labels,
        image_classes=classes,
    )


def boxed(per_image: Sequence[Sequence[int] | None], num_classes: int) -> Annotations:
    """Images with boxes of the given classes; None: boxes not known."""
    n = len(per_image)
    labels = [k for image in per_image for k in image or ()]
    boxes = BoxColumns(
        offsets=np.cumsum([0, *(len(image or ()) for image in per_image)]),
        source=np.tile([1.0, 1, 8, 8], (len(labels), 1)),
        labels=np.array(labels, np.int32),
        flags=np.zeros(len(labels), np.uint8),
        known=np.array([image is not None for image in per_image]),
        classes=tuple(f"b{k}" for k in range(num_classes)),
        convention="voc",
    )
    names = [f"i{k}" for k in range(n)]
    return annotate(Path("set"), "test", names, names, sizes_hw=[(9, 9)] * n, splits=[""] * n, boxes=boxes)


class TestOfficial:
    def test_all_three_parts_are_used_as_given(self) -> None:
        annotations = table(["train"] * 3 + ["val"] * 2 + ["test"] * 2 + [""], [0, 1, 0, 1, 0, 1, 0, 0])
        roles = assign(annotations, "classify")
        assert roles.official and len(roles) == 1 and has_test(annotations, "classify")
        assert [roles[0].train.tolist(), roles[0].val.tolist(), roles[0].test.tolist()] == [[0, 1, 2], [3, 4], [5, 6]]
        assert roles.notes == ("set: 1 images have no annotation for classify or are in no list",)

    def test_validation_is_a_fifth_of_training_in_every_class(self) -> None:
        annotations = table(["train"] * 100 + ["test"] * 10, [k % 5 for k in range(110)])
        (fold,) = assign(annotations, "classify")
        assert np.bincount(annotations.image_labels[fold.val]).tolist() == [4] * 5
        assert np.array_equal(np.sort(np.concatenate([fold.train, fold.val])), np.arange(100))

    def test_val_is_the_test_when_there_is_no_other(self) -> None:
        annotations = table(["train"] * 10 + ["val"] * 5, [k % 2 for k in range(15)])
        roles = assign(annotations, "classify")
        assert roles[0].test.tolist() == [10, 11, 12, 13, 14] and len(roles[0].val) == 2
        assert roles.notes == ("set: no test part, so the 5 images of its val part are the test images",)

    def test_trainval_is_divided(self) -> None:
        annotations = table(["trainval"] * 10 + ["test"] * 5, [k % 2 for k in range(15)])
        (fold,) = assign(annotations, "classify")
        assert (len(fold.train), len(fold.val), len(fold.test)) == (8, 2, 5)

    def test_how_many_there_are_is_known_beforehand(self) -> None:
        def known(of, folds=0) -> list[int]:
            return [num_of_role(of, "classify", role, folds) for role in ("train", "val", "test", "trainval", "all")]

        own = table(["train"] * 3 + ["val"] * 2 + ["test"] * 4 + [""], [0, 1] * 5)
        (fold,) = assign(own, "classify")
        assert known(own) == [len(fold.train), len(fold.val), len(fold.test), 5, 10] == [3, 2, 4, 5, 10]
        assert known(table(["trainval"] * 10 + ["test"] * 5, [k % 2 for k in range(15)])) == [8, 2, 5, 10, 15]
        dealt = table(["trainval"] * 30 + [""] * 3, [0, 1, 2] * 11)
        assert known(dealt, 3) == [16, 4, 10, 20, 33]
        folds = assign(dealt, "classify", 3)
        assert [len(fold.test) for fold in folds] == [10, 10, 10]
        assert all(len(fold.train) + len(fold.val) == 20 and 3 <= len(fold.val) <= 6 for fold in folds)

    def test_twins_across_the_split_are_told(self) -> None:
        annotations = table(["train"] * 8 + ["test"] * 2, [0, 1] * 5)
        roles = assign(annotations, "classify", clusters=[0, 1, 2, 3, 4, 5, 6, 7, 0, 8])
        assert "1 of 2 test images have a near-duplicate among the training and validation images" in roles.notes[0]

    def test_groups_across_the_split_are_told(self) -> None:
        annotations = table(["train"] * 8 + ["test"] * 2, [0, 1] * 5, ["a", "b", *[""] * 6, "a", ""])
        (note,) = assign(annotations, "classify").notes
        assert "1 of 2 test images have a near-duplicate, or another image of their group, among" in note

    def test_folds_are_refused(self) -> None:
        annotations = table(["train"] * 8 + ["test"] * 2, [0, 1] * 5)
        with pytest.raises(
            DataError, match=r"set: 2 images are the data's own test images for classify.*Leave out `fold`"
        ):
            assign(annotations, "classify", folds=3)


class TestFolds:
    def test_every_image_is_tested_once_and_parts_are_apart(self) -> None:
        annotations = table([""] * 90, [k % 3 for k in range(90)])
        assert not has_test(annotations, "classify")
        roles = assign(annotations, "classify", folds=3)
        assert not roles.official and len(roles) == 3
        assert np.array_equal(np.sort(np.concatenate([fold.test for fold in roles])), np.arange(90))
        for fold in roles:
            assert np.array_equal(np.sort(np.concatenate([fold.train, fold.val, fold.test])), np.arange(90))
            assert np.bincount(annotations.image_labels[fold.test]).tolist() == [10] * 3
            assert np.bincount(annotations.image_labels[fold.val]).tolist() == [4] * 3
            assert (np.diff(fold.train) > 0).all()

    def test_clusters_stay_together(self) -> None:
        rng = np.random.default_rng(0)
        annotations = table([""] * 200, rng.integers(0, 4, 200).tolist())
        clusters = rng.integers(0, 60, 200)
        for fold in assign(annotations, "classify", 3, clusters):
            parts = [set(clusters[rows]) for rows in (fold.train, fold.val, fold.test)]
            assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
            assert 50 <= len(fold.test) <= 84 and len(fold.val) >= 15

    def test_same_deal_whatever_the_order_and_another_for_another_seed(self) -> None:
        annotations = table([""] * 60, [k % 2 for k in range(60)])
        order = np.random.default_rng(1).permutation(60)
        ids = [set(annotations.image_ids[f.test]) for f in assign(annotations, "classify", 3)]
        mixed = annotations.select(order)
        assert [set(mixed.image_ids[f.test]) for f in assign(mixed, "classify", 3)] == ids
        assert [set(annotations.image_ids[f.test]) for f in assign(annotations, "classify", 3, seed=1)] != ids

    def test_rare_classes_reach_every_part(self) -> None:
        annotations = boxed([(0,)] * 50 + [(0, 1)] * 9 + [(0, 2)] * 3 + [()] * 4, 3)
        for fold in assign(annotations, "detect", 3):
            have = {
                role: np.unique(annotations.select(getattr(fold, role)).box_labels).tolist()
                for role in ("train", "val", "test")
            }
            assert have == {"train": [0, 1, 2], "val": [0, 1, 2], "test": [0, 1, 2]}

    def test_only_images_with_annotation_take_part(self) -> None:
        annotations = boxed([(0,), None, ()] * 10, 1)
        roles = assign(annotations, "detect", 2)
        used = np.concatenate([roles[0].train, roles[0].val, roles[0].test])
        assert sorted(used % 3) == [0] * 10 + [2] * 10, "an empty list of boxes counts, a missing one does not"
        assert roles.notes == ("set: 10 images have no annotation for detect or are in no list",)

    def test_too_few_images(self) -> None:
        annotations = table([""] * 6, [0, 1] * 3)
        with pytest.raises(
            DataError, match=r"set: no images are set apart for testing classify\. Use folds \(`folds` = 3"
        ):
            assign(annotations, "classify")
        with pytest.raises(
            DataError, match=r"images remain for classify \(6 images in all.*Add images or use fewer folds"
        ):
            assign(annotations, "classify", 3, clusters=[0] * 6)

    def test_pets_heads_have_no_official_test(self) -> None:
        if not (SHARED / "oxford_pets3").is_dir():
            pytest.skip("no oxford_pets3 beside the repository")
        annotations = open_dataset(SHARED / "oxford_pets3")
        assert [has_test(annotations, task) for task in ("detect", "segment", "classify")] == [False, True, True]
        assert [len(f.test) for f in assign(annotations, "detect", 3)] == [40, 40, 40]
        (fold,) = assign(annotations, "segment")
        assert np.bincount(annotations.image_labels[fold.val]).tolist() == [8, 8, 8]


class TestGroups:
    def test_videos_stay_together_with_what_looks_like_them(self) -> None:
        rng = np.random.default_rng(2)
        videos = [f"v{k}" if k else "" for k in rng.integers(0, 25, 240)]
        annotations = table([""] * 240, rng.integers(0, 3, 240).tolist(), videos)
        clusters = np.arange(240)
        twins = (videos.index("v3"), videos.index("v4"))
        clusters[twins[1]] = twins[0]
        for fold in assign(annotations, "classify", 3, clusters):
            part = np.zeros(240, int)
            part[fold.val], part[fold.test] = 1, 2
            for name in sorted(set(videos) - {""}):
                assert len(set(part[annotations.groups == name])) == 1, name  # type: ignore[index]
            assert part[twins[0]] == part[twins[1]] and 60 <= len(fold.test) <= 100

    def test_divide_deals_all_images_whatever_their_split(self) -> None:
        annotations = table(["train"] * 80 + ["test"] * 20, [k % 4 for k in range(100)])
        train, val, test = divide(annotations, "classify", (0.6, 0.2, 0.2))
        assert np.array_equal(np.sort(np.concatenate([train, val, test])), np.arange(100))
        for part, count in ((train, 15), (val, 5), (test, 5)):
            assert np.bincount(annotations.image_labels[part]).tolist() == [count] * 4 and (np.diff(part) > 0).all()
        assert not np.array_equal(divide(annotations, "classify", (0.6, 0.2, 0.2), seed=1)[2], test)

    def test_divide_refuses_what_cannot_be(self) -> None:
        annotations = table([""] * 6, [0, 1] * 3, ["one"] * 6)
        with pytest.raises(
            DataError, match=r"set: 6 images cannot be dealt into 2 parts for classify.*or ask for fewer"
        ):
            divide(annotations, "classify", (0.5, 0.5))
        for shares in ((0.5, 0.6), (1.5, -0.5), ()):
            with pytest.raises(ValueError, match="must be positive and sum to 1"):
                divide(annotations, "classify", shares)
