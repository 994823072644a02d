"""What to say when a GPU's memory does not suffice: which setting to change, and what that changes besides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.errors import TrainingError
from headstart.recipes.schema import Recipe


def uses_batch_statistics(model: nn.Module) -> bool:
    """Whether a norm of the model, in the mode that it is in, computes its statistics from the batch."""
    return any(isinstance(module, _BatchNorm) and module.training for module in model.modules())


@contextmanager
def memory_for_update(model: nn.Module, recipe: Recipe, count: int, size_hw: tuple[int, int]) -> Iterator[None]:
    """Turn a device's OutOfMemoryError while training on `count` images at a time into a TrainingError that names
    settings. Accumulation is offered where it leaves the result as it is: no norm computes statistics of the batch."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        parts = recipe.accumulate
        if uses_batch_statistics(model):
            advice = (
                f"Lower `batch_size` (now {recipe.batch_size}), or train on smaller images. `accumulate` (now {parts}) "
                "would change what batch norm computes its statistics of; with `batch_norm` frozen or group in a model "
                "without other batch norms it changes nothing but the memory."
            )
        else:
            advice = (
                f"Raise `accumulate` (now {parts}): the batch is then trained in more and smaller parts, with the same "
                f"result. Or lower `batch_size` (now {recipe.batch_size}), or train on smaller images."
            )
        raise TrainingError(_message(f"training on {count} images", size_hw, error) + advice) from error


@contextmanager
def memory_for_images(what: str, size_hw: tuple[int, int]) -> Iterator[None]:
    """The same for looking at images without training: `what` is done with them, such as "features"."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        advice = "Give the set smaller images, or do this on the CPU (--device cpu)."
        raise TrainingError(_message(what, size_hw, error) + advice) from error


def _message(what: str, size_hw: tuple[int, int], error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "").rstrip(". ")
    return (
        f"the GPU's memory does not suffice for {what} of {size_hw[1]} x {size_hw[0]} pixels"
        f"{f' ({first})' if first else ''}. "
    )
