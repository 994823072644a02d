"""Bad records of a data set: raised at the first, or left out, each counted and listed. Never dropped in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headstart.data.boxes import Convention, impossible
from headstart.errors import DataError

OnBad = Literal["error", "skip"]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: its rule (a short code), the file, what in the file, why, and what to do about it."""

    rule: str
    path: str
    record: str
    """Such as "object 3 ('cat')" or "line 12"; "" when it is the whole file."""
    why: str
    fix: str

    def __str__(self) -> str:
        subject = f"{self.path}: {self.record} " if self.record else f"{self.path}: "
        return f"{subject}{self.why}. {self.fix}"


@dataclass
class Faults:
    """What a reader does with bad records. It reports each and, if that returns, leaves the record out."""

    on_bad_box: OnBad = "error"
    on_bad_record: OnBad = "error"
    one_pixel_boxes: bool = False
    """Whether a box that begins and ends in one pixel can be, where pixels are counted inclusively."""
    found: list[Fault] = field(default_factory=list)

    def box(self, fault: Fault) -> None:
        """A box that cannot be. Raises DataError unless such are to be skipped."""
        if self.on_bad_box == "error":
            advice = "or pass --on-bad-box skip to leave such boxes out; each is then counted and listed."
            raise DataError(f"{str(fault).rstrip('.')}, {advice}")
        self.found.append(fault)

    def record(self, fault: Fault) -> None:
        """Anything else that is wrong with an image's annotation. Raises DataError unless such are to be skipped."""
        if self.on_bad_record == "error":
            raise DataError(str(fault))
        self.found.append(fault)

    def settle_boxes(
        self,
        values: NDArray[np.float64],
        convention: Convention,
        sizes_hw: NDArray[np.integer],
        record: Callable[[int], tuple[str, str]],
    ) -> NDArray[np.bool_]:
        """Which of the boxes (k, 4) can be, (k,); the others are reported (`headstart.data.boxes.impossible`).

        sizes_hw (k, 2), 0 for not known. `record(k)`: (path, what in the file) of box k.
        """
        keep = np.ones(len(values), bool)
        for k, rule, why in impossible(values, convention, sizes_hw, self.one_pixel_boxes):
            path, what = record(k)
            self.box(Fault(rule, path, what, why, "Correct the file"))
            keep[k] = False
        return keep
