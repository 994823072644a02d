"""Semantic segmentation: model, losses, predictions, mIoU at the masks' own size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart.batches.batch import Batch
from headstart.batches.image_batches import in_order, pixels_of
from headstart.batches.image_sets import ImageSet
from headstart.metrics.mean_iou import confusion, mean_iou
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.segmentation import Segmenter
from headstart.progress import Progress
from headstart.recipes.schema import Recipe

BATCH_SIZE = 16


def classes_of(images: ImageSet) -> tuple[str, ...]:
    """Names of the classes that this task tells apart, background among them."""
    return tuple(str(c) for c in images.mask_classes)


def build(backbone: nn.Module, recipe: Recipe, num_classes: int, size_hw: tuple[int, int]) -> nn.Module:
    """A segmenter with a fresh head."""
    return Segmenter(backbone, num_classes, recipe.levels, recipe.channels)


def losses(model: nn.Module, batch: Batch, images: Tensor) -> dict[str, Tensor]:
    """Losses of a batch; `images` are its preprocessed pixels."""
    return model.losses(images, batch.masks)  # type: ignore[operator]


@torch.no_grad()
def predict(
    model: nn.Module, preprocessing: Preprocessing, images: ImageSet, progress: Progress
) -> dict[str, np.ndarray]:
    """Confusion of every image (n, K, K), truth in rows, counted at the size of the original mask."""
    model.eval()
    device = next(model.parameters()).device
    num_classes = len(classes_of(images))
    tables = []
    for part in in_order(images, BATCH_SIZE):
        logits = model(preprocessing.apply(pixels_of(images, part, device)))
        for i, logit in enumerate(logits, part.start):
            truth = images.true_mask(i)
            enlarged = nn.functional.interpolate(logit[None], size=truth.shape, mode="bilinear", align_corners=False)
            tables.append(confusion(truth, enlarged[0].argmax(0).to(torch.uint8).cpu().numpy(), num_classes))
        progress(part.stop / len(images), f"image {part.stop}/{len(images)}")
    return {"confusion": np.stack(tables)}


def score(
    predictions: Sequence[dict[str, np.ndarray]],
    sets: Sequence[ImageSet],
    image_weights: np.ndarray | None,
    protocol: str,
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """mIoU over all images of all folds, and replicates where image weights (B, n) are given."""
    result = mean_iou(np.concatenate([p["confusion"] for p in predictions]))
    metrics = {"seg/miou": float(result.miou)}
    metrics |= {f"seg/iou/{n}": float(v) for n, v in zip(classes_of(sets[0]), result.iou, strict=True)}
    return metrics, {} if image_weights is None else {"seg/miou": result.replicates(image_weights)}
