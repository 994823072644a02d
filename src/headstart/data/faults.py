"""Bad records of a data set: raised at the first, or left out, each counted and listed. Never dropped in silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
    of_record: bool = True
    """Whether the record is left out for it; False for something that is read without (`Faults.lost`)."""

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

    def lost(self, fault: Fault) -> None:
        """Something that is read without: listed with what was left out, and never raised."""
        self.found.append(replace(fault, of_record=False))

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


def first_faults(found: Sequence[Fault], most: int = 3) -> str:
    """The first faults by file and cause, each cause once, with the number of all; "" for none.

    What a message says of a data set that nothing is left of, since its every record has a fault.
    """
    causes: dict[str, list[Fault]] = {}
    for fault in found:
        causes.setdefault(fault.rule, []).append(fault)
    shown = [f"{str(same[0]).rstrip('.')} ({_times(len(same))})" for same in list(causes.values())[:most]]
    more = len(causes) - most
    also = [f"and {more} more kinds of faults"] if more > 0 else []
    return f"{_faults(len(found))}: {'; '.join([*shown, *also])}" if found else ""


def nothing_left(where: object, found: Sequence[Fault], otherwise: str) -> DataError:
    """That nothing of the data set can be used: because of these faults, or else for the reason `otherwise` says."""
    if not found:
        return DataError(f"{where}: {otherwise}")
    return DataError(f"{where}: nothing of it can be used, because of {first_faults(found)}.")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _faults(count: int) -> str:
    return "1 fault" if count == 1 else f"{count:,} faults"
