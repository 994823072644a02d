"""Soft-NMS against a plain loop, and detections of several scales in one list."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from headstart.batches.chips.scales import Scale, scales_of
from headstart.models.detection.multi_scale import detect_scales, merge_scales
from headstart.models.detection.soft_nms import soft_nms
from headstart.models.detection.targets import Detected
from headstart.recipes.pretraining import load_recipe


def plain(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, sigma: float, least: float) -> list:
    """(row, score) by the definition, one detection after the other."""
    iou = box_iou(torch.from_numpy(boxes), torch.from_numpy(boxes)).numpy()
    left = {row: float(s) for row, s in enumerate(scores)}
    kept = []
    while left:
        row = max(left, key=lambda r: (left[r], -r))
        score = left.pop(row)
        if score < least:
            break
        kept.append((row, score))
        for other in left:
            if labels[other] == labels[row]:
                left[other] *= math.exp(-(iou[row, other] ** 2) / sigma)
    return kept


@given(st.integers(0, 40), st.integers(0, 10_000), st.sampled_from([0.3, 0.55]))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_soft_nms_is_the_plain_loop(count: int, seed: int, sigma: float) -> None:
    draws = np.random.default_rng(seed)
    corner = draws.uniform(0, 30, (count, 2))
    boxes = np.concatenate([corner, corner + draws.uniform(1, 20, (count, 2))], 1)
    scores, labels = draws.random(count).round(2), draws.integers(0, 3, count)
    rows, found = soft_nms(boxes, scores, labels, sigma, least=0.01)
    expected = sorted(plain(boxes, scores, labels, sigma, 0.01), key=lambda pair: (-pair[1], pair[0]))
    assert len(rows) == len(expected)
    assert found == pytest.approx([score for _, score in expected], abs=1e-12)
    if len(set(found.round(9))) == len(found):  # scores that differ in the last bits only may be ordered otherwise
        assert rows.tolist() == [row for row, _ in expected]


def test_soft_nms_by_hand() -> None:
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 5], [50, 50, 60, 60]]
    rows, scores = soft_nms(boxes, [0.9, 0.8, 0.7, 0.1], [0, 0, 1, 0])
    assert rows.tolist() == [0, 2, 1, 3]  # the second lost score, the third is of another class
    assert scores.tolist() == pytest.approx([0.9, 0.7, 0.8 * math.exp(-0.25 / 0.55), 0.1])


def detected(*rows: list[float]) -> Detected:
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return Detected(table[:, :4], table[:, 4], table[:, 5].long())


def test_each_scale_answers_for_its_sizes() -> None:
    scales = (Scale("factor", 2, 0, 20), Scale("factor", 1, 10))
    fine = detected([0, 0, 9, 9, 0.9, 0], [0, 0, 20, 20, 0.8, 0], [40, 40, 55, 55, 0.7, 1])
    coarse = detected([0, 0, 9, 9, 0.95, 0], [0, 0, 10, 10, 0.6, 0], [40, 40, 55, 55, 0.5, 1])
    merged = merge_scales([fine, coarse], scales)
    overlap = 81 / 100  # of 9 x 9 with 10 x 10; the twice found box of class 1 has 1
    assert merged.scores.tolist() == pytest.approx(
        [0.9, 0.7, 0.6 * math.exp(-(overlap**2) / 0.55), 0.5 * math.exp(-1 / 0.55)]
    )
    assert merged.labels.tolist() == [0, 1, 0, 1]
    assert len(merge_scales([fine, coarse], scales, most=2).scores) == 2
    assert len(merge_scales([detected(), detected()], scales).scores) == 0


class BrightSpot:
    """Finds the box around all that is bright."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def detect(self, images: torch.Tensor, score_threshold: float, max_detections: int) -> list[Detected]:
        self.seen.append(tuple(images.shape))
        out = []
        for image in images:
            y, x = (image[0] > 0.5).nonzero(as_tuple=True)
            out.append(detected([int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1, 0.9, 0]))
        return out


def test_boxes_come_back_in_pixels_of_the_image() -> None:
    images = torch.zeros(2, 3, 60, 80)
    images[0, :, 10:30, 20:60] = 1
    images[1, :, 40:44, 8:12] = 1
    model = BrightSpot()
    found = detect_scales(model, images, (Scale("factor", 2, 0, 16), Scale("factor", 1, 16)))
    assert model.seen == [(2, 3, 128, 160), (2, 3, 64, 96)]  # padded to multiples of 32
    assert found[0].boxes_xyxy.tolist() == [[20, 10, 60, 30]]  # from scale 1: its root is 28
    assert torch.allclose(found[1].boxes_xyxy, torch.tensor([[8.0, 40, 12, 44]]), atol=0.5)
    sizes = np.array([[480, 640]])
    assert [round(float(s.factors(sizes)[0]), 4) for s in scales_of(load_recipe("sniper-coco").inference)] == [
        2.9167,
        1.6667,
        0.8,
    ]
