"""What an evaluation found, as values and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.names import is_of_class
from headstart.stats.intervals import Interval, finite

if TYPE_CHECKING:
    from headstart.evaluation.protocol_rules import Explanation
    from headstart.metrics.detection_errors import DetectionErrors


@dataclass(frozen=True)
class ReadSide:
    """Facts of one set of detections: how many are scored, which were left out and why, what has none."""

    path: Path
    format: str
    count: int
    left_out: dict[str, int]
    images_without: int
    classes_without: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Flat names."""
        return vars(self) | {
            "path": str(self.path),
            "classes_without": list(self.classes_without),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Named numbers of one set of detections, and of a second one beside it. A set may be of several seeds: files of
    detections by independent trainings; its numbers are then means over them.

    metrics: name -> fraction, nan where nothing can be measured; `det/PROTOCOL/map@IOU`, `det/PROTOCOL/ap@IOU/CLASS`,
    `det/PROTOCOL/map@IOU/area-small`, `det/PROTOCOL/map@IOU/count-2-3` and the like (`headstart.metrics.groups`).
    intervals: of the means over classes, by bootstrap over the images, crossed with the seeds where there are several;
    with one file they hold for these detections only. counts: protocol -> class -> true boxes that count. errors:
    protocol -> kinds of errors at its first IoU, of the first file. others: metrics of the second set. differences:
    first minus second, with the interval of the pairs. clustered: how images that belong together were found, in words.
    left_out: records of the data set that reading left out. resamples: 0 where no intervals were asked for.
    """

    data: str
    data_format: str
    split: str | None
    num_images: int
    num_clusters: int
    clustered: str
    num_boxes: int
    left_out: int
    notes: tuple[str, ...]
    classes: tuple[str, ...]
    seeds: tuple[ReadSide, ...]
    protocols: tuple[str, ...]
    resamples: int
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    counts: dict[str, dict[str, int]]
    errors: dict[str, DetectionErrors]
    compared_seeds: tuple[ReadSide, ...]
    others: dict[str, float]
    differences: dict[str, Interval]
    explanation: Explanation | None

    @property
    def detections(self) -> ReadSide:
        """The first file."""
        return self.seeds[0]

    @property
    def compared(self) -> ReadSide | None:
        """The first file of the second set; None without one."""
        return self.compared_seeds[0] if self.compared_seeds else None

    def __repr__(self) -> str:
        means = [name for name in self.metrics if not is_of_class(name)]
        shown = ", ".join(f"{name} {100 * self.metrics[name]:.2f}" for name in means[:3])
        return f"<evaluation of {self.detections.path.name} on {self.num_images:,} images: {shown}, ...>"

    def to_json(self) -> dict[str, Any]:
        """Flat names; numbers that do not exist are null."""
        from headstart.metrics.detection_errors import DIFFERENCES

        return {
            "data": {
                "path": self.data,
                "format": self.data_format,
                "split": self.split,
                "images": self.num_images,
                "clusters": self.num_clusters,
                "clustered": self.clustered,
                "boxes": self.num_boxes,
                "left_out": self.left_out,
                "notes": list(self.notes),
            },
            "detections": self.detections.to_json(),
            "seeds": [side.to_json() for side in self.seeds],
            "protocols": list(self.protocols),
            "bootstrap": self.resamples,
            "metrics": _numbers(self.metrics),
            "intervals": {name: [finite(i.lo), finite(i.hi)] for name, i in self.intervals.items()},
            "per_seed": {name: [*map(finite, i.per_seed)] for name, i in self.intervals.items()},
            "counts": self.counts,
            "errors": {
                p: {"counts": e.counts, "given_back": _numbers(e.given_back), "differences": list(DIFFERENCES)}
                for p, e in self.errors.items()
            },
            "compared": None
            if self.compared is None
            else self.compared.to_json()
            | {
                "seeds": [side.to_json() for side in self.compared_seeds],
                "metrics": _numbers(self.others),
                "differences": {n: [finite(i.effect), finite(i.lo), finite(i.hi)] for n, i in self.differences.items()},
            },
            "explain": None if self.explanation is None else self.explanation.to_json(),
        }


def _numbers(values: dict[str, float]) -> dict[str, float | None]:
    return {name: finite(value) for name, value in values.items()}
