"""Detection: model, losses, predictions, mAP."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart.batches.batch import Batch
from headstart.batches.image_batches import in_order, pixels_of
from headstart.batches.image_sets import ImageSet
from headstart.errors import WeightsError
from headstart.metrics.average_precision import COCO_THRESHOLDS, Detections, Truth
from headstart.models.backbones.deformable import deform_stages
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.detection.fcos import FcosDetector
from headstart.models.detection.retinanet import RetinaNetDetector
from headstart.models.detection.targets import Targets
from headstart.models.detection.two_stage import TwoStageDetector, TwoStageSettings
from headstart.progress import Progress
from headstart.recipes.schema import Recipe
from headstart.tasks.detection_scores import score_detections

BATCH_SIZE = 32


def classes_of(images: ImageSet) -> tuple[str, ...]:
    """Names of the classes that this task tells apart."""
    return tuple(str(c) for c in images.box_classes)


def build(backbone: nn.Module, recipe: Recipe, num_classes: int, size_hw: tuple[int, int]) -> nn.Module:
    """The detector that the recipe names, its head fresh from torch's generator. Raises WeightsError where the backbone
    has not what the recipe asks for."""
    try:
        model = _detector(backbone, recipe, num_classes, size_hw)
        if recipe.deformable:  # after the neck, which may have dilated what becomes deformable
            deform_stages(backbone, recipe.deformable, recipe.modulated)
    except (ValueError, WeightsError) as error:
        raise WeightsError(f"recipe {recipe.name}: {error}") from error
    return model


def _detector(backbone: nn.Module, recipe: Recipe, num_classes: int, size_hw: tuple[int, int]) -> nn.Module:
    if recipe.head == "faster-rcnn":
        settings = TwoStageSettings(
            recipe.neck,
            recipe.levels,
            recipe.channels,
            recipe.anchors,
            recipe.proposals,
            recipe.rois,
            recipe.positive_part,
            recipe.class_agnostic,
            recipe.roi_pool,
            recipe.decoupled,
            recipe.soft_background,
            recipe.reduce,
            recipe.mimic,
        )
        return TwoStageDetector(backbone, num_classes, settings, max(size_hw))
    kind = RetinaNetDetector if recipe.head == "retinanet" else FcosDetector
    coarser = 2 if recipe.neck == "fpn" else 0
    return kind(backbone, num_classes, recipe.levels, recipe.channels, coarser, recipe.tower)


def losses(model: nn.Module, batch: Batch, images: Tensor) -> dict[str, Tensor]:
    """Losses of a batch; `images` are its preprocessed pixels."""
    targets = Targets(
        batch.boxes_xyxy, batch.box_labels, batch.ignored, batch.group_of, batch.valid_ranges, batch.seeds
    )
    return model.losses(images, targets)  # type: ignore[operator]


@torch.no_grad()
def predict(
    model: nn.Module, preprocessing: Preprocessing, images: ImageSet, progress: Progress
) -> dict[str, np.ndarray]:
    """Detections of every image, boxes in original pixels: image_index, boxes_xyxy, labels, scores."""
    model.eval()
    device = next(model.parameters()).device
    columns: dict[str, list[np.ndarray]] = {"image_index": [], "boxes_xyxy": [], "labels": [], "scores": []}
    for part in in_order(images, BATCH_SIZE):
        for i, found in enumerate(model.detect(preprocessing.apply(pixels_of(images, part, device))), part.start):  # type: ignore[operator]
            columns["image_index"].append(np.full(len(found.labels), i, np.int64))
            columns["boxes_xyxy"].append(found.boxes_xyxy.double().cpu().numpy() / np.tile(images.scale_xy(i), 2))
            columns["labels"].append(found.labels.cpu().numpy().astype(np.int64))
            columns["scores"].append(found.scores.cpu().numpy())
        progress(part.stop / len(images), f"image {part.stop}/{len(images)}")
    return {name: np.concatenate(values) for name, values in columns.items()}


def score(
    predictions: Sequence[dict[str, np.ndarray]],
    sets: Sequence[ImageSet],
    image_weights: np.ndarray | None,
    protocol: str,
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Metrics of all folds together, and their replicates where image weights (B, n) are given."""
    starts = np.cumsum([0, *(len(s) for s in sets)])
    classes = classes_of(sets[0])
    truth = Truth(
        image_index=np.concatenate(
            [np.repeat(np.arange(len(s)), np.diff(s.box_offsets)) + k for s, k in zip(sets, starts, strict=False)]
        ),
        boxes_xyxy=np.concatenate([s.boxes_source_xyxy for s in sets]),
        labels=np.concatenate([s.box_labels for s in sets]),
        flags=np.concatenate([s.box_flags for s in sets]),
        num_images=int(starts[-1]),
        num_classes=len(classes),
    )
    found = Detections(
        image_index=np.concatenate([p["image_index"] + k for p, k in zip(predictions, starts, strict=False)]),
        boxes_xyxy=np.concatenate([p["boxes_xyxy"] for p in predictions]),
        labels=np.concatenate([p["labels"] for p in predictions]),
        scores=np.concatenate([p["scores"] for p in predictions]),
    )
    scored = score_detections(truth, found, protocol, classes, COCO_THRESHOLDS, image_weights, per_class_at=(0.5,))
    return scored.metrics, scored.replicates
