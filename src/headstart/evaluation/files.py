"""From files to an evaluation: the data set is opened as scoring needs it, without its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from headstart.data.annotations import Annotations
from headstart.data.summaries import told_of
from headstart.evaluation.evaluate import evaluate_detections
from headstart.evaluation.request import EvaluationRequest, protocols_of
from headstart.evaluation.result import Evaluation
from headstart.progress import Counted
from headstart.readers.formats import open_dataset
from headstart.readers.options import ReadKeywords


def evaluate_files(
    detections: Sequence[Path],
    data: str | Path | Annotations,
    protocol: str,
    iou: tuple[float, ...] = (),
    *,
    split: str | None = None,
    bootstrap: int = 1000,
    clusters: bool | None = None,
    compare: Sequence[Path] = (),
    by: tuple[str, ...] = (),
    errors: bool = False,
    explain: bool = False,
    allow_unknown: bool = False,
    format: str | None = None,
    read: ReadKeywords | None = None,
    say: Callable[[str], None],
    progress: Counted | None = None,
) -> Evaluation:
    """See `headstart.api.evaluate`, which this is; say: called with what is said meanwhile."""
    request = EvaluationRequest(
        protocols_of(protocol),
        iou,
        split,
        bootstrap,
        clusters=clusters,
        by=by,
        errors=errors,
        explain=explain,
        allow_unknown=allow_unknown,
    )
    request.check()
    options: ReadKeywords = {"for_scoring": True, **(read or {})}
    if format is None and protocol == "lvis" and str(data).endswith(".json"):
        format = "lvis"  # Whatever the file is called.
    annotations = data if isinstance(data, Annotations) else open_dataset(data, format, **options)
    for line in told_of(annotations):
        say(line)
    return evaluate_detections(detections, annotations, request, compare, say=say, progress=progress)
