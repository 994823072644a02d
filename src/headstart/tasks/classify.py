"""Image classification: model, losses, predictions, and accuracy; of several labels an image average precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart.batches.batch import Batch
from headstart.batches.image_batches import pixels_of
from headstart.batches.image_sets import ImageSet
from headstart.batches.label_batches import LabelImages
from headstart.metrics.accuracy import accuracy, log_losses, multilabel_ap
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.classification import Classifier
from headstart.progress import Progress
from headstart.recipes.schema import Recipe

BATCH_SIZE = 64


def classes_of(images: ImageSet) -> tuple[str, ...]:
    """Names of the classes that this task tells apart."""
    return tuple(str(c) for c in images.image_classes)


def build(
    backbone: nn.Module, recipe: Recipe, num_classes: int, size_hw: tuple[int, int], several: bool = False
) -> nn.Module:
    """A classifier with a fresh linear layer; `several`: for images of several labels."""
    return Classifier(backbone, num_classes, several)


def losses(model: nn.Module, batch: Batch, images: Tensor) -> dict[str, Tensor]:
    """Losses of a batch; `images` are its preprocessed pixels."""
    labels = batch.image_labels if batch.label_table is None else batch.label_table
    return model.losses(images, labels)  # type: ignore[operator]


@torch.no_grad()
def predict(
    model: nn.Module,
    preprocessing: Preprocessing,
    images: ImageSet | LabelImages,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Log-probabilities of every image (n, K), see `Classifier.classify`."""
    model.eval()
    device = next(model.parameters()).device
    parts = []
    for begin in range(0, len(images), BATCH_SIZE):
        part = slice(begin, min(begin + BATCH_SIZE, len(images)))
        pixels = images.pixels(part).to(device) if isinstance(images, LabelImages) else pixels_of(images, part, device)
        parts.append(model.classify(preprocessing.apply(pixels)).cpu().numpy())  # type: ignore[operator]
        progress(part.stop / len(images), f"image {part.stop}/{len(images)}")
    return {"log_probabilities": np.concatenate(parts)}


def score(
    predictions: Sequence[dict[str, np.ndarray]],
    sets: Sequence[ImageSet | LabelImages],
    image_weights: np.ndarray | None,
    protocol: str,
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Top-1, mean class accuracy and log-loss over all folds, and replicates where image weights (B, n) are given.

    Of images with several labels the mean over classes of the average precision of ranking them, `cls/map`
    (`headstart.metrics.accuracy.multilabel_ap`): what is not known of an image does not count.
    """
    table = np.concatenate([p["log_probabilities"] for p in predictions])
    known = [s.label_table for s in sets if isinstance(s, LabelImages) and s.label_table is not None]
    if known:
        found = multilabel_ap(table, np.concatenate(known))
        return {"cls/map": found.map}, {} if image_weights is None else {"cls/map": found.replicates(image_weights)}
    labels = np.concatenate([s.image_labels for s in sets])
    result = accuracy(labels, table.argmax(1), table.shape[1], log_losses(table, labels))
    names = ("top1", "mean_class_accuracy", "log_loss")
    metrics = {f"cls/{name}": float(getattr(result, name)) for name in names}
    if image_weights is None:
        return metrics, {}
    return metrics, {f"cls/{name}": values for name, values in result.replicates(image_weights).items()}
