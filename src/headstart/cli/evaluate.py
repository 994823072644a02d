"""`headstart evaluate`: anyone's detections against a data set's boxes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli.flags import AsJson, Format, OnBad, OnBadBox, OnBadRecord, Read, read_options
from headstart.cli.show import print_table
from headstart.names import COCO_RANGE, Metric, is_of_class, parse

if TYPE_CHECKING:
    from headstart.evaluation.evaluate import Evaluation, ReadSide
    from headstart.evaluation.protocol_rules import Explanation
    from headstart.metrics.detection_errors import DetectionErrors
    from headstart.stats.intervals import Interval


class ProtocolName(StrEnum):
    """Whose rules count."""

    voc07_11pt = "voc07-11pt"
    voc_area = "voc-area"
    coco = "coco"
    openimages = "openimages"
    all = "all"


class Grouping(StrEnum):
    """What numbers are split by."""

    by_area = "area"
    by_count = "count"


def evaluate(
    detections: Annotated[
        Path,
        typer.Argument(
            help="COCO results (.json), Parquet, a folder of VOC's comp4_det_test_CLASS.txt, or one of YOLO's text "
            "files with confidence."
        ),
    ],
    data: Annotated[str, typer.Argument(help="Folder, archive, URL or description file of the data with the boxes.")],
    protocol: Annotated[ProtocolName, typer.Option("--protocol", "-p", help="Whose rules count.")] = ProtocolName.coco,
    iou: Annotated[
        list[str] | None,
        typer.Option(help="IoU thresholds: 0.5, or 0.5,0.7, or 0.5:0.95. By default the protocol's own."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Score the images of this split only, such as test.")] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples of the images for intervals; 0 for none.")] = 1000,
    clusters: Annotated[
        bool, typer.Option("--clusters/--no-clusters", help="Draw near-duplicate images together; reads the images.")
    ] = True,
    compare: Annotated[
        Path | None, typer.Option(help="A second set of detections: the difference, paired image by image.")
    ] = None,
    by: Annotated[
        list[Grouping] | None, typer.Option(help="Numbers by the area of objects, or by their count in the image.")
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="Say of which kinds errors are, and how much AP each kind costs.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how far each rule moves the number, from voc-area to coco.")
    ] = False,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Leave out detections of unknown images and classes; count them.")
    ] = False,
    format: Format = None,
    on_bad_box: OnBadBox = OnBad.error,
    on_bad_record: OnBadRecord = OnBad.error,
    read: Read = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only the result and faults.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score any detector's results against a data set: no model is needed."""
    from headstart import api
    from headstart.evaluation.evaluate import thresholds_of

    result = api.evaluate(
        detections,
        data,
        protocol.value,
        thresholds_of(iou or []),
        split=split,
        bootstrap=bootstrap,
        clusters=clusters,
        compare=compare,
        by=tuple(kind.value for kind in by or ()),
        errors=errors,
        explain=explain,
        allow_unknown=allow_unknown,
        format=format,
        read=read_options(on_bad_box, on_bad_record, read),
        quiet=quiet,
    )
    if as_json:
        print(json.dumps(result.to_json(), indent=1))
        return
    _print_facts(result)
    _print_means(result)
    _print_classes(result)
    for name, kinds in result.errors.items():
        _print_errors(name, kinds)
    if result.explanation:
        _print_explanation(result.explanation)


def _print_facts(result: Evaluation) -> None:
    of = f" of split {result.split}" if result.split else ""
    clusters = f" ({result.num_clusters:,} without near-duplicates)" if result.num_clusters < result.num_images else ""
    print(
        f"{result.data}: {result.data_format}, {result.num_images:,} images{of}{clusters}, {result.num_boxes:,} boxes, "
        f"{len(result.classes)} classes"
    )
    if result.left_out:
        print(f"  left out: {result.left_out:,} records of the data, as --on-bad-box and --on-bad-record say")
    for side in (result.detections, result.compared):
        if side:
            _print_side(side, result.num_images)
    if result.resamples:
        print(
            f"intervals: 95 %, {result.resamples:,} resamples of the images; for these detections, not for another "
            "training"
        )


def _print_side(side: ReadSide, num_images: int) -> None:
    print(f"{side.path}: {side.format}, {side.count:,} detections")
    for reason, count in side.left_out.items():
        print(f"  left out: {count:,} {reason}")
    if side.images_without:
        print(f"  {side.images_without:,} of {num_images:,} images have no detection")
    if side.classes_without:
        shown = ", ".join(side.classes_without[:6]) + (", ..." if len(side.classes_without) > 6 else "")
        print(f"  {len(side.classes_without)} classes have no detection: {shown}")
    for note in side.notes:
        print(f"  {note}")


def _print_means(result: Evaluation) -> None:
    print()
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

    print()
    print_table(
        [
            {"class": name, "boxes": counts[name]} | {column.short: value(column, name) for column in shown}
            for name in result.classes
        ]
    )


def _print_errors(protocol: str, errors: DetectionErrors) -> None:
    print(f"\nerrors by {protocol}, and the points that mending each kind alone gives back (mAP {_points(errors.ap)})")
    rows = [(kind, count, errors.given_back[kind]) for kind, count in errors.counts.items()]
    print_table([{"kind": kind, "errors": count, "given back": _signed(back)} for kind, count, back in rows])


def _print_explanation(rules: Explanation) -> None:
    print("\nthe same detections under each protocol")
    print_table([{"protocol": name, "points": _points(value)} for name, value in rules.protocols.items()])
    print(f"\nfrom voc07-11pt to coco, one rule after the other, from IoU {rules.iou:g}")
    first = {"rule": "", "change": "", "points": _points(rules.start), "moved": "", "protocol": "voc07-11pt"}
    print_table(
        [
            first,
            *(
                {
                    "rule": s.rule,
                    "change": s.change,
                    "points": _points(s.value),
                    "moved": _signed(s.moved),
                    "protocol": s.protocol or "",
                }
                for s in rules.chain
            ),
        ]
    )
    print(f"\nrules that voc-area and coco share and others break, each alone, from voc-area at IoU {rules.iou:g}")
    print_table(
        [
            {"rule": s.rule, "change": s.change, "points": _points(s.value), "moved": _signed(s.moved)}
            for s in rules.alone
        ]
    )


def _points(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}".replace("-0.00", "0.00")


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else "0" if value == 0 else f"{100 * value:+.2f}"


def _interval(interval: Interval) -> str:
    return "-" if math.isnan(interval.lo) else f"[{_points(interval.lo)}, {_points(interval.hi)}]"
