"""Which normalization a model trains with: its own, synchronized over processes, or group norm."""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

GROUPS = 32


def set_norms(model: nn.Module, policy: str) -> nn.Module:
    """The model with its batch norms replaced, in place: `sync` (statistics over all processes) or `group` (arXiv
    1803.08494: 32 groups, or as many as divide the channels; fresh, with the scale and shift of the batch norm).
    `train` and `frozen` change nothing here.
    """
    if policy == "sync":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if policy == "group":
        for name, child in model.named_children():
            if isinstance(child, _BatchNorm):
                setattr(model, name, _grouped(child))
            else:
                set_norms(child, policy)
    return model


def _grouped(norm: _BatchNorm) -> nn.GroupNorm:
    channels = norm.num_features
    group = nn.GroupNorm(math.gcd(GROUPS, channels), channels, norm.eps, norm.affine)
    if norm.affine:
        group.weight, group.bias = norm.weight, norm.bias
    return group
