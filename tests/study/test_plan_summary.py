"""What a planned design can find, and which designs can give no verdict."""

import numpy as np
import pytest

from headstart.config.study import Study
from headstart.stats.parts import Parts
from headstart.stats.power import detectable, power
from headstart.study.files import load_study
from headstart.study.plan import Planner
from headstart.study.plan_summary import Foreseen, assumed, family_sizes, faults_of_design, foreseen
from support.small_studies import drawn


def with_seeds(*seeds: int, **changes: object) -> Study:
    return Study.model_validate(drawn() | {"seeds": list(seeds)} | changes)


def test_one_seed_gives_no_verdict_and_no_ranking():
    (fault,) = faults_of_design(with_seeds(5))
    assert fault.startswith("one seed gives no verdict and no ranking") and fault.endswith("Three seeds can")
    (fault,) = faults_of_design(with_seeds(5, explain=None))
    assert fault.startswith("one seed gives no ranking:")
    assert faults_of_design(with_seeds(5, 6, 7)) == []


def test_two_seeds_are_told_what_they_find():
    """The stated power is that of the test."""
    (fault,) = faults_of_design(with_seeds(5, 6))
    assert fault.startswith("2 seeds find a difference of 8 standard errors in ") and fault.endswith("Add seeds")
    shares = [int(word.rstrip("%.")) for word in fault.split() if word.endswith(("%", "%."))]
    assert shares[0] < 80 < shares[1]


def test_the_families_of_the_built_in_study():
    study, _ = load_study("shapes")
    assert family_sizes(study) == {"F1": 3, "F2": 2, "F3": 1, "F4": 3}
    assert family_sizes(study.model_copy(update={"explain": None})) == {}
    paper, _ = load_study("paper")  # tasks of one of its two arms only are no tests: voc; deeplab, fcn, three probes
    assert family_sizes(paper) == {"F1": 2, "F2": 5, "F3": 1, "F4": 3}


def test_every_task_says_what_it_finds_by_what_is_assumed():
    study, base = load_study("shapes")
    planner = Planner(study, base)
    found = {one.task: one for one in foreseen(planner, None, planner.expand(lambda job: None))}
    assert set(found) == {task.name for task in study.tasks}
    detect = found["detect"]
    parts = assumed(3, 3, 1200)
    assert parts.seeds == pytest.approx(2 * 0.015**2) and parts.total > 2 * 0.015**2 / 3
    assert detect.first == pytest.approx(detectable(parts, 0.05 / 3)) and (detect.family, detect.tests) == ("F1", 3)
    assert power(detect.first, parts, 0.05 / 3) == pytest.approx(0.8, abs=1e-4)
    assert found["segment"].first < detect.first and not detect.measured
    text = detect.text(3)
    assert text.startswith(f"detect: {100 * detect.between:.1f} points between two of 3 weights; ")
    assert text.endswith("points as the first of 3 tests of F1 (1,200 test images; assumed)")


def test_more_seeds_or_images_find_smaller_differences():
    few, more, images = (detectable(assumed(*design), 0.05) for design in ((3, 3, 200), (5, 3, 200), (3, 3, 2000)))
    assert few > more and few > images and np.isnan(detectable(assumed(1, 3, 200), 0.05))
    one = Foreseen("t", 9, None, None, "F1", 3, measured=False)
    assert one.text(3) == "t: nothing (9 test images; assumed)"
    assert isinstance(assumed(2, 3, 9), Parts) and assumed(2, 3, 9).df == assumed(2, 9, 9).df < assumed(3, 3, 9).df
