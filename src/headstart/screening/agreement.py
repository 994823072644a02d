"""What a screen is worth: how far its order is that of the fine-tuned scores, and whether size alone would do as well.

Letters: W weights, B resamples of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headstart.errors import UsageError

Floats = NDArray[np.float64]

FEWEST = 8
"""Weights that a screen needs: with fewer no order can be told from chance."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Agreement:
    """Of one score with what fine-tuning gave.

    tau: Kendall's tau-b, with its 95 % interval over weights. given_size: the partial tau, with the number of
    parameters held. regret: points lost when only the best 1 or 3 by the score are fine-tuned. better_than_size:
    whether tau is above that of the number of parameters, beyond their paired interval.
    """

    score: str
    tau: float
    tau_interval: tuple[float, float]
    given_size: float
    given_size_interval: tuple[float, float]
    regret: dict[int, float]
    better_than_size: bool

    @property
    def verdict(self) -> str:
        """In words."""
        return "better than size" if self.better_than_size else "no better than size"


def agreement(
    score: str, values: Floats, fine_tuned: Floats, sizes: Floats, *, resamples: int = RESAMPLES, seed: int = 0
) -> Agreement:
    """values, fine_tuned, sizes (W,): the screen, the scores after fine-tuning, numbers of parameters.

    Raises UsageError for fewer than `FEWEST` weights.
    """
    values, fine_tuned, sizes = (np.asarray(v, np.float64) for v in (values, fine_tuned, sizes))
    require_enough(len(values))
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(values), size=(resamples, len(values)))
    taus = np.array([kendall(values[d], fine_tuned[d]) for d in drawn])
    partials = np.array([partial(values[d], fine_tuned[d], sizes[d]) for d in drawn])
    by_size = np.array([kendall(sizes[d], fine_tuned[d]) for d in drawn])
    ahead = taus - by_size
    ahead = ahead[np.isfinite(ahead)]
    order = np.argsort(-values, kind="stable")
    best = float(fine_tuned.max())
    return Agreement(
        score=score,
        tau=kendall(values, fine_tuned),
        tau_interval=_interval(taus),
        given_size=partial(values, fine_tuned, sizes),
        given_size_interval=_interval(partials),
        regret={k: best - float(fine_tuned[order[:k]].max()) for k in (1, 3)},
        better_than_size=bool(len(ahead) and np.quantile(ahead, 0.025) > 0),
    )


def require_enough(count: int) -> None:
    """Raises UsageError for a screen of too few weights."""
    if count < FEWEST:
        raise UsageError(
            f"a screen needs {FEWEST} weights or more, and there {'is' if count == 1 else 'are'} {count}: with fewer, "
            "no order can be told from chance. Fine-tune all of them: headstart compare without --screen."
        )


def kendall(a: Floats, b: Floats) -> float:
    """Tau-b; nan where one of them is constant."""
    upper = np.triu_indices(len(a), 1)
    x, y = np.sign(a[:, None] - a[None])[upper], np.sign(b[:, None] - b[None])[upper]
    norm = np.sqrt(float((x != 0).sum()) * float((y != 0).sum()))
    return float((x * y).sum() / norm) if norm else float("nan")


def partial(a: Floats, b: Floats, given: Floats) -> float:
    """Kendall's partial tau of a and b with `given` held."""
    ab, ag, bg = kendall(a, b), kendall(a, given), kendall(b, given)
    norm = np.sqrt((1 - ag**2) * (1 - bg**2))
    return float((ab - ag * bg) / norm) if norm > 1e-12 else float("nan")


def _interval(draws: Floats) -> tuple[float, float]:
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
