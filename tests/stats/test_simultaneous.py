"""Comparisons that hold all together: against the studentized range and Dunnett's test, and how often they err."""

import numpy as np
import pytest
from scipy import stats

from headstart.stats.arms import Arms
from headstart.stats.simultaneous import Simultaneous


def alike(count, seeds, resamples=4):
    """Arms whose seeds spread alike and whose images do not matter."""
    column = np.linspace(-1, 1, seeds)
    values = {f"arm {k}": column + 0.001 * k for k in range(count)}
    return Arms(values, {name: np.repeat(v[:, None], resamples, 1) for name, v in values.items()})


@pytest.mark.parametrize("count", [3, 6])
def test_between_any_two_it_is_tukeys_range_where_images_do_not_matter(count):
    """With ten seeds an arm the spread is known to be alike: the studentized range of 9 K degrees of freedom."""
    arms = alike(count, 10)
    together = Simultaneous.of(arms, list(arms.arms))
    found, p = together.difference("arm 1", "arm 0")
    half = stats.studentized_range.ppf(0.95, count, 9 * count) / np.sqrt(2) * found.se
    assert found.hi - found.effect == pytest.approx(half, rel=0.05)
    assert p > 0.9 and found.effect == pytest.approx(0.001)


def test_behind_the_best_it_is_dunnetts_bound():
    """One-sided, of four arms against one: a critical value below that of all pairs."""
    arms = alike(5, 10)
    together = Simultaneous.of(arms, list(arms.arms))
    se = together.se[0, 1]
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(200_000, 5)) / np.sqrt(2)
    bound = np.quantile((errors[:, 1:] - errors[:, :1]).max(1), 0.95)  # of 45 degrees of freedom: a little more
    behind = together.behind_at_most()
    assert behind["arm 4"] == pytest.approx(bound * se, rel=0.08)
    assert behind["arm 0"] > behind["arm 4"]


def test_two_arms_are_one_difference():
    arms = alike(2, 4)
    found, p = Simultaneous.of(arms, ["arm 0", "arm 1"]).difference("arm 1", "arm 0")
    alone = arms.difference("arm 1", "arm 0")
    assert found.hi == pytest.approx(alone.hi, rel=0.05) and p >= alone.p


def test_arms_that_are_the_same_in_everything():
    values, draws = np.array([0.1, 0.3, 0.2]), np.random.default_rng(0).normal(size=(3, 50))
    arms = Arms({"a": [0.2] * 3, "b": [0.2] * 3}, {"a": draws[:1].repeat(3, 0), "b": draws[:1].repeat(3, 0)})
    found, p = Simultaneous.of(arms, ["a", "b"]).difference("a", "b")
    assert (found.lo, found.hi, p) == (0, 0, 1.0)
    assert Simultaneous.of(Arms({"a": values}, {"a": draws}), ["a"]).behind_at_most() == {"a": 0.0}


def test_the_best_of_equals_is_overstated():
    """The greatest of three normal numbers is 0.846 standard deviations above their mean."""
    arms = alike(3, 10)
    together = Simultaneous.of(arms, list(arms.arms))
    one = together.se[0, 1] / np.sqrt(2)
    assert together.overstated(list(arms.arms)) == pytest.approx(0.846 * one, rel=0.03)
    assert together.overstated(["arm 0"]) > 0


@pytest.mark.parametrize("seeds", [3, 5])
def test_equal_arms_stay_together(seeds):
    """200 studies of six equal arms: in at most 9 % (5 %, and 2.5 standard errors) one is said to be behind."""
    rng, dropped = np.random.default_rng(seeds), 0
    for _ in range(200):
        images = rng.normal(size=(1, 80))
        draws = {f"{k}": 0.5 * images + 0.5 * rng.normal(size=(1, 80)) for k in range(6)}
        values = {name: 0.5 * rng.normal() + rng.normal(size=seeds) for name in draws}
        arms = Arms(values, {name: values[name][:, None] + draws[name] for name in values})
        together = Simultaneous.of(arms, list(values), draws=2000)
        best = max(values, key=lambda name: values[name].mean())
        dropped += any(together.difference(name, best)[0].excludes_zero for name in values)
    assert dropped / 200 <= 0.09
