"""Judging tables whose truth is known, and what is said of those that cannot say it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.errors import DataError, UsageError
from headstart.judging.judge import judge_scores, judge_table
from headstart.judging.scores import Scores


def scores_of(values: np.ndarray, **changes) -> Scores:
    """Scores of data sets s0, s1, .. and models a, b, ..; values (D, M) or (D, M, S)."""
    table = values if values.ndim == 3 else values[:, :, None]
    facts = {
        "path": "t.csv",
        "datasets": tuple(f"s{d}" for d in range(len(table))),
        "models": tuple(chr(ord("a") + m) for m in range(table.shape[1])),
        "values": table,
        "images": np.zeros(len(table), np.int64),
        "groups": (),
        "score": "mAP",
        "unit": "percent",
        "has_seeds": table.shape[2] > 1,
        "higher_is_better": True,
        "is_share": False,
        "notes": (),
    }
    return Scores(**{**facts, **changes})


def drawn(sets: int, gains: list[float], seeds: int = 1, *, between=2.0, within=1.0, number=0) -> np.ndarray:
    """(D, M, S) scores with these mean gains."""
    rng = np.random.default_rng(number)
    shape = (sets, len(gains))
    cells = rng.normal(60, 8, (sets, 1)) + np.array(gains) + rng.normal(0, between, shape)
    return cells[:, :, None] + rng.normal(0, within, (*shape, seeds))


GAINS = [4.0, 4.0, 2.0, 0.0, -3.0]


def test_the_truth_of_a_drawn_table_is_recovered() -> None:
    result = judge_scores(scores_of(drawn(60, GAINS, 3)))
    assert set(result.best_set) == {"a", "b"}
    truth = dict(zip("abcde", GAINS, strict=True))
    for standing in result.verdict.standings:
        lead = standing.to_leader
        if lead is not None:
            assert lead.lo <= truth[standing.model] - truth[result.leader] <= lead.hi
        assert standing.behind[0] <= 4 - truth[standing.model] <= standing.behind[1]
    assert [s.model for s in result.verdict.standings[2:]] == ["c", "d", "e"]
    parts = result.precision
    assert parts.seed_sd == pytest.approx(1, rel=0.1)
    assert parts.sd == pytest.approx(math.sqrt(2 * (4 + 1 / 3)), rel=0.1)
    assert parts.seed_share == pytest.approx((1 / 3) / (4 + 1 / 3), rel=0.25)


def test_what_more_would_buy() -> None:
    """Without a part of the data sets, twice the seeds and twice the data sets are worth the same."""
    parts = judge_scores(scores_of(drawn(200, [0, 0, 0], 2, between=0, within=3))).precision
    assert parts.seed_share > 0.9
    assert parts.with_twice_seeds == pytest.approx(parts.with_twice_datasets, rel=0.06)
    assert parts.with_twice_datasets == pytest.approx(parts.detectable / math.sqrt(2))


def test_many_equal_models_are_not_told_apart() -> None:
    result = judge_scores(scores_of(drawn(20, [0.0] * 8)))
    assert len(result.best_set) == 8
    assert "not distinguishable: all 8 models" in result.text()


def test_lower_is_better_is_the_mirror() -> None:
    values = drawn(12, GAINS)
    up, down = judge_scores(scores_of(values)), judge_scores(scores_of(-values, higher_is_better=False))
    assert up.best_set == down.best_set
    for a, b in zip(up.verdict.standings, down.verdict.standings, strict=True):
        assert (a.model, a.behind, a.rank) == (b.model, b.behind, b.rank)
        assert a.mean == pytest.approx(-b.mean)
        if a.to_leader and b.to_leader:
            assert (a.to_leader.effect, a.to_leader.lo) == pytest.approx((-b.to_leader.effect, -b.to_leader.hi))


def test_one_score_a_cell_says_what_cannot_be_known() -> None:
    result = judge_scores(scores_of(drawn(12, GAINS)))
    assert math.isnan(result.precision.seed_share) and math.isnan(result.precision.seed_sd)
    said = "\n".join(result.unknown)
    assert "How far another training would move a score: there is one a cell." in said
    assert "the table does not say how many there were" in said
    assert "seeds" not in result.text() and "nan" not in result.text()
    facts = json.loads(json.dumps(result.to_json()))
    assert facts["precision"]["seed_sd"] is None


def test_seeds_take_what_cannot_be_known_away() -> None:
    said = "\n".join(judge_scores(scores_of(drawn(12, GAINS, 3))).unknown)
    assert "another training" not in said


def test_images_say_something_of_shares_alone() -> None:
    """Of 100 images half of them right: the variance of a share is .25 / 100, of a difference at most twice that."""
    values = np.full((30, 3, 1), 0.5) + np.random.default_rng(0).normal(0, 0.1, (30, 3, 1))
    images = np.full(30, 100)
    accuracy = judge_scores(scores_of(values, images=images, is_share=True, unit="fraction", score="accuracy"))
    assert accuracy.precision.image_share == pytest.approx(2 * 0.0024 / 0.02, rel=0.2)
    assert "test images are at most" in accuracy.text()
    other = judge_scores(scores_of(values, images=images, unit="fraction"))
    assert math.isnan(other.precision.image_share)
    assert any(
        "there were 100 to 100 a data set, but only of a share of right answers" in line for line in other.unknown
    )


def test_holes_are_paired_where_they_can_be_and_said() -> None:
    values = drawn(12, GAINS)
    values[:3, 0] = values[5, 2] = np.nan
    result = judge_scores(scores_of(values))
    assert result.holes == (
        "no score of a on s0, s1, s2 (3 of 12)",
        "no score of c on s5 (1 of 12)",
        "each pair is compared on the data sets that both have; 8 of 12 have every model",
    )
    shared = {s.model: s.to_leader.shared for s in result.verdict.standings if s.to_leader}
    assert result.leader == "a" and shared == {"b": 9, "c": 8, "d": 9, "e": 9}
    assert " on 9" in result.text()


def test_models_that_nothing_joins_to_the_others_are_left_out() -> None:
    values = drawn(8, GAINS)
    values[:5, 4] = np.nan
    values[5:, :4] = np.nan
    result = judge_scores(scores_of(values))
    assert result.verdict.apart == ("e",) and len(result.verdict.standings) == 4
    assert "left out, since too few data sets join them to the others: e" in result.text()
    assert any("not compared, since they share fewer than two data sets: a and e" in line for line in result.holes)


def test_nothing_that_can_be_compared_is_refused() -> None:
    values = np.array([[1.0, np.nan], [np.nan, 2.0]])
    with pytest.raises(DataError, match=r"t\.csv: no two models share two data sets"):
        judge_scores(scores_of(values))


def test_groups_hold_together_and_their_interaction_is_said() -> None:
    values = drawn(24, [0.0, 0.0, 0.0], between=1.0)
    values[12:, 0] += 6
    groups = ("sky",) * 12 + ("sea",) * 12
    result = judge_scores(scores_of(values, groups=groups))
    assert [(g.of, g.datasets, g.level) for g in result.groups] == [("sky", 12, 0.975), ("sea", 12, 0.975)]
    assert result.groups[0].best_set != ("a",) and result.groups[1].best_set == ("a",)
    assert result.interaction_p < 0.001
    assert "differences between models depend on the group (p < 0.001)" in result.text()


def test_groups_without_two_data_sets_have_no_verdict() -> None:
    result = judge_scores(scores_of(drawn(5, GAINS), groups=("sky", "sky", "sea", "sky", "sky")))
    assert [g.of for g in result.groups] == ["sky"]
    assert "groups in which no two models share two data sets have no verdict: sea" in result.notes


def test_other_readings_differ_where_one_data_set_dominates() -> None:
    """b is a little better on 11 data sets and far worse on one: by ranks it leads."""
    values = np.random.default_rng(1).normal(0, 0.2, (12, 3)) + np.array([0, 1.0, -1.0])
    values[0] = [60.0, 0.0, 30.0]
    result = judge_scores(scores_of(values))
    by_scale = {other.scale.split()[0]: other for other in result.otherwise}
    assert result.leader == "a" and by_scale["ranks"].leader == "b" and by_scale["standard"].leader == "b"
    assert by_scale["ranks"].best_set == ("b", "a")
    assert ("s0", "b") in result.movers
    assert "the best mean hangs on single data sets: b without s0 would lead" in result.text()


def test_standardized() -> None:
    """Data sets of a hundred times the spread count no more than others."""
    values = drawn(10, GAINS)
    wide = values.copy()
    wide[::2] = 100 * values[::2]
    plain, spread = judge_scores(scores_of(values), True), judge_scores(scores_of(wide), True)
    leads = [r.verdict.standings[1].to_leader for r in (plain, spread)]
    assert leads[0] and leads[1] and leads[0].to_json() == pytest.approx(leads[1].to_json())
    assert spread.scale == "standard deviations of the models within a data set"
    assert [other.scale for other in spread.otherwise] == ["percent", "ranks within a data set"]
    with pytest.raises(UsageError, match="--standardize needs three models"):
        judge_scores(scores_of(drawn(10, [0, 1.0])), True)


@pytest.mark.parametrize("sets", [2, 3])
def test_few_data_sets_say_so(sets: int) -> None:
    result = judge_scores(scores_of(drawn(sets, [0.0, 0.1, 0.2])))
    assert len(result.best_set) == 3
    assert any(f"{sets} data sets say next to nothing of it" in line for line in result.unknown)


def test_two_models_on_two_data_sets() -> None:
    """Differences 1 and 3: mean 2, standard error 1, and t of one degree of freedom is 12.7062."""
    result = judge_scores(scores_of(np.array([[1.0, 0.0], [3.0, 0.0]])))
    lead = result.verdict.standings[1].to_leader
    assert lead is not None
    assert (lead.effect, lead.lo, lead.hi) == pytest.approx((-2, -14.7062, 10.7062), abs=1e-3)
    assert result.best_set == ("a", "b")
    assert [other.best_set for other in result.otherwise] == [("a", "b")], "a rank cannot show it either"


def test_differences_without_any_spread_are_pointed_out() -> None:
    result = judge_scores(scores_of(np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]])))
    assert any("the same on all data sets to the last digit" in line for line in result.unknown)
    assert json.loads(json.dumps(result.to_json()))["verdict"]["leader"] == "a"


def test_the_function_of_the_package(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(
        "corpus,model,score\n" + "".join(f"s{d},{m},{d + g}\n" for d in range(4) for m, g in {"a": 0, "b": 9}.items())
    )
    result = headstart.judge(path, {"dataset": "corpus"}, out=tmp_path / "page")
    assert repr(result) == "<judgement of 2 models on 4 data sets; best set: b>"
    assert result.page == tmp_path / "page" / "index.html" and result.page.is_file()
    assert json.loads((tmp_path / "page" / "judgement.json").read_text()) == json.loads(json.dumps(result.to_json()))
    assert result.text().endswith(f"page: {result.page}")
    assert judge_table(path).page is None
