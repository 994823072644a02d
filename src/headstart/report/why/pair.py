"""One pair as the explorer reads it: plain lists, ready for JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from headstart.report.run_dir import RunDir
from headstart.report.why.images import cells

MANY = 500
"""Images from which on fewer detections of each are kept."""
DETECTIONS, FEWER = 30, 12
STEP = 5
"""Of the slider, hundredths."""


def pair_data(run: RunDir, facts: dict[str, Any], ids: list[str]) -> dict[str, Any]:
    """Of a pair of `metrics.json`; what is missing in the store is null.

    `arms`: both names; `series`: which colors of the page they have. `near`: of each arm the nearest images of every
    image and their ranks for the other. `maps`, `cams`: energy and Grad-CAM of each arm, see `cells`. `counts`,
    `areas`, `labels`, `names`: number of objects, their mean share of the image, class and names of classes. `scores`:
    of each arm, fractions or null. `found`: of each arm and image x1, y1, x2, y2 in thousandths, class, score in
    hundredths, one after the other; `threshold`: what is shown of them at first.
    """
    n = len(ids)
    near = run.arrays(facts["pair_dir"], "neighbors.npz", ())
    maps = [run.arrays(job, "energy.npz", ("energy",)) or {} for job in facts["look_dirs"]]
    of = run.arrays(facts["contents_dir"], "contents.npz", ()) if facts.get("contents_dir") else None
    found = [_found(of, r, n) for r in "ab"] if of and "found_a/index" in of else None
    return {
        "arms": [facts["a"], facts["b"]],
        "series": [run.series(facts["a"]), run.series(facts["b"])],
        "near": [[_rows(near[f"nearest_{r}"], n), _rows(near[f"ranks_{r}"], n)] for r in "ab"]
        if near and "nearest_a" in near
        else None,
        "maps": [_cells(m, "energy", n) for m in maps],
        "cams": [_cells(m, "grad_cam", n) for m in maps],
        "counts": None if of is None else of["counts"][:n].tolist(),
        "areas": None if of is None else [round(float(v), 4) for v in of["mean_area"][:n]],
        "labels": None if of is None else of["label"][:n].tolist(),
        "names": [] if of is None else [str(name) for name in of["classes"]],
        "scores": None if of is None else [_scores(of[f"score_{r}"][:, :n]) for r in "ab"],
        "found": found,
        "threshold": _threshold(found, int(of["counts"][:n].sum())) if of and found else None,
    }


def _cells(maps: dict[str, np.ndarray], name: str, n: int) -> dict[str, Any] | None:
    return cells(maps[name][:n]) if name in maps and maps[name].any() else None


def _rows(table: np.ndarray, n: int) -> list[list[int]]:
    return [[int(v) for v in row] for row in table[:n]]


def _scores(table: np.ndarray) -> list[float | None]:
    """Means over seeds."""
    present = np.isfinite(table)
    total = np.where(present, table, 0).sum(0)
    means = np.divide(total, present.sum(0), out=np.full(table.shape[1], np.nan), where=present.any(0))
    return [round(float(v), 7) if math.isfinite(v) else None for v in means]


def _found(arrays: dict[str, np.ndarray], role: str, n: int) -> list[list[int]]:
    most = FEWER if n > MANY else DETECTIONS
    rows: list[list[int]] = [[] for _ in range(n)]
    columns = (arrays[f"found_{role}/{name}"] for name in ("index", "boxes", "labels", "scores"))
    for index, box, label, score in zip(*columns, strict=True):
        if index < n and len(rows[index]) < 6 * most:
            rows[index] += [*map(int, box), int(label), round(100 * float(score))]
    return rows


def _threshold(found: list[list[list[int]]], objects: int) -> int:
    """Hundredths, a step of the slider: from this score on, both arms together show at most as many boxes as there are
    objects for each; with all that is found objects vanish behind boxes."""
    scores = sorted((score for of_arm in found for row in of_arm for score in row[5::6]), reverse=True)
    allowed = len(found) * objects
    if len(scores) <= allowed:
        return STEP
    return min(95, STEP * (scores[allowed] // STEP + 1))
