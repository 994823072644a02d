"""Deformable convolution and RoI pooling against direct computations, forwards and in gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d, roi_align

from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.deformable import DeformConv2d, DeformRoIPool, deform_roi_pool, deform_stages


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def double(*shape: int, scale: float = 1.0) -> Tensor:
    return (scale * torch.randn(*shape, dtype=torch.float64)).requires_grad_()


def at(plane: Tensor, y: float, x: float) -> float:
    """Bilinear value of a plane that is 0 outside."""
    height, width = plane.shape
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                total += float(plane[row, column]) * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def slow_convolution(x: Tensor, offsets: Tensor, masks: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Eq. 1 of arXiv 1811.11168, one number at a time; offsets are (y, x) by kernel point."""
    batch, channels = x.shape[:2]
    out = torch.zeros(batch, len(weight), *offsets.shape[2:], dtype=x.dtype)
    for b in range(batch):
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                for point in range(9):
                    y = i * stride - padding + point // 3 + float(offsets[b, 2 * point, i, j])
                    column = j * stride - padding + point % 3 + float(offsets[b, 2 * point + 1, i, j])
                    for c in range(channels):
                        value = at(x[b, c], y, column) * float(masks[b, point, i, j])
                        out[b, :, i, j] += weight[:, c, point // 3, point % 3] * value
    return out


def test_modulated_convolution_is_the_published_sum() -> None:
    x, weight = double(1, 2, 5, 6), double(3, 2, 3, 3)
    offsets, masks = double(1, 18, 3, 3), torch.rand(1, 9, 3, 3, dtype=torch.float64).requires_grad_()
    found = deform_conv2d(x, offsets, weight, None, 2, 1, 1, masks)
    assert torch.allclose(
        found, slow_convolution(x.detach(), offsets.detach(), masks.detach(), weight.detach(), 2, 1), atol=1e-12
    )
    small = (double(1, 1, 4, 4), double(1, 18, 4, 4, scale=0.3), double(1, 1, 3, 3), torch.rand(1, 9, 4, 4).double())
    small[3].requires_grad_()
    assert torch.autograd.gradcheck(lambda a, o, w, m: deform_conv2d(a, o, w, None, 1, 1, 1, m), small)


def test_layers_start_as_the_plain_convolution() -> None:
    for groups, offset_groups, stride, dilation in ((1, 1, 1, 1), (2, 2, 2, 1), (1, 4, 1, 2)):
        for modulated in (False, True):
            layer = DeformConv2d(
                4,
                6,
                3,
                stride,
                dilation=dilation,
                groups=groups,
                offset_groups=offset_groups,
                modulated=modulated,
                bias=True,
            )
            x = torch.randn(2, 4, 9, 8)
            plain = nn.functional.conv2d(x, layer.weight, None, stride, dilation, dilation, groups)
            expected = plain * (0.5 if modulated else 1.0) + layer.bias.view(1, -1, 1, 1)  # type: ignore[union-attr]
            assert torch.allclose(layer(x), expected, atol=1e-5)
    assert all(p.grad is not None for p in backward(DeformConv2d(2, 3)))


def backward(layer: nn.Module) -> list[nn.Parameter]:
    layer(torch.randn(1, 2, 6, 6)).square().sum().backward()
    return list(layer.parameters())


def slow_pooling(features: Tensor, rois: Tensor, size: int, scale: float, offsets: Tensor, masks: Tensor) -> Tensor:
    """The mean of 2 x 2 samples in every moved bin, one number at a time."""
    channels, height, width = features.shape[1:]
    out = torch.zeros(len(rois), channels, size, size, dtype=features.dtype)
    for n, roi in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (v * scale - 0.5 for v in roi[1:])
        for i in range(size):
            for j in range(size):
                for sy in (0.25, 0.75):
                    for sx in (0.25, 0.75):
                        y = y1 + (y2 - y1) * ((i + sy) / size + float(offsets[n, i, j, 1]))
                        x = x1 + (x2 - x1) * ((j + sx) / size + float(offsets[n, i, j, 0]))
                        if -1 <= y <= height and -1 <= x <= width:
                            y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
                            for c in range(channels):
                                value = at(features[int(roi[0]), c], y, x) * float(masks[n, i, j])
                                out[n, c, i, j] += value / 4
    return out


ROIS = torch.tensor([[0.0, 3, 5, 40, 33], [1, -6, 10, 30, 80], [1, 20, 0, 70, 20]], dtype=torch.float64)


def test_modulated_pooling_is_the_published_mean() -> None:
    features, offsets = double(2, 3, 9, 10), double(3, 2, 2, 2, scale=0.1)
    masks = torch.rand(3, 2, 2, dtype=torch.float64)
    found = deform_roi_pool(features, ROIS, 2, 1 / 8, offsets=offsets, masks=masks)
    assert torch.allclose(found, slow_pooling(features.detach(), ROIS, 2, 1 / 8, offsets.detach(), masks), atol=1e-12)
    inputs = (double(2, 1, 6, 6), double(2, 2, 2, 2, scale=0.05), torch.rand(2, 2, 2).double().requires_grad_())
    rois = torch.tensor([[0.0, 3.1, 5.2, 40.3, 33.7], [1, 6.4, 10.1, 30.2, 41.3]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f, o, m: deform_roi_pool(f, rois, 2, 1 / 8, offsets=o, masks=m), inputs)


def test_without_offsets_and_masks_pooling_is_roi_align() -> None:
    features = torch.randn(2, 4, 12, 13, dtype=torch.float64)
    expected = roi_align(features, ROIS, 7, 1 / 8, 2, aligned=True)
    assert torch.allclose(deform_roi_pool(features, ROIS, 7, 1 / 8), expected, atol=1e-12)
    ones, zeros = torch.ones(3, 7, 7).double(), torch.zeros(3, 7, 7, 2).double()
    assert torch.allclose(deform_roi_pool(features, ROIS, 7, 1 / 8, offsets=zeros, masks=ones), expected, atol=1e-12)
    plain = DeformRoIPool(4, 7, 16, modulated=False).double()
    assert torch.allclose(plain(features, ROIS, 1 / 8), expected, atol=1e-12)
    half = DeformRoIPool(4, 7, 16).double()
    assert torch.allclose(half(features, ROIS, 1 / 8), expected / 2, atol=1e-12)
    assert deform_roi_pool(features, ROIS[:0], 7, 1 / 8).shape == (0, 4, 7, 7)


def test_stages_of_a_resnet_become_deformable_and_keep_their_weights() -> None:
    backbone = build_backbone("resnet18").eval()
    x = torch.randn(1, 3, 64, 64)
    before, names = backbone(x), set(backbone.state_dict())
    assert deform_stages(backbone, ("C4", "C5"), modulated=False) == 4
    after = backbone(x)
    assert all(torch.allclose(before[name], after[name], atol=1e-4) for name in before)
    fresh = set(backbone.state_dict()) - names
    assert fresh and all(".conv2.offset." in name for name in fresh)
    assert deform_stages(backbone, ("C4", "C5"), modulated=True) == 0  # they stay as they are
