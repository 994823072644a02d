"""The answer of a study as lines for a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def answer_lines(summary: dict[str, Any], out: Path) -> list[str]:
    """Rankings, findings and where the winning models are."""
    lines: list[str] = []
    for ranking in summary["rankings"]:
        lines += [*ranking_lines(ranking), *_model_lines(ranking, summary, out), ""]
    for finding in summary["findings"]:
        lines.append(f"{finding['id']:<10} {finding['verdict']:<24} {_effect(finding['primary'])}  {finding['claim']}")
    lines += [""] if summary["findings"] else []
    return [*lines, *_extend_lines(summary), *_pretraining_lines(summary, out)]


def _extend_lines(summary: dict[str, Any]) -> list[str]:
    """Tasks that have not converged, and how they can go on."""
    rows = [row for row in summary.get("convergence") or [] if row["moving"] or row["unsettled"]]
    updates = {row["task"]: row["updates"] for row in rows}
    return [
        f"not converged: {task}; the same command with --extend trains its candidates on, from {number} updates to "
        f"{2 * number}"
        for task, number in updates.items()
    ]


def _pretraining_lines(summary: dict[str, Any], out: Path) -> list[str]:
    """What the study pre-trained, by the names under which it is taken elsewhere."""
    rows = summary.get("pretrainings") or []
    several = len({row["seed"] for row in rows}) > 1
    names = [f"run:{out}#{row['name']}" + (f"/{row['seed']}" if several else "") for row in rows]
    return [f"pre-trained: {name}  {', then '.join(row['lineage'])}" for name, row in zip(names, rows, strict=True)]


def ranking_lines(ranking: dict[str, Any]) -> list[str]:
    """One ranking: a line for each of the weights, then the best and the cheapest adequate choice."""
    name = ranking["metric"]
    lines = [f"{ranking['task']}: {name}, {ranking['test_images']} test images ({ranking['scope']})"]
    width = max(len(row["weights"]) for row in ranking["rows"])
    for row in ranking["rows"]:
        mark = "*" if row["weights"] in ranking["best_set"] else " "
        cost = row["cost"]
        facts = [f"{_points(row['mean'])} [{_points(row['lo'])}, {_points(row['hi'])}]"]
        if row["weights"] != ranking["best"]:
            facts.append(f"to best {_difference(row['to_best'])}")
        if cost["gflops"] is not None:
            facts.append(f"{cost['parameters'] / 1e6:.2f} M parameters, {cost['gflops']:.2f} GFLOPs")
        if row["not_converged"]:
            facts.append(f"not converged: {row['unsettled']}")
        lines.append(f" {mark} {row['weights']:<{width}}  {'; '.join(facts)}")
    lines += [f"   not ranked: {name}, {count} were finished" for name, count in ranking["not_ranked"].items()]
    others = [n for n in ranking["best_set"] if n != ranking["best"]]
    tail = f"; not distinguishable from it: {', '.join(others)}" if others else ""
    lines.append(f"   best: {ranking['best']}{tail}; cheapest adequate choice: {ranking['cheapest_adequate']}")
    return lines


def _model_lines(ranking: dict[str, Any], summary: dict[str, Any], out: Path) -> list[str]:
    first = next(r for r in summary["rankings"] if r["task"] == ranking["task"])
    if first is not ranking:
        return []
    trial = next(t for t in summary["trials"] if t["task"] == ranking["task"] and t["weights"] == ranking["best"])
    if not trial["transfer_keys"]:
        return []
    return [f"   model: {out / 'store' / trial['transfer_keys'][0]}  (headstart predict MODEL IMAGES)"]


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _difference(effect: dict[str, Any]) -> str:
    p = effect["p_holm"]
    return f"{_points(effect['effect'])} [{_points(effect['lo'])}, {_points(effect['hi'])}]" + (
        "" if p is None else f", p {p:.3f}"
    )


def _effect(measure: dict[str, Any] | None) -> str:
    if not measure or measure.get("effect") is None:
        return ""
    return f"{measure['effect']:+.3f} [{measure['lo']:+.3f}, {measure['hi']:+.3f}]"
