"""Protocols of average precision: named sets of rules.

- `voc07-11pt`: a detection is right when the true box of its image and class with the highest IoU, taken or not, has
  IoU > t, counts, and is not taken yet. AP is the mean, over the 11 recalls 0, .1, .., 1, of the highest precision at
  that recall or above.
- `voc-area`: the same detections are right. AP is the area under the envelope of precision over recall, all points.
- `coco`: for each t, detections in the order of their scores take the best true box that is free and has IoU >= t;
  at most 100 detections an image and class. AP is the mean over 101 recalls. Objects of more than 10^10 square pixels
  do not count, as in pycocotools, whose range of all areas ends there.
- `coco-500`: the same with at most 500 detections, as numbers on RF100-VL are measured.
- `coco-segm`: as `coco`, by the overlap of masks in place of boxes; the area of a detection is that of its mask.
- `lvis`: as `coco`, but at most 300 detections of an image, of all classes together; classes that are neither boxed in
  an image nor verified as absent are not scored there, and where a class is not boxed exhaustively a wrong detection of
  it is ignored; crowds are objects like any other.
- `openimages`: as `voc-area`, but IoU >= t is enough; classes that nobody verified in an image are not scored there;
  a group-of box is found once (`headstart.metrics.openimages`).

**Which boxes do not count.** VOC: boxes flagged difficult, crowd or group-of; a detection matched to one is neither
right nor wrong. COCO: the same three; crowd and group-of take any number of detections, overlap measured over the
detection's area, a difficult one takes a single detection, as a box outside an area range does. COCO's own data know
crowds only, and on such data the numbers are those of pycocotools. (A VOC data set that was converted for pycocotools
has lost its difficult flags, or turned them into crowds.)

**Widths.** The VOC devkit measures `xmax - xmin + 1` on 1-based inclusive pixel numbers. A VOC box in our convention is
x1 = xmin - 1, x2 = xmax (continuous edges, from 0), so `x2 - x1` *is* the devkit's width, and the overlap of two boxes
`min(xmax) - max(xmin) + 1` is `min(x2) - max(x1)`. The devkit's numbers therefore come out of plain continuous widths;
adding 1 here would add it twice. A results file of the devkit is read by the same rule. `extra_width` is for showing
what an evaluation that adds 1 to continuous boxes would have said.

**Sources and their disagreements.** `>` is what py-faster-rcnn and the evaluation published with SNIPER
(`lib/dataset/pascal_voc_eval.py`) do and what the devkit's documentation says ("must exceed"); the devkit's MATLAB
code has `>=`, which differs only where an IoU equals t exactly. The 11 recalls are the doubles of
`numpy.arange(0, 1.1, .1)`, as there: a recall of exactly 3/10 lies below the fourth, 0.30000000000000004. The 101
recalls are pycocotools' own. Open Images: the page of the challenge and the evaluator of the TensorFlow Object
Detection API. LVIS: the lvis package (0.5.3). A key `"ignore": 1` of an annotation changes nothing in `coco`, since
pycocotools reads it and then writes iscrowd over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Protocol = Literal["voc07-11pt", "voc-area", "coco", "coco-500", "coco-segm", "openimages", "lvis"]

COCO_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""IoU thresholds whose mean is called `map@0.5:0.95`."""


@dataclass(frozen=True)
class Rules:
    """What a protocol decides. `dataclasses.replace` makes the protocols between two named ones."""

    recalls: Literal["envelope", "11-point", "101-point"]
    """AP: the area under the envelope of precision over recall, or the mean of precision at 11 or 101 recalls."""
    match: Literal["best", "free"]
    """A detection meets the true box of highest IoU, taken or not; or the best one that is free."""
    at_threshold: bool
    """Whether an IoU of exactly the threshold is enough."""
    difficult: Literal["ignored", "counted"] = "ignored"
    """Boxes flagged difficult: neither right nor wrong, or as any other."""
    crowd: Literal["ignored", "region", "once", "counted"] = "ignored"
    """Boxes flagged crowd or group-of: as difficult ones; a region that takes any number of detections, overlap over
    the detection's area; such a region whose first detection is right; or as any other box."""
    max_detections: int | None = None
    """Detections of one image and class beyond so many are left out, the lowest scores first."""
    ties: Literal["first", "last"] = "first"
    """Equal scores: in the order of images, then of input; or in exactly the reverse order."""
    extra_width: float = 0.0
    """Added to every width and height, in pixels."""
    verified_only: bool = False
    """Detections of classes that nobody verified in their image are left out (`Truth.verified`)."""
    federated: bool = False
    """The same, where a class is verified by a true box or as absent; and a wrong detection of a class that is not
    boxed exhaustively in its image is ignored (LVIS)."""
    max_per_image: int | None = None
    """Detections of an image, of all classes, beyond so many are left out, the lowest scores first."""
    largest_area: float = inf
    """True objects with a larger area do not count, and detections that are larger are wrong nowhere."""
    overlap: Literal["box", "mask"] = "box"
    """What intersection and union are taken of."""

    def levels(self) -> NDArray[np.float64]:
        """Recalls at which precision is read; none: the area under the envelope."""
        if self.recalls == "envelope":
            return np.empty(0)
        return np.arange(0.0, 1.1, 0.1) if self.recalls == "11-point" else np.linspace(0.0, 1.0, 101)

    def thresholds(self, iou_thresholds: Sequence[float]) -> NDArray[np.float64]:
        """(T,) overlaps from which on a detection has met a true box. Raises ValueError outside (0, 1]."""
        overlaps = np.asarray(iou_thresholds, dtype=np.float64)
        if overlaps.ndim != 1 or not len(overlaps) or not ((overlaps > 0) & (overlaps <= 1)).all():
            raise ValueError(f"iou_thresholds are {tuple(iou_thresholds)}; give one or more numbers above 0, at most 1")
        if not self.at_threshold:
            return np.nextafter(overlaps, np.inf)
        return np.minimum(overlaps, 1.0 - 1e-10)  # so that rounding does not keep equal boxes apart, as in pycocotools


COCO = Rules("101-point", "free", at_threshold=True, crowd="region", max_detections=100, largest_area=1e10)
PROTOCOLS: dict[str, Rules] = {
    "voc07-11pt": Rules("11-point", "best", at_threshold=False),
    "voc-area": Rules("envelope", "best", at_threshold=False),
    "coco": COCO,
    "coco-500": replace(COCO, max_detections=500),
    "coco-segm": replace(COCO, overlap="mask"),
    "openimages": Rules("envelope", "best", at_threshold=True, crowd="once", verified_only=True),
    "lvis": replace(COCO, crowd="counted", max_detections=None, max_per_image=300, federated=True),
}
OF_BOXES = tuple(name for name, rules in PROTOCOLS.items() if rules.overlap == "box")
"""Protocols that need no masks."""


def rules_of(protocol: str | Rules) -> Rules:
    """The rules of a protocol's name; rules are returned as they are. Raises ValueError for an unknown name."""
    if isinstance(protocol, Rules):
        return protocol
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[protocol]
