"""Why two evaluations of the same detections disagree: one rule changed at a time.

The chain begins at `voc07-11pt`, passes `voc-area` and ends at `coco`; every step changes one rule of
`headstart.metrics.protocols.Rules` and leaves the ones before it changed. What other evaluations do on top is shown
beside it, each alone, from `voc-area`. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headstart.metrics.average_precision import average_precision
from headstart.metrics.boxes import Detections, Truth
from headstart.metrics.protocols import COCO, COCO_THRESHOLDS, PROTOCOLS, Rules

DECIMALS = 3
"""Digits of a score that the devkit's widespread writers keep."""


@dataclass(frozen=True)
class Step:
    """One changed rule: its name, what it was and is, mAP after it (fraction), and how far that moved."""

    rule: str
    change: str
    value: float
    moved: float
    protocol: str | None = None
    """The protocol that the rules amount to from here on."""


@dataclass(frozen=True)
class Explanation:
    """mAP (fractions) of the same detections. start: `voc07-11pt` at `iou`; chain: from there to `coco`; further: from
    `coco` at `iou` to the protocols beyond; alone: each from `voc-area` at `iou`. protocols: protocol and thresholds ->
    mAP."""

    iou: float
    protocols: dict[str, float]
    start: float
    chain: tuple[Step, ...]
    further: tuple[Step, ...]
    alone: tuple[Step, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "iou": self.iou,
            "protocols": self.protocols,
            "start": self.start,
            "chain": [vars(step) for step in self.chain],
            "further": [vars(step) for step in self.further],
            "alone": [vars(step) for step in self.alone],
        }


CHAIN: tuple[tuple[str, str, dict[str, Any], str | None], ...] = (
    ("11 points", "mean precision at 11 recalls -> area under the envelope", {"recalls": "envelope"}, "voc-area"),
    ("> against >=", "IoU > {iou:g} -> IoU >= {iou:g}", {"at_threshold": True}, None),
    ("matching", "the best true box, taken or not -> the best one still free", {"match": "free"}, None),
    ("crowds", "one box, IoU -> a region, share of the detection's area", {"crowd": "region"}, None),
    ("maxDets", "all detections -> 100 an image and class", {"max_detections": 100}, None),
    ("areas", "objects of any size -> of at most 10^10 square pixels", {"largest_area": COCO.largest_area}, None),
    ("101 points", "area under the envelope -> mean precision at 101 recalls", {"recalls": "101-point"}, None),
)
"""Rule, change, changed fields of `Rules`, the protocol reached. The step to all of COCO's thresholds follows."""
FURTHER: tuple[tuple[str, str, dict[str, Any], str | None], ...] = (
    ("crowds", "a region -> an object like any other", {"crowd": "counted"}, None),
    (
        "maxDets",
        "100 an image and class -> 300 an image, of all classes",
        {"max_detections": None, "max_per_image": 300},
        None,
    ),
    ("federated", "every class in every image -> those verified there", {"federated": True}, "lvis"),
)
"""The same from `coco` to `lvis`."""


def explain_protocols(truth: Truth, detections: Detections, iou: float = 0.5) -> Explanation:
    """Turn the rules one by one from `voc07-11pt` at `iou` to `coco`, whose mean over 0.5:0.95 is the last value."""
    rules = PROTOCOLS["voc07-11pt"]
    start = value = _map(truth, detections, rules, iou)
    chain = []
    for rule, change, fields, reached in CHAIN:
        rules = replace(rules, **fields)
        before, value = value, _map(truth, detections, rules, iou)
        chain.append(Step(rule, change.format(iou=iou), value, value - before, reached))
    assert rules == PROTOCOLS["coco"]
    chain[-1] = replace(chain[-1], protocol=f"coco at {iou:g}")
    last = float(average_precision(truth, detections, rules, COCO_THRESHOLDS).map.mean())
    chain.append(Step("IoU thresholds", f"{iou:g} -> mean over 0.5, 0.55, .. 0.95", last, last - value, "coco"))
    further = _further(truth, detections, iou, value)
    named = {
        f"{name}@{iou:g}": _map(truth, detections, PROTOCOLS[name], iou) for name in _comparable(truth, detections)
    }
    named["coco@0.5:0.95"] = last
    return Explanation(iou, named, start, tuple(chain), further=further, alone=_alone(truth, detections, iou))


def _comparable(truth: Truth, detections: Detections) -> list[str]:
    """The protocols by which these can be scored: those of masks need masks."""
    masks = truth.masks is not None and detections.masks is not None
    return [name for name, rules in PROTOCOLS.items() if masks or rules.overlap == "box"]


def _further(truth: Truth, detections: Detections, iou: float, coco: float) -> tuple[Step, ...]:
    """From `coco` at `iou`, whose mAP is known: to more detections, to masks where there are any, and to `lvis`."""
    rules = PROTOCOLS["coco"]
    more = _map(truth, detections, PROTOCOLS["coco-500"], iou)
    steps = [Step("maxDets", "100 an image and class -> 500", more, more - coco, f"coco-500 at {iou:g}")]
    if "coco-segm" in _comparable(truth, detections):
        masks = _map(truth, detections, PROTOCOLS["coco-segm"], iou)
        steps.append(Step("masks", "overlap of boxes -> of masks", masks, masks - coco, f"coco-segm at {iou:g}"))
    value = coco
    for rule, change, fields, reached in FURTHER:
        rules = replace(rules, **fields)
        before, value = value, _map(truth, detections, rules, iou)
        steps.append(Step(rule, change, value, value - before, reached and f"{reached} at {iou:g}"))
    assert rules == PROTOCOLS["lvis"]
    return tuple(steps)


def _alone(truth: Truth, detections: Detections, iou: float) -> tuple[Step, ...]:
    """What other evaluations do differently, each alone, from `voc-area`."""
    base = PROTOCOLS["voc-area"]
    result = average_precision(truth, detections, base, (iou,))
    reference = float(result.map[0])

    def with_rules(**fields: Any) -> Callable[[], float]:
        return lambda: _map(truth, detections, replace(base, **fields), iou)

    rounded = replace(detections, scores=np.round(detections.scores, DECIMALS))
    occupied = np.isin(detections.image_index, truth.image_index)
    pooled = _pooled(truth, detections)
    values = [
        ("widths", "1 added to widths that are continuous already", with_rules(extra_width=1.0)),
        ("widths", "xmax - xmin of inclusive pixels, without the devkit's + 1", with_rules(extra_width=-1.0)),
        ("difficult", "difficult boxes count as any other", with_rules(difficult="counted")),
        ("crowds", "crowd and group-of boxes count as any other", with_rules(crowd="counted")),
        ("score ties", "equal scores in exactly the reverse order", with_rules(ties="last")),
        ("score ties", f"scores rounded to {DECIMALS} digits", lambda: _map(truth, rounded, base, iou)),
        ("class averaging", "classes without a true box count as 0", lambda: float(np.nan_to_num(result.ap[0]).mean())),
        ("class averaging", "one curve over all classes", lambda: _map(*pooled, base, iou)),
        (
            "empty images",
            "detections on images without true boxes left out",
            lambda: _map(truth, _selected(detections, occupied), base, iou),
        ),
    ]
    return tuple(Step(rule, change, value := of(), value - reference) for rule, change, of in values)


def _map(truth: Truth, detections: Detections, rules: Rules, iou: float) -> float:
    return float(average_precision(truth, detections, rules, (iou,)).map[0])


def _selected(detections: Detections, keep: np.ndarray) -> Detections:
    return detections.take(keep)


def _pooled(truth: Truth, detections: Detections) -> tuple[Truth, Detections]:
    """All classes as one: boxes still meet within their image and class only, each such pair being an image."""
    size = truth.num_classes
    one_truth = replace(
        truth,
        image_index=truth.image_index * size + truth.labels,
        labels=np.zeros_like(truth.labels),
        num_images=truth.num_images * size,
        num_classes=1,
        verified=None,
    )
    images = detections.image_index * size + detections.labels
    return one_truth, replace(detections, image_index=images, labels=np.zeros_like(detections.labels))
