"""Weights looked at before any is fine-tuned: features of some training images against what is known of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.data.annotations import Annotations
from headstart.data.flags import CROWD, DIFFICULT
from headstart.data.splits import DEFAULT_FOLDS, assign, has_test
from headstart.data.subsets import nested_order
from headstart.errors import UsageError
from headstart.models.backbones.building import backbone_cost
from headstart.models.backbones.features import stage_maps
from headstart.progress import Progress, silent
from headstart.screening import scores
from headstart.screening.agreement import require_enough
from headstart.weights.cards import WeightsSpec
from headstart.weights.checkpoint import load

IMAGES = 400
"""Training images that are looked at."""
OBJECTS = 2000
"""Of their objects, at most."""
BATCH = 32
MEASURED = ("knn", "logme", "nleep", "h_score", "gbc")
STATIC = ("parameters", "gflops", "default")
CHOSEN_BY = "knn"
"""What weights are kept by: nothing beat it over 42,000 runs (arXiv 2503.18528)."""


@dataclass(frozen=True)
class Screened:
    """One of the weights. scores: by name, higher is more promising; static ones need no image. fault: why it has no
    others."""

    name: str
    uri: str
    scores: dict[str, float]
    fault: str = ""


@dataclass(frozen=True)
class Screen:
    """Weights by the k-NN score, best first. samples: images, or objects of detection."""

    task: str
    images: int
    samples: int
    classes: int
    size_hw: tuple[int, int]
    rows: tuple[Screened, ...]

    def kept(self, count: int) -> list[str]:
        """URIs of the most promising."""
        return [row.uri for row in self.rows if not row.fault][:count]

    def to_json(self) -> dict[str, Any]:
        """Everything, as `screen.json` has it."""
        return asdict(self)

    def lines(self) -> list[str]:
        """As the terminal shows it."""
        what = "objects" if self.task == "detect" else "images"
        names = [n for n in (*MEASURED, "tlogme", *STATIC) if any(n in row.scores for row in self.rows)]
        width = max(len(row.name) for row in self.rows)
        out = [
            f"screen: {self.samples:,} {what} of {self.classes} classes in {self.images:,} training images, "
            f"{self.size_hw[1]} x {self.size_hw[0]} pixels; nothing was fine-tuned",
            f"{'':<{width}}" + "".join(f"{name:>11}" for name in names),
        ]
        for row in self.rows:
            shown = "".join(f"{row.scores.get(name, np.nan):>11.4g}" for name in names)
            out.append(
                f"{row.name:<{width}}{shown}" if not row.fault else f"{row.name:<{width}}  left out: {row.fault}"
            )
        return [
            *out,
            f"best first by knn, the share of {what} whose nearest others are of their class. In published comparisons",
            "the order of such scores is hardly better than that of sizes: docs/screening.md.",
        ]


def screen(
    annotations: Annotations,
    candidates: Sequence[tuple[str, WeightsSpec]],
    task: str,
    *,
    size_hw: tuple[int, int],
    resize: Literal["stretch", "crop"] = "stretch",
    images: int = IMAGES,
    seed: int = 0,
    offline: bool = False,
    on_bad_image: Literal["error", "skip"] = "error",
    progress: Progress = silent,
) -> Screen:
    """Look at `images` training images, test images are never read, with each of the (uri, spec) candidates.

    task: "classify" (pooled C5 against labels) or "detect" (C5 pooled over each box against its class; those of the
    same image do not answer for each other). Raises UsageError for fewer than eight candidates, for other tasks, and
    where fewer than two classes are there.
    """
    require_enough(len(candidates))
    if task not in ("classify", "detect"):
        raise UsageError(f"a screen for {task!r}: it needs classes of images or of boxes. Leave out --screen.")
    with TemporaryDirectory() as folder:
        chosen = _images(
            annotations,
            task,
            Path(folder),
            size_hw=size_hw,
            resize=resize,
            count=images,
            seed=seed,
            on_bad_image=on_bad_image,
        )
        samples = _samples(chosen, task, seed)
        if len(np.unique(samples.labels)) < 2:
            raise UsageError(f"{annotations.root}: a screen needs two classes; the images looked at show one or none.")
        rows = []
        for k, (uri, spec) in enumerate(candidates):
            progress(k / len(candidates), f"looking with {spec.name}")
            rows.append(_screened(uri, spec, chosen, samples, size_hw=size_hw, seed=seed, offline=offline))
        progress(1.0, f"{len(rows)} weights")
        order = sorted(rows, key=lambda row: (bool(row.fault), -row.scores.get(CHOSEN_BY, 0.0)))
        classes = len(np.unique(samples.labels))
        return Screen(task, len(chosen), len(samples.labels), classes, size_hw, tuple(order))


@dataclass(frozen=True, eq=False)
class _Samples:
    """labels, groups (n,); boxes (n, 4) pixels and images (n,) where samples are objects."""

    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    images: NDArray[np.int64]
    boxes: NDArray[np.float64] | None = None


def _images(
    annotations: Annotations,
    task: str,
    folder: Path,
    *,
    size_hw: tuple[int, int],
    resize: Literal["stretch", "crop"],
    count: int,
    seed: int,
    on_bad_image: Literal["error", "skip"],
) -> ImageSet:
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
        progress=silent,
        on_bad_image=on_bad_image,
    )
    return ImageSet.open(folder)


def _samples(chosen: ImageSet, task: str, seed: int) -> _Samples:
    if task == "classify":
        if chosen.label_table is not None:
            raise UsageError("a screen needs one class an image; these images have several. Leave out --screen.")
        known = np.flatnonzero(chosen.image_labels >= 0)
        return _Samples(chosen.image_labels[known].astype(np.int64), known, known)
    image = np.repeat(np.arange(len(chosen)), np.diff(chosen.box_offsets))
    sides = chosen.boxes_xyxy[:, 2:] - chosen.boxes_xyxy[:, :2]
    left_out = (chosen.box_flags & (CROWD | DIFFICULT)).astype(bool)
    usable = np.flatnonzero((chosen.box_labels >= 0) & ~left_out & (sides > 0).all(1))
    if len(usable) > OBJECTS:
        usable = np.sort(np.random.default_rng(seed).choice(usable, OBJECTS, replace=False))
    labels, boxes = chosen.box_labels[usable].astype(np.int64), chosen.boxes_xyxy[usable].astype(np.float64)
    return _Samples(labels, image[usable], image[usable], boxes)


def _screened(
    uri: str,
    spec: WeightsSpec,
    chosen: ImageSet,
    samples: _Samples,
    *,
    size_hw: tuple[int, int],
    seed: int,
    offline: bool,
) -> Screened:
    loaded = load(spec, seed, offline)
    parameters, gflops = backbone_cost(loaded.backbone, size_hw)
    features = np.concatenate(
        [_features(loaded, chosen, samples, first) for first in range(0, len(chosen), BATCH)] or [np.zeros((0, 1))]
    )
    static = {"parameters": float(parameters), "gflops": gflops, "default": float(_is_default(spec))}
    row = Screened(spec.name, uri, static)
    if not np.isfinite(features).all():
        return replace(row, fault="its features are not finite")
    if not float(features.std(0).max()) > 0:
        return replace(row, fault="its features are the same for all images")
    x, y = features, samples.labels
    found = {
        "knn": scores.knn_accuracy(x, y, samples.groups),
        "logme": scores.logme(x, y),
        "nleep": scores.nleep(x, y, seed),
        "h_score": scores.h_score(x, y),
        "gbc": scores.gbc(x, y),
    }
    if samples.boxes is not None:
        found["tlogme"] = scores.tlogme(x, y, _shares(samples.boxes, size_hw))
    return replace(row, scores=found | static)


def _features(loaded: Any, chosen: ImageSet, samples: _Samples, first: int) -> NDArray[np.float64]:
    """Of the samples of one batch of images, in order: C5 pooled over the image or the cells that a box touches."""
    stop = min(first + BATCH, len(chosen))
    maps = stage_maps(loaded.backbone, loaded.preprocessing, np.asarray(chosen.images[first:stop]), ("C5",))["C5"]
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


def _is_default(spec: WeightsSpec) -> bool:
    """Trained on ImageNet labels and on nothing after."""
    return len(spec.lineage) == 1 and "imagenet" in spec.lineage[0].lower() and "label" in spec.lineage[0].lower()
