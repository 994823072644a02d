"""The page of a judged table: the best set first, then groups, other readings, what could be seen, what cannot be
said."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from headstart.judging.lines import answer, listed, percent
from headstart.judging.result import Judgement, Verdict
from headstart.page.document import document
from headstart.page.intervals import IntervalRow, interval_chart
from headstart.report.section import Section, render
from headstart.report.words import plural
from headstart.store.files import write_json, write_text

CELLS_SHOWN = 5000
"""Scores in the table on the page; a larger table shows its first data sets."""


def write_page(judged: Judgement, out: Path) -> Judgement:
    """Write `index.html` and `judgement.json` into a folder, each whole or not at all. Returns the judgement with its
    page."""
    out.mkdir(parents=True, exist_ok=True)
    judged = replace(judged, page=out / "index.html")
    write_json(out / "judgement.json", judged.to_json())
    write_text(out / "index.html", page(judged))
    return judged


def page(judged: Judgement) -> str:
    """One HTML document that loads nothing."""
    name = Path(judged.path).name
    facts = [plural(judged.datasets, "data set"), plural(judged.models, "model"), _repeats(judged)]
    facts.append(f"{judged.score}: {judged.unit}, {'higher' if judged.higher_is_better else 'lower'} is better")
    body = render("sections", kind="scores judged", title=name, sections=sections_of(judged), facts=facts, lede="")
    return document(f"{name} – judged – Headstart", body, f"Which models of {name} are the best")


def sections_of(judged: Judgement) -> list[Section]:
    """The sections of a judged table, in order."""
    made = (_answer, _groups, _otherwise, _precision, _unknown, _read)
    return [section for make in made if (section := make(judged)) is not None]


def _repeats(judged: Judgement) -> str:
    low, high = judged.repeats
    return f"{plural(low, 'score')} a cell" if low == high else f"{low} to {high} scores a cell"


def _answer(judged: Judgement) -> Section:
    body = render(
        "judge_answer",
        answer=_sentence(judged.verdict),
        chart=_chart(judged, judged.verdict),
        verdict=judged.verdict,
        unit=judged.scale,
        apart=listed(list(judged.verdict.apart)) if judged.verdict.apart else "",
    )
    return Section("answer", "The best", body)


def _sentence(verdict: Verdict) -> str:
    text = answer(verdict)
    return text[:1].upper() + text[1:] + "."


def _chart(judged: Judgement, verdict: Verdict) -> Markup:
    """Differences to the leader, on one axis."""
    rows = []
    for standing in verdict.standings:
        lead = standing.to_leader
        if standing.model == verdict.leader:
            row = IntervalRow(standing.model, 0.0, strong=True, tags=("best mean",))
        elif lead is None:
            row = IntervalRow(standing.model, None, strong=standing.in_best_set, tags=("not compared with it",))
        else:
            tags = ("not distinguishable",) if standing.in_best_set else ()
            row = IntervalRow(standing.model, lead.effect, lead.lo, lead.hi, strong=standing.in_best_set, tags=tags)
        rows.append(row)
    title = f"Difference to {verdict.leader}, {verdict.of}"
    return interval_chart(rows, title, _unit(judged), True, zero=True)


def _unit(judged: Judgement) -> str:
    """A unit of the charts: scores stay as they are, whatever the table calls them."""
    return "percent" if judged.scale == "percent" else judged.scale.replace("points", "score points")


def _groups(judged: Judgement) -> Section | None:
    if not judged.groups:
        return None
    groups = [
        {"verdict": g, "answer": _sentence(g), "chart": _chart(judged, g), "level": percent(g.level)}
        for g in judged.groups
    ]
    body = render("judge_groups", groups=groups, p=judged.interaction_p, depend=judged.interaction_p < 0.05)
    return Section("groups", "By group", body)


def _otherwise(judged: Judgement) -> Section | None:
    rows = [
        {"other": other, "same": set(other.best_set) == set(judged.best_set), "best": listed(list(other.best_set))}
        for other in judged.otherwise
    ]
    if not rows:
        return None
    main = {"scale": judged.scale, "best": listed(list(judged.best_set)), "verdict": judged.verdict}
    movers = [f"{model} without {dataset}" for dataset, model in judged.movers]
    return Section("otherwise", "Read otherwise", render("judge_otherwise", rows=rows, main=main, movers=movers))


def _precision(judged: Judgement) -> Section:
    parts = judged.precision
    known = {"seeds": not math.isnan(parts.seed_share), "images": not math.isnan(parts.image_share)}
    body = render("judge_precision", parts=parts, known=known, unit=_unit(judged))
    return Section("precision", "What could be seen", body)


def _unknown(judged: Judgement) -> Section:
    items = Markup("").join(Markup("<li>{}</li>").format(line) for line in judged.unknown)
    return Section("unknown", "What this table cannot say", Markup('<ul class="prose">{}</ul>').format(items))


def _read(judged: Judgement) -> Section:
    models = [s.model for s in judged.verdict.standings] + list(judged.verdict.apart)
    shown = judged.table[: max(1, CELLS_SHOWN // len(models))]
    rows = []
    for name, values in shown:
        known = [v for v in values.values() if not math.isnan(v)]
        top = (max if judged.higher_is_better else min)(known, default=math.nan)
        rows.append((name, [(values[m], values[m] == top) for m in models]))
    body = render(
        "judge_read",
        notes=[*judged.notes, *judged.holes],
        rows=rows,
        models=models,
        more=len(judged.table) - len(shown),
        unit=judged.unit if judged.unit == "percent" else "score",
        path=judged.path,
        several=judged.repeats[1] > 1,
    )
    return Section("read", "How it was read", body)
