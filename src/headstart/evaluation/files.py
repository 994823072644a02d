"""From files to an evaluation: the data set is opened as scoring needs it, without its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from headstart.data.annotations import Annotations
from headstart.data.summaries import told_of
from headstart.evaluation.evaluate import evaluate_detections
from headstart.evaluation.request import EvaluationRequest
from headstart.evaluation.result import Evaluation
from headstart.progress import Counted
from headstart.readers.formats import open_dataset
from headstart.readers.options import ReadKeywords


def evaluate_files(
    detections: Sequence[Path],
    data: str | Path | Annotations,
    request: EvaluationRequest,
    compare: Sequence[Path] = (),
    *,
    format: str | None = None,
    read: ReadKeywords | None = None,
    say: Callable[[str], None],
    progress: Counted | None = None,
) -> Evaluation:
    """See `headstart.api.evaluate`, which this is; say: called with what is said meanwhile."""
    request.check()
    options: ReadKeywords = {"for_scoring": True, **(read or {})}
    if format is None and request.protocols == ("lvis",) and str(data).endswith(".json"):
        format = "lvis"  # Whatever the file is called.
    annotations = data if isinstance(data, Annotations) else open_dataset(data, format, **options)
    for line in told_of(annotations):
        say(line)
    return evaluate_detections(detections, annotations, request, compare, say=say, progress=progress)
