"""The two arms that the explanations compare, and the numbers that every explanation has."""

from __future__ import annotations

from typing import Any

from headstart.page.numbers import finite, mean
from headstart.report.run_dir import RunDir


def arm(run: RunDir, role: str) -> tuple[str, int]:
    """Name of the weights in a role ("boxes" or "labels") and their color; the role itself where unknown."""
    name = str((run.study.get("explain") or {}).get(role) or role)
    fallback = {"boxes": 0, "labels": 1}[role]
    return name, run.series(name) if name in run.weights else fallback


def arm_words(run: RunDir, role: str) -> str:
    """Role in words ("trained with boxes"), with the weights' own name where that says something else."""
    name, _ = arm(run, role)
    plain = f"trained with {role}"
    return plain if name == role else f"{plain} ({name})"


def numbers_of(run: RunDir, kind: str) -> list[tuple[str, float | None]]:
    """Every metric of an explanation, the mean over its seeds."""
    by_name: dict[str, list[Any]] = {}
    for _, job in run.explained(kind):
        for name, value in (run.json(job, "metrics.json") or {}).items():
            if value is None or finite(value) is not None:
                by_name.setdefault(name, []).append(value)
    return [(name, mean(values)) for name, values in by_name.items()]
