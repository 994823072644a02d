"""Feature mimicking (Zhu et al., arXiv 1811.11168, Sec. 3.3): what a detector reads of an object within the image shall
be what the same network reads of the object alone, cut out. In training only.

Letters: B images, R RoIs of an image, M of them mimicked, S pixels of a patch's side, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import roi_align

from headstart.models.detection.anchors import IGNORED, sample
from headstart.models.detection.roi_heads import Chosen, with_image
from headstart.models.detection.targets import Targets, full
from headstart.models.normalizers import over_processes

MIMICKED = 32
"""Objects of an image that are cut out, at most."""
PATCH = 224
"""Pixels of a patch's side; images that are smaller give patches of their own shorter side."""
WEIGHT = 0.1
"""Of each of the two losses, against those of the detector."""


class Mimicking(nn.Module):
    """Compares RoIs with patches, and tells the classes of patches by a layer of its own.

    width: of the features. objects: that an image has among its RoIs, at most.
    """

    def __init__(self, width: int, num_classes: int, objects: int) -> None:
        super().__init__()
        self.count, self.num_classes = min(MIMICKED, objects), num_classes
        self.classes = nn.Linear(width, num_classes)  # published: also background, which is never cut out
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.zeros_(self.classes.bias)

    def losses(
        self, images: Tensor, chosen: Chosen, features: Tensor, targets: Targets, *, read: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """`mimic`, 1 - cosine of the features of RoI and patch, and `mimic_classes`, the patches' cross-entropy: means
        over the objects chosen, times 0.1.

        images (B, 3, H, W), preprocessed; features (B * R, width) of the RoIs `chosen`; read: patches (B * M, 3, S, S)
        -> (B * M, width), by the detector's own layers. Gradients flow to both sides. Shapes do not depend on how many
        objects there are: places that are not filled have weight 0.
        """
        rows, weights = self._objects(chosen, targets)
        boxes = chosen.boxes.gather(1, rows[..., None].expand(-1, -1, 4))
        of_patches = full(read(cut_out(images, boxes)))
        of_rois = full(features).view(*chosen.labels.shape, -1)
        of_rois = of_rois.gather(1, rows[..., None].expand(-1, -1, of_rois.shape[2])).flatten(0, 1)
        labels = chosen.labels.gather(1, rows).flatten().clamp(max=self.num_classes - 1)
        number = over_processes(weights.sum())
        apart = 1 - F.cosine_similarity(of_rois, of_patches, dim=1)
        wrong = F.cross_entropy(full(self.classes(of_patches)), labels, reduction="none")
        return {
            "mimic": WEIGHT * (apart * weights).sum() / number,
            "mimic_classes": WEIGHT * (wrong * weights).sum() / number,
        }

    def _objects(self, chosen: Chosen, targets: Targets) -> tuple[Tensor, Tensor]:
        """Which of the RoIs are mimicked (B, M), and their weights (B * M,): 1 for objects, 0 for places left over."""
        objects = (chosen.labels < self.num_classes) & (chosen.weights > 0)
        rows, weights = [], []
        for i, some in enumerate(objects):
            taken = sample(torch.where(some, 0, IGNORED), self.count, 1.0, targets.seed_of(i), purpose=2)
            first = taken.to(torch.int8).argsort(descending=True, stable=True)[: self.count]
            rows.append(first)
            weights.append(taken[first].to(chosen.weights.dtype))
        return torch.stack(rows), torch.cat(weights)


def cut_out(images: Tensor, boxes: Tensor) -> Tensor:
    """What lies in boxes (B, M, 4), stretched to squares (B * M, 3, S, S), bilinearly; a box of S pixels as it is."""
    side = min(PATCH, images.shape[2], images.shape[3])
    patches = roi_align(images, with_image(boxes).to(images.dtype), side, 1.0, 1, aligned=True)
    return patches.contiguous(memory_format=torch.channels_last)


@contextmanager
def norms_at_rest(model: nn.Module) -> Iterator[None]:
    """Batch norms use their running statistics and do not change them: patches are no images, and some are empty.
    (Published with batch norms that are frozen anyway.)"""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm in norms:
            norm.training = True
