"""One answer over many data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from headstart.api.candidates import candidates_of, common_detector_of, with_starts, written
from headstart.api.options import spelled
from headstart.api.paths import PathLike, as_path
from headstart.errors import DataError
from headstart.report.finished import RunSummary, summarized
from headstart.study.executors.options import RunKeywords, RunOptions
from headstart.terminal import tell

if TYPE_CHECKING:
    from headstart.config.study import Study
    from headstart.study.suites.answer import SuiteAnswer
    from headstart.study.suites.planning import Suite


@dataclass(frozen=True, repr=False)
class SuiteSummary:
    """How a suite ended: the run of its trials, what they say over data sets, and the page."""

    run: RunSummary
    answer: SuiteAnswer
    page: Path
    lines: list[str]

    def __repr__(self) -> str:
        whole = self.answer.whole
        best = " or ".join(whole.verdict.best_set) if whole else "nothing compared"
        return f"<suite {self.run.out}: {whole.datasets if whole else 0} data sets; best: {best}>"

    def text(self) -> str:
        """The answer as the terminal shows it."""
        return "\n".join(self.lines)


@spelled(RunOptions)
def suite(
    folder: PathLike,
    weights: Sequence[PathLike],
    task: Literal["detect", "segment", "classify"] | str | None = None,
    seeds: int | None = None,
    *,
    starts: Sequence[str] = (),
    budget: Literal["quick", "normal"] = "normal",
    updates: int | None = None,
    rate: float | None = None,
    protocol: str | None = None,
    size: tuple[int, int] | None = None,
    groups: PathLike | None = None,
    seen: PathLike | None = None,
    published: str | None = None,
    extend: bool = False,
    out: PathLike | None = None,
    on_bad_image: Literal["error", "skip"] = "skip",
    **how: Unpack[RunKeywords],
) -> SuiteSummary:
    """Which of these weights should I start from, over data sets like those in `folder`?

    folder: a folder of data sets (RF100-VL, ODinW, your own); one that cannot be used is named and left out. weights:
    two or more weights URIs or cards. task: the one that most data sets serve where None. starts: what is copied of
    each of the weights, as in `compare`: each is a candidate on every data set. updates, rate: one length,
    one rate of the heads for every candidate, in place of lengths that follow the data and of a search; a labelled
    variant. size: height and width that images are brought to, in pixels. protocol: how detections are scored
    (`voc-area`, `coco`, `voc07-11pt`). groups: a CSV file with the columns `dataset,group`, such as domains. seen: one
    with `weights,dataset`, what weights were pre-trained on beyond what
    their lineage says. published: name of a suite whose published scores are shown beside. The rest as in `compare`.

    Running it again with more data sets, weights or seeds goes on with the same run. Raises DataError, UsageError,
    StudyError; `Interrupted` after Ctrl-C.
    """
    from headstart.places.network import no_network
    from headstart.readers.suites import open_suite
    from headstart.report.suite import suite_lines, write_suite
    from headstart.study.suites.answer import suite_answer, write_scores
    from headstart.study.suites.planning import Fixed, choose_kind, suite_study
    from headstart.study.suites.published import published as known

    options = RunOptions(**how)
    asked = with_starts(weights, starts)
    root = Path(folder).resolve()
    beside = known(published, root.name)
    candidates, chosen = candidates_of([uri for uri, _ in asked], options.offline), [start for _, start in asked]
    with no_network(options.offline):
        sets = open_suite(root)
    kind = choose_kind(sets, task)
    made = suite_study(
        root.name,
        sets,
        candidates,
        kind,
        root=str(root),
        budget=budget,
        seeds=seeds,
        fixed=Fixed(updates, rate, protocol, size),
        reading={"on_bad_image": on_bad_image},
        starts=chosen,
        detector=common_detector_of(candidates, chosen, [kind], options.offline),
    )
    told = _about(seen, "weights", "dataset", weights=[w.name for w in made.study.weights], made=made)
    of_group = dict(_about(groups, "dataset", "group", weights=[], made=made))
    where = as_path(out) or Path("runs") / made.study.name
    if not options.quiet:
        for one in made.left_out:
            tell(f"left out: {one.name}: {one.why}")
    begins = f"Written by: headstart suite {folder}"
    there = _goes_on(made.study, where)
    with written(made.study, where, begins, candidates, trust_code=options.trust_code, there=there) as source:
        run = summarized(made.study, source, where, where, how=options, extend=extend)
    found = suite_answer(
        made.study,
        run.metrics,
        made.sets,
        groups=of_group,
        told_seen=told,
        left_out=made.left_out,
        published=beside,
        where=f"suite {root.name}",
    )
    write_scores(where / "table.csv", made.study, run.metrics, made.sets, metric=found.metric)
    page = write_suite(found, root.name, where)
    return SuiteSummary(run, found, page, suite_lines(found, where))


def _about(
    path: PathLike | None, first: str, second: str, *, weights: Sequence[str], made: Suite
) -> list[tuple[str, str]]:
    """Pairs of a file that the user gives. Raises DataError for a data set or weights that the suite does not have."""
    from headstart.study.suites.answer import read_pairs

    if path is None:
        return []
    pairs = read_pairs(Path(path), first, second)
    names = {*made.sets.values(), *(one.name for one in made.left_out)}
    for row in pairs:
        dataset = row[(first, second).index("dataset")]
        if dataset not in names:
            raise DataError(
                f"{path}: the suite has no data set {dataset!r}. It has {', '.join(sorted(names)[:8])}, ..."
            )
        if weights and row[0] not in weights:
            raise DataError(f"{path}: no weights are called {row[0]!r}. They are called {', '.join(weights)}.")
    return pairs


def _goes_on(study: Study, out: Path) -> bool:
    """Whether the run in `out` is of this suite with nothing changed, but fewer data sets, weights or seeds."""
    from headstart.study.files import resolved
    from headstart.study.run import written_settings
    from headstart.study.suites.planning import extends

    there = written_settings(out) if (out / "study.json").is_file() else None
    return there is not None and extends(there, resolved(study, out))
