"""What losses are divided by: counts of a batch, over all processes that share it."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def over_processes(count: Tensor, least: float = 1.0) -> Tensor:
    """The mean of a count (a scalar tensor) over processes, at least `least` over their number; no gradient.

    A local sum divided by it, averaged over processes as gradients are, is the whole sum over the whole count: training
    does not depend on how many processes share a batch. With one process it is the count itself.
    """
    total = count.detach().clone()
    size = 1
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(total)
        size = distributed.get_world_size()
    return total.clamp(min=least) / size


def zero_of(*outputs: Tensor) -> Tensor:
    """0, attached to the graph of `outputs`: a loss without targets still belongs to every process's step."""
    return sum((o.sum() for o in outputs), torch.zeros((), device=outputs[0].device)) * 0.0
