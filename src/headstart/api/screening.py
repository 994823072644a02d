"""Weights looked at before any of them is fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from headstart.api.candidates import candidates_of, opened, written
from headstart.api.options import DataRunKeywords, DataRunOptions, spelled
from headstart.api.paths import PathLike, as_path
from headstart.errors import UsageError
from headstart.report.finished import ran
from headstart.terminal import tell

if TYPE_CHECKING:
    from headstart.config.study import Study
    from headstart.screening.result import Screen
    from headstart.study.run import RunResult


@spelled(DataRunOptions)
def screen(
    data: PathLike,
    weights: Sequence[PathLike],
    task: Literal["detect", "classify"] | str | None = None,
    images: int = 400,
    *,
    budget: Literal["quick", "normal"] = "quick",
    size: tuple[int, int] | None = None,
    resize: Literal["stretch", "crop", "letterbox"] | None = None,
    out: PathLike | None = None,
    **how: Unpack[DataRunKeywords],
) -> Screen:
    """Which of many weights are worth fine-tuning on these data? Looks at their frozen features; trains nothing.

    weights: eight or more. task: detect or classify; None: what the data serve, classify first. images: training images
    looked at; test images are never read. budget: decides the size that images are brought to, where `size` (height and
    width) does not; resize: how, as in `compare`. out: a run, with a job
    for each of the weights, and `screen.json`; default `runs/screen-DATA`. With more weights it goes on there. The rest
    as in `compare`. See docs/screening.md for what it is worth.
    Raises UsageError for fewer than eight weights, and where nothing can be said of any of them; `Interrupted`.
    """
    from headstart.places.network import no_network
    from headstart.places.paths import absolute
    from headstart.screening.agreement import require_enough
    from headstart.store.files import write_json
    from headstart.study.compare import choose_tasks, screening
    from headstart.study.executors.warned import keep_warnings
    from headstart.study.planning.sizing import Sizing

    options = DataRunOptions(**how)
    require_enough(len(weights))
    candidates = candidates_of(weights, options.offline)
    annotations = opened(data, options, options.offline)
    able = choose_tasks(annotations, task)
    kind: Literal["classify", "detect"] = "classify" if "classify" in able else "detect"
    if kind not in able:
        raise UsageError(f"{data}: a screen needs classes of images or of boxes, and these data have neither.")
    with no_network(options.offline):
        study = screening(
            absolute(data, Path.cwd()),
            annotations,
            candidates,
            kind,
            images=images,
            budget=budget,
            reading=options.settings(),
            sizing=Sizing(size, resize),
        )
    where = as_path(out) or Path("runs") / study.name
    told, there = f"Written by: headstart screen {data}", _goes_on(study, where)
    with written(study, where, told, candidates, trust_code=options.trust_code, there=there) as source:
        result, warnings = ran(study, source, where, where, how=options)
    keep_warnings(where, warnings)
    found = _found(study, [uri for uri, _ in candidates], result)
    write_json(where / "screen.json", found.to_json())
    return found


def _found(study: Study, uris: Sequence[str], result: RunResult) -> Screen:
    """Every one of the weights, whose URIs are in the order of the study's, with why it has no scores where its job
    failed. Raises UsageError where all did."""
    from headstart.screening.result import screen_of

    failed = {label.removeprefix("screen "): message for label, message in result.outcome.failed}
    found = result.summary["screen"]
    rows = {row["name"]: row for row in found["rows"]}
    if not rows:
        raise UsageError(f"nothing can be said of any of the weights: {next(iter(failed.values()), 'no job was run')}")
    every = []
    for entry, uri in zip(study.weights, uris, strict=True):
        lost = {"metrics": {}, "fault": failed.get(entry.name, "its job was not run")}
        every.append(rows.get(entry.name, lost) | {"name": entry.name, "uri": uri})
    return screen_of(found | {"rows": every})


def _goes_on(study: Study, out: Path) -> bool:
    """Whether the run in `out` is of this screen with nothing changed, but its weights."""
    from headstart.study.files import resolved
    from headstart.study.run import written_settings

    before = written_settings(out) if (out / "study.json").is_file() else None
    return before is not None and before | {"weights": []} == resolved(study, out) | {"weights": []}


def shortlist(
    data: PathLike,
    weights: Sequence[PathLike],
    keep: int,
    *,
    task: str | None = None,
    images: int = 400,
    budget: Literal["quick", "normal"] = "quick",
    size: tuple[int, int] | None = None,
    resize: Literal["stretch", "crop", "letterbox"] | None = None,
    out: PathLike | None = None,
    how: DataRunOptions,
) -> list[str]:
    """The `keep` most promising of the weights, by `screen`, and those that others are compared with: the ImageNet
    classifier and random values. Says which. size, resize: as of the comparison. out: of the comparison; the screen is
    beside it."""
    where = Path(f"{out}-screen") if out else None
    found = screen(data, weights, task, images, budget=budget, size=size, resize=resize, out=where, **how.keywords())
    names = {row.uri: row.name for row in found.rows}
    kept = found.kept(keep)
    beside = [r.uri for r in found.rows if not r.fault and r.uri not in kept]
    beside = [uri for uri in beside if uri.startswith("random:") or _is_default(found, uri)]
    if not how.quiet:
        tell("\n".join(found.lines()))
        also = f"; compared with: {', '.join(names[uri] for uri in beside)}" if beside else ""
        tell(f"kept: {', '.join(names[uri] for uri in kept)}{also}")
    return [*kept, *beside]


def _is_default(found: Screen, uri: str) -> bool:
    return any(row.uri == uri and row.scores.get("default") == 1.0 for row in found.rows)
