"""Deformable convolution and RoI pooling: plain (Dai et al., arXiv 1703.06211), modulated (Zhu et al., 1811.11168).

Convolution is torchvision's operation with a layer that learns where to look. Pooling is ours: torchvision's RoI align
has no gradient with respect to where it samples.

Letters: B images, C channels, H x W cells, N RoIs, k x k bins, s x s samples a bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from headstart.errors import WeightsError

SPATIAL = "conv2"
"""Name of a residual block's 3 x 3 convolution: the middle of three, or the last of two."""
TRANSLATION = 0.1
"""Offsets of RoI bins are this fraction of the RoI's sides (arXiv 1703.06211, Sec. 2.2)."""


class DeformConv2d(nn.Module):
    """A convolution whose kernel points are moved by learned offsets and, when modulated, weighted by learned masks.

    Starts as the plain convolution of `weight` (offsets 0); masks start at one half, as published, so a modulated layer
    starts at half its scale. Padding keeps the size at stride 1.
    """

    deformable = True

    def __init__(
        self,
        channels_in: int,
        channels: int,
        size: int = 3,
        stride: int = 1,
        *,
        dilation: int = 1,
        groups: int = 1,
        offset_groups: int = 1,
        modulated: bool = True,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.dilation, self.padding = stride, dilation, dilation * (size // 2)
        self.points, self.modulated = offset_groups * size * size, modulated
        plain = nn.Conv2d(channels_in, channels, size, stride, self.padding, dilation, groups, bias)
        self.weight, self.bias = plain.weight, plain.bias
        values = 3 if modulated else 2
        self.offset = nn.Conv2d(channels_in, values * self.points, size, stride, self.padding, dilation)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) -> (B, channels, about H / stride, about W / stride)."""
        # The operator knows no half precision on the CPU, and is cast to single on GPUs.
        learned = self.offset(x).to(self.weight.dtype)
        masks = learned[:, 2 * self.points :].sigmoid() if self.modulated else None
        x, offsets = x.to(self.weight.dtype), learned[:, : 2 * self.points]
        return deform_conv2d(x, offsets, self.weight, self.bias, self.stride, self.padding, self.dilation, masks)


def deform_stages(backbone: nn.Module, stages: Sequence[str], modulated: bool, offset_groups: int = 1) -> int:
    """Make the 3 x 3 convolutions in `stages` (C2..C5) of a ResNet deformable, in place; how many were changed.

    Weights stay; only the layers that learn offsets are fresh. What is deformable already stays as it is. Raises
    WeightsError where a stage has none.
    """
    changed = 0
    for stage in stages:
        layer = f"layer{int(stage.removeprefix('C')) - 1}"
        blocks = getattr(backbone, layer, None)
        convolutions = [
            (block, conv)
            for block in (blocks.modules() if blocks is not None else ())
            for name, conv in block.named_children()
            if name == SPATIAL and (is_deformable(conv) or (isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3)))
        ]
        if not convolutions:
            raise WeightsError(
                f"{stage} cannot be made deformable: the backbone has no 3 x 3 convolutions called {SPATIAL} in "
                f"{layer}. Leave {stage} out of `deformable`, or use a ResNet."
            )
        for block, conv in convolutions:
            if isinstance(conv, nn.Conv2d):
                setattr(block, SPATIAL, _deformed(conv, modulated, offset_groups))
                changed += 1
    return changed


def is_deformable(module: nn.Module) -> bool:
    """Whether it is a convolution that samples at learned offsets."""
    return getattr(module, "deformable", False) is True


def deform_by_name(name: str, backbone: nn.Module, options: dict[str, str]) -> None:
    """Do what the options `deformable` and `modulated` of a backbone's name say. Raises WeightsError."""
    if "deformable" in options:
        deform_stages(backbone, options["deformable"].split("+"), options.get("modulated") != "no")
    elif "modulated" in options:
        raise WeightsError(
            f"backbone {name!r}: option modulated is about deformable stages, and there are none. Leave "
            "it out, or add deformable=C3+C4+C5."
        )


def offset_names(backbone: nn.Module) -> tuple[str, ...]:
    """Names of the parameters by which a backbone learns offsets and masks. A plain network's weights lack them."""
    layers = [name for name, module in backbone.named_modules() if isinstance(module, DeformConv2d)]
    return tuple(f"{layer}.offset.{kind}" for layer in layers for kind in ("weight", "bias"))


def _deformed(conv: nn.Conv2d, modulated: bool, offset_groups: int) -> DeformConv2d:
    layer = DeformConv2d(
        conv.in_channels,
        conv.out_channels,
        3,
        conv.stride[0],
        dilation=conv.dilation[0],
        groups=conv.groups,
        offset_groups=offset_groups,
        modulated=modulated,
        bias=conv.bias is not None,
    )
    layer.weight, layer.bias = conv.weight, conv.bias
    return layer


def deform_roi_pool(
    features: Tensor,
    rois: Tensor,
    size: int,
    spatial_scale: float,
    *,
    offsets: Tensor | None = None,
    masks: Tensor | None = None,
    sampling: int = 2,
) -> Tensor:
    """RoI align (torchvision's, `aligned=True`) whose bins are moved by `offsets` and weighted by `masks`.

    features (B, C, H, W); rois (N, 5): image, xyxy in pixels; offsets (N, size, size, 2): x y in fractions of the RoI's
    width and height; masks (N, size, size). Returns (N, C, size, size). No gradient flows to `rois`.
    """
    rois = rois.detach()
    start = rois[:, 1:3] * spatial_scale - 0.5
    extent = rois[:, 3:5] * spatial_scale - 0.5 - start
    within = (torch.arange(sampling, device=rois.device, dtype=rois.dtype) + 0.5) / sampling
    steps = (torch.arange(size, device=rois.device, dtype=rois.dtype)[:, None] + within) / size  # (k, s) in 0..1
    where_x = steps[None, None, :, None, :].expand(len(rois), size, size, sampling, sampling)
    where_y = steps[None, :, None, :, None].expand(len(rois), size, size, sampling, sampling)
    if offsets is not None:
        where_x = where_x + offsets[..., 0, None, None]
        where_y = where_y + offsets[..., 1, None, None]
    wide = (len(rois), 1, 1, 1, 1)
    x = start[:, 0].view(wide) + where_x * extent[:, 0].view(wide)
    y = start[:, 1].view(wide) + where_y * extent[:, 1].view(wide)
    image = rois[:, 0].long().view(wide).expand_as(x)
    values = sample(features, image.reshape(-1), x.reshape(-1), y.reshape(-1))
    pooled = values.view(len(rois), size, size, sampling * sampling, features.shape[1]).mean(3)
    if masks is not None:
        pooled = pooled * masks[..., None]
    return pooled.permute(0, 3, 1, 2)


def sample(features: Tensor, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Bilinear values (P, C) at cells x, y (P,) of images (P,): as in RoI align, 0 beyond one cell outside the map."""
    channels, height, width = features.shape[1:]
    flat = features.permute(0, 2, 3, 1).reshape(-1, channels)
    inside = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.detach().floor().long(), y.detach().floor().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    part_x, part_y = (x - left)[:, None], (y - top)[:, None]

    def at(row: Tensor, column: Tensor) -> Tensor:
        return flat[(image * height + row) * width + column]

    upper = at(top, left) * (1 - part_x) + at(top, right) * part_x
    lower = at(bottom, left) * (1 - part_x) + at(bottom, right) * part_x
    return (upper * (1 - part_y) + lower * part_y) * inside[:, None]


class DeformRoIPool(nn.Module):
    """RoI pooling that learns, from the plainly pooled RoI, where its bins look and how much each counts."""

    def __init__(self, channels: int, size: int = 7, width: int = 1024, modulated: bool = True) -> None:
        super().__init__()
        self.size, self.modulated = size, modulated
        values = (3 if modulated else 2) * size * size
        self.learn = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * size * size, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, values),
        )
        last = self.learn[-1]
        nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, rois: Tensor, spatial_scale: float) -> Tensor:
        """features (B, C, H, W), rois (N, 5) -> (N, C, size, size)."""
        plain = deform_roi_pool(features, rois, self.size, spatial_scale)
        learned = self.learn(plain)
        bins = self.size * self.size
        offsets = TRANSLATION * learned[:, : 2 * bins].view(-1, self.size, self.size, 2)
        masks = learned[:, 2 * bins :].sigmoid().view(-1, self.size, self.size) if self.modulated else None
        return deform_roi_pool(features, rois, self.size, spatial_scale, offsets=offsets, masks=masks)
