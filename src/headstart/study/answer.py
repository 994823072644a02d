"""The answer of a study as lines for a terminal."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import Any

from headstart.places.times import Timed, read_time
from headstart.screening.result import screen_of
from headstart.study.finished.told_axes import effect_words, question_words
from headstart.study.planning.whole_candidates import NOT_PRETRAINING, PRODUCT
from headstart.study.why.told import pair_lines
from headstart.study.winners import winner

WIDTH = 80
"""Of the lines of an answer, in characters."""


def answer_lines(summary: dict[str, Any], out: Path) -> list[str]:
    """Rankings, findings and where the winning models are."""
    lines: list[str] = []
    if (found := summary.get("screen")) and found["rows"]:
        lines += [*screen_of(found).lines(), ""]
    for ranking in summary["rankings"]:
        lines += [*ranking_lines(ranking, out), *_model_line(ranking, summary, out), ""]
    for task in summary.get("probes") or []:
        lines += [*_probe_lines(task), ""]
    for row in summary.get("axes") or []:
        lines += [*_wrapped(told), ""] if (told := question_words(row)) else []
    for row in summary.get("factorial") or []:
        lines += [*_factorial_lines(row), ""]
    for pair in summary.get("pairs") or []:
        first, *others = pair_lines(pair)
        lines += [*_wrapped(first), *(wrapped for line in others for wrapped in _wrapped(f"   {line}")), ""]
    for finding in summary["findings"]:
        told = f"{finding['id']:<10} {finding['verdict']:<24} {_effect(finding['primary'])}  {finding['claim']}"
        lines += _wrapped(told, 11)
    lines += [""] if summary["findings"] else []
    return [*lines, *_extend_lines(summary), *_pretraining_lines(summary, out)]


def _probe_lines(found: dict[str, Any]) -> list[str]:
    """Top-1 accuracies of further probes: a line for each, candidates side by side."""
    rows = [row for row in found["rows"] if row["measure"] == "top1"]
    names = list(dict.fromkeys(name for row in rows for name in row["values"]))
    lines = [f"{found['task']}: top-1 of probes of frozen features"]
    for row in rows:
        cells = [f"{name} {_cell(row['values'][name])}" for name in names if name in row["values"]]
        lines += _wrapped(f"   {row['kind']}, {row['of'] or 'last stage'}: {'; '.join(cells)}")
    return lines


def _factorial_lines(row: dict[str, Any]) -> list[str]:
    """Effects of two factors, with their intervals."""
    lines = [f"{row['task']}: {row['metric']}, {' x '.join(row['factors'])}, points"]
    for effect in row["effects"]:
        lines += _wrapped(f"   {effect_words(row, effect)}: {_cell(effect | {'mean': effect['effect']})}")
    return lines


def _cell(value: dict[str, Any]) -> str:
    return f"{_points(value['mean'])} [{_points(value['lo'])}, {_points(value['hi'])}]"


def _extend_lines(summary: dict[str, Any]) -> list[str]:
    """Tasks that have not converged, and how they can go on."""
    rows = [row for row in summary.get("convergence") or [] if row["moving"] or row["unsettled"]]
    updates = {row["task"]: row["updates"] for row in rows if "epochs" not in row}
    by_epochs = {row["task"]: row["epochs"] for row in rows if "epochs" in row}
    aside = {ranking["task"]: ranking["set_aside"] for ranking in summary["rankings"] if "set_aside" in ranking}
    lines = [
        f"set aside: {', '.join(names)} of {task}; the same command with --extend trains all its candidates on"
        for task, names in aside.items()
        if task not in updates
    ]
    lines += [
        f"not converged: {task}, in {epochs:g} epochs; a study with more of them would say more"
        for task, epochs in by_epochs.items()
    ]
    return lines + [
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


def ranking_lines(ranking: dict[str, Any], out: Path | None = None) -> list[str]:
    """One ranking: a line for each of the weights, then what can be said of them. out: the run, for
    the times of its networks."""
    name = ranking["metric"]
    lines = _wrapped(f"{ranking['task']}: {name}, {ranking['test_images']} test images ({ranking['scope']})", 4)
    width = max(len(row["weights"]) for row in ranking["rows"])
    for row in ranking["rows"]:
        mark = "*" if ranking["ranked"] and row["weights"] in ranking["best_set"] else " "
        cost = row["cost"]
        facts = [_cell(row)]
        if row.get("ceiling") is not None:
            facts[0] += f" of {_points(row['ceiling'])} that its grid can reach"
        if row["weights"] != ranking["best"]:
            after = f" after {row['seeds']} seeds" if "sequential" in ranking else ""
            facts.append(f"to best {_difference(row['to_best'])}{after}")
        if cost["gflops"] is not None:
            timed = time_of(cost, out)
            ms = "" if timed is None else f", {timed.milliseconds} ms"
            facts.append(f"{cost['parameters'] / 1e6:.2f} M parameters, {cost['gflops']:.2f} GFLOPs{ms}")
        if row["at_edge"]:
            facts.append("its best rate is at the edge of the search")
        if row["not_converged"]:
            facts.append(f"not converged: {row['unsettled']}")
        lines += _wrapped(f" {mark} {row['weights']:<{width}}  {'; '.join(facts)}", 5)
    same = [row["weights"] for row in ranking["rows"] if row.get("same_for_all_seeds")]
    if same:
        lines += _wrapped(
            f"   one value for all seeds: {', '.join(same)} (no seed changes given weights or their probe)"
        )
    lines += _wrapped(f"   {NOT_PRETRAINING}") if ranking.get("question") == PRODUCT else []
    lines += [f"   not ranked: {name}, {why}" for name, why in ranking["not_ranked"].items()]
    lines += [wrapped for line in aside_lines(ranking) for wrapped in _wrapped(f"   {line}")]
    lines += [wrapped for line in _conclusions(ranking) for wrapped in _wrapped(f"   {line}")]
    lines += [wrapped for line in spent_lines(ranking) for wrapped in _wrapped(f"   {line}")]
    return lines + _time_lines(ranking, out)


def _conclusions(ranking: dict[str, Any]) -> list[str]:
    if len(ranking["rows"]) == 1:
        return [f"left: {ranking['best']}" if ranking.get("set_aside") else "nothing else was tried"]
    if not ranking["ranked"]:
        return [
            f"no ranking: with one seed the highest score, of {ranking['best']}, is of this trained model only. "
            "Add seeds: three or more"
        ]
    others = [n for n in ranking["best_set"] if n != ranking["best"]]
    tail = f"; not distinguishable from it: {', '.join(others)}" if others else ""
    margin = f"{100 * ranking['margin']:g} points"
    if ranking.get("at_floor"):
        return [floor_line(ranking), f"best: {ranking['best']}{tail}"]
    if ranking["cheapest_adequate"]:
        choice = f"cheapest adequate choice: {ranking['cheapest_adequate']}"
    else:
        choice = f"none is shown to be within {margin} of the best; cheapest not shown to be worse: "
        choice += ranking["cheapest_not_worse"]
    lines = [f"best: {ranking['best']}{tail}; {choice}"]
    if ranking["overstated"] is not None and 100 * ranking["overstated"] >= 0.05:
        points = _points(ranking["overstated"])
        lines.append(f"its score is expected to be {points} points too high: the best is also the luckiest")
    return lines


def floor_line(ranking: dict[str, Any]) -> str:
    """What a ranking is worth whose best candidate hardly scores: one that finds nothing is within the margin of it."""
    score = _points(next(row["mean"] for row in ranking["rows"] if row["weights"] == ranking["best"]))
    return (
        f"nothing was learned to speak of: {ranking['best']} has {score} points, so this says nothing about the "
        "weights. Train longer, label more images, or leave out rare classes"
    )


def aside_lines(ranking: dict[str, Any]) -> list[str]:
    """Candidates that were set aside without a verdict, and why; none of most rankings."""
    aside = ranking.get("set_aside") or {}
    told = [f"set aside without a verdict: {name}; {why}" for name, why in aside.items()]
    return [*told, "what was set aside is trained like all others by --full, and by --extend"] if told else []


def spent_lines(ranking: dict[str, Any]) -> list[str]:
    """Of an adaptive ranking: who was dropped when, why it ended, what was saved, by which rule; nothing of others."""
    of = ranking.get("sequential")
    if of is None:
        return []
    last, rows = max(of["spent"].values()), ranking["rows"]
    early = sorted((row for row in rows if row["seeds"] < last), key=lambda row: row["seeds"])
    told = [f"dropped after seed {row['seeds']}: {row['weights']}, {_difference(row['to_best'])}" for row in early]
    if last < of["most"] and len(rows) > 1:
        told.append(f"ended after seed {last} of {of['most']}: more would hardly change who is left")
    told.append(f"{of['not_run']} of {of['trainings']} trainings not run")
    levels = ", ".join(f"{100 * level:.2g} %" for level in of["levels"].values())
    rule = f"looked at after each seed from the second on, at levels of {levels}; intervals hold at all looks together"
    return ["; ".join(told), rule]


def time_of(cost: dict[str, Any], out: Path | None) -> Timed | None:
    """How long the network of a ranking's row takes for an image; None where it was not measured."""
    return None if out is None or "time" not in cost else read_time(out / "store" / cost["time"] / "time.json")


def _time_lines(ranking: dict[str, Any], out: Path | None) -> list[str]:
    """How the milliseconds were measured."""
    ways = {timed.words() for row in ranking["rows"] if (timed := time_of(row["cost"], out))}
    return [line for way in sorted(ways) for line in _wrapped(f"   ms an image: {way}")]


def _model_line(ranking: dict[str, Any], summary: dict[str, Any], out: Path) -> list[str]:
    """How the best model of a task is used, after its first ranking."""
    first = next(r for r in summary["rankings"] if r["task"] == ranking["task"])
    if first is not ranking or winner(summary, ranking["task"], out) is None:
        return []
    trained = {r["task"] for r in summary["rankings"] if winner(summary, r["task"], out)}
    which = f" --task {ranking['task']}" if len(trained) > 1 else ""
    return [f"   its model: headstart predict {shlex.quote(str(out))} IMAGES{which}"]


def _wrapped(line: str, indent: int = 6) -> list[str]:
    """The line in parts of at most `WIDTH` characters, but for longer words; those after the first are indented."""
    return textwrap.wrap(line, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _difference(effect: dict[str, Any]) -> str:
    p = effect["p_adjusted"]
    return f"{_points(effect['effect'])} [{_points(effect['lo'])}, {_points(effect['hi'])}]" + (
        "" if p is None else f", p {p:.3f}"
    )


def _effect(measure: dict[str, Any] | None) -> str:
    if not measure or measure.get("effect") is None:
        return ""
    return f"{measure['effect']:+.3f} [{measure['lo']:+.3f}, {measure['hi']:+.3f}]"
