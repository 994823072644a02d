"""Tests of weights load them with a small proof: the images that it computes are most of their time."""

from unittest.mock import patch

import pytest

from headstart.weights import proof
from headstart.weights.checks import consistency

READ_THE_PROOF = (
    *("test_consistency", "test_proof", "test_catalogue", "test_example_weights", "test_nothing_wrong_passes"),
)
"""Files of tests whose subject is what the proof says."""


@pytest.fixture(autouse=True)
def _small_proof(request: pytest.FixtureRequest):
    if request.module.__name__.rpartition(".")[2] in READ_THE_PROOF:
        yield
        return
    with patch.object(proof, "FINGERPRINT_SIDE", 64), patch.object(consistency, "IMAGES", 1):
        yield
