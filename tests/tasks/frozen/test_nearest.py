"""Nearest neighbors block by block: those of all distances sorted, whatever the block."""

import numpy as np
import pytest

from headstart.tasks.frozen.nearest import nearest, nearest_others, unit_rows


def by_sorting(similar: np.ndarray, k: int) -> np.ndarray:
    return np.argsort(-similar, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("block", [7, 20, 64, 4096])
@pytest.mark.parametrize("k", [1, 6, 63])
def test_nearest_of_all(block, k):
    rng = np.random.default_rng(k)
    x = np.round(rng.standard_normal((64, 5)) * 2) + 0.5  # halves: similarities are equal in single precision, too
    x[10:20] = x[30:40]  # ties go to the lower index
    similar = (x @ x.T).astype(np.float32)
    np.fill_diagonal(similar, -np.inf)
    index, near = nearest_others(x.astype(np.float32), k, block)
    np.testing.assert_array_equal(index, by_sorting(similar, k))
    np.testing.assert_array_equal(near, np.take_along_axis(similar, index, 1))
    queries = np.round(rng.standard_normal((33, 5)) * 2)
    index, _ = nearest(queries.astype(np.float32), x.astype(np.float32), k, block)
    np.testing.assert_array_equal(index, by_sorting((queries @ x.T).astype(np.float32), k))


def test_rows_of_zeros_are_as_far_as_orthogonal_ones():
    unit = unit_rows(np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0]]))
    np.testing.assert_allclose(unit, [[0, 0], [0.6, 0.8], [0, 1]], atol=1e-7)
    index, near = nearest_others(unit, 2)
    np.testing.assert_array_equal(index, [[1, 2], [2, 0], [1, 0]])
    np.testing.assert_allclose(near[0], 0)
