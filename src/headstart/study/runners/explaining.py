"""Jobs that explain: neighbors, activations, composition."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headstart.batches.image_sets import ImageSet
from headstart.batches.training_part import training_part
from headstart.progress import Progress
from headstart.stats.bootstrap import image_weights
from headstart.store.arrays import load_arrays, save_arrays
from headstart.study.runners.shared import (
    Inputs,
    Metrics,
    last_stage,
    size_of,
)
from headstart.study.settings import ActivationsSettings, CompositionSettings, NeighborsSettings, StartPlace

if TYPE_CHECKING:
    from headstart.explain.composition import Composition
    from headstart.explain.matching import Answers


def neighbors(settings: NeighborsSettings, place: None, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """F3 and the pictures of neighbors for the report."""
    from headstart.explain.neighbors import measure

    images = ImageSet.open(inputs["images"])
    arms = {role: last_stage(inputs[role]) for role in ("boxes", "labels", "random", "early") if role in inputs}
    weights = image_weights(images.clusters, settings.bootstrap)
    metrics, replicates, indices = measure(
        arms["boxes"],
        arms["labels"],
        weights,
        random=arms.get("random"),
        early=arms.get("early"),
        classes=images.image_labels,
        counts=main_class(images).counts,
    )
    save_arrays(out / "replicates.npz", replicates)
    names = np.array([str(images.image_classes[k]) for k in images.image_labels])
    queries, near = indices["queries"], {role: indices[f"nearest/{role}"] for role in ("boxes", "labels")}
    examples = {
        "query": images.images[queries],
        "query_labels": names[queries],
        "near_boxes": images.images[near["boxes"]],
        "near_boxes_labels": names[near["boxes"]],
        "near_labels": images.images[near["labels"]],
        "near_labels_labels": names[near["labels"]],
    }
    save_arrays(out / "examples.npz", examples)
    return metrics


def activations(
    settings: ActivationsSettings, place: Mapping[str, StartPlace], inputs: Inputs, out: Path, progress: Progress
) -> Metrics:
    """F4a for every arm, names prefixed by the role, and maps for the report."""
    from headstart.explain.activations import box_instances, channel_statistics, measure
    from headstart.models.backbones.features import stage_maps
    from headstart.tasks.starts import start_of
    from headstart.train.memory import memory_for_images

    images, others = ImageSet.open(inputs["images"]), ImageSet.open(inputs["statistics"])
    size_hw = size_of(images)
    instances = images.instances
    if instances is None:
        instances = box_instances(images.boxes_xyxy, images.box_offsets, size_hw)
    resampled = image_weights(images.clusters, settings.bootstrap)
    metrics: Metrics = {}
    replicates: dict[str, np.ndarray] = {}
    maps: dict[str, np.ndarray] = {}
    shown = np.zeros(0, np.int64)
    for k, (role, weights) in enumerate(settings.weights.items()):
        progress(k / len(settings.weights), f"maps of {role}")
        start, _, _ = start_of(weights, place[role], inputs.get(f"weights_{role}"), weights.seed or 0)
        last = start.backbone.stages[-1].name  # type: ignore[union-attr, index]
        with memory_for_images("maps of images", size_hw):
            maps_of = {
                name: stage_maps(start.backbone, start.preprocessing, s.images, (last,))[last]
                for name, s in (("statistics", others), ("images", images))
            }
        numbers, drawn, examples = measure(
            maps_of["images"], np.asarray(instances), channel_statistics(maps_of["statistics"]), resampled, examples=8
        )
        metrics |= {f"{role}/{name}": value for name, value in numbers.items()}
        replicates |= {f"{role}/{name}": values for name, values in drawn.items()}
        maps[role], shown = examples["energy"], examples["images"]
    save_arrays(out / "replicates.npz", replicates)
    firsts = images.box_offsets[shown]
    pictures: dict[str, np.ndarray] = {f"map_{role}": m.astype(np.float32) for role, m in maps.items()}
    pictures |= {"images": images.images[shown], "boxes_xyxy": images.boxes_xyxy[firsts]}
    pictures["labels"] = np.array([str(images.box_classes[k]) for k in images.box_labels[firsts]])
    save_arrays(out / "examples.npz", pictures)
    return metrics


def composition(settings: CompositionSettings, place: None, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """F4b and F4c from two probes on the same images; the one that is right more often is fitted on fewer, too."""
    from headstart.explain.composition import measure
    from headstart.explain.matching import share_right, weakened

    images, trained_on = ImageSet.open(inputs["images"]), ImageSet.open(inputs["train_images"])
    full = {role: _answers(inputs[role], settings, trained_on) for role in ("boxes", "labels")}
    target = min(map(share_right, full.values()))
    arms = {}
    for k, (role, answers) in enumerate(full.items()):
        progress(k / 3, f"{role}: probes on fewer images")
        features = last_stage(inputs[f"{role}_train"]), last_stage(inputs[f"{role}_test"])
        fit = partial(_fitted, features, (trained_on, images), settings)
        arms[role] = weakened(answers, target, len(images.image_classes), fit)
    weights = image_weights(images.clusters, settings.bootstrap)
    progress(2 / 3, "slopes of the log-odds")
    metrics, replicates, examples = measure(arms, images.image_labels, main_class(images), weights=weights)
    save_arrays(out / "replicates.npz", replicates)
    save_arrays(out / "examples.npz", examples)
    return metrics


def _answers(folder: Path, settings: CompositionSettings, trained_on: ImageSet) -> Answers:
    """What a finished probe said."""
    from headstart.explain.matching import Answers

    tested = load_arrays(folder / "predictions.npz")
    count = len(_rows(trained_on, settings, settings.limit))
    return Answers(np.asarray(tested["correct"]), np.asarray(tested["log_loss"]), count)


def _rows(images: ImageSet, settings: CompositionSettings, limit: float | None) -> NDArray[np.int64]:
    """The images that the seed's probe is fitted on, which hold those of every smaller limit."""
    return training_part(images, "classify", settings.seed, limit, hold_out=False).train


def _fitted(
    features: tuple[np.ndarray, np.ndarray],
    sets: tuple[ImageSet, ImageSet],
    settings: CompositionSettings,
    count: int,
) -> Answers:
    """A logistic probe on the seed's first `count` images; features and sets: to train on, to test on."""
    from headstart.explain.matching import Answers
    from headstart.metrics.accuracy import log_losses
    from headstart.tasks.linear_probes import probe

    (train_x, test_x), (trained_on, images) = features, sets
    rows, truth = _rows(trained_on, settings, count), np.asarray(images.image_labels)
    labels, alike, k = trained_on.image_labels[rows], trained_on.clusters[rows], len(trained_on.image_classes)
    fitted = probe(train_x[rows], labels, test_x, k, seed=settings.seed, clusters=alike)
    return Answers(fitted.logits.argmax(axis=1) == truth, log_losses(fitted.logits, truth), count)


def main_class(images: ImageSet) -> Composition:
    """Number and size of the objects of each image's own class; by visible pixels where masks exist, else by boxes."""
    from headstart.explain.composition import main_class_composition, visible_areas

    height, width = images.images.shape[1:3]
    boxes = images.boxes_xyxy.astype(np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
    if images.instances is not None:
        areas = visible_areas(images.instances, images.box_offsets)
    return main_class_composition(images.image_labels, images.box_labels, images.box_offsets, areas)
