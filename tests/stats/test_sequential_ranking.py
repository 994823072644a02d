"""Rankings of arms with unlike numbers of seeds: each row is what its own look says, the rest of the last one."""

import numpy as np
import pytest

from headstart.stats.contrasts import ranking
from headstart.stats.sequential import judge, levels
from headstart.stats.sequential_ranking import sequential_ranking

RNG = np.random.default_rng(0)
SHARED = 0.01 * RNG.normal(size=200)
COSTS = {"a": 4.0, "b": 1.0, "c": 2.0}


def arm(mean: float, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    scores = mean + 0.01 * RNG.normal(size=(seeds, 1)) + 0.003 * RNG.normal(size=(seeds, 200)) + SHARED
    return scores[:, 0], scores


ALL = {"a": arm(0.70, 5), "b": arm(0.695, 5), "c": arm(0.30, 5)}


def parts(**counts: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    values = {name: ALL[name][0][:count] for name, count in counts.items()}
    return values, {name: ALL[name][1][:count] for name, count in counts.items()}


def rows(ranked):
    return {row["weights"]: row for row in ranked["rows"]}


def test_where_all_seeds_are_run_it_is_the_ranking_at_the_level_of_the_last_look():
    data = parts(a=5, b=5, c=5)
    found = sequential_ranking(*data, 0.01, COSTS, seeds=5, default="b")
    usual = ranking(*data, 0.01, COSTS, default="b", level=1 - levels(5)[5])
    scale = 0.05 / levels(5)[5]
    for key in ("best", "best_set", "cheapest_adequate", "cheapest_not_worse", "overstated", "margin", "scope"):
        assert found[key] == usual[key], key
    for name, row in rows(usual).items():
        mine = rows(found)[name]
        assert (mine["lo"], mine["hi"], mine["behind_at_most"]) == (row["lo"], row["hi"], row["behind_at_most"])
        if row["to_best"]["p_adjusted"] is not None:
            assert mine["to_best"]["p_adjusted"] == pytest.approx(min(1, row["to_best"]["p_adjusted"] * scale))
    assert found["sequential"]["spent"] == {"a": 5, "b": 5, "c": 5} and found["sequential"]["most"] == 5


def test_one_that_was_dropped_is_told_by_the_look_that_dropped_it():
    found = sequential_ranking(*parts(a=5, b=5, c=3), 0.01, COSTS, seeds=5)
    early = ranking(*parts(a=3, b=3, c=3), 0.01, COSTS, level=1 - levels(5)[3], against=found["best"])
    mine, then = rows(found)["c"], rows(early)["c"]
    assert [row["weights"] for row in found["rows"]][-1] == "c" and mine["seeds"] == 3
    for key in ("effect", "lo", "hi", "p"):
        assert mine["to_best"][key] == then["to_best"][key]
    assert mine["mean"] == pytest.approx(ALL["c"][0][:3].mean()) and mine["behind_at_most"] == then["behind_at_most"]
    assert "c" not in found["best_set"] and found["scope"] == "these weights, over 3 to 5 seeds"
    assert judge(*parts(a=3, b=3, c=3), 5).dropped == ("c",)


def test_a_default_that_was_dropped_is_compared_at_its_last_look():
    found = sequential_ranking(*parts(a=5, b=5, c=3), 0.01, COSTS, seeds=5, default="c")
    gap = ALL["a"][0][:3].mean() - ALL["c"][0][:3].mean()
    assert found["default"] == "c" and rows(found)["a"]["to_default"]["effect"] == pytest.approx(gap)
    assert rows(found)["c"]["to_default"] is None


def test_the_best_is_one_of_those_that_were_left():
    """The dropped arm's few seeds may have the best mean of all; it was worse than another at its look."""
    values, replicates = parts(a=5, b=5, c=2)
    values["c"] = ALL["a"][0][:2] + 0.02
    replicates["c"] = ALL["a"][1][:2] + 0.02
    found = sequential_ranking(values, replicates, 0.01, COSTS, seeds=5)
    assert found["best"] in ("a", "b") and found["rows"][-1]["weights"] == "c"


def test_an_arm_that_is_within_the_margin_is_adequate_however_early_it_was_dropped():
    found = sequential_ranking(*parts(a=5, b=5, c=3), 10.0, {"a": 4.0, "b": 3.0, "c": 1.0}, seeds=5)
    assert found["cheapest_adequate"] == "c" and found["cheapest_not_worse"] != "c"
