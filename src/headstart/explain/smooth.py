"""How the log-odds of being right go with the number of instances and with their area, as smooth functions with bands.

Letters: n images, p columns of a spline, g places on a curve, B bootstrap resamples.

The model is that of `headstart.explain.log_odds`, one constant for each class, with restricted cubic splines of the
logarithms of both (F. Harrell, Regression Modeling Strategies, 2nd ed., Sec. 2.4.5: straight beyond the outer knots) in
the place of straight lines. The two slopes of F4b and F4c are sums of what is seen here, and can hide a bend.

    count        at equal total area: one more instance of the class, all of them smaller
    count_free   at equal area of an instance: one more of the same size
    area         of an instance, at equal count

A curve is 0 for the average image. It is of few knots, so that it bends no more than the images can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.explain.log_odds import slopes

KNOTS = (0.05, 0.35, 0.65, 0.95)
"""Quantiles; of few different values fewer are left."""
PLACES = 25
LEVEL = (2.5, 97.5)
CURVES = ("count", "count_free", "area")
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spline:
    """A restricted cubic spline of values (n,), its columns orthonormal over them and 0 on average. columns (n, p)."""

    knots: Floats
    columns: Floats
    _center: Floats
    _turn: Floats

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Spline:
        """At the values' own quantiles; a straight line where fewer than three knots differ."""
        knots = np.unique(np.quantile(values, KNOTS))
        plain = cubic(values, knots)
        center = plain.mean(0)
        columns, turn = np.linalg.qr(plain - center)
        return cls(knots, columns, center, turn)

    def at(self, places: NDArray[np.floating]) -> Floats:
        """(g, p) the columns at other values."""
        found = np.linalg.lstsq(self._turn.T, (cubic(places, self.knots) - self._center).T)[0]
        return np.asarray(found.T, np.float64)


def cubic(values: NDArray[np.floating], knots: Floats) -> Floats:
    """(n, k - 1) columns for k knots, the first the values themselves; (n, 1) for fewer than three."""
    x, first, last = np.asarray(values, np.float64), knots[0], knots[-1]
    columns = [x]
    for knot in knots[:-2]:
        before = knots[-2]
        bend = np.maximum(x - knot, 0) ** 3 - (
            np.maximum(x - before, 0) ** 3 * (last - knot) - np.maximum(x - last, 0) ** 3 * (before - knot)
        ) / (last - before)
        columns.append(bend / (last - first) ** 2)
    return np.stack(columns, axis=1)


def smooth(
    arms: Mapping[str, NDArray[np.bool_]],
    classes: NDArray[np.integer],
    counts: Floats,
    areas: tuple[Floats, Floats],
    *,
    weights: NDArray[np.integer],
) -> dict[str, NDArray[np.float64]]:
    """Curves of two arms, and of the first less the second.

    arms: name -> right or wrong (n,) of images in use (`headstart.explain.composition.usable_images`); areas: mean and
    total, shares of the image, above 0; weights (B, n). Returns `smooth/CURVE/x` (g,) and of each arm, and of
    `difference`, `smooth/CURVE/WHOSE` (3, g): log-odds and the ends of a 95 % band over resamples. A curve is absent
    where it cannot be told.
    """
    count, mean, total = np.log2(counts), np.log2(areas[0]), np.log2(areas[1])
    found: dict[str, NDArray[np.float64]] = {}
    if any(np.ptp(values) == 0 for values in (count, mean, total)):
        return found
    for curve, (shown, held) in zip(CURVES, ((count, total), (count, mean), (mean, count)), strict=True):
        of_shown, of_held = Spline.of(shown), Spline.of(held)
        x = np.column_stack([of_shown.columns, of_held.columns])
        places = np.linspace(shown.min(), shown.max(), PLACES)
        at = of_shown.at(places)
        drawn = {}
        for arm, right in arms.items():
            beta, replicates = slopes(right, classes, x, weights)
            if np.isfinite(beta).all():
                used = np.vstack([beta, replicates])[:, : at.shape[1]]
                drawn[arm] = used @ at.T
        if len(drawn) < len(arms):
            continue
        one, other = drawn.values()
        found[f"smooth/{curve}/x"] = 2.0**places
        for whose, values in (drawn | {"difference": one - other}).items():
            kept = values[1:][np.isfinite(values[1:]).all(1)]
            ends = np.percentile(kept, LEVEL, axis=0) if len(kept) else np.full((2, PLACES), np.nan)
            found[f"smooth/{curve}/{whose}"] = np.vstack([values[0], ends])
    return found
