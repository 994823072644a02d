"""What `headstart evaluate` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from headstart.cli.show import print_table
from headstart.names import COCO_RANGE, Metric, is_of_class, parse
from headstart.terminal import say

if TYPE_CHECKING:
    from headstart.evaluation.protocol_rules import Explanation, Step
    from headstart.evaluation.result import Evaluation, ReadSide
    from headstart.metrics.detection_errors import DetectionErrors
    from headstart.stats.intervals import Interval


def print_evaluation(result: Evaluation) -> None:
    """Facts, means, classes, and what was asked for besides."""
    _print_facts(result)
    _print_means(result)
    _print_classes(result)
    for protocol, errors in result.errors.items():
        _print_errors(protocol, errors)
    if result.explanation:
        _print_explanation(result.explanation)


def _print_facts(result: Evaluation) -> None:
    of = f" of split {result.split}" if result.split else ""
    clusters = f" ({result.num_clusters:,} that do not belong together)"
    clusters = clusters if result.num_clusters < result.num_images else ""
    say(
        f"{result.data}: {result.data_format}, {result.num_images:,} images{of}{clusters}, {result.num_boxes:,} boxes, "
        f"{len(result.classes)} classes"
    )
    if result.left_out:
        records = "record" if result.left_out == 1 else "records"
        say(f"  left out: {result.left_out:,} {records} of the data, as --on-bad-box and --on-bad-record say")
    for note in result.notes:
        say(f"  {note}")
    for side in (*result.seeds, *result.compared_seeds):
        _print_side(side, result.num_images)
    if result.resamples:
        say(f"intervals: 95 %, {result.resamples:,} resamples of the images ({result.clustered}); {_scope(result)}")


def _scope(result: Evaluation) -> str:
    """What the intervals hold for."""
    seeds, others = len(result.seeds), len(result.compared_seeds)
    if max(seeds, others) == 1:
        return "for these detections, not for another training"
    against = f" against {others}" if others else ""
    return f"means over {seeds}{against} seeds, for other trainings and other images"


def _print_side(side: ReadSide, num_images: int) -> None:
    say(f"{side.path}: {side.format}, {side.count:,} detections")
    for reason, count in side.left_out.items():
        say(f"  left out: {count:,} {reason}")
    if side.images_without:
        say(f"  {side.images_without:,} of {num_images:,} images have no detection")
    if side.classes_without:
        shown = ", ".join(side.classes_without[:6]) + (", ..." if len(side.classes_without) > 6 else "")
        say(f"  {len(side.classes_without)} classes have no detection: {shown}")
    for note in side.notes:
        say(f"  {note}")


def _print_means(result: Evaluation) -> None:
    say()
    rows = []
    for name, value in result.metrics.items():
        if is_of_class(name):
            continue
        row = {"metric": name, "points": _points(value)}
        if result.resamples:
            row["interval"] = _interval(result.intervals[name])
        if result.compared:
            row |= {"other": _points(result.others[name]), "difference": _points(result.differences[name].effect)}
            if result.resamples:
                row["of the difference"] = _interval(result.differences[name])
        if len(result.seeds) > 1 and result.resamples:
            row["per seed"] = " ".join(_points(value) for value in result.intervals[name].per_seed)
        rows.append(row)
    print_table(rows)


def _print_classes(result: Evaluation) -> None:
    """AP of each class, a column for every protocol and threshold; of COCO's ten the mean and 0.5."""
    of_classes = [parts for name in result.metrics if is_of_class(name) and (parts := parse(name))]
    columns = list(dict.fromkeys(replace(parts, of=None) for parts in of_classes))
    over_range = {column.by for column in columns if column.iou == COCO_RANGE}
    shown = [c for c in columns if c.by not in over_range or c.iou in ("0.5", COCO_RANGE)]
    counts = result.counts[result.protocols[0]]

    def value(column: Metric, name: str) -> str:
        return _points(result.metrics[str(replace(column, of=name))])

    say()
    print_table(
        [
            {"class": name, "boxes": counts[name]} | {column.short: value(column, name) for column in shown}
            for name in result.classes
        ]
    )


def _print_errors(protocol: str, errors: DetectionErrors) -> None:
    from headstart.metrics.detection_errors import DIFFERENCES

    say(f"\nerrors by {protocol}, and the points that mending each kind alone gives back (mAP {_points(errors.ap)})")
    rows = [(kind, count, errors.given_back[kind]) for kind, count in errors.counts.items()]
    print_table([{"kind": kind, "errors": count, "given back": _signed(back)} for kind, count, back in rows])
    say("after TIDE, with two differences from its program:")
    for difference in DIFFERENCES:
        say(f"  {difference}")


def _print_explanation(rules: Explanation) -> None:
    say("\nthe same detections under each protocol")
    print_table([{"protocol": name, "points": _points(value)} for name, value in rules.protocols.items()])
    say(f"\nfrom voc07-11pt to coco, one rule after the other, from IoU {rules.iou:g}")
    start = {"rule": "", "change": "", "points": _points(rules.start), "moved": "", "protocol": "voc07-11pt"}
    print_table([start, *_steps(rules.chain)])
    say(f"\nfrom coco at IoU {rules.iou:g}: to more detections and to masks, each alone; to lvis, one after the other")
    print_table(_steps(rules.further))
    if not any(step.rule == "masks" for step in rules.further):
        say("coco-segm compares masks: --protocol coco-segm shows it, where detections and data have them")
    say(f"\nrules that voc-area and coco share and others break, each alone, from voc-area at IoU {rules.iou:g}")
    print_table([{name: text for name, text in row.items() if name != "protocol"} for row in _steps(rules.alone)])


def _steps(steps: Sequence[Step]) -> list[dict[str, str]]:
    return [
        {
            "rule": step.rule,
            "change": step.change,
            "points": _points(step.value),
            "moved": _signed(step.moved),
            "protocol": step.protocol or "",
        }
        for step in steps
    ]


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}".replace("-0.00", "0.00")


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else "0" if value == 0 else f"{100 * value:+.2f}"


def _interval(interval: Interval) -> str:
    return "-" if math.isnan(interval.lo) else f"[{_points(interval.lo)}, {_points(interval.hi)}]"
