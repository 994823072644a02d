"""Linear probes: hand-worked optima, scikit-learn as oracle, the choice of the strength."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression, Ridge

from headstart.errors import DataError, UsageError
from headstart.stats.bootstrap import image_weights
from headstart.tasks.frozen.solvers import GRADIENT_TOLERANCE
from headstart.tasks.linear_probes import (
    ProbeFold,
    default_strengths,
    measure,
    probe,
    validation_part,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
SHARED = Path(__file__).parents[3] / "shared"
X_HAND = np.array([[-1.0], [-1.0], [1.0], [1.0]])
Y_HAND = np.array([0, 0, 1, 1])


def blobs(n: int, seed: int = 0, classes: int = 4, features: int = 12, noise: float = 2.0):
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((classes, features))
    y = rng.integers(0, classes, n)
    x = centers[y] + noise * rng.standard_normal((n, features))
    return x * np.logspace(-2, 2, features) + 5, y  # features of very different scale and offset


def standard(train, other):
    return (other - train.mean(0)) / train.std(0)


def test_ridge_by_hand():
    # x is +-1 with variance 1, centered one-hot targets are +-0.5: W = 0.5 / (1 + strength), b = 0.5.
    # At strength 1 the score of class 1 is 0.5 + 0.25 x.
    result = probe(X_HAND, Y_HAND, np.array([[1.0], [-1.0], [3.0]]), 2, kind="ridge", strengths=[1.0])
    np.testing.assert_allclose(result.logits[:, 1], [0.75, 0.25, 1.25], atol=1e-12)
    np.testing.assert_allclose(result.logits.sum(axis=1), 1.0, atol=1e-12)


def test_logistic_by_hand():
    # By symmetry W = (-v, v), b = 0; log(1 + exp(-2v)) + strength v^2 is least at v = expit(-2v) / strength.
    result = probe(X_HAND, Y_HAND, np.array([[1.0]]), 2, kind="logistic", strengths=[0.1])
    v = result.logits[0, 1]
    assert v == pytest.approx(expit(-2 * v) / 0.1, abs=1e-5)
    assert result.logits[0, 0] == pytest.approx(-v, abs=1e-6)
    assert result.converged and not result.edge and result.scores == {}


@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0])
def test_logistic_is_scikit_learns(strength):
    x, y = blobs(300)
    test, _ = blobs(50, seed=1)
    found = probe(x, y, test, 4, kind="logistic", strengths=[strength])
    oracle = LogisticRegression(C=1 / (strength * len(x)), tol=1e-10, max_iter=10_000).fit(standard(x, x), y)
    np.testing.assert_allclose(softmax(found.logits, axis=1), oracle.predict_proba(standard(x, test)), atol=1e-4)


def test_logistic_reaches_its_stated_tolerance():
    x, y = blobs(300)
    found = probe(x, y, x, 4, kind="logistic", strengths=[1e-2])
    error = softmax(found.logits, axis=1) - np.eye(4)[y]
    # The constant's gradient is the mean error; its coordinates are stretched by sqrt(K) = 2.
    assert np.abs(2 * error.mean(axis=0)).max() < 10 * GRADIENT_TOLERANCE


@pytest.mark.parametrize("strength", [1e-4, 1.0, 100.0])
@pytest.mark.parametrize("n", [300, 8])  # 8: fewer images than features
def test_ridge_is_scikit_learns(strength, n):
    x, y = blobs(n)
    test, _ = blobs(50, seed=1)
    found = probe(x, y, test, 4, kind="ridge", strengths=[strength])
    oracle = Ridge(alpha=strength * n, solver="svd").fit(standard(x, x), np.eye(4)[y])
    np.testing.assert_allclose(found.logits, oracle.predict(standard(x, test)), atol=1e-7)


@pytest.mark.parametrize("kind", ["logistic", "ridge"])
def test_strength_is_the_best_on_the_validation_part(kind):
    x, y = blobs(240)
    result = probe(x, y, x, 4, kind=kind, seed=3)
    held_out = validation_part(y, 3)
    for strength, score in result.scores.items():
        alone = probe(x[~held_out], y[~held_out], x[held_out], 4, kind=kind, strengths=[strength])
        if kind == "logistic":
            by_hand = -np.log(softmax(alone.logits, axis=1)[np.arange(held_out.sum()), y[held_out]]).mean()
        else:
            by_hand = np.square(alone.logits - np.eye(4)[y[held_out]]).sum(axis=1).mean()
        assert score == pytest.approx(by_hand, abs=2e-5)
    assert result.strength == min(result.scores, key=result.scores.get)
    assert not result.edge
    refit = probe(x, y, x, 4, kind=kind, strengths=[result.strength])
    np.testing.assert_allclose(result.logits, refit.logits, atol=1e-3)


def test_grid_goes_on_beyond_an_end_that_wins():
    x, y = blobs(240)
    inside = probe(x, y, x, 4, kind="ridge")
    low, high = (
        probe(x, y, x, 4, kind="ridge", strengths=[1e-4, 1e-3]),
        probe(x, y, x, 4, kind="ridge", strengths=[10.0, 100.0]),
    )
    assert min(high.scores) < 10 and max(low.scores) > 1e-3
    for result in (low, high):
        assert 0.1 < result.strength / inside.strength < 10 and not result.edge


def test_an_edge_that_stays_is_said():
    x, y = np.zeros((80, 3)), np.arange(80) % 2  # nothing to learn: all strengths are equal, the greatest is taken
    result = probe(x, y, x, 2, kind="ridge", strengths=[1.0, 10.0])
    assert result.edge and result.strength == max(result.scores) == pytest.approx(1e7)
    assert len(result.scores) == 8  # two given and six beyond


def test_validation_part_holds_whole_clusters():
    rng = np.random.default_rng(4)
    clusters = rng.integers(0, 60, 200)
    y = (clusters + (rng.random(200) < 0.1)) % 3  # A few images of a cluster are of another class.
    part = validation_part(y, 0, clusters=clusters)
    assert not set(clusters[part]) & set(clusters[~part])
    share = np.bincount(y[part], minlength=3) / np.bincount(y)
    assert (share > 0.1).all() and (share < 0.35).all()
    alone = rng.permutation(200)
    np.testing.assert_array_equal(validation_part(y, 1, clusters=np.arange(200)), validation_part(y, 1))
    assert validation_part(y, 1, clusters=alone).sum() == validation_part(y, 1).sum()
    # Class 0 is one cluster and cannot be divided; class 1 has a large and a small one: the small one validates.
    labels, of = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([5, 5, 5, 2, 2, 2, 9])
    assert validation_part(labels, 0, clusters=of).tolist() == [False] * 6 + [True]


def test_strength_is_chosen_on_other_clusters():
    # Copies of the training images in the validation part would reward memory: the weakest strength wins there.
    x, y = blobs(60, features=40, noise=12.0)
    x, y, of = np.concatenate([x] * 4), np.concatenate([y] * 4), np.tile(np.arange(60), 4)
    memory = probe(x, y, x, 4, kind="ridge").strength
    assert probe(x, y, x, 4, kind="ridge", clusters=of).strength > 10 * memory


def test_validation_part_is_stratified_and_seeded():
    y = np.repeat([0, 1, 2, 3], [40, 8, 2, 1])
    part = validation_part(y, 0)
    assert np.bincount(y[part], minlength=4).tolist() == [10, 2, 1, 0]
    np.testing.assert_array_equal(part, validation_part(y, 0))
    assert (part != validation_part(y, 1)).any()


def test_scale_and_constant_features_do_not_matter():
    x, y = blobs(120)
    test, _ = blobs(30, seed=1)
    plain = probe(x, y, test, 4, kind="logistic")
    wide = [np.column_stack([7.0 * part - 3, np.full(len(part), 2.5)]).astype(np.float32) for part in (x, test)]
    assert np.abs(probe(wide[0], y, wide[1], 4, kind="logistic").logits - plain.logits).max() < 1e-3
    again = probe(x, y, test, 4, kind="logistic")
    assert again.logits.tobytes() == plain.logits.tobytes()


def test_measure_names_and_replicates():
    x, y = blobs(200)
    test, test_y = blobs(60, seed=1)
    weights = image_weights(np.arange(60), 20)
    metrics, replicates, predictions = measure([ProbeFold(x, y, test, test_y)], 4, weights)
    both = {f"probe/{kind}/{name}" for kind in ("logistic", "ridge") for name in ("top1", "mean_class_accuracy")}
    assert set(replicates) == both | {"probe/logistic/log_loss"} < set(metrics)
    of_classes = [predictions["correct"][test_y == k].mean() for k in range(4)]
    assert metrics["probe/logistic/mean_class_accuracy"] == pytest.approx(np.mean(of_classes))
    assert metrics["probe/logistic/top1"] == predictions["correct"].mean()
    assert metrics["probe/logistic/log_loss"] == pytest.approx(predictions["log_loss"].mean())
    np.testing.assert_array_equal(predictions["correct"], predictions["predicted"] == predictions["label"])
    by_hand = (weights * predictions["log_loss"]).sum(axis=1) / weights.sum(axis=1)
    np.testing.assert_allclose(replicates["probe/logistic/log_loss"], by_hand)
    assert metrics["probe/logistic/not_converged"] == 0.0 and metrics["probe/ridge/edge"] == 0.0


def test_folds_are_fitted_apart_and_scored_together():
    x, y = blobs(200)
    halves = [(slice(0, 120), slice(120, 200)), (slice(120, 200), slice(0, 120))]
    folds = [ProbeFold(x[a], y[a], x[b], y[b]) for a, b in halves]
    metrics, _, predictions = measure(folds, 4, np.ones((2, 200)), seed=5)
    alone = [probe(f.train_x, f.train_y, f.test_x, 4, kind="logistic", seed=5).logits.argmax(axis=1) for f in folds]
    np.testing.assert_array_equal(predictions["predicted"], np.concatenate(alone))
    np.testing.assert_array_equal(predictions["label"], np.concatenate([y[120:], y[:120]]))
    assert metrics["probe/logistic/top1"] == predictions["correct"].mean()


def test_faults_are_named():
    x, y = blobs(20)
    with pytest.raises(DataError, match=r"training image 2 has label -1, not in 0\.\.3\. Leave out unlabeled images"):
        probe(x, np.where(np.arange(20) == 2, -1, y), x, 4)
    with pytest.raises(DataError, match="20 rows of features but 19 labels"):
        probe(x, y[:-1], x, 4)
    with pytest.raises(DataError, match="all of one class"):
        probe(x, np.zeros(20, dtype=int), x, 4)
    broken = x.copy()
    broken[5, 1] = np.nan
    with pytest.raises(DataError, match="features of test image 5 are not finite"):
        probe(x, y, broken, 4)
    with pytest.raises(DataError, match=r"needs 20 test labels in 0\.\.3"):
        measure([ProbeFold(x, y, x, y + 1)], 4, np.ones((2, 20)))
    with pytest.raises(UsageError, match="ascending"):
        probe(x, y, x, 4, strengths=[1.0, 0.1])


def test_default_grids_are_half_decades():
    for kind, ends in (("logistic", (1e-6, 1.0)), ("ridge", (1e-4, 100.0))):
        grid = default_strengths(kind)
        assert (grid[0], grid[-1]) == pytest.approx(ends) and len(grid) == 13
        np.testing.assert_allclose(np.diff(np.log10(grid)), 0.5)


def central_crop(path):
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return np.asarray(image.crop((left, top, left + 224, top + 224)))


@pytest.mark.skipif(not (SHARED / "data" / "flowers17").is_dir(), reason="the photographs are not staged")
@pytest.mark.slow
@pytest.mark.usefixtures("trusted_code")
@pytest.mark.parametrize(("card", "published", "at_least"), [("widerface", 0.743, 0.70), ("imagenet", 0.919, 0.92)])
def test_flowers_on_published_weights(card, published, at_least):
    """Ridge on the pooled last stage: 0.919 (ImageNet) and 0.743 (WIDER FACE) were measured elsewhere."""
    from headstart.models.backbones.features import pooled_features
    from headstart.weights.cards import resolve
    from headstart.weights.checkpoint import load

    paths = {part: sorted((SHARED / "data" / "flowers17" / part).glob("*/*.jpg")) for part in ("train", "test")}
    names = sorted({path.parent.name for path in paths["train"]})
    y = {part: np.array([names.index(path.parent.name) for path in found]) for part, found in paths.items()}
    images = {part: np.stack([central_crop(path) for path in found]) for part, found in paths.items()}
    loaded = load(resolve(f"mobilenet_v1_{card}.toml", EXAMPLES), seed=0)
    x = {part: pooled_features(loaded.backbone, loaded.preprocessing, found)["C5"] for part, found in images.items()}
    fixed = probe(x["train"], y["train"], x["test"], 17, kind="ridge", strengths=[0.1])
    assert np.mean(fixed.logits.argmax(axis=1) == y["test"]) == pytest.approx(published, abs=0.01)
    for kind in ("ridge", "logistic"):
        result = probe(x["train"], y["train"], x["test"], 17, kind=kind)
        assert result.converged and not result.edge
        assert np.mean(result.logits.argmax(axis=1) == y["test"]) >= at_least
