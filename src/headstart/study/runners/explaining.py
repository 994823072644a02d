"""Jobs that explain: neighbors, activations, composition."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.batches.image_sets import ImageSet
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
    """F4b and F4c from the log-loss of two probes on the same images."""
    from headstart.explain.composition import measure

    images = ImageSet.open(inputs["images"])
    losses, correct = {}, {}
    for role in ("boxes", "labels"):
        tested = load_arrays(inputs[role] / "predictions.npz")
        losses[role], correct[role] = tested["log_loss"], tested["correct"]
    weights = image_weights(images.clusters, settings.bootstrap)
    metrics, replicates, examples = measure(losses, correct, images.image_labels, main_class(images), weights=weights)
    save_arrays(out / "replicates.npz", replicates)
    save_arrays(out / "examples.npz", examples)
    return metrics


def main_class(images: ImageSet) -> Composition:
    """Number and size of the objects of each image's own class; by visible pixels where masks exist, else by boxes."""
    from headstart.explain.composition import main_class_composition, visible_areas

    height, width = images.images.shape[1:3]
    boxes = images.boxes_xyxy.astype(np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
    if images.instances is not None:
        areas = visible_areas(images.instances, images.box_offsets)
    return main_class_composition(images.image_labels, images.box_labels, images.box_offsets, areas)
