"""A judgement in lines of plain text."""

from __future__ import annotations

import math
from textwrap import wrap

from headstart.judging.result import Judgement, Standing, Verdict

WIDTH = 110
"""Columns that sentences are broken at."""
SHOWN = 40
"""Models listed on a terminal; the others are in the JSON and on the page."""


def told(result: Judgement) -> list[str]:
    """Facts, the verdict, groups, other readings, precision, what is not known."""
    parts = [part(result) for part in (_facts, _verdict, _groups, _otherwise, _precision, _unknown)]
    return [line for part in parts if part for line in ("", *part)][1:]


def answer(verdict: Verdict) -> str:
    """The verdict in a sentence."""
    others = [name for name in verdict.best_set if name != verdict.leader]
    if not others:
        return f"best: {verdict.leader}; all others are shown to be worse"
    if len(others) == len(verdict.standings) - 1:
        return f"not distinguishable: all {len(verdict.standings)} models; {verdict.leader} has the best mean"
    verb = "is" if len(others) == 1 else "are"
    return f"best: {verdict.leader}; {listed(others)} {verb} not distinguishable from the best"


def percent(level: float) -> str:
    """0.95 as 95 %, 0.9875 as 98.8 %."""
    return f"{100 * level:.3g} %"


def decimals(result: Judgement) -> int:
    """Decimals that show three digits of what can be detected."""
    size = result.verdict.detectable
    return 3 if not size > 0 or math.isinf(size) else min(6, max(0, 2 - math.floor(math.log10(size))))


def p_text(p: float) -> str:
    """`p 0.031`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def listed(names: list[str], most: int = 8) -> str:
    """a, b and c; the first few of many."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _facts(result: Judgement) -> list[str]:
    low, high = result.repeats
    repeats = f"{low} score{'s' if low > 1 else ''} a cell" if low == high else f"{low} to {high} scores a cell"
    way = "higher" if result.higher_is_better else "lower"
    out = [f"{result.path}: {result.datasets:,} data sets, {result.models} models, {repeats}"]
    out.append(f"{result.score}: {result.unit}, {way} is better; nothing was converted")
    if result.scale != result.unit:
        out.append(f"compared in {result.scale}")
    out += [f"  {note}" for note in (*result.notes, *result.holes)]
    return out


def _verdict(result: Judgement) -> list[str]:
    verdict, places = result.verdict, decimals(result)
    out = [f"over {verdict.datasets:,} data sets (95 %, all pairs of models at once):"]
    width = max(len(s.model) for s in verdict.standings[:SHOWN])
    out += [_row(s, verdict, places, width) for s in verdict.standings[:SHOWN]]
    if len(verdict.standings) > SHOWN:
        out.append(f"  ... and {len(verdict.standings) - SHOWN} more models")
    out.append(f"  {answer(verdict)}")
    if verdict.apart:
        out.append(f"  left out, since too few data sets join them to the others: {listed(list(verdict.apart))}")
    return out


def _row(standing: Standing, verdict: Verdict, places: int, width: int) -> str:
    star = "*" if standing.in_best_set else " "
    text = f" {star} {standing.model.ljust(width)}  {standing.mean:.{places}f}"
    lead = standing.to_leader
    if standing.model == verdict.leader:
        return text + ("" if math.isnan(standing.rank) else f"; mean rank {standing.rank:.1f}")
    if lead is None:
        return text + f"; not compared with {verdict.leader}: they share fewer than two data sets"
    ends = f"[{lead.lo:+.{places}f}, {lead.hi:+.{places}f}]"
    text += f"; to {verdict.leader} {lead.effect:+.{places}f} {ends}, {p_text(lead.p)}"
    if lead.shared < verdict.datasets:
        text += f" on {lead.shared}"
    return text + ("" if math.isnan(standing.rank) else f"; mean rank {standing.rank:.1f}")


def _groups(result: Judgement) -> list[str]:
    if not result.groups:
        return []
    level = percent(result.groups[0].level)
    out = [f"by group (each at {level}, so that all hold together with 95 %):"]
    out += [f"  {group.of} ({group.datasets} data sets): {answer(group)}" for group in result.groups]
    depend = "depend" if result.interaction_p < 0.05 else "are not shown to depend"
    out.append(f"  differences between models {depend} on the group ({p_text(result.interaction_p)})")
    return out


def _otherwise(result: Judgement) -> list[str]:
    out = []
    for other in result.otherwise:
        same = set(other.best_set) == set(result.best_set)
        said = "the same best set" if same else f"best set {listed(list(other.best_set))}"
        on = "" if other.datasets == result.verdict.datasets else f" on {other.datasets} data sets"
        out.append(f"  by {other.scale}{on}: {said}; {other.leader} leads")
    if result.movers:
        shown = [f"{model} without {dataset}" for dataset, model in result.movers]
        out.append(f"  the best mean hangs on single data sets: {listed(shown, 4)} would lead")
    return ["read otherwise:", *out] if out else []


def _precision(result: Judgement) -> list[str]:
    parts, places = result.precision, decimals(result)
    out = ["what could be seen:"]
    out.append(
        f"  a typical pair has to differ by {parts.detectable:.{places}f} to be told apart (80 % power); with twice "
        "the data "
        f"sets by about {parts.with_twice_datasets:.{places}f}"
    )
    out.append(f"  a difference varies by {parts.sd:.{places}f} from data set to data set (standard deviation)")
    if not math.isnan(parts.seed_share):
        out.append(
            f"  seeds are {100 * parts.seed_share:.0f} % of that variance (a score varies by "
            f"{parts.seed_sd:.{places}f} from "
            f"seed to seed); with twice the seeds: about {parts.with_twice_seeds:.{places}f}"
        )
    if not math.isnan(parts.image_share):
        out.append(
            f"  test images are at most {100 * parts.image_share:.0f} % of it, models taken to err independently"
        )
    return out


def _unknown(result: Judgement) -> list[str]:
    lines = [
        part for line in result.unknown for part in wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ")
    ]
    return ["what this table cannot say:", *lines]
