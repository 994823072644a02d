"""Grad-CAM: captum's at any layer, by hand for a linear probe, and against painted objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from headstart.explain.firing import Classes, firing
from headstart.explain.grad_cam import ClassReader, grad_cam
from support.by_hand.sets import image_set


def network() -> tuple[nn.Sequential, nn.Sequential]:
    """What comes before a layer, that layer being the last of it, and what comes after."""
    torch.manual_seed(3)
    before = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.BatchNorm2d(8))
    after = nn.Sequential(nn.GELU(), nn.Conv2d(8, 5, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))
    return before.eval(), after.eval()


def test_it_is_captums() -> None:
    captum = pytest.importorskip("captum.attr")
    before, after = network()
    images, classes = torch.randn(7, 3, 32, 40), torch.tensor([0, 1, 2, 3, 0, 1, 2])
    whole = nn.Sequential(before, after)
    whole(images)
    theirs = captum.LayerGradCam(whole, before[-1]).attribute(images, target=classes, relu_attributions=True)
    ours = grad_cam(before(images), after, classes)
    assert ours.shape == (7, 8, 10) and (ours > 0).any() and (ours >= 0).all()
    torch.testing.assert_close(ours, theirs[:, 0].detach(), rtol=1e-5, atol=1e-5 * float(ours.max()))


def test_of_a_linear_probe_it_is_the_weighted_sum_of_the_channels() -> None:
    """Channel 0 speaks for class 1, channel 1 for class 0; in each image both are lit in one cell of four."""
    pooled = np.array([[0, 4], [1, 5], [0, 5], [4, 0], [5, 1], [5, 0]], np.float32)
    reader = ClassReader.fit(pooled, np.array([0, 0, 0, 1, 1, 1]), np.array([1, 0, -1]), 2)
    assert reader is not None
    maps = np.zeros((3, 2, 2, 2), np.float32)
    maps[:, 0, 0, 0], maps[:, 1, 1, 1] = 8, 2
    seen = reader.maps(maps, 0)
    assert seen[0].tolist() == [[1, 0], [0, 0]] and seen[1].tolist() == [[0, 0], [0, 1]] and not seen[2].any()
    weight = (reader.linear.weight / np.asarray(reader.linear.scale)[:, None])[:, 1]
    plain = grad_cam(torch.from_numpy(maps[:1]), reader.scores, torch.tensor([1]))
    assert plain[0, 0, 0] == pytest.approx(8 * weight[0] / 4, rel=1e-5) and weight[0] > 0 > weight[1]
    assert reader.right(np.array([[5, 0], [0, 5], [0, 5]], np.float32)) == 1
    assert ClassReader.fit(pooled, np.zeros(6, int), np.zeros(3, int), 2) is None, "one class tells nothing apart"


BOXES = [[(0, 0, 16, 16)], [(16, 16, 32, 32)], [(0, 16, 16, 32)], [(16, 0, 32, 16)]]


def test_it_finds_the_object_where_energy_finds_what_is_bright() -> None:
    """The object's channel, one for each of two classes, is faint; a third, of no class, is bright elsewhere."""
    rng = np.random.default_rng(0)
    classes = np.array([0, 1, 0, 1])
    maps = rng.normal(0, 0.01, (4, 3, 4, 4)).astype(np.float32)
    for k, [(x1, y1, x2, y2)] in enumerate(BOXES):
        maps[k, classes[k], y1 // 8 : y2 // 8, x1 // 8 : x2 // 8] += 1
        maps[k, 2, 2 - y1 // 8 : 4 - y1 // 8, 2 - x1 // 8 : 4 - x1 // 8] += 50
    others = rng.normal(0, 0.01, (20, 3, 4, 4)).astype(np.float32)
    of_others = np.arange(20) % 2
    others[np.arange(20), of_others, 0, 0] += 1
    others[:, 2] += np.repeat(rng.uniform(0, 3, 10), 2)[:, None, None]  # the same for both classes
    found = firing(maps, others, image_set(4, 32, 32, boxes=BOXES), Classes(classes, of_others, 2))
    assert found.grad_cam is not None and found.grad_cam.shape == (4, 4, 4) and found.probe_right == 1
    assert (found.per_image["grad_cam/pointing"] > 0).all() and (found.per_image["grad_cam/inside"] > 0.5).all()
    assert (found.per_image["auroc/grad_cam"] > 0).all() and (found.per_image["place/pointing"] <= 0).all()
    unknown = firing(maps, others, image_set(4, 32, 32, boxes=BOXES), Classes(classes, 0 * of_others, 2))
    assert unknown.grad_cam is None and "auroc/grad_cam" not in unknown.per_image
    np.testing.assert_allclose(unknown.energy, found.energy)
    one = firing(maps, others, image_set(4, 32, 32, boxes=BOXES), Classes(np.array([0, -1, 0, 1]), of_others, 2))
    assert np.isnan(one.per_image["auroc/grad_cam"]).tolist() == [False, True, False, False]
