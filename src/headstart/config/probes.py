"""What a probe of frozen features measures beside logistic regression and ridge on the last stage."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from headstart.recipes.settings import Settings

Kinds = tuple[Literal["logistic", "ridge", "svm", "knn"], ...]
FEW = (1, 2, 4, 8, 16)
"""Images of each class, of low-shot probes."""


class FurtherProbes(Settings):
    """`further` of a task of kind `probe`."""

    kinds: Kinds = ("logistic", "ridge", "svm", "knn")
    """Fitted on the last stage, and wherever the rest of it says."""
    stages: bool = True
    """On every stage, not on the last alone."""
    per_class: tuple[Annotated[int, Field(gt=0)], ...] = FEW
    """On so many images of each class: every seed draws its own, and a smaller number is a part of a greater one.
    Classes that have fewer give all; numbers that no class has are left out."""

    @model_validator(mode="after")
    def _different(self) -> FurtherProbes:
        if len(set(self.kinds)) != len(self.kinds) or not self.kinds:
            raise ValueError("`kinds` names each kind of probe once, and one at least")
        if list(self.per_class) != sorted(set(self.per_class)):
            raise ValueError("`per_class` ascends, each number once")
        return self
