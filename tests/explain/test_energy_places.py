"""Where energy lies: painted maps, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.explain.places import places

LEFT = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]], float).ravel()
"""On 3 x 4 cells, of a diagonal of 5: the first column. The objects of the other image are the last column."""
RIGHT = LEFT.reshape(3, 4)[:, ::-1].ravel()
PARTNER = np.array([1, 0])


def of(energy: np.ndarray) -> dict[str, float]:
    """Of the first image, whose object is on the left; the second is its control."""
    found = places(np.stack([energy, energy]), np.stack([LEFT, RIGHT]), PARTNER, (3, 4))
    return {name: float(values[0]) for name, values in found.items()}


def test_energy_on_the_object_alone() -> None:
    """All of it inside, none on the other's; centers 0 and 3 columns away. Spread: cells one row up and down."""
    assert of(2 * LEFT) == pytest.approx({"pointing": 1, "inside": 1, "center": -3 / 5, "spread": np.sqrt(2 / 3) / 5})


def test_even_energy_knows_nothing() -> None:
    """A quarter inside either; every cell is the highest; the center is half way. Spread: columns 1.25, rows 2/3."""
    expected = {"pointing": 0, "inside": 0, "center": 0, "spread": np.sqrt(1.25 + 2 / 3) / 5}
    assert of(np.ones(12)) == pytest.approx(expected, abs=1e-12)


def test_one_hot_cell_beside_a_broad_object() -> None:
    """Three of four parts lie in the column beside the object, the highest cell among them."""
    energy = LEFT + np.roll(LEFT, 1) * 3
    assert of(energy) == pytest.approx(
        {"pointing": 0, "inside": 0.25, "center": (0.75 - 2.25) / 5, "spread": np.sqrt(2 / 3 + 0.1875) / 5}
    )


def test_half_a_cell_counts_for_pointing_and_its_share_for_energy() -> None:
    shares = np.stack([LEFT * 0.5, RIGHT])
    found = places(np.stack([LEFT, LEFT]), shares, PARTNER, (3, 4))
    assert found["pointing"][0] == 1 and found["inside"][0] == 0.5


def test_no_energy_no_object_and_no_partner_are_not_numbers() -> None:
    none = np.zeros(12)
    found = places(np.stack([none, LEFT]), np.stack([LEFT, RIGHT]), PARTNER, (3, 4))
    assert all(np.isnan(values[0]) for values in found.values())
    found = places(np.stack([LEFT, LEFT]), np.stack([none, RIGHT]), PARTNER, (3, 4))
    assert all(np.isnan(found[name]).all() for name in ("pointing", "inside", "center"))
    assert np.isfinite(found["spread"]).all()
    found = places(np.stack([LEFT, LEFT]), np.stack([LEFT, RIGHT]), np.array([-1, 0]), (3, 4))
    assert np.isnan(found["inside"][0]) and np.isfinite(found["inside"][1])


def test_random_energy_has_no_place_on_average() -> None:
    rng = np.random.default_rng(0)
    shares = np.stack([LEFT, RIGHT])[rng.integers(0, 2, 400)]
    found = places(rng.random((400, 12)), shares, rng.permutation(400), (3, 4))
    for name in ("pointing", "inside", "center"):
        assert abs(found[name].mean()) < 3 * found[name].std() / 20
