"""Where the last stage of one network fires on given images, and how well that tells objects from the rest.

The measure is that of F4a (`headstart.explain.activations`), here for any network, input size and kind of annotation.
Letters: n images, h x w cells, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from headstart.batches.image_sets import ImageSet
from headstart.data.flags import IGNORED
from headstart.explain.activations import (
    INSIDE_FROM,
    ChannelStatistics,
    box_instances,
    channel_statistics,
    of_images,
    shuffled_partners,
)
from headstart.explain.places import places

STATISTICS_AT_A_TIME = 32
BACKGROUND = "background"


@dataclass(frozen=True)
class Firing:
    """per_image: as in `headstart.explain.activations.of_images`, and `place/..` of `headstart.explain.places`,
    empty where nothing is annotated; energy (n, h, w);
    `said`: what could not be measured, in sentences."""

    per_image: dict[str, np.ndarray]
    energy: np.ndarray
    said: list[str] = field(default_factory=list)


def firing(maps: np.ndarray, others: np.ndarray, images: ImageSet) -> Firing:
    """maps (n, c, h, w) of the images, others (m, c, h, w) of images that channels are standardized by; either may be
    computed as it is sliced."""
    n, _, h, w = maps.shape
    statistics = channel_statistics(others, STATISTICS_AT_A_TIME)
    if not (statistics.std > 1e-6 * np.abs(statistics.mean)).any():
        for first in range(0, n, STATISTICS_AT_A_TIME):
            maps[first : first + STATISTICS_AT_A_TIME]  # pooled features are kept as they go by
        still = "The last stage gives the same outputs everywhere, so it fires nowhere more than elsewhere."
        return Firing({}, np.zeros((n, h, w), np.float32), [still])
    instances, said = objects_of(images, n)
    if instances is None:
        return Firing({}, _energies(maps, statistics), said)
    per_image, pictures = of_images(maps, instances, statistics)
    partner = shuffled_partners((pictures["coverage"] >= INSIDE_FROM).sum(1), 0)  # as `of_images` has them
    where = places(pictures["energy"], pictures["coverage"], partner, (h, w))
    per_image |= {f"place/{name}": values for name, values in where.items()}
    if not np.isfinite(per_image["auroc/standardized"]).any():
        said = [*said, "No image has cells on its objects and cells beside them: objects are too small or too large."]
    return Firing(per_image, pictures["energy"].reshape(n, h, w), said)


def objects_of(images: ImageSet, count: int) -> tuple[np.ndarray | None, list[str]]:
    """(count, H, W) 0 where no object is, of the first images of a set: from its instances, masks or boxes; None, and
    why, where it has none of them."""
    if images.instances is not None:
        return np.asarray(images.instances[:count]), []
    if images.masks is not None:
        classes = [str(name).lower() for name in images.mask_classes]
        if BACKGROUND not in classes:
            why = "The masks have no class `background`, so there is nothing beside objects to compare them with."
            return None, [why]
        masks = np.asarray(images.masks[:count])
        return ((masks != classes.index(BACKGROUND)) & (masks != IGNORED)).astype(np.uint8), []
    offsets = np.asarray(images.box_offsets[: count + 1])
    if not offsets[-1]:
        why = "These images have neither boxes nor masks here, so whether features fire on objects cannot be measured."
        return None, [why]
    height, width = images.images.shape[1:3]
    return box_instances(images.boxes_xyxy[: offsets[-1]], offsets, (height, width)), []


def _energies(maps: np.ndarray, statistics: ChannelStatistics) -> np.ndarray:
    """(n, h, w) mean over channels of the squared standardized activation."""
    n, _, h, w = maps.shape
    alive = statistics.std > 1e-6 * np.abs(statistics.mean)
    mean, std = (v[alive, None, None].astype(np.float32) for v in (statistics.mean, statistics.std))
    energy = np.empty((n, h, w), np.float32)
    for first in range(0, n, STATISTICS_AT_A_TIME):
        values = maps[first : first + STATISTICS_AT_A_TIME]
        energy[first : first + len(values)] = np.square((values[:, alive] - mean) / std).mean(axis=1)
    return energy
