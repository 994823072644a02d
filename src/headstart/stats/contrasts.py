"""Comparisons of several arms: multiplicity, rankings, the cheapest adequate choice.

A ranking is a set: the best arm and all that are not shown to be worse. Its comparisons with the best hold all together
(`headstart.stats.simultaneous`); those with the default are a family of tests with Holm's adjustment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from headstart.stats.arms import Arms
from headstart.stats.intervals import LEVEL, finite
from headstart.stats.simultaneous import Simultaneous


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
    against: str | None = None,
) -> dict[str, Any]:
    """Rank arms that were measured on the same images.

    values: name -> (S,), replicates: name -> (S, B) under shared image weights. margin: smallest difference that
    matters to the user, in the metric's unit. costs: name -> cost in any one unit (GFLOPs, say). default: the arm that
    users would take anyway; None if there is none. against: an arm that is taken for the best, whatever its mean.

    Returns a dict as stored in `metrics.json`, numbers or None:

    - `ranked`: whether anything can be said beyond these trained models: False with one seed.
    - `best`: the best mean (of equals, the first given). `best_set`: `best` and the arms that are not shown to be
      worse: their simultaneous interval to the best holds 0. With one seed no arm is shown to be worse.
    - `cheapest_adequate`: the cheapest of the arms that are shown to be at most `margin` behind the true best,
      whichever that is; of equal cost, the better mean. None where there is none. `cheapest_not_worse`: the cheapest of
      the best set. An arm without a known cost is only chosen where no arm has one. Both are None with one seed.
    - `overstated`: by how much the best mean is expected to be too good (`Simultaneous.overstated`); None with one
      seed.
    - `rows`, best first: `weights`, `mean`, `lo`, `hi`, `per_seed`; two effects, arm minus other: `to_best` (zero for
      the best itself, which is no test; interval and adjusted p simultaneous) and `to_default` (None for the default
      itself, and without a default; p by Holm); `behind_at_most`: how far behind the true best, by a simultaneous
      bound.
    - `default`, `margin`, `higher_is_better`, and `scope`: what the intervals hold for.

    Arms without a value (nan) stand last and are neither in the best set nor adequate. Raises ValueError for no arms at
    all, arms of different shapes, and a default that is not among them.
    """
    arms = Arms(values, replicates)
    if default is not None and default not in arms.arms:
        raise ValueError(f"the default {default!r} is not among {sorted(arms.arms)}")
    sign = 1.0 if higher_is_better else -1.0
    means = {name: float(arm.values.mean()) for name, arm in arms.arms.items()}
    order = sorted(means, key=lambda name: (math.isnan(means[name]), -sign * means[name] if _known(means[name]) else 0))
    best, compared = against or order[0], [name for name in order if _known(means[name])]
    num_seeds = min(len(arm.values) for arm in arms.arms.values())

    together = Simultaneous.of(arms, compared, level) if compared else None
    behind = together.behind_at_most(sign) if together else {}
    to_default = {n: arms.difference(n, default, level) for n in order if default and n != default}
    p_default = dict(zip(to_default, holm([effect.p for effect in to_default.values()]), strict=True))
    rows, best_set = [], [best]
    for name in order:
        interval = arms.mean(name, level)
        to_best, p_best = arms.difference(name, best, level), None
        if together and name in behind:
            to_best, p_best = together.difference(name, best)
        if name != best and name in behind and (num_seeds == 1 or not to_best.excludes_zero):
            best_set.append(name)
        rows.append(
            {
                "weights": name,
                "mean": finite(interval.effect),
                "lo": finite(interval.lo),
                "hi": finite(interval.hi),
                "per_seed": [*map(finite, interval.per_seed)],
                "to_best": to_best.to_json(p_best),
                "to_default": to_default[name].to_json(p_default[name]) if name in to_default else None,
                "behind_at_most": finite(behind.get(name)),
            }
        )
    ranked = num_seeds > 1
    adequate = [name for name in compared if behind[name] <= margin]
    return {
        "default": default,
        "margin": margin,
        "higher_is_better": higher_is_better,
        "ranked": ranked,
        "best": best,
        "best_set": best_set,
        "cheapest_adequate": cheapest(adequate, costs) if ranked else None,
        "cheapest_not_worse": cheapest(best_set, costs) if ranked else None,
        "overstated": together.overstated(best_set, sign) if ranked and together else None,
        "scope": f"these weights, over {num_seeds} seeds" if ranked else "this trained model only",
        "rows": rows,
    }


def _known(mean: float) -> bool:
    return not math.isnan(mean)


def cheapest(names: list[str], costs: Mapping[str, float]) -> str | None:
    """The cheapest of `names`, which are in the order of a ranking, so that `min` gives the better of two that are
    equally cheap. An arm without a known cost is only chosen where none has one."""
    priced = [name for name in names if name in costs and not math.isnan(costs[name])]
    return min(priced, key=lambda name: costs[name]) if priced else next(iter(names), None)
