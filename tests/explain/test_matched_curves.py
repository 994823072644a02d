"""Retention where both arms detect equally well: worked by hand."""

import numpy as np
import pytest
from scipy.special import expit

from headstart.explain.evidence import Measured
from headstart.explain.matched_curves import with_matched_retention

CURVE = [("few5", "few7"), ("some5", "some7"), ("many5", "many7")]


def arm(**levels: float) -> Measured:
    """Two seeds, a hundredth of the level apart; three resamples."""
    values = {name: level * np.array([0.995, 1.005]) for name, level in levels.items()}
    return Measured(values, {name: np.tile(v[:, None], (1, 3)) for name, v in values.items()})


def roles(boxes: dict[str, float], labels: dict[str, float]) -> dict[str, Measured]:
    return {"boxes": arm(**boxes), "labels": arm(**labels), "random": arm(few5=0.1)}


LOW = {"few5": expit(-1.0), "few7": 0.1, "some5": expit(0.0), "some7": 0.2, "many5": expit(1.0), "many7": 0.5}
HIGH = {"few5": expit(0.5), "few7": 0.4, "some5": expit(1.5), "some7": 0.6, "many5": expit(2.0), "many7": 0.7}


def found(with_key: dict[str, Measured]) -> list[float]:
    return [float(with_key[name].values["k"].mean()) for name in ("boxes", "labels")]


def test_the_poorer_arm_is_taken_further_up_its_curve():
    """Boxes at the fewest images have log-odds .5, half way between those of labels at some (0) and many (1)."""
    matched = with_matched_retention(roles(HIGH, LOW), CURVE, "k")
    boxes, labels = found(matched)
    assert boxes == pytest.approx(np.log(0.4 / expit(0.5)), abs=1e-3)
    half = (np.log(0.2 / 0.5) + np.log(0.5 / expit(1.0))) / 2
    assert labels == pytest.approx(half, abs=2e-3)
    assert matched["boxes"].replicates["k"].shape == (2, 3) and "k" not in matched["random"].values
    assert "few5" in matched["boxes"].values, "what was measured is still there"


def test_exchanging_the_arms_exchanges_what_is_found():
    assert (
        found(with_matched_retention(roles(LOW, HIGH), CURVE, "k"))
        == found(with_matched_retention(roles(HIGH, LOW), CURVE, "k"))[::-1]
    )


def test_an_arm_that_never_gets_there_matches_nothing():
    never = LOW | {"many5": expit(0.4)}
    assert "k" not in with_matched_retention(roles(HIGH, never), CURVE, "k")["boxes"].values


def test_one_number_of_images_or_a_missing_number_match_nothing():
    assert "k" not in with_matched_retention(roles(HIGH, LOW), CURVE[:1], "k")["boxes"].values
    assert "k" not in with_matched_retention(roles(HIGH, {"few5": 0.3}), CURVE, "k")["boxes"].values
    assert with_matched_retention(roles(HIGH, LOW), [], "k").keys() == {"boxes", "labels", "random"}
