"""Converged or no verdict: the rule, by hand and on made-up trainings."""

import numpy as np
import pytest

from headstart.stats.convergence import convergence

MARGIN = 0.01
STILL = [False]


def one_seed(**curves):
    """Arms with these scores at a third, two thirds and the end, one seed, no loss falling."""
    columns = {name: np.array(values)[:, None] for name, values in curves.items()}
    return convergence(columns, dict.fromkeys(curves, STILL), MARGIN)


def test_arms_that_stand_still_are_converged():
    found = one_seed(a=[0.50, 0.60, 0.62], b=[0.30, 0.40, 0.42])
    assert not found.moving and not found.unsettled and found.of_pair("b", "a") == ""


@pytest.mark.parametrize(
    ("scores", "moves"),
    [
        ([0.2, 0.54, 0.60], False),  # a tenth of .60 is .06
        ([0.2, 0.53, 0.60], True),
        ([0.002, 0.004, 0.012], False),  # doubled, and less than the margin
        ([0.5, 0.655, 0.60], False),
        ([0.5, 0.67, 0.60], True),
        ([0.67, 0.62, 0.60], True),  # slowly down from a third on
        ([0.655, 0.62, 0.60], False),
        ([0.58, 0.50, 0.60], False),  # the rate was up again at two thirds
        ([0.53, 0.45, 0.60], True),
    ],
)
def test_an_arm_moves_by_more_than_a_tenth_of_itself(scores, moves):
    assert bool(one_seed(a=scores).moving) == moves


def test_it_says_what_was_seen():
    assert one_seed(a=[0.2, 0.4, 0.6]).moving == {
        "a": "a still rises on held-out images (20.0, 40.0, 60.0 at a third, two thirds and the end)"
    }
    assert "is past its best" in one_seed(a=[0.7, 0.65, 0.6]).moving["a"]
    found = one_seed(a=[0.50, 0.50, 0.52], b=[0.50, 0.52, 0.50])
    assert not found.moving
    assert (
        found.of_pair("a", "b")
        == "the gain of a over b still changes (+0.0, -2.0, +2.0 at a third, two thirds and the end)"
    )


@pytest.mark.parametrize(("before", "settled"), [(0.16, True), (0.149, False), (0.24, True), (0.251, False)])
def test_a_gain_has_settled_within_a_quarter_of_itself(before, settled):
    """The gain at the end is .2: a quarter of it is .05."""
    found = one_seed(a=[0.5, 0.6 + before, 0.8], b=[0.5, 0.6, 0.6])
    assert (found.of_pair("a", "b") == "") == settled


def test_a_falling_loss_counts_where_the_score_rises():
    rising, still = np.array([[0.4], [0.57], [0.60]]), np.array([[0.4], [0.595], [0.60]])
    assert convergence({"a": rising}, {"a": [True]}, MARGIN).moving
    assert not convergence({"a": rising}, {"a": [False]}, MARGIN).moving
    assert not convergence({"a": still}, {"a": [True]}, MARGIN).moving
    dipping, above = np.array([[0.595], [0.57], [0.60]]), np.array([[0.585], [0.57], [0.60]])
    assert not convergence({"a": dipping}, {"a": [True]}, MARGIN).moving
    assert convergence({"a": above}, {"a": [True]}, MARGIN).moving


def test_a_falling_loss_decides_where_there_are_no_scores():
    nothing = np.full((3, 3), np.nan)
    found = convergence({"a": nothing, "b": nothing}, {"a": [True, True, False], "b": [True, False, False]}, MARGIN)
    assert found.moving == {"a": "a was still losing training loss"}
    assert found.of_pair("a", "b") == "a was still losing training loss"


def test_a_change_within_the_noise_of_seeds_is_none():
    """Changes of .04, .12 and -.04: mean .04, standard deviation .08; with one arm t(2) is 4.303, the half width .199.
    A second arm with changes of exactly .04 makes four degrees of freedom and halves the variance."""
    ends = np.array([[0.2, 0.2, 0.2], [0.26, 0.18, 0.34], [0.3, 0.3, 0.3]])
    assert not convergence({"a": ends}, {"a": [True] * 3}, MARGIN).moving
    steady = np.array([[0.2] * 3, [0.26] * 3, [0.3] * 3])
    assert convergence({"b": steady}, {"b": [False] * 3}, MARGIN).moving  # .04 > a tenth of .3, without noise
    both = convergence({"a": ends, "b": steady}, {"a": [False] * 3, "b": [False] * 3}, MARGIN)
    assert not both.moving  # 3.495, for two arms at once, * .08 / sqrt(2) / sqrt(3) = .114


def test_the_noise_is_that_of_all_arms_and_of_all_pairs_at_once():
    """Changes spread by .01 in each of five arms, over three seeds: t(10) is 3.169 for five arms, 3.581 for ten pairs.
    So a change of an arm is noise up to .0183, and of a gain up to .0292; of a single one up to .0129 and .0182."""
    spread = np.array([-0.01, 0.0, 0.01])

    def arms(rise):
        ends = [np.array([[0.1] * 3, 0.1 - spread, np.full(3, 0.1 + k * rise)]) for k in (1, 0, 0, 0, 0)]
        return convergence(
            {f"arm{k}": end for k, end in enumerate(ends)}, {f"arm{k}": STILL * 3 for k in range(5)}, 0.0
        )

    assert not arms(0.018).moving and set(arms(0.019).moving) == {"arm0"}
    assert not arms(0.018).unsettled

    def gains(rise):  # .9: a tenth of it is more than the rise
        ends = [np.array([[0.9] * 3, 0.9 - spread, np.full(3, 0.9 + k * rise)]) for k in (1, 0, 0, 0, 0)]
        return convergence(
            {f"arm{k}": end for k, end in enumerate(ends)}, {f"arm{k}": STILL * 3 for k in range(5)}, 0.0
        )

    assert not gains(0.029).unsettled and len(gains(0.030).unsettled) == 4


def simulated(rise: float, rng: np.random.Generator, arms: int = 3, seeds: int = 3) -> bool:
    """Whether any pair of equal arms is called unsettled. rise: true change of each arm over the last third."""
    true = np.array([0.3, 0.5 - rise, 0.5])[:, None]
    scores = {f"arm{k}": true + rng.normal(0, 0.03, (3, seeds)) for k in range(arms)}
    return bool(convergence(scores, dict.fromkeys(scores, [False] * seeds), MARGIN).unsettled)


def test_noise_is_seldom_taken_for_movement_and_movement_is_found():
    rng = np.random.default_rng(0)
    assert np.mean([simulated(0.0, rng) for _ in range(400)]) < 0.1
    assert np.mean([simulated(0.0, rng, arms=6) for _ in range(400)]) < 0.1
    assert np.mean([simulated(0.2, rng) for _ in range(400)]) > 0.95
