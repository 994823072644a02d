"""Parts of a detector: backbone, neck, head, and the layers that have something of their own for each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Part = Literal["backbone", "neck", "head", "classes"]
PARTS: tuple[Part, ...] = ("backbone", "neck", "head", "classes")


@dataclass(frozen=True)
class ClassRows:
    """How a layer's outputs are classes: first `before` times all classes, each of `each` outputs."""

    prefix: str
    """Of the names of its weight and bias."""
    before: int = 1
    each: int = 1
    background: int = 0
    """1: after the classes there is one more, for none of them."""

    def count(self, outputs: int) -> int:
        """Number of classes of a layer with so many outputs."""
        return outputs // (self.before * self.each) - self.background

    def by_class(self, values: Tensor) -> Tensor:
        """A view (before, classes and background, each, ...) of a weight or bias."""
        return values.view(self.before, -1, self.each, *values.shape[1:])


def part_of(name: str, class_rows: Sequence[ClassRows]) -> Part:
    """The part that a tensor of a detector belongs to, by its name."""
    if name.startswith("backbone."):
        return "backbone"
    if name.startswith("neck."):
        return "neck"
    return "classes" if any(name.startswith(rows.prefix) for rows in class_rows) else "head"
