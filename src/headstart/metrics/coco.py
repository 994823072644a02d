"""COCO's detection metrics in full: four area ranges, three limits on detections, average precision and recall.

Letters: T IoU thresholds, K classes, A area ranges, L limits on the detections of an image and class.

The numbers are pycocotools' to rounding in the last bits when boxes and areas come from the source's float64 (`Truth
.from_xywh`, `Detections.from_xywh`) and images are indexed in the order of their ids. The same numbers by the rules of
`coco-500`, `coco-segm` and `lvis` are those of pycocotools with maxDets 500, of its masks, and of the lvis package.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.metrics.averages import mean_of_present
from headstart.metrics.boxes import Detections, Truth, check_boxes
from headstart.metrics.matches import Matches, matched, own_areas
from headstart.metrics.protocols import COCO_THRESHOLDS, Protocol, Rules, rules_of
from headstart.metrics.resamples import ap_resamples, recall_of, recall_resamples, view_of
from headstart.progress import Counted

COCO_AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}
"""COCO's area ranges, square pixels. Both edges belong to a range: an object of exactly 32^2 is small and medium."""
COCO_LIMITS = (1, 10, 100)
LIMITS: Mapping[str, tuple[int, ...]] = {
    "coco": COCO_LIMITS,
    "coco-segm": COCO_LIMITS,
    "coco-500": (1, 10, 500),
    "lvis": (300,),
}
"""Limits of the protocols that have area ranges. LVIS limits the detections of an image, of all classes together; those
of one class are never more."""
FREQUENCIES = {"rare": "APr", "common": "APc", "frequent": "APf"}
"""LVIS: in how many training images a class is (fewer than 10, fewer than 100, more), and what its mean is called."""


@dataclass(frozen=True)
class Part:
    """What one number of the summary is measured on. threshold: None for the mean over all. classes: indices; None for
    all."""

    name: str
    quantity: str
    threshold: float | None
    area: str
    limit: int
    classes: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class CocoMetrics:
    """COCO's numbers, fractions 0..1.

    ap, recall (T, K, A, L): nan where no true box counts. recall: share of the true boxes found by all detections
    within the limit. counts (A, K) int64: true boxes that count. areas: names of the area ranges. levels: recalls at
    which precision is read. frequencies: of each class, a key of `FREQUENCIES` or another text; empty where not known.
    """

    iou_thresholds: tuple[float, ...]
    areas: tuple[str, ...]
    limits: tuple[int, ...]
    ap: NDArray[np.float64]
    recall: NDArray[np.float64]
    counts: NDArray[np.int64]
    matches: Matches = field(repr=False)
    levels: NDArray[np.float64] = field(repr=False)
    frequencies: tuple[str, ...] = ()

    def parts(self) -> Iterator[Part]:
        """What COCO's numbers are measured on, those whose IoU, area range and limit were evaluated."""
        last = self.limits[-1]
        wanted = [Part("AP", "ap", None, "all", last)]
        wanted += [Part(f"AP{round(100 * t)}", "ap", t, "all", last) for t in (0.5, 0.75)]
        wanted += [Part(f"AP{area[0]}", "ap", None, area, last) for area in ("small", "medium", "large")]
        if any(self.frequencies):
            for kind, name in FREQUENCIES.items():
                members = tuple(k for k, own in enumerate(self.frequencies) if own == kind)
                wanted.append(Part(name, "ap", None, "all", last, members))
        wanted += [Part(f"AR{limit}", "recall", None, "all", limit) for limit in self.limits]
        wanted += [Part(f"AR{area[0]}", "recall", None, area, last) for area in ("small", "medium", "large")]
        for part in wanted:
            if part.area in self.areas and (part.threshold is None or self._near(part.threshold)):
                yield part

    def summary(self) -> dict[str, float]:
        """COCO's 12 numbers by name, and LVIS's by frequency.

        A mean runs over the classes (and thresholds) with a value; nan without any.
        """
        return {part.name: float(self._mean(part, self.ap[None], self.recall[None])[0]) for part in self.parts()}

    def resampled_ap(self, weights: ArrayLike, progress: Counted | None = None) -> NDArray[np.float64]:
        """(B, T, K, A) average precision at the last limit, image i counted weights[b, i] (whole) times."""
        views = [view_of(self.matches, v) for v in range(len(self.areas))]
        return np.moveaxis(ap_resamples(views, self.levels, self.matches.weight_rows(weights), progress), 1, 3)

    def replicates(self, weights: ArrayLike, ap: NDArray[np.float64] | None = None) -> dict[str, NDArray[np.float64]]:
        """The numbers of `summary` (B,) with image i counted weights[b, i] (whole) times. ap: what `resampled_ap` gave
        for these weights, where it is known."""
        precision = self.resampled_ap(weights) if ap is None else ap
        numbers = {}
        for part in self.parts():
            if part.quantity == "ap":
                numbers[part.name] = self._mean(part, precision[..., None], None)
            else:
                limit = part.limit if len(self.matches.ranks) else -1
                recall = recall_of(self.matches, self.areas.index(part.area), limit)
                numbers[part.name] = mean_of_present(recall_resamples(recall, weights))
        return numbers

    def _mean(self, part: Part, ap: NDArray[np.float64], recall: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """(B,) from ap and recall (B, T, K, A, L or 1)."""
        values = ap if part.quantity == "ap" or recall is None else recall
        at = self.limits.index(part.limit) if values.shape[-1] > 1 else 0
        chosen = values[..., self.areas.index(part.area), at]
        if part.threshold is not None:
            chosen = chosen[:, self._near(part.threshold)]
        if part.classes is not None:
            chosen = chosen[:, :, list(part.classes)]
        return mean_of_present(chosen.reshape(len(chosen), -1))

    def _near(self, threshold: float) -> list[int]:
        return [t for t, iou in enumerate(self.iou_thresholds) if abs(iou - threshold) < 1e-9]


def coco_metrics(
    truth: Truth,
    detections: Detections,
    iou_thresholds: Sequence[float] = COCO_THRESHOLDS,
    areas: Mapping[str, tuple[float, float]] = COCO_AREAS,
    *,
    limits: Sequence[int] = COCO_LIMITS,
    protocol: Protocol | Rules = "coco",
    frequencies: Sequence[str] = (),
    compiled: bool = True,
) -> CocoMetrics:
    """Protocol `coco`, or another's rules, for every area range and limit.

    areas: lowest and highest area of each range, both included. True boxes outside do not count there (`Truth.areas`);
    a detection outside (its box's area) is ignored unless it meets a box that counts. frequencies: see `CocoMetrics`.
    compiled: see `average_precision`.
    Raises DataError as `check_boxes`, ValueError for thresholds outside (0, 1], no ranges and limits that do not rise
    from 1 at least.
    """
    rules = rules_of(protocol)
    thresholds = rules.thresholds(iou_thresholds)
    if not areas or not limits or min(limits) < 1 or (np.diff(limits) <= 0).any():
        raise ValueError(f"areas are {dict(areas)}, limits {tuple(limits)}; give one range or more and rising limits")
    check_boxes(truth, detections)
    low, high = (np.array(edges)[:, None] for edges in zip(*areas.values(), strict=True))
    sizes = own_areas(detections, rules)
    matches = matched(
        truth,
        detections,
        rules,
        thresholds,
        left_out=(truth.areas < low) | (truth.areas > high),
        outside=(sizes < low) | (sizes > high),
        limits=limits,
        compiled=compiled,
    )
    ap, recall = (np.moveaxis(v, (2, 3), (0, 1)) for v in matches.ap_of_all(rules.levels(), compiled))
    return CocoMetrics(
        iou_thresholds=tuple(float(t) for t in iou_thresholds),
        areas=tuple(areas),
        limits=tuple(int(limit) for limit in limits),
        ap=ap,
        recall=recall,
        counts=matches.counts(),
        matches=matches,
        levels=rules.levels(),
        frequencies=tuple(frequencies),
    )
