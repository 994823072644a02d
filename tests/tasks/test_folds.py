"""Scores of folds are averaged: what their models' scores differ by costs no average precision."""

import numpy as np
import pytest

from headstart.batches.image_sets import ImageSet
from headstart.batches.training_part import selected
from headstart.progress import silent
from headstart.tasks.folds import score_folds
from headstart.tasks.table import trained_task
from headstart.world.shapes import draw_set

NAME = "det/voc-area/map@0.5"
TASK = trained_task("detect")


@pytest.fixture(scope="module")
def folds(tmp_path_factory: pytest.TempPathFactory) -> list[ImageSet]:
    """Two folds of three images, all boxes of one class."""
    folder = tmp_path_factory.mktemp("drawn")
    draw_set("novel", 6, 0, 48, out=folder, progress=silent)
    drawn = ImageSet.open(folder)
    drawn.box_labels[:] = 0
    return [selected(drawn, np.arange(3)), selected(drawn, np.arange(3, 6))]


def detections(images: ImageSet, right: float, wrong: float) -> dict[str, np.ndarray]:
    """Every object at the score `right`, and beside each a box at the score `wrong` where nothing is."""
    owner = np.repeat(np.arange(len(images)), np.diff(images.box_offsets))
    boxes = images.boxes_source_xyxy
    return {
        "image_index": np.concatenate([owner, owner]),
        "boxes_xyxy": np.concatenate([boxes, boxes + 1000]),
        "labels": np.zeros(2 * len(owner), np.int64),
        "scores": np.repeat([right, wrong], len(owner)),
    }


def test_offsets_between_folds_cost_nothing(folds: list[ImageSet]) -> None:
    """Each fold ranks all its objects before its errors: AP 1. In one curve the first fold's errors come before the
    second's objects. With n and m objects the curve is n right, n wrong, m right: the best precision from there on is
    (n + m) / (2 n + m)."""
    n, m = (len(images.box_labels) for images in folds)
    predictions = [detections(folds[0], 0.9, 0.7), detections(folds[1], 0.5, 0.3)]
    weights = np.ones((2, 6), np.uint16)
    metrics, replicates = score_folds(TASK, predictions, folds, weights, protocol="voc-area")
    assert metrics[NAME] == 1.0 and replicates[NAME].tolist() == [1.0, 1.0]
    pooled, _ = TASK.score(predictions, folds, None, "voc-area")
    assert pooled[NAME] == pytest.approx((n + m * (n + m) / (2 * n + m)) / (n + m)) and pooled[NAME] < 0.9


def test_it_is_the_mean_over_folds_and_over_each_folds_own_weights(folds: list[ImageSet]) -> None:
    """The second fold finds nothing right."""
    predictions = [detections(folds[0], 0.9, 0.1), detections(folds[1], 0.1, 0.9)]
    predictions[1]["boxes_xyxy"] = predictions[1]["boxes_xyxy"] + 1000
    weights = np.array([[1, 1, 1, 1, 1, 1], [1, 0, 2, 0, 3, 0], [0, 0, 0, 1, 1, 1]], np.uint16)
    metrics, replicates = score_folds(TASK, predictions, folds, weights, protocol="voc-area")
    assert metrics[NAME] == 0.5
    assert replicates[NAME] == pytest.approx([0.5, 0.5, 0])  # the last resample has no image of the first fold


def test_a_class_that_a_fold_does_not_show_has_the_other_folds_value(folds: list[ImageSet]) -> None:
    nothing = selected(folds[1], np.arange(0))
    predictions = [detections(folds[0], 0.9, 0.1), detections(nothing, 0.9, 0.1)]
    metrics, _ = score_folds(TASK, predictions, [folds[0], nothing], np.ones((1, 3), np.uint16), protocol="voc-area")
    assert metrics[NAME] == 1.0


def test_one_fold_is_scored_as_it_is(folds: list[ImageSet]) -> None:
    predictions, weights = [detections(folds[0], 0.4, 0.5)], np.array([[1, 2, 0]], np.uint16)
    found = score_folds(TASK, predictions, folds[:1], weights, protocol="voc-area")
    direct = TASK.score(predictions, folds[:1], weights, "voc-area")
    assert {n: v for n, v in found[0].items() if v == v} == {n: v for n, v in direct[0].items() if v == v}
    assert all(np.array_equal(found[1][name], direct[1][name], equal_nan=True) for name in direct[1])
