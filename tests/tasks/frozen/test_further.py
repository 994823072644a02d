"""Further probes: few images of each class, every stage, other classifiers."""

from itertools import pairwise

import numpy as np
import pytest

from headstart.config.probes import FurtherProbes
from headstart.progress import silent
from headstart.stats.bootstrap import image_weights
from headstart.tasks.frozen.further import Stages, few, further
from headstart.tasks.linear_probes import UNCHOSEN, ProbeFold, probe


def drawn(n: int, classes: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    return np.random.default_rng(9).standard_normal((classes, 20))[y] + 0.8 * rng.standard_normal((n, 20)), y


def test_few_images_of_each_class_are_nested():
    y = np.array([0, 1, 0, 2, 0, 1, 0])
    order = np.array([6, 3, 4, 5, 0, 1, 2])
    assert few(y, order, 1).tolist() == [3, 5, 6]
    assert few(y, order, 2).tolist() == [1, 3, 4, 5, 6]  # class 2 has one image and gives it
    assert few(y, order, 9).tolist() == list(range(7))
    labels, orders = drawn(90)[1], [np.random.default_rng(s).permutation(90) for s in (0, 1)]
    parts = [set(few(labels, orders[0], k)) for k in (1, 2, 4, 8)]
    assert all(a < b for a, b in pairwise(parts))
    assert parts[1] != set(few(labels, orders[1], 2))


def test_what_is_measured():
    (x, y), (test, test_y) = drawn(120), drawn(60, seed=1)
    rng = np.random.default_rng(2)
    noise = [part + 4 * rng.standard_normal(part.shape) for part in (x, test)]
    fold = ProbeFold(x, y, test, test_y)
    stages = Stages(fold, {"C4": noise[0], "C5": x}, {"C4": noise[1], "C5": test}, np.arange(120))
    wanted = FurtherProbes(kinds=("logistic", "svm", "knn"), per_class=(1, 4, 500))
    weights = image_weights(np.arange(60), 30)
    metrics, replicates = further(wanted, [stages], 6, weights, seed=0, progress=silent)
    places = ["", "/C4", "/1-a-class", "/4-a-class"]  # no class has 500
    names = {f"probe/{kind}/top1{of}" for kind in wanted.kinds for of in places} - {"probe/logistic/top1"}
    assert {n for n in replicates if "/top1" in n} == names and set(replicates) < set(metrics)
    rows = few(y, np.arange(120), 4)
    alone = probe(x[rows], y[rows], test, 6, kind="svm").logits
    assert metrics["probe/svm/top1/4-a-class"] == (alone.argmax(1) == test_y).mean()
    top5 = (np.argsort(-alone, axis=1)[:, :5] == test_y[:, None]).any(1)
    assert metrics["probe/svm/top5/4-a-class"] == pytest.approx(top5.mean())
    by_hand = (weights * top5).sum(1) / weights.sum(1)
    np.testing.assert_allclose(replicates["probe/svm/top5/4-a-class"], by_hand)
    assert metrics["probe/svm/top1/C4"] < metrics["probe/svm/top1"] > metrics["probe/svm/top1/1-a-class"]
    assert metrics["probe/knn/neighbors/1-a-class"] == 1


def test_one_image_of_each_class_leaves_nothing_to_choose_by():
    x, y = drawn(6)
    for kind, strength in UNCHOSEN.items():
        found = probe(x, y, x, 6, kind=kind)
        assert found.strength == strength and not found.scores and not found.edge
        assert (found.logits.argmax(1) == y).all()


def test_faults_of_settings():
    with pytest.raises(ValueError, match="each number once"):
        FurtherProbes(per_class=(4, 2))
    with pytest.raises(ValueError, match="one at least"):
        FurtherProbes(kinds=())
