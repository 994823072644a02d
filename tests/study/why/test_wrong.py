"""Whether two candidates differ in what they get wrong."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.metrics.detection_errors import KINDS
from headstart.study.why.wrong import wrong, wrong_lines


def drawn(seeds: int, lead: float) -> dict[str, np.ndarray]:
    """Of each measure and kind a mean of .2 for both; b gets `lead` more of missed objects."""
    rng = np.random.default_rng(3)
    images = 0.01 * rng.standard_normal((1, 1 + 60))
    images[:, 0] = 0
    arrays = {}
    for measure in ("given_back", "errors"):
        for kind in KINDS:
            for role in "ab":
                of_seeds = 0.2 + 0.01 * rng.standard_normal((seeds, 1)) + lead * (role == "b") * (kind == "missed")
                arrays[f"{measure}/{kind}/{role}"] = of_seeds + images
    return arrays


def test_a_kind_that_differs_is_shown_and_the_others_are_not() -> None:
    arrays = drawn(4, 0.3)
    found = wrong(arrays)
    assert found is not None and list(found) == ["given_back", "errors"] and list(found["errors"]) == list(KINDS)
    missed, others = found["given_back"]["missed"], [found["given_back"][kind] for kind in KINDS[:-1]]
    assert missed["b"] == pytest.approx(arrays["given_back/missed/b"][:, 0].mean())
    assert missed["difference"]["effect"] == pytest.approx(missed["a"] - missed["b"])
    assert missed["difference"]["hi"] < 0 and missed["difference"]["p_adjusted"] < 0.01
    assert missed["difference"]["p_adjusted"] == pytest.approx(6 * missed["difference"]["p"])
    assert all(of["difference"]["p_adjusted"] > 0.05 for of in others)
    [line] = wrong_lines(found["given_back"], "one", "two")
    assert line.startswith("points lost by kind of error, one / two: missed 20.") and line.count(" / ") == 7


def test_one_seed_has_no_test_and_tasks_without_kinds_nothing() -> None:
    found = wrong(drawn(1, 0.3))
    assert found is not None and found["errors"]["missed"]["difference"]["p_adjusted"] is None
    assert wrong({}) is None
    nothing = {f"{m}/{k}/{r}": np.full((2, 9), np.nan) for m in ("given_back", "errors") for k in KINDS for r in "ab"}
    empty = wrong(nothing)
    assert empty is not None and empty["errors"]["both"]["a"] is None and wrong_lines(empty["errors"], "a", "b") == []
