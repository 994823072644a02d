"""Activations inside and outside of objects: hand-worked maps, scikit-learn's AUROC as oracle."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from headstart.errors import DataError
from headstart.explain import activations
from headstart.explain.activations import (
    ChannelStatistics,
    auroc,
    box_instances,
    channel_statistics,
    coverage,
    measure,
    shuffled_partners,
)
from headstart.stats.bootstrap import image_weights


def test_auroc_by_hand():
    # Inside 3 and 1, outside 2 and 1: the pairs give 1, 1, 0 and one half: 2.5 / 4. The 9 belongs to neither side.
    scores = np.array([3.0, 1.0, 2.0, 1.0, 9.0])
    inside, outside = np.array([1, 1, 0, 0, 0], dtype=bool), np.array([0, 0, 1, 1, 0], dtype=bool)
    assert auroc(scores, inside, outside) == 0.625
    assert auroc(-scores, inside, outside) == 0.375
    assert auroc(np.zeros(5), inside, outside) == 0.5


@pytest.mark.parametrize("levels", [3, 1000])
def test_auroc_is_scikit_learns_with_ties(levels):
    rng = np.random.default_rng(0)
    scores = rng.integers(0, levels, (6, 4, 30)).astype(np.float32)
    side = rng.integers(0, 3, (6, 1, 30))
    found = auroc(scores, side == 0, side == 1)
    for i in range(6):
        used = side[i, 0] < 2
        for j in range(4):
            assert found[i, j] == pytest.approx(roc_auc_score(side[i, 0, used] == 0, scores[i, j, used]), abs=1e-12)


def test_auroc_of_an_empty_side_is_nan():
    everything, nothing = np.ones(4, dtype=bool), np.zeros(4, dtype=bool)
    assert np.isnan(auroc(np.arange(4.0), everything, nothing)) and np.isnan(auroc(np.arange(4.0), nothing, everything))


def test_coverage_cuts_pixels_at_cell_edges():
    # Three pixels a side on two cells: the middle pixel belongs half to each cell of 1.5 pixels.
    instances = np.zeros((1, 3, 3), dtype=np.uint8)
    instances[0, :, 1] = 2
    np.testing.assert_allclose(coverage(instances, (1, 2)), [[[1 / 3, 1 / 3]]], rtol=1e-6)
    instances[0, :, 0] = 1
    np.testing.assert_allclose(coverage(instances, (1, 2)), [[[1.0, 1 / 3]]], rtol=1e-6)


def test_coverage_is_the_mean_of_blocks():
    instances = np.random.default_rng(0).integers(0, 3, (5, 24, 36)).astype(np.uint8)
    blocks = (instances > 0).reshape(5, 4, 6, 6, 6).mean(axis=(2, 4))
    np.testing.assert_allclose(coverage(instances, (4, 6)), blocks, atol=1e-6)


def test_boxes_as_masks():
    # 1.4 to 3.6 holds the centers 1.5, 2.5 and 3.5; a box beyond the image is cut; the second image has no box.
    masks = box_instances(np.array([[1.4, 0.0, 3.6, 1.0], [-5.0, 2.0, 1.0, 99.0]]), np.array([0, 2, 2]), (4, 5))
    assert masks[0].tolist() == [[0, 1, 1, 1, 0], [0] * 5, [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert not masks[1].any()


def test_channel_statistics_whatever_the_chunks():
    maps = np.random.default_rng(0).standard_normal((7, 3, 4, 5)).astype(np.float16)
    for chunk in (1, 3, 100):
        found = channel_statistics(maps, chunk)
        np.testing.assert_allclose(found.mean, maps.astype(float).mean(axis=(0, 2, 3)), atol=1e-12)
        np.testing.assert_allclose(found.std, maps.astype(float).std(axis=(0, 2, 3)), atol=1e-12)
    with pytest.raises(DataError, match="no images to take channel statistics from"):
        channel_statistics(maps[:0])


def test_partners_have_about_the_same_size_and_are_never_oneself():
    cells = np.random.default_rng(0).integers(0, 60, 205)
    partner = shuffled_partners(cells, seed=1)
    used = cells > 0
    assert (partner[~used] == -1).all()
    assert sorted(partner[used]) == np.flatnonzero(used).tolist()
    assert (partner[used] != np.flatnonzero(used)).all()
    assert np.abs(cells[partner[used]] - cells[used]).max() <= 6
    np.testing.assert_array_equal(partner, shuffled_partners(cells, seed=1))
    assert (partner != shuffled_partners(cells, seed=2)).any()
    assert shuffled_partners(np.array([0, 4]), 0).tolist() == [-1, -1]


def planted(fire, n: int = 40, seed: int = 0):
    """Objects of 4 x 4 cells (8 x 8 pixels) somewhere on 8 x 8 cells; `fire` says which of their cells are active."""
    rng = np.random.default_rng(seed)
    instances, maps = np.zeros((n, 16, 16), dtype=np.uint8), 0.01 * rng.random((n, 3, 8, 8))
    for i in range(n):
        y, x = rng.integers(0, 5, 2)
        instances[i, 2 * y : 2 * y + 8, 2 * x : 2 * x + 8] = 1
        maps[i, 0, y : y + 4, x : x + 4][fire] += 1.0
    return maps.astype(np.float32), instances


WHOLE = np.ones((4, 4), dtype=bool)
PART = np.zeros((4, 4), dtype=bool)
PART[1:3, 1:3] = True
STATISTICS = ChannelStatistics(np.zeros(3), np.array([1.0, 0.01, 0.01]))


def test_measure_tells_the_whole_object_from_a_part():
    weights = image_weights(np.arange(40), 25)
    whole, part = (measure(*planted(fire), STATISTICS, weights) for fire in (WHOLE, PART))
    alone = ChannelStatistics(np.zeros(3), np.array([0.1, 1.0, 1.0]))  # only the first channel counts
    by_first = measure(*planted(WHOLE), alone, weights)[0]
    assert by_first["auroc_own/standardized"] == 1.0 and by_first["area/standardized"] == 1.0
    assert measure(*planted(PART), alone, weights)[0]["area/standardized"] == 4 / 16
    for name in ("auroc/standardized", "auroc/raw", "auroc/per_unit"):
        assert whole[0][name] > part[0][name] > 0
    assert whole[0]["auroc/n_images"] == 40 and whole[0]["auroc/left_out"] == 0
    own, shuffled, less = (whole[2][f"{k}/standardized"] for k in ("auroc_own", "auroc_shuffled", "auroc"))
    np.testing.assert_allclose(own - shuffled, less)
    by_hand = (weights * less).sum(axis=1) / weights.sum(axis=1)
    np.testing.assert_allclose(whole[1]["auroc/standardized"], by_hand)


def test_measure_against_a_plain_loop(monkeypatch):
    rng = np.random.default_rng(0)
    maps = np.maximum(rng.standard_normal((12, 5, 6, 6)), 0).astype(np.float32)
    _, instances = planted(WHOLE, 12)
    statistics = channel_statistics(maps[6:])
    results = []
    for chunk in (1, 1 << 21):
        monkeypatch.setattr(activations, "_CHUNK_VALUES", chunk)
        results.append(measure(maps, instances, statistics, np.ones((2, 12)), seed=3))
    assert results[0][0] == results[1][0]
    shares = coverage(instances, (6, 6)).reshape(12, 36)
    partner = shuffled_partners((shares >= 0.5).sum(axis=1), 3)
    for i in range(12):
        z = (maps[i] - statistics.mean[:, None, None]) / statistics.std[:, None, None]
        values = {"standardized": (z**2).mean(axis=0).ravel(), "raw": np.abs(maps[i]).mean(axis=0).ravel()}
        for source, which in (("auroc_own", i), ("auroc_shuffled", partner[i])):
            used = (shares[which] >= 0.5) | (shares[which] <= 0.1)
            truth = shares[which][used] >= 0.5
            for kind, scores in values.items():
                expected = roc_auc_score(truth, scores[used].astype(np.float32))
                assert results[1][2][f"{source}/{kind}"][i] == pytest.approx(expected, abs=1e-6)
            folded = [max(a, 1 - a) for a in (roc_auc_score(truth, c.ravel()[used]) for c in maps[i])]
            assert results[1][2][f"{source}/per_unit"][i] == pytest.approx(np.mean(folded), abs=1e-6)


def test_pictures_of_the_first_images():
    maps, instances = planted(WHOLE, 12)
    _, _, arrays = measure(maps, instances, STATISTICS, np.ones((1, 12)), examples=3)
    shown = arrays["images"]
    assert len(shown) == 3 and {arrays[name].shape for name in ("energy", "raw", "coverage")} == {(3, *maps.shape[2:])}
    assert arrays["energy"].dtype == np.float32
    assert np.array_equal(arrays["coverage"], coverage(instances, maps.shape[2:])[shown])
    np.testing.assert_allclose(arrays["raw"], np.abs(maps[shown]).mean(axis=1), rtol=1e-6)


def test_images_without_inside_or_outside_are_left_out_and_counted():
    maps, instances = planted(WHOLE, 12)
    instances[2] = 0  # nothing inside
    instances[5] = 1  # nothing outside: out itself, and so is the image that takes its mask for control
    weights = np.ones((2, 12))
    metrics, replicates, examples = measure(maps, instances, STATISTICS, weights)
    assert metrics["auroc/left_out"] == 3 and metrics["auroc/n_images"] == 9
    out = np.flatnonzero(np.isnan(examples["auroc/standardized"]))
    assert {2, 5} < set(out.tolist()) and not np.isin(examples["images"], out).any()
    assert replicates["auroc/standardized"][0] == pytest.approx(metrics["auroc/standardized"])
    assert examples["energy"].shape == (9, 8, 8)
    metrics, replicates, _ = measure(maps, np.zeros_like(instances), STATISTICS, weights)
    assert replicates == {} and metrics == {"auroc/n_images": 0.0, "auroc/left_out": 12.0}


def test_faults_are_named():
    maps, instances = planted(WHOLE, 4)
    with pytest.raises(DataError, match="4 maps but 3 instance masks"):
        measure(maps, instances[:3], STATISTICS, np.ones((2, 4)))
    with pytest.raises(DataError, match="every channel is constant"):
        measure(maps, instances, ChannelStatistics(np.zeros(3), np.zeros(3)), np.ones((2, 4)))
    maps[3, 0, 0, 0] = np.inf
    with pytest.raises(DataError, match="a map of images 0 to 3 is not finite"):
        measure(maps, instances, STATISTICS, np.ones((2, 4)))
