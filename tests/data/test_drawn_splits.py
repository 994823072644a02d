"""So many images of each class, drawn anew for every seed."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.drawn_splits import draw, pool
from headstart.errors import DataError


def table(tmp_path, counts: dict[str, int], splits: list[str] | None = None) -> Annotations:
    labels = [k for k, count in enumerate(counts.values()) for _ in range(count)]
    ids = [f"i{k}" for k in range(len(labels))]
    return annotate(
        tmp_path,
        "classes",
        ids,
        [f"{i}.png" for i in ids],
        sizes_hw=[(8, 8)] * len(ids),
        splits=splits or [""] * len(ids),
        image_labels=labels,
        image_classes=list(counts),
        image_class_ids=list(counts),
    )


def test_each_class_has_as_many_and_the_others_test(tmp_path) -> None:
    images = table(tmp_path, {"a": 5, "b": 9})
    (fold,) = draw(images, 3, None, (), clusters=np.arange(14), seed=0)
    assert np.bincount(images.image_labels[fold.train]).tolist() == [3, 3]
    assert sorted([*fold.train, *fold.test]) == list(range(14)) and not len(fold.val)
    (some,) = draw(images, 3, 2, (), clusters=np.arange(14), seed=0)
    assert np.bincount(images.image_labels[some.test]).tolist() == [2, 2]
    assert some.train.tolist() == fold.train.tolist() and set(some.test) <= set(fold.test)


def test_every_seed_draws_its_own_and_a_larger_draw_holds_the_smaller(tmp_path) -> None:
    images = table(tmp_path, {"a": 30, "b": 30})
    draws = [draw(images, 10, None, (), clusters=np.arange(60), seed=seed)[0].train.tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    larger = draw(images, 20, None, (), clusters=np.arange(60), seed=0)[0].train
    assert set(draws[0]) <= set(larger.tolist())


def test_only_the_splits_that_are_named_are_drawn_from(tmp_path) -> None:
    images = table(tmp_path, {"a": 6, "b": 6}, ["train", "val"] * 6)
    (fold,) = draw(images, 1, None, ("val",), clusters=np.arange(12), seed=0)
    assert {images.splits[row] for row in (*fold.train, *fold.test)} == {"val"}
    with pytest.raises(DataError, match=r"no split 'test'\. It has: train, val"):
        pool(images, ("test",))


def test_a_class_that_is_too_small_is_named_and_twins_are_counted(tmp_path) -> None:
    images = table(tmp_path, {"a": 5, "few": 3})
    with pytest.raises(DataError, match=r"class 'few' has 3 images, and 3 are to be trained on \(1 such"):
        draw(images, 3, None, (), clusters=np.arange(8), seed=0)
    roles = draw(images, 2, None, (), clusters=np.zeros(8, int), seed=0)
    assert roles.notes[0].endswith("4 of 4 test images have a near-duplicate among the training images")
