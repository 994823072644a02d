"""A control for F1b: how much precision each arm keeps where both find objects equally well.

An arm that detects better may also keep more of it from IoU 0.5 to IoU 0.7, whatever it was pre-trained on: a labels
arm with more to fine-tune on keeps more, too. So the better arm is taken at the fewest images to fine-tune on, and the
poorer one where its own curve over numbers of images has the same mAP at IoU 0.5. Between two numbers of images the
log of mAP(.7) / mAP(.5) is taken from both, by where the log-odds of the mAP at 0.5 (means over seeds) lie between
theirs. Imports no torch. Letters: S seeds, B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.special import logit

from headstart.explain.evidence import Measured, Roles

ARMS = ("boxes", "labels")
FLOOR = 1e-4
"""A resample of few images can have a mAP of 0; bounding its log only widens the interval."""
Series = tuple[np.ndarray, np.ndarray]
Point = tuple[str, str]
"""Names of the mAP at IoU 0.5 and at 0.7 of one number of images."""


def with_matched_retention(roles: Roles, curve: Sequence[Point], key: str) -> Roles:
    """The roles with the matched log of mAP(.7) / mAP(.5) of both arms under `key`; as they were where the
    poorer arm never gets there. curve: from the fewest images to the most."""
    if any(name not in roles[arm].replicates for arm in ARMS for point in curve for name in point) or not curve:
        return roles
    better, poorer = sorted(ARMS, key=lambda arm: -_level(roles[arm], curve[0]))
    moved = _where(roles[poorer], _level(roles[better], curve[0]), curve)
    if moved is None:
        return roles
    found = {better: _retention(roles[better], curve[0]), poorer: moved}
    return {**roles, **{arm: _with(roles[arm], key, series) for arm, series in found.items()}}


def _where(arm: Measured, level: float, curve: Sequence[Point]) -> Series | None:
    """Retention of the arm where its curve passes this mAP at 0.5; None where it never does."""
    for low, high in pairwise(curve):
        a, b = _level(arm, low), _level(arm, high)
        if min(a, b) <= level <= max(a, b):
            share = 1.0 if a == b else float((logit(b) - logit(level)) / (logit(b) - logit(a)))
            (first, drawn), (second, other) = _retention(arm, low), _retention(arm, high)
            return share * first + (1 - share) * second, share * drawn + (1 - share) * other
    return None


def _level(arm: Measured, point: Point) -> float:
    return float(np.clip(np.mean(arm.values[point[0]]), FLOOR, 1 - FLOOR))


def _retention(arm: Measured, point: Point) -> Series:
    """Values (S,) and replicates (S, B)."""
    at5, at7 = ((np.asarray(arm.values[n]), np.asarray(arm.replicates[n])) for n in point)
    values, drawn = (np.log(np.maximum(y, FLOOR)) - np.log(np.maximum(x, FLOOR)) for x, y in zip(at5, at7, strict=True))
    return values, drawn


def _with(arm: Measured, key: str, series: Series) -> Measured:
    values, replicates = series
    return replace(arm, values={**arm.values, key: values}, replicates={**arm.replicates, key: replicates})
