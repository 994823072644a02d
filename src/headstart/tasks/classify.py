"""Image classification by fine-tuning: model, losses, predictions, accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart.config import Recipe
from headstart.data.batches import Batch, in_order, pixels_of
from headstart.data.prepared import PreparedSet
from headstart.metrics.accuracy import accuracy, log_losses
from headstart.models.backbones import Preprocessing
from headstart.models.classifiers import Classifier

BATCH_SIZE = 64


def classes_of(images: PreparedSet) -> tuple[str, ...]:
    """Names of the classes that this task tells apart."""
    return tuple(str(c) for c in images.image_classes)


def build(backbone: nn.Module, recipe: Recipe, num_classes: int, size_hw: tuple[int, int]) -> nn.Module:
    """A classifier with a fresh linear layer."""
    return Classifier(backbone, num_classes)


def losses(model: nn.Module, batch: Batch, images: Tensor) -> dict[str, Tensor]:
    """Losses of a batch; `images` are its preprocessed pixels."""
    return model.losses(images, batch.image_labels)  # type: ignore[operator]


@torch.no_grad()
def predict(
    model: nn.Module, preprocessing: Preprocessing, images: PreparedSet, progress: Callable[[float, str], None]
) -> dict[str, np.ndarray]:
    """Log-probabilities of every image (n, K)."""
    model.eval()
    device = next(model.parameters()).device
    parts = []
    for part in in_order(images, BATCH_SIZE):
        parts.append(model.classify(preprocessing.apply(pixels_of(images, part, device))).cpu().numpy())  # type: ignore[operator]
        progress(part.stop / len(images), f"image {part.stop}/{len(images)}")
    return {"log_probabilities": np.concatenate(parts)}


def score(
    predictions: Sequence[dict[str, np.ndarray]],
    sets: Sequence[PreparedSet],
    image_weights: np.ndarray | None,
    protocol: str,
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Top-1, mean class accuracy and log-loss over all folds, and replicates where image weights (B, n) are given."""
    table = np.concatenate([p["log_probabilities"] for p in predictions])
    labels = np.concatenate([s.image_labels for s in sets])
    result = accuracy(labels, table.argmax(1), table.shape[1], log_losses(table, labels))
    names = ("top1", "mean_class_accuracy", "log_loss")
    metrics = {f"cls/{name}": float(getattr(result, name)) for name in names}
    if image_weights is None:
        return metrics, {}
    return metrics, {f"cls/{name}": values for name, values in result.replicates(image_weights).items()}
