"""Holm's adjustment and rankings."""

import json

import numpy as np
import pytest

from headstart.stats.arms import Arms
from headstart.stats.contrasts import holm, ranking
from headstart.stats.simultaneous import Simultaneous


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


def still(values):
    """Replicates of seeds whose images do not matter."""
    return {name: np.repeat(np.asarray(column)[:, None], 5, axis=1) for name, column in values.items()}


def test_ranking_is_a_set():
    values, replicates = arms(random=0.3, a=0.700, b=0.701, mid=0.6)
    result = ranking(values, replicates, 0.01, {"a": 1, "b": 2, "mid": 0.5, "random": 0.1}, default="mid")
    assert [row["weights"] for row in result["rows"]][2:] == ["mid", "random"]
    assert result["best"] == result["rows"][0]["weights"] and set(result["best_set"]) == {"a", "b"}
    assert result["cheapest_adequate"] == result["cheapest_not_worse"] == "a"
    assert result["scope"] == "these weights, over 3 seeds" and result["ranked"]
    best, _, mid, random = result["rows"]
    assert best["to_best"]["effect"] == 0 and best["to_best"]["p"] == 1.0 and best["to_best"]["p_adjusted"] is None
    assert best["to_default"]["effect"] == pytest.approx(0.1, abs=0.01)
    assert mid["to_default"] is None
    assert random["to_default"]["effect"] == pytest.approx(-0.3, abs=0.01)
    assert random["to_best"]["effect"] == pytest.approx(values["random"].mean() - values[result["best"]].mean())
    assert best["behind_at_most"] < 0.01 < 0.09 < mid["behind_at_most"] < random["behind_at_most"]
    json.dumps(result, allow_nan=False)


def test_those_to_the_best_hold_together_and_those_to_the_default_are_a_family():
    values, replicates = arms(noise=0.02, a=0.5, b=0.47, c=0.45, d=0.43)
    rows = ranking(values, replicates, 0.01, {}, default="d")["rows"]
    effects = [row["to_default"] for row in rows if row["to_default"]]
    assert len(effects) == 3
    assert [e["p_adjusted"] for e in effects] == pytest.approx(holm([e["p"] for e in effects]))
    together = Arms(values, replicates)
    for row in rows[1:]:
        alone = together.difference(row["weights"], rows[0]["weights"])
        assert row["to_best"]["lo"] < alone.lo and row["to_best"]["hi"] > alone.hi
        assert row["to_best"]["p"] == alone.p < row["to_best"]["p_adjusted"]


@pytest.mark.parametrize("gap", [0.5, 1.0, 1.5, 2.0])
def test_the_best_set_is_by_the_interval_that_is_shown(gap):
    values = {"best": np.array([0.0, 0.1, -0.1, 0.2]), "x": np.array([0.1, -0.1, 0.1, 0.0]) - gap / 10}
    values |= {"y": np.array([0.0, 0.2, 0.1, -0.2]) - 0.05}
    result = ranking(values, still(values), 0.01, {})
    for row in result["rows"]:
        held = row["to_best"]["lo"] <= 0 <= row["to_best"]["hi"]
        assert (row["weights"] in result["best_set"]) == held
        if row["weights"] != result["best"]:
            assert (row["to_best"]["p_adjusted"] >= 0.05) == held


def test_without_costs_or_default():
    result = ranking(*arms(a=0.5, b=0.9), 0.01, {})
    assert result["cheapest_adequate"] == result["cheapest_not_worse"] == "b" and result["default"] is None
    assert all(row["to_default"] is None for row in result["rows"])


def test_cheapest_adequate_needs_the_margin():
    """`near` is shown to be worse, but by less than 2 points: adequate at a margin of 2 points, not at 0.5."""
    values, replicates = arms(noise=0.0005, best=0.70, near=0.69, far=0.5)
    costs = {"best": 10.0, "near": 1.0, "far": 0.1}
    assert ranking(values, replicates, 0.02, costs)["cheapest_adequate"] == "near"
    result = ranking(values, replicates, 0.005, costs)
    assert result["cheapest_adequate"] == "best" and result["best_set"] == ["best"]


def test_the_margin_is_compared_with_how_far_behind_it_may_be():
    values = {"best": np.array([0.7, 0.71, 0.72]), "near": np.array([0.69, 0.70, 0.71])}
    row = ranking(values, still(values), 0.01, {})["rows"][1]
    assert row["behind_at_most"] > -row["to_best"]["effect"] == pytest.approx(0.01)
    for margin, chosen in ((row["behind_at_most"] + 1e-9, "near"), (row["behind_at_most"] - 1e-9, None)):
        result = ranking(values, still(values), margin, {"best": 2.0, "near": 1.0})
        assert result["cheapest_adequate"] in {chosen, None if chosen else "best"}
        assert (result["cheapest_adequate"] == "near") == (chosen == "near")


def test_what_cannot_be_told_apart_is_not_adequate_for_that():
    """Two seeds cannot tell 0.5 from 0.6 here; nothing is shown to be within a point of the best, not even the best."""
    values = {"best": np.array([0.55, 0.65]), "cheap": np.array([0.6, 0.4])}
    result = ranking(values, still(values), 0.01, {"best": 2.0, "cheap": 1.0})
    assert set(result["best_set"]) == {"best", "cheap"}
    assert result["cheapest_adequate"] is None and result["cheapest_not_worse"] == "cheap"


def test_all_that_a_ranking_says():
    """Names and numbers as in `metrics.json`, at a level that is nobody's default."""
    values, replicates = arms(noise=0.02, a=0.5, b=0.47, c=0.40)
    result = ranking(values, replicates, 0.01, {"a": 3.0, "b": 2.0, "c": 1.0}, default="c", level=0.6)
    order = [row["weights"] for row in result["rows"]]
    assert order == [result["best"], *sorted({"a", "b"} - {result["best"]}), "c"]
    both = Arms(values, replicates)
    together = Simultaneous.of(both, order, 0.6)
    behind = together.behind_at_most()
    for row in result["rows"]:
        name, own = row["weights"], both.mean(row["weights"], 0.6)
        to_best, p = together.difference(name, result["best"])
        assert row == {
            "weights": name,
            "mean": own.effect,
            "lo": own.lo,
            "hi": own.hi,
            "per_seed": list(values[name]),
            "to_best": to_best.to_json(p),
            "to_default": None
            if name == "c"
            else both.difference(name, "c", 0.6).to_json(row["to_default"]["p_adjusted"]),
            "behind_at_most": behind[name],
        }
    del result["rows"]
    assert result == {
        "default": "c",
        "margin": 0.01,
        "higher_is_better": True,
        "ranked": True,
        "best": "a",
        "best_set": result["best_set"],
        "cheapest_adequate": result["cheapest_adequate"],
        "cheapest_not_worse": result["cheapest_not_worse"],
        "overstated": together.overstated(result["best_set"]),
        "scope": "these weights, over 3 seeds",
    }


def test_of_equal_cost_the_better_and_of_equal_means_the_first():
    values = {"b": np.array([0.5, 0.6]), "a": np.array([0.5, 0.6]), "c": np.array([0.5, 0.61])}

    def chosen(costs):
        return ranking(values, still(values), 9.0, costs)["cheapest_adequate"]

    result = ranking(values, still(values), 9.0, {"a": 1.0, "b": 1.0, "c": 1.0})
    assert [row["weights"] for row in result["rows"]] == ["c", "b", "a"] and result["cheapest_adequate"] == "c"
    assert chosen({"a": 1.0, "b": 1.0, "c": 2.0}) == "b" and chosen({"a": float("nan"), "c": 2.0}) == "c"


def test_arms_without_a_value_keep_their_order():
    values, replicates = arms(a=0.5)
    for name in ("z", "y", "x"):
        values[name], replicates[name] = np.full(3, np.nan), np.full((3, 200), np.nan)
    order = ["z", "a", "y", "x"]
    result = ranking({n: values[n] for n in order}, {n: replicates[n] for n in order}, 1.0, {})
    assert [row["weights"] for row in result["rows"]] == ["a", "z", "y", "x"]
    nothing = ranking({n: values[n] for n in "xy"}, {n: replicates[n] for n in "xy"}, 1.0, {})
    assert nothing["best"] == "x" and nothing["cheapest_adequate"] is None and nothing["overstated"] is None


def test_one_seed_never_ranks():
    values, replicates = arms(num_seeds=1, noise=0.01, a=0.700, b=0.705, c=0.3)
    result = ranking(values, replicates, 0.01, {"c": 1.0}, default="c")
    assert result["scope"] == "this trained model only" and not result["ranked"]
    assert set(result["best_set"]) == {"a", "b", "c"}
    assert result["cheapest_adequate"] is result["cheapest_not_worse"] is result["overstated"] is None
    assert all(row["to_best"]["p"] is None and row["to_best"]["p_adjusted"] is None for row in result["rows"])
    assert all(row["to_best"]["lo"] < row["to_best"]["hi"] for row in result["rows"][1:])


def test_identical_arms_share_the_best_set():
    values, replicates = arms(a=0.5)
    same = {"a": values["a"], "b": values["a"]}, {"a": replicates["a"], "b": replicates["a"]}
    result = ranking(*same, 0.0, {"a": 2.0, "b": 1.0})
    assert result["best"] == "a" and result["best_set"] == ["a", "b"] and result["cheapest_not_worse"] == "b"


def test_one_arm():
    result = ranking(*arms(only=0.5), 0.01, {"only": 1.0}, default="only")
    assert result["best_set"] == ["only"] and result["cheapest_adequate"] == "only"
    assert result["rows"][0]["to_default"] is None and result["rows"][0]["behind_at_most"] == 0
    assert result["overstated"] == pytest.approx(0, abs=1e-4)


def test_lower_is_better():
    values, replicates = arms(noise=0.001, good=0.40, near=0.405, bad=0.9)
    result = ranking(values, replicates, 0.02, {"good": 3, "near": 2, "bad": 1}, higher_is_better=False)
    assert [row["weights"] for row in result["rows"]] == ["good", "near", "bad"]
    assert result["cheapest_adequate"] == "near"
    assert result["rows"][2]["to_best"]["effect"] == pytest.approx(0.5, abs=0.01)
    assert result["rows"][2]["behind_at_most"] == pytest.approx(0.5, abs=0.02) and result["overstated"] > 0


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
    with pytest.raises(ValueError, match="both need the same"):
        ranking(values, {}, 0.01, {})
    with pytest.raises(ValueError, match="cannot be paired"):
        ranking(values, {"a": replicates["a"], "b": replicates["b"][:, :5]}, 0.01, {})
