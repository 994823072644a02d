"""The chi-squared distribution as points with weights: what an observed variance says of the true one."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

NODES = 2000
"""Points of the numerical integral over an unknown variance."""


@cache
def chi_squared_factors(df: float, nodes: int = NODES) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """df / X at `nodes` points that cover the chi-squared X with `df` degrees of freedom, and the probability of each.

    Equal steps in log X, where the density falls off fast on both sides: the sum is then exact to many digits.
    """
    from scipy.special import gammaln

    log_x = np.linspace(math.log(df) - 80 / df**0.7, math.log(df) + 6 / df**0.4, nodes)
    log_density = df / 2 * log_x - np.exp(log_x) / 2 - df / 2 * math.log(2) - gammaln(df / 2)
    weights = np.exp(log_density)
    return df / np.exp(log_x), weights / weights.sum()
