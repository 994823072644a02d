"""Where features fire: painted maps over boxes and masks, and sets without either."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headstart.explain.firing import firing, objects_of
from support.by_hand.sets import image_set

BOXES = [[(0, 0, 16, 16)], [(16, 16, 32, 32)], [(0, 16, 16, 32)], [(16, 0, 32, 16)]]
"""A quarter of each image of 32 x 32 pixels: four of sixteen cells."""


def painted(inside: float) -> np.ndarray:
    """(4, 2, 4, 4) a little noise, and `inside` more in the cells of the object."""
    maps = np.random.default_rng(0).normal(0, 0.1, (4, 2, 4, 4)).astype(np.float32)
    for k, [(x1, y1, x2, y2)] in enumerate(BOXES):
        maps[k, :, y1 // 8 : y2 // 8, x1 // 8 : x2 // 8] += inside
    return maps


def others() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, (9, 2, 4, 4)).astype(np.float32)


def test_what_fires_on_the_object_alone_has_auroc_one() -> None:
    images = image_set(4, 32, 32, boxes=BOXES)
    found = firing(painted(5.0), others(), images)
    assert found.per_image["auroc_own/standardized"].tolist() == [1, 1, 1, 1] and found.said == []
    assert found.energy.shape == (4, 4, 4) and found.energy[0, 0, 0] > 100 * found.energy[0, 3, 3]
    # Each partner's quarter lies elsewhere: four of its cells are outside, so all of them score less than the object's.
    assert (found.per_image["auroc/standardized"] > 0.5).all()
    nothing = firing(painted(0.0), others(), images).per_image["auroc/standardized"]
    assert abs(nothing.mean()) < 0.4


def test_masks_count_where_they_have_a_background() -> None:
    masks = np.zeros((4, 32, 32), np.uint8)
    masks[:, :8] = 255
    masks[:, 16:] = 1
    images = replace(image_set(4, 32, 32, boxes=BOXES, masks=masks), mask_classes=np.array(["Background", "cell"]))
    instances, said = objects_of(images, 2)
    assert instances is not None and instances.shape == (2, 32, 32) and said == []
    assert instances[0, :16].max() == 0 and instances[0, 16:].min() == 1, "what is not annotated is no object"
    none, said = objects_of(replace(images, mask_classes=np.array(["sky", "road"])), 4)
    assert none is None and said[0].startswith("The masks have no class `background`")


def test_without_objects_there_are_maps_and_a_sentence() -> None:
    found = firing(painted(5.0), others(), image_set(4, 32, 32))
    with_boxes = firing(painted(5.0), others(), image_set(4, 32, 32, boxes=BOXES))
    assert found.per_image == {} and "neither boxes nor masks" in found.said[0]
    np.testing.assert_allclose(found.energy, with_boxes.energy, rtol=1e-6)
    whole = firing(painted(5.0), others(), image_set(4, 32, 32, boxes=[[(0, 0, 32, 32)]] * 4))
    assert "objects are too small or too large" in whole.said[0]
    still = firing(np.ones((4, 2, 4, 4), np.float32), np.ones((9, 2, 4, 4), np.float32), image_set(4, 32, 32))
    assert "the same outputs everywhere" in still.said[0] and not still.energy.any()
