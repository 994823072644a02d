"""A study run to its end and its report built: what `run` and `compare` answer with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headstart.config.study import Study
from headstart.train.devices import Devices


@dataclass(frozen=True)
class RunSummary:
    """How a run ended: its directory, the jobs that failed with their messages, the report, and the answer in lines."""

    out: Path
    failed: list[tuple[str, str]]
    report: Path
    lines: list[str]
    done_already: bool
    exit_code: int = 0


def summarized(
    study: Study,
    source: Path,
    base: Path,
    out: Path,
    *,
    workers: int | None,
    devices: Devices,
    offline: bool,
    overwrite: bool,
    quiet: bool,
) -> RunSummary:
    """Run a study into `out`, or go on with it there, and build its report where that is older than its results.

    source: the study's file. base: folder that relative paths of its weights and data are from. workers: processes on
    the CPU, None for as many as it has. quiet: no display. Raises StudyError, `Interrupted`.
    """
    from headstart.places.network import no_network
    from headstart.report.build import build
    from headstart.study.answer import answer_lines
    from headstart.study.executors.pools import default_workers
    from headstart.study.progress import ProgressDisplay
    from headstart.study.run import run

    at_a_time = (workers or default_workers(study.threads)) + len(devices.names)
    with ProgressDisplay(at_a_time, quiet) as display, no_network(offline):
        result = run(
            study,
            source,
            base,
            out,
            on_event=display,
            workers=workers,
            offline=offline,
            overwrite=overwrite,
            devices=devices,
        )
    report = out / "report.html"
    if result.changed or not report.is_file() or report.stat().st_mtime < (out / "metrics.json").stat().st_mtime:
        report = build(out)
    lines = [*answer_lines(result.summary, out), f"report: {report}"]
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
    )
