"""Two weights explained on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Unpack

from headstart.api.candidates import candidates_of, opened, written
from headstart.api.options import DataRunKeywords, DataRunOptions, spelled
from headstart.api.paths import PathLike, as_path
from headstart.errors import UsageError
from headstart.report.finished import RunSummary, summarized
from headstart.terminal import tell


@spelled(DataRunOptions)
def explain_weights(
    a: PathLike,
    b: PathLike,
    data: PathLike,
    task: Literal["detect", "segment", "classify"] | str | None = None,
    *,
    budget: Literal["quick", "normal"] = "quick",
    out: PathLike | None = None,
    **how: Unpack[DataRunKeywords],
) -> RunSummary:
    """How two weights see these images: neighbors, where their features fire, and, where images have labels, which of
    them a probe gets right. Nothing else is trained. Writes a study into `out` and runs it.

    a, b: weights URIs or cards. task: as in `compare`. budget: decides the size that images are brought to. out:
    default `runs/explain-DATA`. The rest as in `compare`.
    """
    from headstart.places.network import no_network
    from headstart.places.paths import absolute
    from headstart.study.compare import choose_tasks, explanation

    options = DataRunOptions(**how)
    candidates = candidates_of((a, b), options.offline)
    if candidates[0][0] == candidates[1][0]:
        raise UsageError(f"{a}: both weights are the same, so there is nothing to explain. Give two.")
    annotations = opened(data, options, options.offline)
    tasks = choose_tasks(annotations, task)
    if not tasks:
        raise UsageError(f"{data}: has no annotation for any task, and images are prepared for one. Annotate them.")
    if not options.quiet:
        tell("\n".join(annotations.summary()))
    with no_network(options.offline):
        study = explanation(
            absolute(data, Path.cwd()), annotations, candidates, tasks, budget=budget, reading=options.settings()
        )
    where = as_path(out) or Path("runs") / study.name
    told = f"Written by: headstart explain {a} {b} {data}\nTo go on: headstart run {where}"
    with written(study, where, told, candidates, trust_code=options.trust_code) as source:
        return summarized(study, source, where, where, how=options)
