"""Weights looked at before any is fine-tuned: features of some training images against what is known of these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.data.annotations import Annotations
from headstart.data.flags import CROWD, DIFFICULT
from headstart.data.splits import DEFAULT_FOLDS, assign, has_test
from headstart.data.subsets import nested_order
from headstart.errors import UsageError
from headstart.models.backbones.building import backbone_cost
from headstart.models.backbones.features import stage_maps
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.places.fitting import Resize
from headstart.progress import Progress, silent
from headstart.screening import scores
from headstart.weights.cards import WeightsSpec

OBJECTS = 2000
"""Of the objects of the images looked at, at most."""
BATCH = 32


@dataclass(frozen=True, eq=False)
class Samples:
    """labels, groups (n,); boxes (n, 4) pixels and images (n,) where samples are objects."""

    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    images: NDArray[np.int64]
    boxes: NDArray[np.float64] | None = None

    @property
    def classes(self) -> int:
        """That are seen."""
        return len(np.unique(self.labels))


def chosen_images(
    annotations: Annotations,
    task: str,
    folder: Path,
    *,
    size_hw: tuple[int, int],
    resize: Resize,
    count: int,
    seed: int,
    on_bad_image: Literal["error", "skip"],
    progress: Progress = silent,
) -> ImageSet:
    """`count` training images, test images are never read, prepared in `folder`. task: "classify" or "detect"."""
    roles = assign(annotations, task, 0 if has_test(annotations, task) else DEFAULT_FOLDS, seed=seed)  # type: ignore[arg-type]
    rows = np.concatenate([roles[0].train, roles[0].val])
    rows = rows[nested_order(annotations.select(rows), task)][:count]  # type: ignore[arg-type]
    make_image_set(
        annotations,
        rows,
        np.arange(len(rows)),
        task,  # type: ignore[arg-type]
        size_hw=size_hw,
        resize=resize,
        out=folder,
        progress=progress,
        on_bad_image=on_bad_image,
    )
    return ImageSet.open(folder)


def samples_of(chosen: ImageSet, task: str, seed: int) -> Samples:
    """What is known of the images: classes of them ("classify") or of their objects ("detect", those of one image do
    not answer for each other). Raises UsageError where no class can be told from another."""
    samples = _known(chosen, task, seed)
    if samples.classes < 2:
        raise UsageError("a screen needs two classes; the images that it looks at show one or none")
    return samples


def _known(chosen: ImageSet, task: str, seed: int) -> Samples:
    if task == "classify":
        if chosen.label_table is not None:
            raise UsageError("a screen needs one class an image; these images have several. Leave out --screen.")
        known = np.flatnonzero(chosen.image_labels >= 0)
        return Samples(chosen.image_labels[known].astype(np.int64), known, known)
    image = np.repeat(np.arange(len(chosen)), np.diff(chosen.box_offsets))
    sides = chosen.boxes_xyxy[:, 2:] - chosen.boxes_xyxy[:, :2]
    left_out = (chosen.box_flags & (CROWD | DIFFICULT)).astype(bool)
    usable = np.flatnonzero((chosen.box_labels >= 0) & ~left_out & (sides > 0).all(1))
    if len(usable) > OBJECTS:
        usable = np.sort(np.random.default_rng(seed).choice(usable, OBJECTS, replace=False))
    labels, boxes = chosen.box_labels[usable].astype(np.int64), chosen.boxes_xyxy[usable].astype(np.float64)
    return Samples(labels, image[usable], image[usable], boxes)


def scored(
    backbone: nn.Module,
    preprocessing: Preprocessing,
    chosen: ImageSet,
    samples: Samples,
    *,
    size_hw: tuple[int, int],
    seed: int,
) -> tuple[dict[str, float], str]:
    """Scores by name, higher is more promising, and why there are none but those that need no image; "" where there
    are. Of pooled C5, or of C5 pooled over each box."""
    parameters, gflops = backbone_cost(backbone, size_hw)
    static = {"parameters": float(parameters), "gflops": gflops}
    batches = range(0, len(chosen), BATCH)
    x = np.concatenate([_features(backbone, preprocessing, chosen, samples, first=k) for k in batches])
    if not np.isfinite(x).all():
        return static, "its features are not finite"
    if not float(x.std(0).max()) > 0:
        return static, "its features are the same for all images"
    y = samples.labels
    found = {
        "knn": scores.knn_accuracy(x, y, samples.groups),
        "logme": scores.logme(x, y),
        "nleep": scores.nleep(x, y, seed),
        "h_score": scores.h_score(x, y),
        "gbc": scores.gbc(x, y),
    }
    if samples.boxes is not None:
        found["tlogme"] = scores.tlogme(x, y, _shares(samples.boxes, size_hw))
    return found | static, ""


def _features(
    backbone: nn.Module, preprocessing: Preprocessing, chosen: ImageSet, samples: Samples, *, first: int
) -> NDArray[np.float64]:
    """Of the samples of one batch of images, in order: C5 pooled over the image or the cells that a box touches."""
    stop = min(first + BATCH, len(chosen))
    maps = stage_maps(backbone, preprocessing, np.asarray(chosen.images[first:stop]), ("C5",))["C5"]
    of_batch = np.flatnonzero((samples.images >= first) & (samples.images < stop))
    out = np.empty((len(of_batch), maps.shape[1]))
    for place, k in enumerate(of_batch):
        image = maps[samples.images[k] - first]
        if samples.boxes is not None:
            image = image[:, *_cells(samples.boxes[k], image.shape[1:], chosen.images.shape[1:3])]
        out[place] = image.mean((1, 2))
    return out


def _cells(box: NDArray[np.float64], grid: tuple[int, ...], size_hw: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a grid that a box touches, one at least."""
    spans = []
    for low, high, cells, pixels in ((box[1], box[3], grid[0], size_hw[0]), (box[0], box[2], grid[1], size_hw[1])):
        a = min(max(int(np.floor(low / pixels * cells)), 0), cells - 1)
        b = min(max(int(np.ceil(high / pixels * cells)), a + 1), cells)
        spans.append(slice(a, b))
    return spans[0], spans[1]


def _shares(boxes: NDArray[np.float64], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """(n, 4) center x, center y, width, height as shares of the image."""
    scale = np.array([size_hw[1], size_hw[0]], float)
    center, side = (boxes[:, :2] + boxes[:, 2:]) / 2 / scale, (boxes[:, 2:] - boxes[:, :2]) / scale
    return np.concatenate([center, side], 1)


def is_default(spec: WeightsSpec) -> bool:
    """Trained on ImageNet labels and on nothing after."""
    return len(spec.lineage) == 1 and "imagenet" in spec.lineage[0].lower() and "label" in spec.lineage[0].lower()
