"""The answer first: which weights to start from, for each task."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from headstart.page.intervals import Band, IntervalRow, interval_chart
from headstart.page.numbers import fixed, listed, measured
from headstart.places.times import read_time
from headstart.report import change, differs
from headstart.report.run_dir import RunDir
from headstart.report.section import Section, render
from headstart.report.words import capital, each_once, metric_words, task_words
from headstart.study.answer import aside_lines, floor_line, spent_lines
from headstart.study.planning.whole_candidates import NOT_PRETRAINING, PRODUCT


def section(run: RunDir) -> Section | None:
    """For each task the ranking by its main metric in full, those by other metrics folded; None without rankings."""
    rankings = [r for r in run.metrics.get("rankings") or [] if r.get("rows")]
    if not rankings:
        return None
    tasks: list[dict[str, Any]] = []
    for task in dict.fromkeys(r["task"] for r in rankings):
        main, *others = [_ranking(run, r) for r in rankings if r["task"] == task]
        for other in others:
            other["differs"] = (other["best"], other["best_set"]) != (main["best"], main["best_set"])
        differing = differs.of_task(run, task)
        same_as = next((t["heading"] for t in tasks if differing and t["differs"] == differing), None)
        heading = capital(task_words(run, task))
        tasks.append({"name": task, "heading": heading, "main": main, "others": others})
        tasks[-1] |= {"differs": differing, "same_as": same_as}
    ceilings = any(r["has_ceilings"] for t in tasks for r in (t["main"], *t["others"]))
    body = render("answer", tasks=tasks, one_seed=len(run.seeds) == 1, ceilings=ceilings)
    return Section("answer", "Where to start from", body)


def _ranking(run: RunDir, ranking: dict[str, Any]) -> dict[str, Any]:
    metric = metric_words(ranking["metric"])
    task = task_words(run, ranking["task"])
    rows = [
        row | {"cost": (row.get("cost") or {}) | _time(run, row), "published": _published(run, ranking, row)}
        for row in ranking["rows"]
    ]
    return {
        "task": task,
        "metric": metric,
        "sentence": sentence(ranking, task),
        "short": _short(ranking),
        "chart": _chart(run, ranking, f"{capital(task)}: {metric}"),
        "rows": rows,
        "default": ranking.get("default"),
        "best": ranking["best"],
        "best_set": ranking["best_set"],
        "ranked": ranking["ranked"],
        "cheapest": ranking["cheapest_adequate"],
        "overstated": _overstated(ranking),
        "spent": [capital(line) for line in [*spent_lines(ranking), *aside_lines(ranking)]],
        "unit": ranking.get("unit", "points"),
        "scope": ranking.get("scope", ""),
        "asks": capital(NOT_PRETRAINING) if ranking.get("question") == PRODUCT else "",
        "change": change.sentences(run, ranking) if len(ranking["rows"]) > 1 else [],
        "test_images": ranking.get("test_images"),
        "has_costs": any(value for row in rows for value in row["cost"].values()),
        "has_licences": any(row["cost"].get("licence") for row in rows),
        "timed": sorted({row["cost"]["timed"] for row in rows if "timed" in row["cost"]}),
        "margin": ranking.get("margin"),
        "has_published": any(row["published"] for row in rows),
        "has_ceilings": any(row.get("ceiling") is not None for row in rows),
        "at_edge": [row["weights"] for row in rows if row["at_edge"]],
        "unconverged": each_once(_why(row) for row in rows if row.get("not_converged")),
    }


def _published(run: RunDir, ranking: dict[str, Any], row: dict[str, Any]) -> dict[str, Any] | None:
    """The published number that stands beside a result, with its source; None where none is known."""
    of = (ranking["task"], row["weights"], ranking["metric"])
    stated = run.study.get("published") or []
    return next((p for p in stated if (p["task"], p["weights"], p["metric"]) == of), None)


def _time(run: RunDir, row: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds an image takes in the backbone and how they were measured; times are no results, so they lie with
    the jobs."""
    job = (row.get("cost") or {}).get("time")
    timed = read_time(path) if job and (path := run.file(job, "time.json")) else None
    return {"ms": timed.ms_per_image, "timed": timed.words()} if timed else {}


def sentence(ranking: dict[str, Any], task: str) -> Markup:
    """The answer in one plain sentence or two."""
    best = ranking["best"]
    unsettled = [row["weights"] for row in ranking["rows"] if row.get("not_converged") and row["weights"] != best]
    tied = [name for name in _tied(ranking) if name not in unsettled]
    behind = [row["weights"] for row in ranking["rows"] if row["weights"] not in (best, *tied, *unsettled)]
    text = Markup("For {}, start from {}").format(task, _name(best))
    aside = [*(ranking.get("set_aside") or {})]
    unsettled += aside
    if len(ranking["rows"]) == 1 and not aside:
        return text + Markup(": nothing else was tried.")
    if not ranking["ranked"]:
        return Markup(
            "For {}, one seed ranks nothing: {} has the highest score, of these trained models only. "
            "Three seeds or more could tell weights apart."
        ).format(task, _name(best))
    if ranking.get("at_floor"):
        return Markup("For {}, {}.").format(task, floor_line(ranking))
    if tied and len(tied) == len(ranking["rows"]) - 1:
        text = Markup(
            "For {}, this study cannot tell its candidates apart: {} has the best mean, but {} {} not "
            "distinguishable from it"
        ).format(task, _name(best), _names(tied), _be(tied))
    elif tied:
        text += Markup("; {} {} not distinguishable from it").format(_names(tied), _be(tied))
    elif len(ranking["rows"]) == 2 and behind and not aside:
        text += Markup("; the other is distinguishably behind")
    elif not unsettled:
        text += Markup("; all others are distinguishably behind")
    elif behind:
        text += Markup("; {} {} distinguishably behind").format(_names(behind), _be(behind))
    if unsettled:
        text += Markup("; nothing is said of {}, which {} not converged").format(
            _names(unsettled), "has" if len(unsettled) == 1 else "have"
        )
    return text + Markup(". ") + _choice(ranking)


def _choice(ranking: dict[str, Any]) -> Markup:
    """The cheapest that is shown to be good enough; else the cheapest that is not shown to be worse."""
    best, adequate, not_worse = (ranking[key] for key in ("best", "cheapest_adequate", "cheapest_not_worse"))
    if adequate:
        return Markup("Cheapest adequate choice: {}{}.").format("also " if adequate == best else "", _name(adequate))
    within = f"{fixed(100 * ranking['margin'])} points" if ranking["unit"] == "points" else f"{ranking['margin']:g}"
    said = Markup("None is shown to be within {} of the best").format(within)
    return said + (Markup("; the cheapest not shown to be worse is {}.").format(_name(not_worse)) if not_worse else ".")


def _overstated(ranking: dict[str, Any]) -> str:
    """The winner's optimism in words; empty where it is nothing."""
    value = ranking["overstated"]
    if value is None or measured(value, ranking["unit"]) == measured(0.0, ranking["unit"]):
        return ""
    said = f"{measured(value, ranking['unit'])} {ranking['unit']}"
    return f"The score of {ranking['best']} is expected to be {said} too good: the best is also the luckiest."


def _why(row: dict[str, Any]) -> str:
    return row.get("unsettled") or f"{row['weights']}: its loss was still falling when training ended"


def _short(ranking: dict[str, Any]) -> str:
    tied = _tied(ranking)
    if not ranking["ranked"]:
        return f"none by one seed; highest: {ranking['best']}"
    return ranking["best"] + (f"; not distinguishable: {listed(tied)}" if tied else "")


def _tied(ranking: dict[str, Any]) -> list[str]:
    return [name for name in ranking["best_set"] if name != ranking["best"]]


def _be(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _name(name: str) -> Markup:
    return Markup("<strong>{}</strong>").format(name)


def _names(names: list[str]) -> Markup:
    if len(names) == 1:
        return _name(names[0])
    return Markup("{} and {}").format(Markup(", ").join(_name(n) for n in names[:-1]), _name(names[-1]))


def _chart(run: RunDir, ranking: dict[str, Any], title: str) -> Markup:
    best_set = ranking["best_set"] if ranking["ranked"] else []
    unit = ranking.get("unit", "points")
    rows = [
        IntervalRow(
            row["weights"],
            row["mean"],
            row["lo"],
            row["hi"],
            tuple(row.get("per_seed") or ()),
            series=run.series(row["weights"]),
            strong=row["weights"] in best_set,
            tags=_tags(row, ranking),
        )
        for row in ranking["rows"]
    ]
    top = next((row["mean"] for row in ranking["rows"] if row["weights"] == ranking["best"]), None)
    margin = ranking.get("margin") or 0.0
    bands = []
    if top is not None and margin > 0:
        ends = (top - margin, top) if ranking.get("higher_is_better", True) else (top, top + margin)
        said = f"{fixed(margin * 100)} points" if unit == "points" else f"{margin:g} {unit}"
        bands = [Band(*ends, f"within {said} of the best: the margin below which a difference does not matter")]
    return interval_chart(rows, title, unit, bands=bands)


def _tags(row: dict[str, Any], ranking: dict[str, Any]) -> tuple[str, ...]:
    name = row["weights"]
    tags = []
    if name == ranking["best"]:
        tags.append("best" if ranking["ranked"] else "highest")
    elif ranking["ranked"] and name in ranking["best_set"]:
        tags.append("not distinguishable")
    if name == ranking.get("default"):
        tags.append("default")
    if row["at_edge"]:
        tags.append("rate at the edge")
    if row.get("not_converged"):
        tags.append("not converged")
    return tuple(tags)
