"""Going down a convex function: minima known by hand, the updates of a quadratic, the last bit, scipy's minimum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from headstart.tasks.frozen.descent import Function, minimized


def quadratic(curvatures: np.ndarray, at: np.ndarray) -> Function:
    """Half the sum of curvature times squared distance."""

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        slope = (curvatures * (x - at)).astype(x.dtype)
        return float(slope @ (x - at)) / 2, slope

    return function


def softplus(rows: np.ndarray, signs: np.ndarray) -> Function:
    """Logistic loss of two classes with a penalty."""

    def function(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = signs * (rows @ w)
        value = float(np.logaddexp(0, -margin).mean() + 0.005 * w @ w)
        return value, -(rows.T @ (signs / (1 + np.exp(margin)))) / len(rows) + 0.01 * w

    return function


def test_a_step_of_one_ends_where_curvature_is_one() -> None:
    at = np.array([3.0, -2.0])
    found = minimized(quadratic(np.ones(2), at), np.zeros(2), 1e-12, 1)
    assert found.x.tolist() == at.tolist() and found.gradient == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_every_scale_ends_at_the_minimum(scale: float, dtype: type) -> None:
    """Curvatures of four decades."""
    at = np.linspace(-1, 1, 40)
    start, curvatures = np.zeros(40, dtype), scale * np.logspace(-2, 2, 40)
    found = minimized(quadratic(curvatures, at), start, 1e-5 * scale, 400)
    assert found.x.dtype == dtype and found.gradient <= 1e-5 * scale
    np.testing.assert_allclose(found.x, at, atol=2e-3)


def test_updates_are_as_many_as_asked_for_and_the_value_never_rises() -> None:
    values: list[float] = []
    function = quadratic(np.logspace(-2, 2, 30), np.ones(30))
    for updates in range(8):
        x = minimized(function, np.zeros(30), 0, updates).x
        values.append(function(x)[0])
    assert values == sorted(values, reverse=True) and len(set(values)) == 8


def test_it_ends_at_the_last_bit() -> None:
    """A tolerance that single precision cannot meet."""
    calls = []
    of = quadratic(np.logspace(0, 3, 20), np.full(20, np.pi))
    found = minimized(lambda x: calls.append(1) or of(x), np.zeros(20, np.float32), 0.0, 10_000)
    assert len(calls) < 1000 and found.gradient < 1e-3


def test_scipy_ends_at_the_same_place() -> None:
    rng = np.random.default_rng(0)
    rows, signs = rng.normal(size=(200, 12)) * np.logspace(0, 1, 12), rng.choice([-1.0, 1.0], 200)
    function = softplus(rows, signs)
    wanted = minimize(function, np.zeros(12), jac=True, method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 0})
    found = minimized(function, np.zeros(12), 1e-9, 500)
    assert found.gradient <= 1e-9 and function(found.x)[0] == pytest.approx(wanted.fun, rel=1e-12)
    np.testing.assert_allclose(found.x, wanted.x, atol=1e-6)
