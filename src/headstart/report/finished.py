"""A study run to its end and its report built: what `run` and `compare` answer with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.config.study import Study
from headstart.errors import Interrupted, UsageError
from headstart.study.executors.cluster import placed
from headstart.study.executors.options import RunOptions
from headstart.study.rankings import Ranking
from headstart.terminal import bytes_text

if TYPE_CHECKING:
    from headstart.study.run import RunResult


@dataclass(frozen=True, repr=False)
class RunSummary:
    """How a run ended: its directory, the jobs that failed with their messages, the report, and the answer in lines;
    metrics: everything that was found, as `metrics.json` has it."""

    out: Path
    failed: list[tuple[str, str]]
    report: Path
    lines: list[str]
    done_already: bool
    exit_code: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    """What this command warned of, in its jobs, too."""

    def __repr__(self) -> str:
        best = "; ".join(f"{r.task}: {' or '.join(r.best_set)}" for r in self.rankings if r.ranked)
        failed = f", {len(self.failed)} jobs failed" if self.failed else ""
        return f"<run {self.out}{failed}; best: {best or 'nothing ranked'}>"

    def text(self) -> str:
        """The answer as the terminal shows it."""
        return "\n".join(self.lines)

    @property
    def rankings(self) -> tuple[Ranking, ...]:
        """Of every task, by each of its metrics."""
        return tuple(Ranking.from_json(facts, self.out) for facts in self.metrics.get("rankings") or ())

    def ranking(self, task: str) -> Ranking:
        """Of one task, by its first metric. Raises UsageError for a task that has none."""
        by_task = {r.task: r for r in reversed(self.rankings)}
        if task not in by_task:
            why = f" {len(self.failed)} jobs failed, first: {': '.join(self.failed[0])}" if self.failed else ""
            ranked = ", ".join(by_task) or "none"
            raise UsageError(f"task {task!r} is not ranked in {self.out}. Ranked are: {ranked}.{why}")
        return by_task[task]


def summarized(
    study: Study, source: Path, base: Path, out: Path, *, how: RunOptions, extend: bool = False
) -> RunSummary:
    """Run a study into `out`, or go on with it there, and build its report where that is older than its results.

    source: the study's file. base: folder that relative paths of its weights and data are from. extend: what has not
    converged goes on. Raises StudyError, UsageError for a cluster or devices that are not there, `Interrupted`.
    """
    from headstart.report.build import build
    from headstart.study.answer import answer_lines
    from headstart.study.executors.warned import keep_warnings

    result, warnings = ran(study, source, base, out, how=how, extend=extend)
    report = out / "report.html"
    news = keep_warnings(out, warnings) or result.changed
    if news or not report.is_file() or report.stat().st_mtime < (out / "metrics.json").stat().st_mtime:
        report = build(out)
    lines = [*answer_lines(result.summary, out), *_beside(study, result.summary), f"report: {report}"]
    if result.freed:
        lines.append(f"dropped: {bytes_text(result.freed)} that nothing needs now; with --keep all they stay")
    failed = list(result.outcome.failed)
    if failed and (left := len(result.outcome.left)):
        failed.append((f"{left} more jobs", "not run, since they need what failed"))
    return RunSummary(
        out,
        failed,
        report,
        lines,
        done_already=not result.outcome.finished and not failed,
        exit_code=result.outcome.exit_code,
        metrics=result.summary,
        warnings=tuple(warnings),
    )


def ran(
    study: Study, source: Path, base: Path, out: Path, *, how: RunOptions, extend: bool = False
) -> tuple[RunResult, list[str]]:
    """Run a study into `out`, or go on with it there: shown and told of while it works; and what was warned of.
    Arguments as in `summarized`."""
    from headstart.places.network import no_network
    from headstart.study.executors.curves import with_curves
    from headstart.study.executors.pools import default_workers
    from headstart.study.executors.telling import told_to
    from headstart.study.executors.warned import keep_warnings
    from headstart.study.progress import ProgressDisplay
    from headstart.study.run import run

    most = max((wanted.processes for wanted in study.pretraining.values()), default=1)
    with placed(
        how.executor, how.address, how.device, threads=study.threads, workers=how.workers, processes=most
    ) as place:
        cluster, devices = place
        at_a_time = (how.workers or default_workers(study.threads)) + len(devices.names)
        if cluster is not None:
            at_a_time = max(1, cluster.cpus // study.threads)
        with (
            ProgressDisplay(at_a_time, how.quiet) as display,
            told_to(display, Path(how.events) if how.events else None) as on_event,
            no_network(how.offline),
        ):
            try:
                on_event = with_curves(on_event, out, how.tensorboard)
                result = run(
                    study,
                    source,
                    base,
                    out,
                    on_event=on_event,
                    workers=how.workers,
                    offline=how.offline,
                    overwrite=how.overwrite,
                    extend=extend,
                    devices=devices,
                    shared=Path(how.store) if how.store else None,
                    cluster=cluster,
                    keep=how.keep,
                )
            except Interrupted:
                keep_warnings(out, display.warnings)
                raise
    return result, display.warnings


def _beside(study: Study, summary: Mapping[str, Any]) -> list[str]:
    """Published numbers with what came out here."""
    means = {
        (ranking["task"], row["weights"], ranking["metric"]): row["mean"]
        for ranking in summary["rankings"]
        for row in ranking["rows"]
    }
    lines = []
    for number in study.published:
        mean = means.get((number.task, number.weights, number.metric))
        here = "no value" if mean is None else f"{100 * mean:.1f}"
        lines.append(f"{number.words()}; here {here}")
    return lines
