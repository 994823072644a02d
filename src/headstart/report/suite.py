"""The page of a suite: the judged table; beside it data sets left out or seen before, and published scores."""

from __future__ import annotations

from pathlib import Path

from headstart.judging.lines import answer, decimals, told
from headstart.judging.result import Judgement
from headstart.page.document import document
from headstart.report.judge import sections_of
from headstart.report.section import Section, render
from headstart.report.words import plural
from headstart.store.files import write_json, write_text
from headstart.study.suites.answer import SuiteAnswer

PAGE = "suite.html"


def suite_lines(found: SuiteAnswer, out: Path) -> list[str]:
    """What a suite says, as the terminal shows it."""
    lines = [f"left out: {one.name}: {one.why.splitlines()[0]}" for one in found.left_out]
    lines += [f"not finished: {text}" for text in found.unfinished]
    lines += (
        told(found.whole) if found.whole else ["nothing to compare: fewer than two data sets or candidates have scores"]
    )
    if found.by_size and found.by_size.groups:
        lines += ["", "by the number of training images:"]
        lines += [
            f"  {group.of} ({plural(group.datasets, 'data set')}): {answer(group)}" for group in found.by_size.groups
        ]
    if found.seen:
        lines += ["", "data sets that weights may have been pre-trained on:"]
        lines += [f"  {dataset}: {weights} ({why})" for weights, dataset, why in found.seen]
        lines += [
            f"  without them: {answer(found.unseen.verdict)}" if found.unseen else "  without them too few are left"
        ]
    if found.published:
        lines += ["", "published, by others and under their own protocols (not compared with):"]
        lines += [
            f"  {row.model}: {row.score:.1f} ({row.protocol}; {row.source}, {row.looked_up})" for row in found.published
        ]
    return [*lines, "", f"page: {out / PAGE}"]


def write_suite(found: SuiteAnswer, name: str, out: Path) -> Path:
    """Write `suite.json` and the page into a run, each whole or not at all."""
    write_json(out / "suite.json", found.to_json())
    write_text(out / PAGE, suite_page(found, name))
    return out / PAGE


def suite_page(found: SuiteAnswer, name: str) -> str:
    """One HTML document that loads nothing."""
    sections = sections_of(found.whole) if found.whole else []
    beside = [_by_size(found.by_size), _seen(found), _beside(found), _left_out(found)]
    body = render(
        "sections",
        kind="a suite of data sets",
        title=name,
        sections=[*sections, *(section for section in beside if section)],
        facts=[f"{plural(found.whole.datasets, 'data set')}", plural(found.whole.models, "candidate")]
        if found.whole
        else [],
        lede="",
    )
    return document(f"{name} – suite – Headstart", body, f"Which weights to start from, over the data sets of {name}")


def _by_size(judged: Judgement | None) -> Section | None:
    if judged is None or not judged.groups:
        return None
    rows = [{"of": g.of, "datasets": g.datasets, "answer": answer(g)} for g in judged.groups]
    return Section(
        "by-size", "By the number of training images", render("suite/sizes", rows=rows, p=judged.interaction_p)
    )


def _seen(found: SuiteAnswer) -> Section | None:
    if not found.seen:
        return None
    rows = [{"weights": w, "dataset": d, "why": why} for w, d, why in found.seen]
    whole = answer(found.whole.verdict) if found.whole else ""
    unseen = answer(found.unseen.verdict) if found.unseen else ""
    return Section("seen", "Seen in pre-training", render("suite/seen", rows=rows, whole=whole, unseen=unseen))


def _beside(found: SuiteAnswer) -> Section | None:
    if not found.published:
        return None
    rows = sorted(found.published, key=lambda row: -row.score)
    mine = []
    if found.whole:
        places = decimals(found.whole)
        mine = [(s.model, f"{s.mean:.{places}f}") for s in found.whole.verdict.standings]
    return Section(
        "published", "Published on this suite", render("suite/published", rows=rows, mine=mine, metric=found.metric)
    )


def _left_out(found: SuiteAnswer) -> Section | None:
    if not (found.left_out or found.unfinished):
        return None
    return Section("left-out", "Left out", render("suite/left_out", rows=found.left_out, unfinished=found.unfinished))
