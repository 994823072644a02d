"""What would change the answer: more seeds, images or updates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from headstart.page.numbers import fixed
from headstart.report.run_dir import RunDir
from headstart.report.words import plural


def sentences(run: RunDir, ranking: dict[str, Any]) -> list[str]:
    """Of a ranking's best candidate against the one that comes next; none where nothing is known."""
    said = []
    of = ranking.get("change")
    if of:
        best, rival = ranking["best"], of["rival"]
        apart = fixed(100 * of["effect"])
        said.append(
            f"{best} is {apart} points ahead of {rival}; a study like this one finds {_points(of['detectable'])} "
            "points in 8 of 10 cases."
        )
        seeds = min(row.get("seeds", len(run.seeds)) for row in ranking["rows"] if row["weights"] in (best, rival))
        found = _points(of["twice_seeds"])
        if of["share"]["seeds"] + of["share"]["both"] > 0:
            said.append(f"More seeds: with {2 * seeds} it would find {found} points; {_seeds(of, apart, seeds)}.")
        else:
            said.append("More seeds: no seed changes anything here.")
        tested = ranking.get("test_images") or 0
        said.append(
            f"More test images: with twice as many it would find {_points(of['twice_images'])} points, with twice as "
            f"many of both {_points(of['twice_both'])}; {_images(of, apart, tested)}."
        )
        by_seeds, by_images, by_both = (fixed(100 * of["share"][key], 0) for key in ("seeds", "images", "both"))
        said.append(
            f"Of the variance, {by_seeds} % is the seeds’, {by_images} % the images’, and {by_both} % what an image "
            "does to one seed."
        )
    updates = _updates(run, ranking)
    return said + ([updates] if updates else [])


def _points(value: float | None) -> str:
    return "an unknown number of" if value is None else fixed(100 * value)


def _found(of: dict[str, Any], here: str, apart: str, *, by_more: str) -> str:
    """Whether the difference is found. here: what the study has; by_more: the sentence where more of it is needed."""
    if of["effect"] <= 0:
        return "there is no difference to find"
    if of["detectable"] <= of["effect"]:
        return f"the {here} here find {apart} points already"
    return by_more


def _seeds(of: dict[str, Any], apart: str, now: int) -> str:
    none = f"no number of seeds up to 100 finds {apart} points"
    found = none if of["seeds"] is None else f"{of['seeds']} seeds find {apart} points"
    return _found(of, plural(now, "seed"), apart, by_more=f"{found}, if that is the true difference")


def _images(of: dict[str, Any], apart: str, tested: int) -> str:
    none = f"no number of images alone finds {apart} points"
    found = none if of["images"] is None else f"{math.ceil(of['images'] * tested):,} find {apart} points"
    return _found(of, plural(tested, "image"), apart, by_more=found)


def _updates(run: RunDir, ranking: dict[str, Any]) -> str:
    """How the lead of the best over the next moved in the last third of the updates, on held-out images."""
    rows = [
        row
        for row in run.metrics.get("convergence") or []
        if (row["task"], row["metric"]) == (ranking["task"], ranking["metric"])
    ]
    others = [row["weights"] for row in ranking["rows"] if row["weights"] != ranking["best"]]
    if not rows or not others:
        return ""
    rival = (ranking.get("change") or {}).get("rival", others[0])
    scores = {name: np.array(table, np.float64).mean(1) for name, table in rows[0]["scores"].items()}
    if not {ranking["best"], rival} <= set(scores):
        return ""
    lead = 100 * (scores[ranking["best"]] - scores[rival])
    if not np.isfinite(lead).all():
        return ""
    count = rows[0]["updates"]
    moving = bool(rows[0]["moving"]) or any({a, b} == {ranking["best"], rival} for a, b, _ in rows[0]["unsettled"])
    end = "it has not settled: --extend trains on" if moving else "no more than seeds spread, so nothing says it moves"
    before, after = (fixed(value, signed=True) for value in lead[1:])
    return (
        f"More updates: on held-out images the lead of {ranking['best']} over {rival} was {before} points after "
        f"{round(2 * count / 3)} updates and {after} after {count}; {end}."
    )
