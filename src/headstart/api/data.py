"""Data sets: opened, checked; detections on them: read, scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from headstart.api.paths import PathLike, as_path, as_paths
from headstart.readers.options import ReadKeywords
from headstart.terminal import tell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headstart.data.annotations import Annotations
    from headstart.data.detections import DetectionSet
    from headstart.evaluation.result import Evaluation
    from headstart.readers.suites import SuiteSet


@dataclass(frozen=True, repr=False)
class CheckSummary:
    """Whether a data set is clean, its page, the findings as plain data, and the same in lines."""

    clean: bool
    page: Path
    facts: dict[str, Any]
    lines: list[str]

    def __repr__(self) -> str:
        return f"<check: {'nothing wrong was found' if self.clean else 'there are findings'}; {self.page}>"

    def text(self) -> str:
        """As `headstart check` prints it."""
        return "\n".join(self.lines)


def open_dataset(path: PathLike, format: str | None = None, **options: Unpack[ReadKeywords]) -> Annotations:
    """The annotations of a data set; see `headstart.readers.formats.open_dataset` and docs/data.md.

    `print("\\n".join(table.summary()))` says what was found, with the label map.
    """
    from headstart.readers.formats import open_dataset as read

    return read(path, format, **options)


def open_suite(path: PathLike) -> list[SuiteSet]:
    """Every data set below a folder, such as RF100-VL: opened, or what is wrong with it; see docs/data.md.

    Raises DataError where there is none.
    """
    from headstart.readers.suites import open_suite as read

    return read(path)


def read_image(table: Annotations, row: int) -> NDArray[np.uint8]:
    """The image of a row of a table at its original size, (h, w, 3) RGB. Raises DataError with its path."""
    from headstart.batches.image_sets import read_image as read

    return read(table, row)


def check(
    data: PathLike,
    images: bool = False,
    *,
    against: PathLike | None = None,
    fix: PathLike | None = None,
    out: PathLike | None = None,
    format: str | None = None,
    read: ReadKeywords | None = None,
    progress: Callable[[int, int, str], None] = lambda done, of, what: None,
) -> CheckSummary:
    """What is in a data set and what is wrong with it: a page and `findings.json` in `out` (default `runs/check-DATA`).

    images: decode every image and mask too. against: another data set, whose images are searched for near-duplicates of
    this one's. fix: write a clean copy of the annotations into this new folder. format, read: as in `open_dataset`.
    """
    from headstart.doctor.checkup import check as examine
    from headstart.doctor.clean import write_clean
    from headstart.doctor.lines import told
    from headstart.report.doctor import write_page
    from headstart.store.files import write_text

    checkup = examine(data, images, format, progress, against=against, read=read)
    where = as_path(out) or Path("runs") / f"check-{checkup.table.root.name or 'data'}"
    where.mkdir(parents=True, exist_ok=True)
    facts = checkup.to_json()
    write_text(where / "findings.json", json.dumps(facts, indent=1) + "\n")
    page = write_page(checkup, where / "index.html")
    lines = [*told(checkup), f"page: {page}"]
    lines += write_clean(checkup, Path(fix)) if fix else []
    return CheckSummary(checkup.clean, page, facts, lines)


def read_detections(
    detections: PathLike, data: PathLike | Annotations, split: str | None = None, *, allow_unknown: bool = False
) -> DetectionSet:
    """Anyone's detections, matched by name to the images and classes of a data set; see docs/evaluate.md.

    Image k of the result is row k of `headstart.data.detections.scored_rows`. allow_unknown: leave out, and count,
    detections of unknown images and classes. Raises DataError for files that do not hold together.
    """
    from headstart.data.annotations import Annotations
    from headstart.data.detections import read_detections as read
    from headstart.data.detections import scored_rows

    table = data if isinstance(data, Annotations) else open_dataset(data)
    return read(Path(detections), table, scored_rows(table, split), allow_unknown)


def evaluate(
    detections: PathLike | Sequence[PathLike],
    data: PathLike | Annotations,
    protocol: str = "coco",
    iou: tuple[float, ...] = (),
    *,
    compare: PathLike | Sequence[PathLike] | None = None,
    split: str | None = None,
    bootstrap: int = 1000,
    clusters: bool | None = None,
    by: tuple[str, ...] = (),
    errors: bool = False,
    explain: bool = False,
    allow_unknown: bool = False,
    format: str | None = None,
    read: ReadKeywords | None = None,
    quiet: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score anyone's detections against the boxes of a data set; needs no model and imports no torch.

    detections: COCO results (.json), Parquet, a folder of the VOC devkit's text files, or a folder of YOLO text files
    with confidence; several of them are seeds, detections by independent trainings, whose mean is taken. protocol:
    voc07-11pt, voc-area, coco, coco-500, coco-segm, openimages, lvis, or all. iou: thresholds; none for the protocol's
    own. bootstrap: resamples of the images for intervals, 0 for none. clusters: draw near-duplicate images together;
    None where they are known from before, True reads the images to find them. compare: a second set of detections (or
    of seeds); the difference is paired image by image. by: "area" and "count" (of objects in the image) for numbers of
    such groups. errors: kinds of errors and what each costs. explain: which rule moves the number. allow_unknown: leave
    out, and count, detections of unknown images and classes. format, read: of the data set, as in `open_dataset` (read:
    its options); no image needs to be there. quiet: say nothing on standard error meanwhile. progress: called with how
    many resamples are done, of how many.
    Raises DataError for files that cannot be read or do not belong together, UsageError for what cannot be asked.
    """
    from headstart.evaluation.files import evaluate_files
    from headstart.evaluation.request import EvaluationRequest, protocols_of

    request = EvaluationRequest(
        protocols_of(protocol),
        tuple(iou),
        split,
        bootstrap,
        clusters=clusters,
        by=tuple(by),
        errors=errors,
        explain=explain,
        allow_unknown=allow_unknown,
    )
    said = (lambda line: None) if quiet else tell
    files = as_paths(detections)
    return evaluate_files(
        files, data, request, as_paths(compare), format=format, read=read, say=said, progress=progress
    )
