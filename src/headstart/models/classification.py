"""Image classes from a backbone: average-pooled last stage and one linear layer.

Letters: B images, K classes. An image has one of the classes, or any number of them (`several`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.models.detection.fcos import PRIOR
from headstart.models.detection.targets import full
from headstart.models.normalizers import over_processes


class Classifier(nn.Module):
    """Backbone, global average pooling of its last stage, linear layer.

    With `several`, each class begins as rare (its probability .01, as for a focal loss: Lin et al., arXiv 1708.02002,
    Sec. 3.3): otherwise the first updates would only teach that most classes are absent.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, several: bool = False) -> None:
        super().__init__()
        self.backbone, self.num_classes, self.several = backbone, num_classes, several
        self.last = backbone.stages[-1].name  # type: ignore[union-attr, index]
        self.classes = nn.Linear(backbone.stages[-1].channels, num_classes)  # type: ignore[union-attr, index]
        if several:
            nn.init.normal_(self.classes.weight, std=0.01)
            nn.init.constant_(self.classes.bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (B, 3, H, W) -> logits (B, K)."""
        return self.classes(self.backbone(images)[self.last].mean((2, 3)))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Mean cross-entropy, labels (B,) int64; with `several`, `present_or_not` with labels (B, K)."""
        logits = self(images)
        return {"classes": present_or_not(logits, labels) if self.several else F.cross_entropy(logits, labels)}

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """Log-probabilities (B, K): of being the image's class, which sum to 1; with `several`, of being present."""
        logits = self(images).float()
        return F.logsigmoid(logits) if self.several else F.log_softmax(logits, 1)


def present_or_not(logits: Tensor, table: Tensor) -> Tensor:
    """Binary cross-entropy, summed over the classes of which something is known, averaged over the images of all
    processes of which something is known.

    logits (B, K); table (B, K): 1 present, 0 absent, -1 not known, which gives no gradient.
    """
    logits = full(logits)
    known = table >= 0
    each = F.binary_cross_entropy_with_logits(logits, (table == 1).to(logits.dtype), reduction="none")
    return (each * known).sum() / over_processes(known.any(1).sum().to(logits.dtype))
