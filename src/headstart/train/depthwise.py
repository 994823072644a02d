"""Convolutions that a CPU trains in fp32 when all else is in bf16.

Measured with torch 2.14 on a CPU with bf16 instructions, forward and backward: ordinary and grouped convolutions
take 0.3 to 0.8 of their time in fp32, depthwise 3x3 ones at stride 1 take 0.35 to 0.95; but depthwise ones at stride 2
take 4 to 17 times as long, and those of 5x5 and 7x7 at stride 1 take 1.2 to 2.3 times.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def keep_depthwise(model: nn.Module) -> None:
    """From now on, depthwise convolutions that bf16 slows down compute in fp32 under autocast. Twice is once."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and slow_in_bf16(module) and _enter not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_enter)
            module.register_forward_hook(_leave, always_call=True)


def slow_in_bf16(conv: nn.Conv2d) -> bool:
    """Depthwise, and not 3x3 at stride 1."""
    depthwise = conv.groups == conv.in_channels > 1
    return depthwise and not (conv.kernel_size == (3, 3) and conv.stride == (1, 1))


_outside: list[torch.autocast] = []
"""Autocast switched off for the convolution that is computed; one at most, since none lies in another."""


def _enter(conv: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if not torch.is_autocast_enabled("cpu"):
        return None
    off = torch.autocast("cpu", enabled=False)
    off.__enter__()
    _outside.append(off)
    return tuple(x.float() for x in inputs)


def _leave(conv: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
    if not _outside:
        return None
    _outside.pop().__exit__(None, None, None)
    return None if output is None else output.to(torch.get_autocast_dtype("cpu"))
