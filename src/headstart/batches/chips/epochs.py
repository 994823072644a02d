"""The chips of every epoch, and what is pasted in it: made once by whoever needs them first, then shared between
processes as mapped files."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headstart.batches.chips.negatives import negative_chips
from headstart.batches.chips.scales import CHIP, ChipTable, Scale, choose_negatives, join, positive_chips
from headstart.batches.chips.small_objects import CopyPaste, Pastes
from headstart.store.arrays import save_array
from headstart.store.files import sweep, temporary_name
from headstart.store.sealing import damage, seal

log = logging.getLogger(__name__)

Layout = Literal["chips", "whole", "pyramid"]
KEPT = 2
"""Epochs whose chips stay on disk: the present one, and the one before for processes that are behind."""


@dataclass(frozen=True, eq=False)
class TrainingBoxes:
    """Boxes that are trained on, of n images: xyxy (m, 4) float64 in pixels of the original images, offsets (n + 1,),
    labels (m,); sizes_hw (n, 2)."""

    xyxy: NDArray[np.float64]
    offsets: NDArray[np.int64]
    labels: NDArray[np.integer]
    sizes_hw: NDArray[np.integer]

    def with_pastes(self, pastes: Pastes | None) -> TrainingBoxes:
        """Those of each image, then those that are pasted into it."""
        if pastes is None:
            return self
        count = np.arange(len(self.sizes_hw))
        image = np.concatenate([np.repeat(count, np.diff(self.offsets)), np.repeat(count, np.diff(pastes.offsets))])
        order = np.argsort(image, kind="stable")
        xyxy, labels = np.concatenate([self.xyxy, pastes.xyxy]), np.concatenate([self.labels, pastes.labels])
        return TrainingBoxes(xyxy[order], self.offsets + pastes.offsets, labels[order], self.sizes_hw)


@dataclass(frozen=True, eq=False)
class Epoch:
    """The chips of one epoch, and what is pasted into its images, if anything."""

    chips: ChipTable
    boxes: TrainingBoxes
    """The targets of chips are rows of these: with pastes."""
    pastes: Pastes | None


@dataclass(frozen=True)
class ChipLayout:
    """How images become inputs. `chips`: SNIPER's. `whole`: each image once, at the first scale. `pyramid`: each image
    at each scale, whole; boxes out of a scale's range are ignored there (SNIP)."""

    layout: Layout
    scales: tuple[Scale, ...]
    chip: int = CHIP
    negatives: int = 0
    """At most so many negative chips an image and epoch."""


class ChipEpochs:
    """Chip tables by epoch. folder: where they are kept; None: laid again for each process. proposals: boxes (p, 4) and
    offsets (n + 1,) from which negative chips are mined. pasting: of small objects, anew in every epoch."""

    def __init__(
        self,
        boxes: TrainingBoxes,
        layout: ChipLayout,
        seed: int,
        folder: Path | None = None,
        *,
        proposals: tuple[NDArray[np.float64], NDArray[np.int64]] | None = None,
        pasting: CopyPaste | None = None,
    ) -> None:
        self.boxes, self.layout, self.seed, self.folder, self.proposals = boxes, layout, seed, folder, proposals
        self.pasting = pasting
        self._held: dict[int, Epoch] = {}

    def of(self, epoch: int) -> ChipTable:
        """The chips of an epoch. Raises DataError when no scale admits any box, or an image's size is not known."""
        return self._epoch(epoch).chips

    def boxes_of(self, epoch: int) -> TrainingBoxes:
        """The boxes that are trained on in an epoch, those that are pasted in it among them."""
        return self._epoch(epoch).boxes

    def pastes_of(self, epoch: int) -> Pastes | None:
        """What is pasted in an epoch; None: nothing, in any."""
        return self._epoch(epoch).pastes

    def _epoch(self, epoch: int) -> Epoch:
        if self.layout.layout != "chips" and self.pasting is None:
            epoch = 0  # whole images are the same in every epoch
        if epoch not in self._held:
            chips, pastes = self._kept(epoch) if self.folder else self.laid(epoch)
            self._held = {epoch: Epoch(chips, self.boxes.with_pastes(pastes), pastes)}
        return self._held[epoch]

    def laid(self, epoch: int) -> tuple[ChipTable, Pastes | None]:
        """Lay the chips of an epoch, after planning its pastes, whatever is on disk."""
        pastes = self.pasting.plan(epoch) if self.pasting else None
        return self._laid(epoch, self.boxes.with_pastes(pastes)), pastes

    def _laid(self, epoch: int, boxes: TrainingBoxes) -> ChipTable:
        layout = self.layout
        if layout.layout != "chips":
            return whole_images(boxes, layout.scales if layout.layout == "pyramid" else layout.scales[:1])
        sizes = boxes.sizes_hw
        table = positive_chips(
            boxes.xyxy, boxes.offsets, sizes, layout.scales, seed=self.seed, epoch=epoch, chip=layout.chip
        )
        if layout.negatives and self.proposals is not None:
            pool = negative_chips(
                *self.proposals, sizes, layout.scales, positives=table, seed=self.seed, epoch=epoch, chip=layout.chip
            )
            table = join(table, choose_negatives(pool, layout.negatives, self.seed, epoch))
        return table

    def _kept(self, epoch: int) -> tuple[ChipTable, Pastes | None]:
        assert self.folder is not None
        stored = self.folder / f"epoch-{epoch}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / ".lock"):
            if stored.is_dir() and (fault := damage(stored)):
                log.warning("%s is damaged (%s): its chips are laid again", stored, fault)
                stored.rename(temporary_name(stored))
            if not stored.is_dir():
                sweep(self.folder)
                (chips, pastes), temporary = self.laid(epoch), temporary_name(stored)
                _write(temporary / "chips", chips)
                if pastes is not None:
                    _write(temporary / "pastes", pastes)
                seal(temporary, [p.relative_to(temporary).as_posix() for p in temporary.glob("*/*.npy")])
                temporary.rename(stored)
                self._forget(epoch)
            pasted = Pastes(**_mapped(stored / "pastes", Pastes)) if self.pasting else None
            return ChipTable(**_mapped(stored / "chips", ChipTable)), pasted

    def _forget(self, epoch: int) -> None:
        """Delete the chips of all epochs but the first, which every process counts, and the last few."""
        assert self.folder is not None
        for old in self.folder.glob("epoch-*"):
            if int(old.name.removeprefix("epoch-")) not in (0, *range(epoch - KEPT + 1, epoch + 1)):
                old.rename(temporary_name(old))  # at once: a kill must not leave half an epoch
        sweep(self.folder)


def _write(folder: Path, columns: ChipTable | Pastes) -> None:
    folder.mkdir(parents=True)
    for field in fields(columns):
        save_array(folder / f"{field.name}.npy", getattr(columns, field.name), durable=False)


def _mapped(folder: Path, kind: type[ChipTable] | type[Pastes]) -> dict[str, Any]:
    return {field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(kind)}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def whole_images(boxes: TrainingBoxes, scales: tuple[Scale, ...]) -> ChipTable:
    """Every image whole at every scale, as chips; their targets are the boxes in the scale's range."""
    sizes, counts = boxes.sizes_hw.astype(np.float64), np.diff(boxes.offsets)
    image_of = np.repeat(np.arange(len(sizes)), counts)
    root = np.sqrt((boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).clip(0).prod(1))
    columns: dict[str, list[NDArray]] = {"images": [], "scales": [], "factors": [], "counts": [], "rows": []}
    for s, scale in enumerate(scales):
        inside = (root >= scale.lo) & (root < scale.hi) & (root > 0)
        held = np.bincount(image_of[inside], minlength=len(sizes))
        images = np.arange(len(sizes))
        columns["images"].append(images)
        columns["scales"].append(np.full(len(images), s))
        columns["factors"].append(scale.factors(sizes))
        columns["counts"].append(held)
        columns["rows"].append(np.flatnonzero(inside))
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    starts = np.cumsum(joined["counts"]) - joined["counts"]
    order = np.lexsort((joined["scales"], joined["images"]))
    offsets = np.concatenate([[0], np.cumsum(joined["counts"][order])]).astype(np.int64)
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], joined["counts"][order])
    rows = joined["rows"][np.repeat(starts[order], joined["counts"][order]) + within]
    images, factors = joined["images"][order], joined["factors"][order]
    extent = np.maximum(1, np.floor(sizes[images] * factors[:, None])).astype(np.int32)
    count = len(images)
    return ChipTable(
        images.astype(np.int32),
        joined["scales"][order].astype(np.int8),
        factors,
        np.zeros((count, 2)),
        extent,
        np.zeros(count, bool),
        offsets,
        rows.astype(np.int64),
    )
