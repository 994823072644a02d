"""A network of masks that looks at an image more than once: in windows, at several scales, mirrored.

Letters: B images of H x W pixels, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.config.inference import MaskInference


class SeveralLooks(nn.Module):
    """The mean of the logits of all looks, in place of those of one.

    Looks whose grids are alike are averaged cell by cell, so that a single look at the whole image is the network
    itself. Others are enlarged to H x W first. Where windows overlap, a pixel has the mean of those that see it.
    """

    def __init__(self, network: nn.Module, inference: MaskInference) -> None:
        super().__init__()
        self.network, self.inference = network, inference

    def forward(self, images: Tensor) -> Tensor:
        """Preprocessed images (B, 3, H, W) -> logits (B, K, h, w)."""
        found = []
        for scale in self.inference.scales:
            seen = images if scale == 1 else _scaled(images, scale)
            found.append(self._at_one_scale(seen))
            if self.inference.flip:
                found.append(self._at_one_scale(seen.flip(-1)).flip(-1))
        if len({logits.shape for logits in found}) > 1:
            found = [_enlarged(logits, images.shape[-2:]) for logits in found]
        return torch.stack(found).mean(0)

    def _at_one_scale(self, images: Tensor) -> Tensor:
        tops, lefts = (self.inference.begins(side) for side in images.shape[-2:])
        if len(tops) == len(lefts) == 1:
            return self.network(images)
        side, total, count = self.inference.window, None, images.new_zeros(images.shape[-2:])
        for top in tops:
            for left in lefts:
                part = images[..., top : top + side, left : left + side]
                logits = _enlarged(self.network(part), part.shape[-2:])
                if total is None:
                    total = logits.new_zeros((*logits.shape[:2], *images.shape[-2:]))
                total[..., top : top + side, left : left + side] += logits
                count[top : top + side, left : left + side] += 1
        assert total is not None
        return total / count


def _scaled(images: Tensor, scale: float) -> Tensor:
    size = [max(1, round(side * scale)) for side in images.shape[-2:]]
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=scale < 1)


def _enlarged(logits: Tensor, size_hw: torch.Size) -> Tensor:
    return F.interpolate(logits, size=size_hw, mode="bilinear", align_corners=False)
