"""What errors of each kind come to, by hand: among as many of the surest detections as there are objects."""

import numpy as np
import pytest

from headstart.metrics.detection_errors import KINDS
from headstart.tasks.detection_mistakes import mistakes
from support.boxes_by_hand import detections_of, truth_of

A, B = (0, 0, 10, 10), (100, 0, 110, 10)


def test_errors_for_each_object_are_counted_among_the_surest() -> None:
    """Image 0: both objects found, then one again, which is the fourth of four. Image 1: a poor box at A, nothing near
    B. The fifth, where nothing is, is not among the surest four."""
    truth = truth_of([(k, 0, 0, *box) for k in (0, 1) for box in (A, B)], num_images=2)
    found = [(0, 0, 0.9, *A), (0, 0, 0.8, *B), (1, 0, 0.7, 0, 0, 10, 4), (0, 0, 0.6, *A), (1, 0, 0.5, 50, 50, 60, 60)]
    weights = np.array([[1, 1], [1, 0], [0, 2], [0, 0]], np.uint16)
    of = mistakes(truth, detections_of(found), "voc-area", weights)
    assert list(of) == [f"{measure}/{kind}" for measure in ("given_back", "errors") for kind in KINDS]
    expected = {"duplicate": [1 / 4, 1 / 2, 0], "localization": [1 / 4, 0, 1 / 2], "missed": [1 / 4, 0, 1 / 2]}
    for kind in KINDS:
        assert of[f"errors/{kind}"][:3].tolist() == expected.get(kind, [0, 0, 0]), kind
        assert np.isnan([of[f"errors/{kind}"][3], of[f"given_back/{kind}"][3]]).all(), "nothing is there"
    # As it is: two of four objects at precision 1, AP 1/2. The poor box mended: three, 3/4. Missed left out: 2/3.
    assert of["given_back/localization"][0] == pytest.approx(1 / 4)
    assert of["given_back/missed"][0] == pytest.approx(2 / 3 - 1 / 2)
    assert of["given_back/duplicate"][1] == of["given_back/background"][0] == 0
