"""Comparisons of several arms: multiplicity, rankings, the cheapest adequate choice.

A ranking is a set: the best arm and all that cannot be told apart from it. Two families of tests, each with Holm's
adjustment: every arm against the best, every arm against the default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.stats.intervals import LEVEL, Interval, crossed_interval, finite, paired_difference


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values of one family (S. Holm, Scandinavian Journal of Statistics 6, 1979), in the given order.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none is smaller than one before it nor above
    1. None (and nan) is no test: it stays None and does not count in m.
    """
    known = [i for i, p in enumerate(p_values) if p is not None and not math.isnan(p)]
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(known, key=lambda i: (p_values[i], i))):
        p = p_values[i]
        assert p is not None
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        adjusted[i] = highest
    return adjusted


def ranking(
    values: Mapping[str, ArrayLike],
    replicates: Mapping[str, ArrayLike],
    margin: float,
    costs: Mapping[str, float],
    *,
    default: str | None = None,
    higher_is_better: bool = True,
    level: float = LEVEL,
) -> dict[str, Any]:
    """Rank arms that were measured with the same seeds on the same images.

    values: name -> (S,), replicates: name -> (S, B), both paired across arms (`paired_difference`). margin: smallest
    difference that matters to the user, in the metric's unit. costs: name -> cost in any one unit (GFLOPs, say).
    default: the arm that users would take anyway; None if there is none.

    Returns a dict as stored in `metrics.json`, numbers or None:

    - `best`: the best mean (of equals, the first given). `best_set`: `best` and the arms whose difference to it has a
      Holm-adjusted p of at least 1 - level; with one seed there is no p, and the image-only interval of the difference
      decides by containing 0.
    - `cheapest_adequate`: the cheapest of the adequate arms; of equal cost, the better mean. An arm is adequate when
      it is shown to be at most `margin` worse than the best (by the worse end of the interval of the difference), or
      when it cannot be told apart from the best and its measured difference is within `margin`. The best arm itself
      always is; another arm without a known cost is never chosen.
    - `rows`, best first: `weights`, `mean`, `lo`, `hi`, `per_seed`, and two effects, arm minus other: `to_best` (zero
      for the best itself, which is no test) and `to_default` (None for the default itself, and without a default).
    - `default`, `margin`, `higher_is_better`, and `scope`: what the intervals hold for.

    Arms without a value (nan) stand last and are neither indistinct nor adequate. Raises ValueError for no arms at
    all, arms of different shapes, and a default that is not among them.
    """
    arms = _paired_arms(values, replicates, default)
    sign = 1.0 if higher_is_better else -1.0
    means = {name: float(column.mean()) for name, (column, _) in arms.items()}
    order = sorted(
        arms, key=lambda name: (math.isnan(means[name]), -sign * means[name] if means[name] == means[name] else 0)
    )
    best, *others = order

    to_best = {name: paired_difference(*arms[name], *arms[best], level=level) for name in order}
    to_default = {
        n: paired_difference(*arms[n], *arms[default], level=level) for n in order if default and n != default
    }
    p_best = dict(zip(others, holm([to_best[name].p for name in others]), strict=True))
    p_default = dict(zip(to_default, holm([effect.p for effect in to_default.values()]), strict=True))
    best_set = [best, *(n for n in others if _indistinct(to_best[n], p_best[n], level))]
    adequate = [n for n in order if n == best or _adequate(to_best[n], n in best_set, margin, sign)]

    rows = []
    for name in order:
        interval = crossed_interval(*arms[name], level)
        rows.append(
            {
                "weights": name,
                "mean": finite(interval.effect),
                "lo": finite(interval.lo),
                "hi": finite(interval.hi),
                "per_seed": [*map(finite, interval.per_seed)],
                "to_best": to_best[name].to_json(p_best.get(name)),
                "to_default": to_default[name].to_json(p_default[name]) if name in to_default else None,
            }
        )
    num_seeds = len(arms[best][0])
    return {
        "default": default,
        "margin": margin,
        "higher_is_better": higher_is_better,
        "best": best,
        "best_set": best_set,
        "cheapest_adequate": _cheapest(adequate, costs, best),
        "scope": "this trained model only" if num_seeds == 1 else f"these weights, over {num_seeds} seeds",
        "rows": rows,
    }


def _indistinct(to_best: Interval, p_holm: float | None, level: float) -> bool:
    if math.isnan(to_best.effect):
        return False
    return not to_best.excludes_zero if p_holm is None else p_holm >= 1 - level


def _adequate(to_best: Interval, in_best_set: bool, margin: float, sign: float) -> bool:
    worst = min(sign * to_best.lo, sign * to_best.hi)
    return worst >= -margin or (in_best_set and sign * to_best.effect >= -margin)


def _cheapest(adequate: list[str], costs: Mapping[str, float], best: str) -> str:
    """`adequate` is in the order of the ranking, so that `min` gives the better of two equally cheap arms."""
    priced = [name for name in adequate if name in costs and not math.isnan(costs[name])]
    return min(priced, key=lambda name: costs[name]) if priced else best


def _paired_arms(
    values: Mapping[str, ArrayLike], replicates: Mapping[str, ArrayLike], default: str | None
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    if not values or set(values) != set(replicates):
        raise ValueError(f"values are of {sorted(values)}, replicates of {sorted(replicates)}; both need the same arms")
    if default is not None and default not in values:
        raise ValueError(f"the default {default!r} is not among {sorted(values)}")
    arms = {n: (np.asarray(values[n], dtype=np.float64), np.asarray(replicates[n], dtype=np.float64)) for n in values}
    shapes = {name: (column.shape, draws.shape) for name, (column, draws) in arms.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"arms differ in seeds or resamples, so they cannot be paired: {shapes}")
    return arms
