"""Image classes from a backbone: average-pooled last stage and one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Classifier(nn.Module):
    """Backbone, global average pooling of its last stage, linear layer."""

    def __init__(self, backbone: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.last = backbone.stages[-1].name  # type: ignore[union-attr, index]
        self.classes = nn.Linear(backbone.stages[-1].channels, num_classes)  # type: ignore[union-attr, index]

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (B, 3, H, W) -> logits (B, K)."""
        return self.classes(self.backbone(images)[self.last].mean((2, 3)))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Mean cross-entropy; labels (B,) int64."""
        return {"classes": F.cross_entropy(self(images), labels)}

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """Log-probabilities (B, K)."""
        return F.log_softmax(self(images).float(), 1)
