"""What further probes of frozen features found: each probe, on each stage and number of images, for each candidate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headstart.config.study import Study, Task
from headstart.names import Metric, parse
from headstart.stats.arms import Arms
from headstart.stats.intervals import finite
from headstart.study.jobs import Trial

ByWeights = Callable[[list[Trial], str, str], tuple[dict, dict]]
"""Values (S,) and replicates (S, B) by candidate of trials, a task and a metric."""


def further_probes(study: Study, task: Task, trials: list[Trial], of: ByWeights, *, names: list[str]) -> dict[str, Any]:
    """By what probes were fitted on, a row for each probe with its mean over seeds of each candidate.

    names: of all metrics of the trials. Rows: `kind`, `of` (a stage, "4-a-class", None), `measure`, and `values`:
    candidate -> mean, lo, hi, and `to_default`, the difference to the default candidate, which is None of itself.
    """
    default = next((w.name for w in study.weights if w.default), None)
    rows = []
    for name in names:
        parts = parse(name)
        if parts is None or parts.family != "probe":
            continue
        values, replicates = of(trials, task.name, name)
        values = {n: v for n, v in values.items() if len(v) == len(study.seeds)}
        if values:
            rows.append(_row(parts, Arms(values, {n: replicates[n] for n in values}), default))
    return {"task": task.name, "default": default, "rows": rows}


def _row(parts: Metric, arms: Arms, default: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in arms.arms:
        interval = arms.mean(name)
        against = default in arms.arms and name != default
        found[name] = {
            "mean": finite(interval.effect),
            "lo": finite(interval.lo),
            "hi": finite(interval.hi),
            "to_default": arms.difference(name, str(default)).to_json() if against else None,
        }
    return {"kind": parts.by, "of": parts.of, "measure": parts.measure, "values": found}
