"""Names of metrics: built and read here alone.

A task's metric is flat text, `FAMILY/MEASURE`: `seg/miou`, `cls/top1`. Where it can be measured in several ways, the
way stands between the two: `det/voc-area/map@0.5`, `probe/ridge/top1`. `@` goes before the IoU, or the range of IoUs
that it is a mean over. A last part says which class or group of objects it is of: `seg/iou/road`,
`det/coco/ap@0.5/cat`, `det/coco/map@0.5/area-small`. On held-out images `val/` stands before it all; `val-1of3/` and
`val-2of3/` where it was measured at a third and at two thirds of a training's updates; what the grid of a network could
reach of it has `ceiling/` there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

COCO_RANGE = "0.5:0.95"
"""In place of an IoU: the mean over COCO's ten."""
MEASURED_IN_SEVERAL_WAYS = ("det", "probe")
"""Families whose second part is the way: a protocol, a kind of probe."""
LOSSES = ("log_loss",)
"""Measures that are better when they are lower, in nats; all others are fractions."""
_HELD_OUT = re.compile(r"val(?:-([12])of3)?/")
COUNT = "number_of_"
"""Begins the names of what a model counts beside its losses, such as its positives; these are not trained on."""
CEILING = "ceiling/"
"""Before the name of a score: what the grid of a network's outputs could reach if it knew the truth."""


@dataclass(frozen=True)
class Metric:
    """The parts of a name. `str` makes the name of them again."""

    family: str
    """What task it is of: `headstart.tasks.protocol.Task.family`."""
    measure: str
    by: str = ""
    """The protocol or the kind of probe; empty where there is one way only."""
    iou: str = ""
    of: str | None = None
    """A class, or a group such as `area-small`; None: of all."""
    is_validation: bool = False
    """Measured on held-out images."""
    thirds: int = 3
    """How many thirds of its updates the model was trained for."""

    def __str__(self) -> str:
        measure = f"{self.measure}@{self.iou}" if self.iou else self.measure
        before = [self.family, self.by] if self.by else [self.family]
        after = [] if self.of is None else [self.of]
        name = "/".join([*before, measure, *after])
        return validation(name, self.thirds) if self.is_validation else name

    @property
    def short(self) -> str:
        """The name without its family: `coco/map@0.5`."""
        return str(self).removeprefix(f"{self.family}/")

    @property
    def higher_is_better(self) -> bool:
        return self.measure not in LOSSES

    @property
    def unit(self) -> str:
        """nats for log-losses, else points."""
        return "nats" if self.measure in LOSSES else "points"


def metric(family: str, measure: str, *, by: str = "", iou: float | str = "", of: str | None = None) -> str:
    """The name of a metric. iou: a threshold, or `COCO_RANGE`; the rest as in `Metric`."""
    return str(Metric(family, measure, by, iou if isinstance(iou, str) else f"{iou:g}", of))


def is_of_class(name: str) -> bool:
    """Whether a name is that of a single class's average precision."""
    parts = parse(name)
    return parts is not None and parts.measure == "ap" and parts.of is not None


def is_of_images(name: str) -> bool:
    """Whether a name is that of a measure of classification."""
    parts = parse(name)
    return parts is not None and parts.family == "cls"


def validation(name: str, thirds: int = 3) -> str:
    """The name that a metric has when it is measured on held-out images, after so many thirds of the updates."""
    return f"val/{name}" if thirds == 3 else f"val-{thirds}of3/{name}"


def ceiling(name: str) -> str:
    """The name of what a network with this grid of outputs could reach of a metric."""
    return CEILING + name


def parse(name: str) -> Metric | None:
    """The parts of a task's metric; None for a name that has none, and for ceilings.

    Names of classes may hold any character.
    """
    if name.startswith(CEILING):
        return None
    held_out = _HELD_OUT.match(name)
    family, *rest = name[held_out.end() if held_out else 0 :].split("/")
    by = rest.pop(0) if family in MEASURED_IN_SEVERAL_WAYS and len(rest) > 1 else ""
    if not rest:
        return None
    measure, _, iou = rest[0].partition("@")
    thirds = int(held_out[1] or 3) if held_out else 3
    return Metric(family, measure, by, iou, "/".join(rest[1:]) if rest[1:] else None, bool(held_out), thirds)
