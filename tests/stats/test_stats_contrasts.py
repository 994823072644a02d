"""Holm's adjustment and rankings."""

import json

import numpy as np
import pytest
from scipy.special import stdtrit

from headstart.stats.contrasts import holm, ranking
from headstart.stats.intervals import crossed_interval, paired_difference


def test_holm_by_hand():
    """.01 x 3; .02 x 2 = .04; .03 x 1 = .03, raised to .04."""
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.6]) == [1.0, 1.0] and holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_leaves_out_what_is_no_test():
    assert holm([None, 0.02, float("nan"), 0.03]) == [None, 0.04, None, 0.04]


def arms(num_seeds=3, resamples=200, noise=0.002, **means):
    """Arms whose seeds and resamples move by `noise` around their means, independently."""
    rng = np.random.default_rng(0)
    values = {n: m + noise * rng.normal(size=num_seeds) for n, m in means.items()}
    return values, {n: v[:, None] + noise * rng.normal(size=(num_seeds, resamples)) for n, v in values.items()}


def test_ranking_is_a_set():
    values, replicates = arms(random=0.3, a=0.700, b=0.701, mid=0.6)
    result = ranking(values, replicates, 0.01, {"a": 1, "b": 2, "mid": 0.5, "random": 0.1}, default="mid")
    assert [row["weights"] for row in result["rows"]][2:] == ["mid", "random"]
    assert result["best"] == result["rows"][0]["weights"] and set(result["best_set"]) == {"a", "b"}
    assert result["cheapest_adequate"] == "a"
    assert result["scope"] == "these weights, over 3 seeds"
    best, _, mid, random = result["rows"]
    assert best["to_best"]["effect"] == 0 and best["to_best"]["p"] == 1.0 and best["to_best"]["p_holm"] is None
    assert best["to_default"]["effect"] == pytest.approx(0.1, abs=0.01)
    assert mid["to_default"] is None
    assert random["to_default"]["effect"] == pytest.approx(-0.3, abs=0.01)
    assert random["to_best"]["effect"] == pytest.approx(values["random"].mean() - values[result["best"]].mean())
    json.dumps(result, allow_nan=False)


def test_families_are_adjusted_separately():
    values, replicates = arms(noise=0.02, a=0.5, b=0.47, c=0.45, d=0.43)
    rows = ranking(values, replicates, 0.01, {}, default="d")["rows"]
    for which in ("to_best", "to_default"):
        effects = [row[which] for row in rows if row[which] and row[which]["effect"] != 0]
        assert len(effects) == 3
        assert [e["p_holm"] for e in effects] == pytest.approx(holm([e["p"] for e in effects]))


@pytest.mark.parametrize(
    ("p_values", "best_set"),
    [
        ((0.02, 0.04), ["best"]),  # 0.04 both
        ((0.03, 0.04), ["best", "x", "y"]),  # 0.06 both, though each alone is below 0.05
        ((0.02, 0.06), ["best", "y"]),
    ],
)
def test_the_best_set_is_by_adjusted_p_values(p_values, best_set):
    """Student's t with 3 degrees of freedom: four seeds, nothing of the images."""
    values = {"best": np.zeros(4)}
    for name, p in zip("xy", p_values, strict=True):
        spread = 2 / (stdtrit(3, 1 - p / 2) * np.sqrt(4 / 3))
        values[name] = -1 - ord(name) / 1e6 - spread * np.array([1, -1, 1, -1])
    replicates = {n: np.repeat(v[:, None], 5, axis=1) for n, v in values.items()}
    result = ranking(values, replicates, 0.01, {})
    assert [row["to_best"]["p"] for row in result["rows"][1:]] == pytest.approx(p_values, rel=1e-3)
    assert result["best_set"] == best_set


def test_without_costs_or_default():
    result = ranking(*arms(a=0.5, b=0.9), 0.01, {})
    assert result["cheapest_adequate"] == "b" and result["default"] is None
    assert all(row["to_default"] is None for row in result["rows"])


def test_cheapest_adequate_needs_the_margin():
    """`near` is shown to be worse, but by less than 2 points: adequate at a margin of 2 points, not at 0.5."""
    values, replicates = arms(noise=0.0005, best=0.70, near=0.69, far=0.5)
    costs = {"best": 10.0, "near": 1.0, "far": 0.1}
    assert ranking(values, replicates, 0.02, costs)["cheapest_adequate"] == "near"
    result = ranking(values, replicates, 0.005, costs)
    assert result["cheapest_adequate"] == "best" and result["best_set"] == ["best"]


@pytest.mark.parametrize(("margin", "chosen"), [(0.0101, "near"), (0.0099, "best")])
def test_the_margin_itself_of_an_arm_shown_to_be_worse(margin, chosen):
    """`near` is worse by one point, with hardly any noise: half a hundredth of a point decides."""
    values = {"best": np.array([0.7, 0.71, 0.72]), "near": np.array([0.69, 0.70, 0.71])}
    replicates = {n: v[:, None] + [[-1e-3, 0.0, 1e-3]] for n, v in values.items()}
    result = ranking(values, replicates, margin, {"best": 2.0, "near": 1.0})
    assert result["best_set"] == ["best"] and result["cheapest_adequate"] == chosen


@pytest.mark.parametrize(("margin", "chosen"), [(0.051, "cheap"), (0.05, "cheap"), (0.049, "best")])
@pytest.mark.parametrize("higher", [True, False])
def test_the_margin_itself_of_an_arm_that_cannot_be_told_apart(margin, chosen, higher):
    """Its measured difference of 5 points decides, since its interval is far wider than any of these margins."""
    values = {"best": np.array([0.5, 0.75]), "cheap": np.array([0.65, 0.5])}
    values = values if higher else {n: 1 - v for n, v in values.items()}
    replicates = {n: np.repeat(v[:, None], 5, axis=1) for n, v in values.items()}
    costs = {"best": 2.0, "cheap": 1.0}
    result = ranking(values, replicates, margin + 1e-12, costs, higher_is_better=higher)
    assert result["best_set"] == ["best", "cheap"] and result["cheapest_adequate"] == chosen


def test_an_arm_outside_the_best_set_needs_its_interval_within_the_margin():
    """`low` is worse by 1.5 points for sure, and the interval ends beyond the margin of 2: not adequate, although its
    measured difference is within the margin."""
    values = {"best": np.array([0.70, 0.71, 0.72]), "low": np.array([0.681, 0.6945, 0.708])}
    replicates = {n: np.repeat(v[:, None], 5, axis=1) for n, v in values.items()}
    result = ranking(values, replicates, 0.02, {"best": 2.0, "low": 1.0})
    low = result["rows"][1]["to_best"]
    assert -0.02 < low["effect"] < low["hi"] < 0 and low["lo"] < -0.02
    assert result["best_set"] == ["best"] and result["cheapest_adequate"] == "best"


def test_all_that_a_ranking_says():
    """Names and numbers as in `metrics.json`, at a level that is nobody's default."""
    values, replicates = arms(noise=0.02, a=0.5, b=0.47, c=0.40)
    result = ranking(values, replicates, 0.01, {"a": 3.0, "b": 2.0, "c": 1.0}, default="c", level=0.6)
    assert [row["weights"] for row in result["rows"]] == [result["best"], *sorted({"a", "b"} - {result["best"]}), "c"]

    def effect(one, other, p_holm):
        return paired_difference(values[one], replicates[one], values[other], replicates[other], level=0.6).to_json(
            p_holm
        )

    for row in result["rows"]:
        name, own = row["weights"], crossed_interval(values[row["weights"]], replicates[row["weights"]], 0.6)
        assert row == {
            "weights": name,
            "mean": own.effect,
            "lo": own.lo,
            "hi": own.hi,
            "per_seed": list(own.per_seed),
            "to_best": effect(name, result["best"], row["to_best"]["p_holm"]),
            "to_default": None if name == "c" else effect(name, "c", row["to_default"]["p_holm"]),
        }
    del result["rows"]
    assert result == {
        "default": "c",
        "margin": 0.01,
        "higher_is_better": True,
        "best": "a",
        "best_set": result["best_set"],
        "cheapest_adequate": result["cheapest_adequate"],
        "scope": "these weights, over 3 seeds",
    }


def test_of_equal_cost_the_better_and_of_equal_means_the_first():
    values = {"b": np.array([0.5, 0.6]), "a": np.array([0.5, 0.6]), "c": np.array([0.5, 0.61])}
    replicates = {n: np.repeat(v[:, None], 5, axis=1) for n, v in values.items()}
    result = ranking(values, replicates, 0.1, {"a": 1.0, "b": 1.0, "c": 1.0})
    assert [row["weights"] for row in result["rows"]] == ["c", "b", "a"] and result["cheapest_adequate"] == "c"
    assert ranking(values, replicates, 0.1, {"a": 1.0, "b": 1.0, "c": 2.0})["cheapest_adequate"] == "b"
    assert ranking(values, replicates, 0.1, {"a": float("nan"), "c": 2.0})["cheapest_adequate"] == "c"


def test_arms_without_a_value_keep_their_order():
    values, replicates = arms(a=0.5)
    for name in ("z", "y", "x"):
        values[name], replicates[name] = np.full(3, np.nan), np.full((3, 200), np.nan)
    order = ["z", "a", "y", "x"]
    result = ranking({n: values[n] for n in order}, {n: replicates[n] for n in order}, 1.0, {})
    assert [row["weights"] for row in result["rows"]] == ["a", "z", "y", "x"]


def test_indistinct_by_noise_alone_is_not_adequate():
    """Two seeds cannot tell 0.5 from 0.6 here, but a measured loss of 10 points is no adequate choice."""
    values = {"best": np.array([0.55, 0.65]), "cheap": np.array([0.6, 0.4])}
    replicates = {n: np.repeat(v[:, None], 5, axis=1) for n, v in values.items()}
    result = ranking(values, replicates, 0.01, {"best": 2.0, "cheap": 1.0})
    assert set(result["best_set"]) == {"best", "cheap"}
    assert result["cheapest_adequate"] == "best"


def test_one_seed():
    values, replicates = arms(num_seeds=1, noise=0.01, a=0.700, b=0.705, c=0.3)
    result = ranking(values, replicates, 0.01, {}, default="c")
    assert result["scope"] == "this trained model only"
    assert set(result["best_set"]) == {"a", "b"}
    assert all(row["to_best"]["p"] is None and row["to_best"]["p_holm"] is None for row in result["rows"])


def test_identical_arms_share_the_best_set():
    values, replicates = arms(a=0.5)
    result = ranking(
        {"a": values["a"], "b": values["a"]}, {"a": replicates["a"], "b": replicates["a"]}, 0.0, {"a": 2.0, "b": 1.0}
    )
    assert result["best"] == "a" and result["best_set"] == ["a", "b"]
    assert result["cheapest_adequate"] == "b"
    assert result["rows"][1]["to_best"]["p_holm"] == 1.0


def test_one_arm():
    result = ranking(*arms(only=0.5), 0.01, {"only": 1.0}, default="only")
    assert result["best_set"] == ["only"] and result["cheapest_adequate"] == "only"
    assert result["rows"][0]["to_default"] is None


def test_lower_is_better():
    values, replicates = arms(noise=0.001, good=0.40, near=0.405, bad=0.9)
    result = ranking(values, replicates, 0.02, {"good": 3, "near": 2, "bad": 1}, higher_is_better=False)
    assert [row["weights"] for row in result["rows"]] == ["good", "near", "bad"]
    assert result["cheapest_adequate"] == "near"
    assert result["rows"][2]["to_best"]["effect"] == pytest.approx(0.5, abs=0.01)


def test_an_arm_without_a_value_stands_last():
    values, replicates = arms(a=0.5, b=0.4)
    values["none"], replicates["none"] = np.full(3, np.nan), np.full((3, 200), np.nan)
    result = ranking(values, replicates, 1.0, {"none": 0.0, "b": 1.0, "a": 2.0})
    assert [row["weights"] for row in result["rows"]] == ["a", "b", "none"]
    assert "none" not in result["best_set"] and result["cheapest_adequate"] == "b"
    assert result["rows"][2]["mean"] is None
    json.dumps(result, allow_nan=False)


def test_faults():
    values, replicates = arms(a=0.5, b=0.4)
    with pytest.raises(ValueError, match=r"the default 'c' is not among \['a', 'b'\]"):
        ranking(values, replicates, 0.01, {}, default="c")
    with pytest.raises(ValueError, match="both need the same arms"):
        ranking(values, {}, 0.01, {})
    with pytest.raises(ValueError, match="cannot be paired"):
        ranking({**values, "a": values["a"][:2]}, {**replicates, "a": replicates["a"][:2]}, 0.01, {})
