"""`headstart evaluate`: anyone's detections against a data set's boxes."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from headstart.cli.evaluation_lines import print_evaluation
from headstart.cli.flags import AsJson
from headstart.cli.groups import Group, Reading, with_groups
from headstart.errors import UsageError
from headstart.terminal import over, say, tell

PROTOCOLS = "voc07-11pt|voc-area|coco|coco-500|coco-segm|openimages|lvis|all"
LISTS = ("--seeds", "--compare")
"""Options that take the words after them, up to the next option."""


class ListingCommand(TyperCommand):
    """A command whose `LISTS` may be written once: `--seeds a.json b.json` for `--seeds a.json --seeds b.json`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write the option again before each further word. Both arguments, or --seeds after one, must stand before, so
        that they are not taken for a file of the list."""
        return super().parse_args(ctx, spread(args))


def spread(words: list[str]) -> list[str]:
    """The words with the name of a list repeated before each further word of it."""
    out: list[str] = []
    option, plain = "", 0
    listed = "--seeds" in words
    for k, word in enumerate(words):
        if word.startswith("-"):
            option = word if word in LISTS else ""
        elif option and words[k - 1] != option and plain >= (1 if listed else 2):
            out.append(option)
        elif not (k and words[k - 1].startswith("-")):
            plain, option = plain + 1, ""
        out.append(word)
    return out


class Grouping(StrEnum):
    """What numbers are split by."""

    by_area = "area"
    by_count = "count"


@dataclass(frozen=True, kw_only=True)
class Scoring(Group):
    """What is computed: fields of `headstart.evaluation.request.EvaluationRequest`."""

    split: Annotated[str | None, typer.Option(help="Score the images of this split only, such as test.")] = None
    bootstrap: Annotated[int, typer.Option(min=0, help="Resamples of the images for intervals; 0 for none.")] = 1000
    clusters: Annotated[
        bool | None,
        typer.Option(
            "--clusters/--no-clusters",
            help="Draw near-duplicate images together; reads the images. By default those that are known from before.",
        ),
    ] = None
    by: Annotated[
        list[Grouping] | None,
        typer.Option(help="Numbers by the area of objects, or by their count in the image."),
    ] = None
    errors: Annotated[
        bool, typer.Option("--errors", help="Say of which kinds errors are, and how much AP each kind costs.")
    ] = False
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how far each rule moves the number, from voc-area to coco.")
    ] = False
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Leave out detections of unknown images and classes; count them.")
    ] = False

    def keywords(self) -> dict[str, Any]:
        """`by` as a tuple."""
        return super().keywords() | {"by": tuple(kind.value for kind in self.by or ())}


@with_groups
def evaluate(
    detections: Annotated[
        Path | None,
        typer.Argument(
            help="COCO results (.json), Parquet, a folder of VOC's comp4_det_test_CLASS.txt, or one of YOLO's text "
            "files with confidence."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Argument(help="Folder, archive, URL or description file of the data with the boxes.")
    ] = None,
    *,
    protocol: Annotated[str, typer.Option("--protocol", "-p", metavar=PROTOCOLS, help="Whose rules count.")] = "coco",
    iou: Annotated[
        list[str] | None,
        typer.Option(help="IoU thresholds: 0.5, or 0.5,0.7, or 0.5:0.95. By default the protocol's own."),
    ] = None,
    seeds: Annotated[
        list[Path] | None,
        typer.Option(help="Detections by further trainings of the same kind: means and intervals over all of them."),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(help="A second set of detections, or several seeds of it: the difference, paired image by image."),
    ] = None,
    scoring: Scoring,
    reading: Reading,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show only the result and faults.")] = False,
    as_json: AsJson = False,
) -> None:
    """Score any detector's results against a data set: no model is needed."""
    # Nothing here multiplies matrices; the threads that numpy would start for it cost a tenth of a short command.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with uncollected():
        # `headstart.api` imports what the other commands need: a third of a second, of two that this one takes.
        from headstart.evaluation.files import evaluate_files
        from headstart.evaluation.request import EvaluationRequest, protocols_of, thresholds_of

        files, where = _files(detections, data, seeds or [])
        result = evaluate_files(
            files,
            where,
            EvaluationRequest(protocols_of(protocol), thresholds_of(iou or []), **scoring.keywords()),
            compare or (),
            **reading.keywords(),
            say=lambda line: None if quiet else tell(line),
            progress=_shown(quiet or as_json),
        )
        if as_json:
            say(json.dumps(result.to_json(), indent=1))
        else:
            print_evaluation(result)


@contextmanager
def uncollected() -> Iterator[None]:
    """Without looking for circles of dead objects, also at the end of the process: a fifth of what a short command
    takes, most of it while modules are loaded."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _files(detections: Path | None, data: str | None, seeds: list[Path]) -> tuple[list[Path], str]:
    """The files of detections, and the data: of one argument alone, beside --seeds, it is the data."""
    if detections is not None and data is not None:
        return [detections, *seeds], data
    if detections is not None and seeds:
        return seeds, str(detections)
    raise UsageError(
        "headstart evaluate needs a file of detections and the data with the boxes: headstart evaluate DETECTIONS "
        "DATA, or headstart evaluate DATA --seeds A.json B.json C.json."
    )


def _shown(quiet: bool) -> Callable[[int, int], None] | None:
    """A line that is overwritten, on a terminal only."""
    if quiet or not sys.stderr.isatty():
        return None
    return lambda done, of: over(f"resampled images: {done:,}/{of:,} ", done == of)
