"""Where the last stage of one network fires on given images, and how well that tells objects from the rest.

The measure is that of F4a (`headstart.explain.activations`), here for any network, input size and kind of annotation.
Where classes of the images are known, the same of Grad-CAM: what speaks for the image's class to a linear probe on this
stage, fitted on the images that channels are standardized by. Letters: n images, m others, h x w cells, H x W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from headstart.batches.image_sets import ImageSet
from headstart.data.flags import IGNORED
from headstart.explain.activations import (
    INSIDE_FROM,
    OUTSIDE_TO,
    ChannelStatistics,
    auroc,
    box_instances,
    channel_statistics,
    coverage,
    of_images,
    shuffled_partners,
)
from headstart.explain.grad_cam import ClassReader
from headstart.explain.places import places

STATISTICS_AT_A_TIME = 32
BACKGROUND = "background"


@dataclass(frozen=True)
class Firing:
    """per_image: as in `headstart.explain.activations.of_images`, and `place/..` of `headstart.explain.places`,
    empty where nothing is annotated; energy (n, h, w);
    `said`: what could not be measured, in sentences.

    grad_cam (n, h, w), each as a share of its highest, None where no class is known: then `auroc/grad_cam` and
    `grad_cam/..` of places are in per_image, too. probe_right: share of the images whose class the probe says."""

    per_image: dict[str, np.ndarray]
    energy: np.ndarray
    said: list[str] = field(default_factory=list)
    grad_cam: np.ndarray | None = None
    probe_right: float = float("nan")


@dataclass(frozen=True)
class Classes:
    """Of the images (n,), and of the others (m,), -1 where there is none; both of the same `count` classes."""

    of_images: np.ndarray
    of_others: np.ndarray
    count: int


def firing(maps: np.ndarray, others: np.ndarray, images: ImageSet, classes: Classes | None = None) -> Firing:
    """maps (n, c, h, w) of the images, others (m, c, h, w) of images that channels are standardized by; either may be
    computed as it is sliced. classes: None where they are not known."""
    seen = _Seen(others)
    statistics = channel_statistics(seen, STATISTICS_AT_A_TIME)  # type: ignore[arg-type]
    reader = ClassReader.fit(seen.pooled, classes.of_others, classes.of_images, classes.count) if classes else None
    watched = _Seen(maps, reader)
    found = _firing(watched, statistics, images)  # type: ignore[arg-type]
    if reader is None or not watched.cams.any():
        return found
    right = reader.right(watched.pooled)
    return replace(
        found,
        grad_cam=watched.cams,
        probe_right=right,
        per_image=found.per_image | _of_cams(found, watched, reader, images),
    )


class _Seen:
    """Maps that keep what went by as they were sliced: pooled over cells (n, c), and Grad-CAM (n, h, w)."""

    def __init__(self, maps: np.ndarray, reader: ClassReader | None = None) -> None:
        n, c, h, w = self.shape = maps.shape
        self._maps, self._reader = maps, reader
        self.pooled, self.cams = np.zeros((n, c), np.float32), np.zeros((n, h, w), np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        values = np.asarray(self._maps[rows])
        first = rows.start or 0
        self.pooled[first : first + len(values)] = values.mean((2, 3))
        if self._reader is not None:
            self.cams[first : first + len(values)] = self._reader.maps(values, first)
        return values


def _of_cams(found: Firing, watched: _Seen, reader: ClassReader, images: ImageSet) -> dict[str, np.ndarray]:
    """`auroc/grad_cam`, `grad_cam/..` of each image (n,), as those of the energy; nothing without objects."""
    n, _, h, w = watched.shape
    instances, _ = objects_of(images, n)
    if instances is None or not found.per_image:
        return {}
    cams, shares = watched.cams.reshape(n, -1), coverage(instances, (h, w)).reshape(n, -1)
    inside, outside = shares >= INSIDE_FROM, shares <= OUTSIDE_TO
    partner = shuffled_partners(inside.sum(1), 0)
    other = np.maximum(partner, 0)
    apart = auroc(cams, inside, outside) - auroc(cams, inside[other], outside[other])
    where = {f"grad_cam/{name}": v for name, v in places(cams, shares, partner, (h, w)).items()}
    known = (reader.classes >= 0) & (partner >= 0)
    return {name: np.where(known, v, np.nan) for name, v in ({"auroc/grad_cam": apart} | where).items()}


def _firing(maps: np.ndarray, statistics: ChannelStatistics, images: ImageSet) -> Firing:
    n, _, h, w = maps.shape
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
