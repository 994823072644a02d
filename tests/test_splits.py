"""Near-duplicates, official splits, cross-fitting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.data.formats import open_dataset
from headstart.data.splits import assign, has_test, near_duplicate_clusters
from headstart.errors import DataError

SHARED = Path(__file__).parents[2] / "shared" / "data"


def table(splits: Sequence[str], labels: Sequence[int], root: Path = Path("set"), prefix: str = "i") -> Annotations:
    n = len(splits)
    names = [f"{prefix}{k:04d}.png" for k in range(n)]
    classes = [f"c{k}" for k in range(max(labels) + 1)]
    return annotate(root, "test", names, names, [(8, 9)] * n, splits, image_labels=labels, image_classes=classes)


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
    return annotate(Path("set"), "test", names, names, [(9, 9)] * n, [""] * n, boxes=boxes)


def noise(seed: int) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((120, 100), Image.Resampling.BICUBIC)


class TestNearDuplicates:
    def test_copies_find_each_other(self, tmp_path: Path) -> None:
        a, b = noise(1), noise(2)
        pictures = [a, b, a.resize((60, 50)), noise(3), ImageEnhance.Brightness(b).enhance(1.05), a]
        names = [f"{k}.{'jpg' if k == 5 else 'png'}" for k in range(6)]
        for name, picture in zip(names, pictures, strict=True):
            picture.save(tmp_path / name)
        annotations = annotate(tmp_path, "test", names, names, [(0, 0)] * 6, [""] * 6)
        assert near_duplicate_clusters(annotations, np.arange(6)).tolist() == [0, 1, 0, 2, 1, 0]
        assert near_duplicate_clusters(annotations, [4, 3, 1]).tolist() == [0, 1, 0]
        assert near_duplicate_clusters(annotations, []).tolist() == []

    def test_flat_images_of_other_gray_are_others(self, tmp_path: Path) -> None:
        for k, value in enumerate((0, 10, 90, 200)):
            Image.new("L", (20, 20), value).save(tmp_path / f"i{k:04d}.png")
        annotations = table([""] * 4, [0] * 4, tmp_path)
        assert near_duplicate_clusters(annotations, np.arange(4)).tolist() == [0, 0, 1, 2]

    def test_damaged_image(self, tmp_path: Path) -> None:
        for k in range(3):
            Image.new("L", (20, 20)).save(tmp_path / f"i{k:04d}.png")
        (tmp_path / "i0001.png").write_bytes(b"?")
        annotations = table([""] * 3, [0] * 3, tmp_path)
        assert near_duplicate_clusters(annotations, np.arange(3), on_bad_image="skip").tolist() == [0, 1, 0]
        with pytest.raises(DataError, match=r"i0001\.png: cannot be decoded"):
            near_duplicate_clusters(annotations, np.arange(3))

    def test_real_duplicates(self) -> None:
        if not (SHARED / "voc_raccoon").is_dir():
            pytest.skip("no voc_raccoon beside the repository")
        annotations = open_dataset(SHARED / "voc_raccoon")
        clusters = near_duplicate_clusters(annotations, np.arange(len(annotations)))
        sets = [set(annotations.image_ids[clusters == k]) for k in np.flatnonzero(np.bincount(clusters) > 1)]
        # Looked at: the same photographs in other sizes or colors; no other pair is joined.
        pairs = [{11, 116}, {120, 83}, {21, 45}, {50, 52, 74}, {65, 98}]
        assert sorted(map(sorted, sets)) == sorted(sorted(f"raccoon-{k}" for k in pair) for pair in pairs)


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

    def test_twins_across_the_split_are_told(self) -> None:
        annotations = table(["train"] * 8 + ["test"] * 2, [0, 1] * 5)
        roles = assign(annotations, "classify", clusters=[0, 1, 2, 3, 4, 5, 6, 7, 0, 8])
        assert "1 of 2 test images have a near-duplicate among the training and validation images" in roles.notes[0]

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
