"""CKA, Procrustes and hubness: closed forms, the formulas of the papers, invariances, chance."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.explain.similarity import debiased_cka, hubness, stage_similarity


def hsic_of_the_paper(k: np.ndarray, m: np.ndarray) -> float:
    """Song et al., JMLR 2012, eq. 5, term by term."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    ones = np.ones(n)
    return (
        np.trace(k @ m)
        + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (ones @ k @ m @ ones)
    ) / (n * (n - 3))


def rotation(size: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


@pytest.mark.parametrize("n", [4, 5, 30])
def test_cka_is_that_of_the_unbiased_formula(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 7)), rng.normal(size=(n, 3))
    y[:, 0] += x[:, 0]
    k, m = x @ x.T, y @ y.T
    expected = hsic_of_the_paper(k, m) / np.sqrt(hsic_of_the_paper(k, k) * hsic_of_the_paper(m, m))
    assert debiased_cka(x, y) == pytest.approx(expected, abs=1e-12)


def test_of_many_images_cka_is_the_closed_form_of_gaussian_spaces() -> None:
    """x of independent channels with variances v, y = a x + noise of variance s: HSIC of linear kernels is
    the squared Frobenius norm of their covariance, so CKA = sum (a v)^2 / (|v^2| |(a^2 v + s)^2|)."""
    rng = np.random.default_rng(0)
    v, a, s = np.array([1.0, 4.0]), 0.5, 1.0
    x = rng.normal(size=(4000, 2)) * np.sqrt(v)
    y = a * x + rng.normal(size=(4000, 2)) * np.sqrt(s)
    expected = ((a * v) ** 2).sum() / np.sqrt((v**2).sum() * ((a**2 * v + s) ** 2).sum())
    assert debiased_cka(x, y) == pytest.approx(expected, abs=0.03)


def test_independent_spaces_of_many_channels_have_no_cka_on_average() -> None:
    """The biased estimate is above .8 here."""
    rng = np.random.default_rng(1)
    values = [debiased_cka(rng.normal(size=(20, 100)), rng.normal(size=(20, 100))) for _ in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(200)


def test_rotation_shift_and_scale_change_nothing_and_another_space_does() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 6)) * np.arange(1, 7)
    moved = 3 * x @ rotation(6, rng) + 5
    found = stage_similarity([x], [moved, rng.normal(size=(40, 6)), np.ones((40, 3))])
    assert found.cka[0, 0] == pytest.approx(1) and found.procrustes[0, 0] == pytest.approx(1)
    assert abs(found.cka[0, 1]) < 0.3 and found.procrustes[0, 1] < 0.8
    assert found.procrustes[0, 1] == pytest.approx(found.chance[0, 1], abs=0.2)
    assert np.isnan([found.cka[0, 2], found.procrustes[0, 2]]).all()


def test_procrustes_of_two_points_by_hand() -> None:
    """Channels (1, 0, -1, 0) and (0, 1, 0, -1) each of size 1/2: a turns into b by 90 degrees, so their sum of singular
    values is 1; with b's second channel gone only half of it is left, whose size is all of b: 1 / sqrt(2)."""
    a = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    b = np.array([[0, 1.0], [-1, 0], [0, -1], [1, 0]])
    found = stage_similarity([a], [b, b[:, :1]])
    assert found.procrustes[0].tolist() == pytest.approx([1, 1 / np.sqrt(2)])


def test_procrustes_is_the_best_rotation() -> None:
    """As scipy has it: |a - s b R|^2 of unit sizes is 1 - similarity^2."""
    from scipy.spatial import procrustes

    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    assert stage_similarity([a], [b]).procrustes[0, 0] == pytest.approx(np.sqrt(1 - procrustes(a, b)[2]))


def test_too_few_or_other_images() -> None:
    found = stage_similarity([np.eye(3)], [np.eye(3)])
    assert np.isnan(found.cka).all() and np.isnan(found.procrustes).all()
    with pytest.raises(ValueError, match="of \\[3, 4\\] images"):
        stage_similarity([np.eye(3)], [np.eye(4)])


def test_hubness_by_hand() -> None:
    """A ring names all equally; a star names its center alone, but for the center's own neighbor."""
    ring = np.array([[1], [2], [3], [0]])
    assert hubness(ring, 1)[1] == 0 and np.isnan(hubness(ring, 1)[0])
    star = np.array([[1], [0], [0], [0]])
    skewness, never = hubness(star, 1)
    assert never == 0.5
    assert skewness == pytest.approx(((2**3 + 0 - 1 - 1) / 4) / (6 / 4) ** 1.5)
