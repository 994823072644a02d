"""Effects of two factors: by hand, and recovered from simulated tables."""

import numpy as np
import pytest

from headstart.stats.arms import Arms
from headstart.stats.factorial import effects

CELLS = {"few": {"labels": "a", "boxes": "b"}, "many": {"labels": "c", "boxes": "d"}}
TRUTH = {"a": 0.30, "b": 0.36, "c": 0.40, "d": 0.52}
EXPECTED = {("many", ""): 0.13, ("", "boxes"): 0.09, ("many", "boxes"): 0.06}


def table(rng: np.random.Generator, seeds: int = 5, resamples: int = 100, spread: float = 0.01) -> Arms:
    """Arms whose seeds spread, on images whose luck they share but for a part of their own."""
    shared, luck = 0.02 * rng.standard_normal(resamples), 0.02 * rng.standard_normal()
    values, replicates = {}, {}
    for name, mean in TRUTH.items():
        own = 0.004 * rng.standard_normal((seeds, 1))
        values[name] = mean + luck + spread * rng.standard_normal(seeds) + own[:, 0]
        draws = values[name][:, None] + shared + 0.004 * rng.standard_normal((seeds, resamples))
        replicates[name] = draws
    return Arms(values, replicates)


def test_by_hand():
    same = {name: np.full(3, value) for name, value in TRUTH.items()}
    found = effects(Arms(same, {name: np.repeat(v[:, None], 4, 1) for name, v in same.items()}), CELLS)
    assert {(e.first, e.second): pytest.approx(e.interval.effect) for e in found} == EXPECTED
    assert [e.is_interaction for e in found] == [False, False, True]


def test_three_levels():
    rng = np.random.default_rng(1)
    cells = {f"r{i}": {f"c{j}": f"{i}{j}" for j in range(2)} for i in range(3)}
    values = {
        f"{i}{j}": np.full(2, 0.1 * i + 0.05 * j + 0.02 * (i == 2 and j == 1)) for i in range(3) for j in range(2)
    }
    found = effects(Arms(values, {n: v[:, None] + 0 * rng.random((2, 5)) for n, v in values.items()}), cells)
    told = {(e.first, e.second): round(e.interval.effect, 6) for e in found}
    main = {("r1", ""): 0.1, ("r2", ""): 0.21, ("", "c1"): pytest.approx(0.05 + 0.02 / 3, abs=1e-6)}
    assert told == main | {("r1", "c1"): 0.0, ("r2", "c1"): 0.02}


def test_effects_of_simulated_tables_are_recovered():
    """What all cells share of the images cancels; an interaction has four cells' spread, a main effect a quarter."""
    rng, inside, widths = np.random.default_rng(0), [], []
    for _ in range(40):
        found = {(e.first, e.second): e.interval for e in effects(table(rng), CELLS)}
        inside += [found[key].lo <= value <= found[key].hi for key, value in EXPECTED.items()]
        widths.append([found[key].hi - found[key].lo for key in EXPECTED])
    assert np.mean(inside) >= 0.92
    main, _, interaction = np.mean(widths, 0)
    assert interaction / main == pytest.approx(2, rel=0.1) and main < 0.03


def test_a_difference_of_two_is_a_combination_of_two():
    arms = table(np.random.default_rng(3))
    difference, combined = arms.difference("d", "a"), arms.combination({"d": 1.0, "a": -1.0})
    assert (difference.lo, difference.hi, difference.p) == (combined.lo, combined.hi, combined.p)
    halved = arms.combination({"d": 0.5, "a": -0.5})
    assert (halved.lo, halved.hi) == pytest.approx((difference.lo / 2, difference.hi / 2), rel=1e-6)
