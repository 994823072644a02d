"""Power and detectable effects: against the noncentral t and the normal, and by simulating the test itself."""

import math

import numpy as np
import pytest
from scipy import stats

from headstart.stats.intervals import crossed_interval
from headstart.stats.parts import Parts
from headstart.stats.power import detectable, images_for, power, seeds_for

SEEDS_ONLY = Parts(images=0.0, seeds=3.0, both=0.0, num_seeds=3, df=2)
"""A standard error of 1."""


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
def test_noncentral_t_where_only_seeds_vary(seeds, alpha):
    parts, df = Parts(0.0, float(seeds), 0.0, seeds, seeds - 1), seeds - 1
    effect = detectable(parts, alpha)
    bound = stats.t.ppf(1 - alpha / 2, df)
    assert stats.nct.sf(bound, df, effect) == pytest.approx(0.8, abs=0.01)
    assert power(effect, parts, alpha) == pytest.approx(0.8, abs=1e-6)


def test_normal_where_only_images_vary():
    parts = Parts(images=0.04, seeds=0.0, both=0.0, num_seeds=3, df=math.inf)
    assert detectable(parts, 0.05) == pytest.approx(0.2 * (1.959964 + 0.841621), rel=1e-4)
    assert power(0.2, parts, 0.05) == pytest.approx(stats.norm.sf(1.959964 - 1) + stats.norm.sf(1.959964 + 1), abs=1e-6)


def test_the_test_itself_has_this_power():
    """800 studies of three seeds; a third of the variance is of the images, half of that of the seed as well."""
    rng, parts = np.random.default_rng(0), Parts(images=0.5, seeds=2.0, both=0.5, num_seeds=3, df=2)
    effect, draws = detectable(parts, 0.05), rng.normal(size=(3, 400))
    draws -= draws.mean(1, keepdims=True)
    draws, shared = draws / draws.std(1, keepdims=True), rng.normal(size=400)
    draws = math.sqrt(0.5) * (draws + (shared - shared.mean()) / shared.std())
    found = 0
    for _ in range(800):
        values = effect + math.sqrt(2.5) * rng.normal(size=3) + math.sqrt(0.5) * rng.normal()
        found += crossed_interval(values, values[:, None] + draws).p < 0.05
    assert found / 800 == pytest.approx(0.8, abs=0.04)


def test_it_scales_with_the_unit():
    wide = Parts(images=0.0, seeds=3e4, both=0.0, num_seeds=3, df=2)
    assert detectable(wide, 0.05) == pytest.approx(100 * detectable(SEEDS_ONLY, 0.05))
    assert detectable(Parts(0.0, 0.0, 0.0, 3, 2), 0.05) == 0.0 and power(0.1, Parts(0.0, 0.0, 0.0, 3, 2), 0.05) == 1.0


def test_one_seed_sees_nothing():
    one = Parts(images=1.0, seeds=0.0, both=0.0, num_seeds=1, df=0)
    assert math.isnan(detectable(one, 0.05)) and math.isnan(power(5.0, one, 0.05))
    assert seeds_for(5.0, one, 0.05) is None and images_for(5.0, one, 0.05) is None


def test_parts_of_other_designs():
    parts = Parts(images=0.4, seeds=0.9, both=0.6, num_seeds=3, df=6)
    assert parts.total == pytest.approx(0.9)
    more = parts.with_seeds(5)
    assert more.total == pytest.approx(0.4 + 0.3) and more.df == 12
    assert parts.with_images(2).total == pytest.approx(0.2 + (0.9 + 0.3) / 3)


def test_what_halves_the_detectable_effect():
    """Seeds alone vary: three seeds detect 5.5 standard errors of a seed's mean; images do not help."""
    half = detectable(SEEDS_ONLY, 0.05) / 2
    seeds = seeds_for(half, SEEDS_ONLY, 0.05)
    assert power(half, SEEDS_ONLY.with_seeds(seeds), 0.05) >= 0.8 > power(half, SEEDS_ONLY.with_seeds(seeds - 1), 0.05)
    assert images_for(half, SEEDS_ONLY, 0.05) is None
    images = Parts(images=1.0, seeds=0.0, both=0.0, num_seeds=3, df=math.inf)
    assert images_for(detectable(images, 0.05) / 2, images, 0.05) == pytest.approx(4, rel=0.06)
    assert seeds_for(detectable(images, 0.05) / 2, images, 0.05) is None
