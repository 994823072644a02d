"""Weights looked at before any of them is fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headstart.api.candidates import candidates_of, code_of, opened
from headstart.api.options import DataOptions, DataRunOptions
from headstart.api.paths import PathLike, as_path
from headstart.errors import UsageError
from headstart.places.trust import trusting
from headstart.readers.options import ReadKeywords
from headstart.terminal import tell

if TYPE_CHECKING:
    from headstart.screening.screen import Screen


def screen(
    data: PathLike,
    weights: Sequence[PathLike],
    task: Literal["detect", "classify"] | str | None = None,
    images: int = 400,
    *,
    budget: Literal["quick", "normal"] = "quick",
    out: PathLike | None = None,
    format: str | None = None,
    read: ReadKeywords | None = None,
    on_bad_image: Literal["error", "skip"] = "error",
    trust_code: bool = False,
    offline: bool = False,
    quiet: bool = False,
) -> Screen:
    """Which of many weights are worth fine-tuning on these data? Looks at their frozen features; trains nothing.

    data, format, read, on_bad_image: as in `compare`. weights: eight or more. task: detect or classify; None: what the
    data serve, classify first. images: training images looked at; test images are never read. budget: decides the size
    that images are brought to. out: write `screen.json` into this folder. See docs/screening.md for what it is worth.
    Raises UsageError for fewer than eight weights.
    """
    from headstart.places.network import no_network
    from headstart.screening.agreement import require_enough
    from headstart.screening.screen import screen as looked
    from headstart.store.files import write_json
    from headstart.study.compare import EFFORTS, choose_tasks, input_size
    from headstart.tasks.table import trained_task

    require_enough(len(weights))
    candidates = candidates_of(weights, offline)
    annotations = opened(data, DataOptions(format=format, read=read), offline)
    able = choose_tasks(annotations, task)
    kind = next((k for k in ("classify", "detect") if k in able), None)
    if kind is None:
        raise UsageError(f"{data}: a screen needs classes of images or of boxes, and these data have neither.")
    chosen = trained_task(kind)
    with trusting(trust_code, code_of(candidates)), no_network(offline):
        found = looked(
            annotations,
            candidates,
            kind,
            size_hw=chosen.size_hw or input_size(annotations.sizes_hw, EFFORTS[budget].pixels),
            resize=chosen.resize,
            images=images,
            offline=offline,
            on_bad_image=on_bad_image,
            progress=(lambda share, text: None) if quiet else _told,
        )
    if out is not None:
        folder = Path(as_path(out) or "")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "screen.json", found.to_json())
    return found


def shortlist(
    data: PathLike,
    weights: Sequence[PathLike],
    keep: int,
    *,
    task: str | None = None,
    images: int = 400,
    budget: Literal["quick", "normal"] = "quick",
    how: DataRunOptions,
) -> list[str]:
    """The `keep` most promising of the weights, by `screen`, and those that others are compared with: the ImageNet
    classifier and random values. Says which."""
    found = screen(
        data,
        weights,
        task,
        images,
        budget=budget,
        **how.keywords(),
        trust_code=how.trust_code,
        offline=how.offline,
        quiet=how.quiet,
    )
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


def _told(share: float, text: str) -> None:
    tell(f"[{share:4.0%}] {text}")
