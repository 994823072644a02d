"""What a RoI is: one softmax over classes and background, or objectness and class apart for large vocabularies.

Letters: N RoIs, K classes. Labels are 0..K-1, and K for background.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.models.detection.targets import full
from headstart.models.normalizers import over_processes


class SoftmaxClasses(nn.Module):
    """One linear layer to K + 1 outputs, background last."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.classes = nn.Linear(width, num_classes + 1)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.zeros_(self.classes.bias)

    def losses(self, x: Tensor, labels: Tensor, weights: Tensor, count: Tensor) -> dict[str, Tensor]:
        """Cross-entropy (N,) times weights, divided by `count`."""
        each = F.cross_entropy(full(self.classes(x)), labels, reduction="none")
        return {"classes": (each * weights).sum() / count}

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities (N, K)."""
        return full(self.classes(x)).softmax(1)[:, :-1]


class DecoupledClasses(nn.Module):
    """Whether there is an object, and which (Singh et al., R-FCN-3000, arXiv 1712.01802): the second is learned on
    objects alone; a detection's score is the product. Both read the RoI's features; the paper's read maps."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.objectness = nn.Linear(width, 1)
        self.classes = nn.Linear(width, num_classes)
        for layer in (self.objectness, self.classes):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def losses(self, x: Tensor, labels: Tensor, weights: Tensor, count: Tensor) -> dict[str, Tensor]:
        """Objectness of all RoIs divided by `count`; classes of the objects divided by the number of these."""
        objects = (labels < self.num_classes) & (weights > 0)
        objectness = F.binary_cross_entropy_with_logits(
            full(self.objectness(x)).squeeze(1), objects.to(weights.dtype), reduction="none"
        )
        each = F.cross_entropy(full(self.classes(x)), labels.clamp(max=self.num_classes - 1), reduction="none")
        number = over_processes(objects.sum().to(weights.dtype))
        return {"objectness": (objectness * weights).sum() / count, "classes": (each * objects).sum() / number}

    def forward(self, x: Tensor) -> Tensor:
        """Objectness times probability given an object, (N, K)."""
        return full(self.objectness(x)).sigmoid() * full(self.classes(x)).softmax(1)


def background_weight(overlap: Tensor) -> Tensor:
    """Soft sampling (Wu et al., arXiv 1806.06986): background far from any box may be an object that nobody drew, and
    counts a quarter. overlap: largest IoU with a box."""
    return 0.25 + 0.75 * torch.exp(-50 * torch.exp(-20 * overlap))
