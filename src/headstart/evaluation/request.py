"""What can be asked of an evaluation, and what cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from headstart.errors import UsageError
from headstart.metrics.protocols import COCO_THRESHOLDS, PROTOCOLS

THRESHOLDS: dict[str, tuple[float, ...]] = {
    "voc07-11pt": (0.5, 0.7),
    "voc-area": (0.5, 0.7),
    "coco": COCO_THRESHOLDS,
    "coco-500": COCO_THRESHOLDS,
    "coco-segm": COCO_THRESHOLDS,
    "openimages": (0.5,),
    "lvis": COCO_THRESHOLDS,
}
"""IoU thresholds that each protocol is read at unless others are asked for."""
ALL = ("voc07-11pt", "voc-area", "coco", "openimages")
"""What `all` stands for: the protocols of boxes that differ in more than a limit, and need no federated annotation."""
NOT_THERE = {
    ("panoptic", "pq"): "panoptic quality (PQ)",
    ("keypoints", "oks", "pose"): "OKS for keypoints",
    ("rotated", "obb", "dota"): "overlaps of rotated boxes",
}
"""Words in a protocol's name, and what Headstart does not have."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What `evaluate` is asked for; see `headstart.api.evaluate`. clusters: None where only near-duplicates that are
    known already are drawn together."""

    protocols: tuple[str, ...] = ("coco",)
    iou_thresholds: tuple[float, ...] = ()
    split: str | None = None
    bootstrap: int = 1000
    _: KW_ONLY
    clusters: bool | None = None
    by: tuple[str, ...] = ()
    errors: bool = False
    explain: bool = False
    allow_unknown: bool = False

    def check(self) -> None:
        """Raises UsageError for what cannot be asked."""
        for protocol in self.protocols:
            if protocol not in PROTOCOLS:
                raise UsageError(_unknown(protocol))
        wrong = [t for t in self.iou_thresholds if not 0 < t <= 1]
        if wrong:
            raise UsageError(f"an IoU threshold of {wrong[0]:g} means nothing; give numbers above 0, at most 1.")
        masks = [p for p in self.protocols if PROTOCOLS[p].overlap == "mask"]
        if masks and self.errors:
            raise UsageError(
                f"kinds of errors are told by the overlaps of boxes, and {masks[0]} is about masks. Leave --errors "
                "out, or ask for them with --protocol coco."
            )

    def thresholds(self, protocol: str) -> tuple[float, ...]:
        """At which IoUs a protocol is read."""
        return self.iou_thresholds or THRESHOLDS[protocol]

    @property
    def needs_masks(self) -> bool:
        """Whether a protocol compares masks."""
        return any(PROTOCOLS[protocol].overlap == "mask" for protocol in self.protocols)


def protocols_of(name: str) -> tuple[str, ...]:
    """The protocols that a name stands for."""
    return ALL if name == "all" else (name,)


def thresholds_of(given: Sequence[str]) -> tuple[float, ...]:
    """IoU thresholds as users write them: `0.5`, `0.5,0.7`, `0.5:0.95` (steps of 0.05). Raises UsageError."""
    thresholds: list[float] = []
    for part in (part.strip() for word in given for part in word.split(",")):
        try:
            ends = [float(end) for end in part.split(":")]
        except ValueError:
            ends = []
        if len(ends) == 1:
            thresholds.append(ends[0])
        elif len(ends) == 2 and ends[0] <= ends[1]:
            thresholds += [round(ends[0] + 0.05 * k, 10) for k in range(round((ends[1] - ends[0]) / 0.05) + 1)]
        else:
            raise UsageError(f"--iou {part!r} is no IoU threshold; write 0.5, or 0.5,0.7, or 0.5:0.95.")
    return tuple(dict.fromkeys(thresholds))


def _unknown(protocol: str) -> str:
    known = f"Known: {', '.join(PROTOCOLS)}, all."
    for words, what in NOT_THERE.items():
        if any(word in protocol.lower() for word in words):
            return f"protocol {protocol!r}: Headstart does not have {what}. {known}"
    import difflib

    near = difflib.get_close_matches(protocol, PROTOCOLS, 1, 0.5)
    return f"protocol {protocol!r} is unknown. {f'Did you mean {near[0]}? ' if near else ''}{known}"
