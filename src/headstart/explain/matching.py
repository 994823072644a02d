"""A control for F4b and F4c: the arm whose probe is right more often, made right as often as the other's.

Letters: n test images.

Its probe is fitted on half of the images, a quarter, and so on, until it is right no more often than the other arm's.
Between the last two numbers of images lies one that would make it exactly so; what is measured there is taken from
both, by where the other arm's log-odds of being right lie between theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

LEAST_PER_CLASS = 2
"""Images of a class, on average, below which no probe is fitted."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a probe fitted on `train_images` images says of n test images: `correct` (n,) bool, `log_loss` (n,) nats."""

    correct: np.ndarray
    log_loss: np.ndarray
    train_images: int


def share_right(answers: Answers) -> float:
    """Top-1, a fraction."""
    return float(np.mean(answers.correct))


def weakened(full: Answers, target: float, num_classes: int, fit: Callable[[int], Answers]) -> list[Answers]:
    """The probe itself, then `fit` on half as many images each time until one is right in no more than `target`.

    Ends without one where fewer than `LEAST_PER_CLASS` images of a class would be left.
    """
    ladder = [full]
    while share_right(ladder[-1]) > target and ladder[-1].train_images // 2 >= LEAST_PER_CLASS * num_classes:
        ladder.append(fit(ladder[-1].train_images // 2))
    return ladder


def mixture(ladder: Sequence[Answers], target: float) -> list[tuple[float, Answers]]:
    """Shares, their sum 1, of the one or two neighbors on the ladder that are together right in `target` (log-odds).

    Empty where all of them are right more often.
    """
    for above, below in zip([ladder[0], *ladder], ladder, strict=False):
        if share_right(below) > target:
            continue
        high, low, wanted = (_log_odds(p, len(below.correct)) for p in (*map(share_right, (above, below)), target))
        share = 0.0 if high <= low else (wanted - low) / (high - low)
        return [(part, answers) for part, answers in ((share, above), (1 - share, below)) if part > 0]
    return []


def _log_odds(share: float, n: int) -> float:
    """Finite for 0 and 1, too: half an answer of n stands for what was not seen."""
    return float(logit(np.clip(share, 0.5 / n, 1 - 0.5 / n)))
