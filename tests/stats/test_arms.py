"""Means of arms and their differences: worked by hand, against Student and Welch, and how often intervals cover."""

import math

import numpy as np
import pytest
from scipy import stats

from headstart.stats.arms import Arms
from headstart.stats.intervals import crossed_interval

STILL = np.zeros((1, 3))


def still(values, resamples=3):
    """Replicates of seeds whose images do not matter."""
    return np.repeat(np.asarray(values, float)[:, None], resamples, 1)


def arms(**values):
    return Arms(values, {name: still(column) for name, column in values.items()})


def test_the_effect_and_that_seeds_are_no_pairs():
    """Whatever the order of the seeds; a paired difference of these would have no variance at all."""
    a, b = [1.0, 2.0, 4.0], [0.0, 1.0, 3.0]
    found, turned = arms(a=a, b=b).difference("a", "b"), arms(a=a, b=b[::-1]).difference("a", "b")
    assert found.effect == pytest.approx(1) and found.per_seed == () and found.se > 1
    assert (turned.lo, turned.hi, turned.p) == pytest.approx((found.lo, found.hi, found.p))


def test_swapping_the_arms_flips_the_interval():
    both = arms(a=[1.0, 2.0, 4.0], b=[0.0, 5.0, 3.0], c=[1.0, 1.1, 1.2])
    forth, back = both.difference("a", "b"), both.difference("b", "a")
    assert (forth.effect, forth.lo, forth.hi) == (-back.effect, pytest.approx(-back.hi), pytest.approx(-back.lo))
    assert forth.p == pytest.approx(back.p)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_between_students_pooled_t_and_welchs(seeds):
    """Arms of the same observed spread: nearly Student's t with 2 (S - 1) degrees of freedom, never narrower."""
    column = np.linspace(-1, 1, seeds)
    found = arms(a=column + 3, b=column).difference("a", "b")
    student = stats.ttest_ind(column + 3, column).confidence_interval()
    alone = stats.ttest_1samp(column, 0).confidence_interval()
    half = (student.high - student.low) / 2
    assert half < found.hi - found.effect < 1.2 * half
    assert found.hi - found.effect < math.sqrt(2) * alone.high
    assert found.se == pytest.approx(math.sqrt(2 * column.var(ddof=1) / seeds), rel=0.04)


def test_many_like_arms_know_the_variance():
    """Ten arms of four seeds, of variance 1: 30 degrees of freedom, nearly. With three seeds only two arms count."""
    column = np.array([-1.0, -1.0, 1.0, 1.0]) * math.sqrt(3 / 4)
    found = arms(**{f"arm {k}": column + k for k in range(10)}).difference("arm 1", "arm 0")
    half = stats.t.ppf(0.975, 30) * math.sqrt(2 / 4)
    assert half < found.hi - found.effect < 1.06 * half
    few = {f"arm {k}": np.array([-1.0, 0.0, 1.0]) + k for k in range(10)}
    two = {name: few[name] for name in ("arm 0", "arm 1")}
    assert arms(**few).difference("arm 1", "arm 0") == arms(**two).difference("arm 1", "arm 0")


def test_an_arm_that_spreads_far_is_left_by_itself():
    """Twenty times as far: it hardly widens the others' interval, and the others hardly narrow its own."""
    calm = {f"arm {k}": np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) + k for k in range(4)}
    wild = 20 * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    alone, beside = arms(**calm).difference("arm 1", "arm 0"), arms(**calm, wild=wild).difference("arm 1", "arm 0")
    assert beside.hi - beside.effect < 1.3 * (alone.hi - alone.effect)
    own = arms(**calm, wild=wild).difference("wild", "arm 0")
    welch = stats.ttest_ind(wild, calm["arm 0"], equal_var=False).confidence_interval()
    assert 0.8 < (own.hi - own.lo) / (welch.high - welch.low) < 1.1


def test_one_file_each_is_the_pair_of_images():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1, 200))
    found = Arms({"a": [0.3], "b": [0.1]}, {"a": a, "b": b}).difference("a", "b")
    pair = crossed_interval([0.2], a - b)
    assert (found.lo, found.hi, found.p) == (pytest.approx(pair.lo), pytest.approx(pair.hi), None)


def test_what_images_do_to_both_cancels():
    """The same resamples move both sides alike: nothing is left of the images' part."""
    shared = np.random.default_rng(1).normal(size=100)
    values = {"a": [0.5, 0.6], "b": [0.1, 0.2, 0.3]}
    moved = Arms(values, {name: np.add.outer(column, shared) for name, column in values.items()})
    alone = Arms(values, {name: still(column, 100) for name, column in values.items()})
    pairs = [(found.difference("a", "b").lo, found.difference("a", "b").hi) for found in (moved, alone)]
    assert pairs[0] == pytest.approx(pairs[1])
    assert moved.mean("a").hi > alone.mean("a").hi


def test_seeds_that_are_all_the_same_add_nothing():
    """The probe of one checkpoint, three times: the images' interval, and a p-value."""
    draws = np.random.default_rng(2).normal(0, 0.1, (2, 1, 300)).repeat(3, axis=1)
    both = Arms({"a": [0.5] * 3, "b": [0.4] * 3}, {"a": 0.5 + draws[0], "b": 0.4 + draws[1]})
    found, se = both.difference("a", "b"), np.std(draws[0, 0] - draws[1, 0], ddof=1)
    assert found.hi - found.effect == pytest.approx(1.959964 * se, rel=1e-5)
    assert found.p == pytest.approx(2 * stats.norm.sf(0.1 / se), rel=1e-6)
    varying = Arms(
        {"a": [0.5] * 3, "b": [0.4] * 3, "c": [0.1, 0.5, 0.9]},
        {"a": 0.5 + draws[0], "b": 0.4 + draws[1], "c": still([0.1, 0.5, 0.9], 300)},
    )
    assert varying.difference("a", "b").hi == pytest.approx(found.hi, rel=1e-6)


def test_one_seed_of_one_arm_takes_its_spread_from_the_other():
    found = arms(a=[1.0], b=[0.0, 0.1, -0.1, 0.05]).difference("a", "b")
    assert 0.05 < found.p < 0.1 and found.se == pytest.approx(0.0854 * math.sqrt(1.25), rel=0.15)
    assert arms(a=[1.0], b=[0.0]).difference("a", "b").p is None


def test_an_arm_against_itself():
    found = arms(a=[1.0, 2.0]).difference("a", "a")
    assert (found.effect, found.lo, found.hi, found.p, found.se) == (0, 0, 0, 1.0, 0)


def test_nothing_to_compute_from():
    def lower(a, draws):
        return Arms({"a": [a], "b": [0.1]}, {"a": draws, "b": STILL}).difference("a", "b").lo

    assert math.isnan(lower(math.nan, STILL)) and math.isnan(lower(0.1, np.full((1, 3), math.nan)))
    assert not math.isnan(lower(0.1, STILL))
    with pytest.raises(ValueError, match=r"arms differ in resamples, so they cannot be paired: \{'a': 3, 'b': 4\}"):
        Arms({"a": [0.1], "b": [0.1]}, {"a": STILL, "b": np.zeros((1, 4))})
    with pytest.raises(ValueError, match=r"values have shape \(0,\)"):
        Arms({"a": []}, {"a": STILL})
    with pytest.raises(ValueError, match="both need the same"):
        Arms({"a": [1.0]}, {})


def test_an_arm_without_a_value_tells_nothing_of_others():
    whole = arms(a=[1.0, 2.0, 4.0], b=[0.0, 5.0, 3.0])
    holed = arms(a=[1.0, 2.0, 4.0], b=[0.0, 5.0, 3.0], c=[math.nan, 1.0, 2.0])
    assert holed.difference("a", "b") == whole.difference("a", "b")
    assert math.isnan(holed.difference("a", "c").lo) and math.isnan(holed.mean("c").hi)


def test_errors_that_are_drawn_together_are_those_of_the_intervals():
    """Quantiles of the differences of 200,000 drawn errors against the intervals' half widths."""
    rng = np.random.default_rng(3)
    values = {name: rng.normal(size=4) for name in "abc"}
    draws = {name: v[:, None] + 0.5 * rng.normal(size=(1, 400)) for name, v in values.items()}
    found = Arms(values, draws)
    errors, covariance = found.errors(["a", "b", "c"], 200_000, rng)
    for one, other in ((0, 1), (1, 2)):
        pair = found.difference("abc"[one], "abc"[other])
        drawn = np.quantile(np.abs(errors[:, one] - errors[:, other]), 0.95)
        assert drawn == pytest.approx(pair.hi - pair.effect, rel=0.02)
        variance = covariance[one, one] + covariance[other, other] - 2 * covariance[one, other]
        assert math.sqrt(variance) == pytest.approx(pair.se, rel=1e-6)


@pytest.mark.parametrize(
    ("spreads", "seeds"), [((0.02, 0.02), (3, 2)), ((0.003, 0.01), (3, 3)), ((0.02, 0.02, 0.2), (3, 3, 3))]
)
def test_the_interval_covers(spreads, seeds):
    """Seeds and images drawn 400 times, no difference between the first two arms: 93 % or more of intervals hold 0."""
    rng, inside = np.random.default_rng(2), 0
    for _ in range(400):
        images = rng.normal(0, 0.02, 50)
        boots = rng.multinomial(50, np.full(50, 1 / 50), 100) / 50
        values, draws = {}, {}
        for k, (spread, count) in enumerate(zip(spreads, seeds, strict=True)):
            own = rng.normal(0, spread, (count, 1)) + rng.normal(0, 0.02, (count, 50)) + images
            values[f"{k}"], draws[f"{k}"] = own.mean(1), own @ boots.T
        found = Arms(values, draws).difference("0", "1")
        inside += found.lo <= 0 <= found.hi
    assert 0.93 <= inside / 400 <= 0.995
