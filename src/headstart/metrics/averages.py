"""Averages over classes, of which some may have nothing to be measured on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_of_present(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis of the values that are not nan; nan where all are."""
    present = ~np.isnan(values)
    count = present.sum(-1)
    total = np.where(present, values, 0.0).sum(-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
