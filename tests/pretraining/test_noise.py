"""Noise in the supervision: which images exchange what, that nothing else changes, and where it is said."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from headstart.batches.image_sets import ImageSet
from headstart.batches.label_source import label_source
from headstart.config.noise import with_noise
from headstart.data.annotate import annotate
from headstart.data.columns import BoxColumns
from headstart.errors import UsageError
from headstart.pretraining.images import chosen_images
from headstart.pretraining.noise import exchange, noisy_images, noisy_table
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.study.files import load_study
from headstart.study.plan import Planner
from headstart.weights.starts import lineage_entry
from headstart.world.shapes import draw_set
from support.drawn_layouts import as_coco, drawn_images


@pytest.mark.parametrize(("share", "moved"), [(0.0, 0), (0.25, 25), (0.5, 50), (1.0, 100)])
def test_that_many_images_get_what_belongs_to_another(share, moved):
    order = exchange(100, share, 3)
    assert (order != np.arange(100)).sum() == moved and sorted(order) == list(range(100))
    np.testing.assert_array_equal(order, exchange(100, share, 3))
    assert moved == 0 or (order != exchange(100, share, 4)).any()
    ring = {int(i): int(j) for i, j in enumerate(order) if i != j}
    first = place = next(iter(ring), None)
    for _ in range(moved):
        assert place is not None
        place = ring.pop(place)
    assert place == first and not ring, "one ring"


def drawn(folder: Path, count: int) -> ImageSet:
    draw_set("base", count, 0, 48, out=folder, progress=silent)
    return ImageSet.open(folder)


def boxes_as_sets(images: ImageSet) -> list[tuple]:
    return [
        (tuple(of.labels.tolist()), tuple(map(tuple, of.xyxy.tolist())))
        for of in (images.boxes_of(i) for i in range(len(images)))
    ]


def test_prepared_images_exchange_boxes_and_labels_together(tmp_path):
    images = drawn(tmp_path, 40)
    noisy = noisy_images(images, 1.0, 7)
    order = exchange(40, 1.0, 7)
    before, after = boxes_as_sets(images), boxes_as_sets(noisy)
    assert after == [before[i] for i in order] and sorted(after) == sorted(before)
    np.testing.assert_array_equal(noisy.image_labels, images.image_labels[order])
    assert noisy.images is images.images and noisy.masks is None and noisy.instances is None
    assert noisy_images(images, 0.0, 7) is images
    table = np.arange(80, dtype=np.int8).reshape(40, 2) % 2
    several = noisy_images(replace(images, label_table=table), 0.5, 7)
    np.testing.assert_array_equal(several.label_table, table[exchange(40, 0.5, 7)])


def information(labels: np.ndarray, said: np.ndarray) -> float:
    """Mutual information, nats, of two columns of classes."""
    joint = np.zeros((labels.max() + 1, said.max() + 1))
    np.add.at(joint, (labels, said), 1 / len(labels))
    outer = joint.sum(1, keepdims=True) * joint.sum(0)
    return float((joint[joint > 0] * np.log(joint[joint > 0] / outer[joint > 0])).sum())


def test_what_the_supervision_says_of_an_image_goes_to_nothing():
    """At 1 what is left is what chance shows of 12 x 12 classes in 12,000 images, about 121 / 24,000 nats."""
    labels = np.random.default_rng(0).integers(0, 12, 12_000)
    left = [information(labels, labels[exchange(12_000, share, 1)]) for share in (0, 0.25, 0.5, 0.75, 1)]
    assert left == sorted(left, reverse=True)
    assert left[0] == pytest.approx(np.log(12), abs=0.01) and left[-1] < 0.01 < 0.1 < left[2] < 1.5


def a_table(tmp_path: Path):
    """Images of 100 x 50, 200 x 100, 50 x 50 (w x h); boxes of classes a, b; two labels verified in the first."""
    boxes = BoxColumns(
        convention="coco",
        classes=("a", "b"),
        offsets=np.array([0, 1, 1, 3, 3]),
        source=np.array([[10, 10, 50, 20], [0, 0, 50, 50], [5, 10, 20, 30.5]]),
        labels=np.array([0, 1, 0]),
        flags=np.array([0, 2, 0], np.uint8),
        known=np.array([True, False, True, True]),
    )
    return annotate(
        tmp_path,
        "test",
        ["0", "1", "2", "3"],
        ["0.png", "1.png", "2.png", "3.png"],
        sizes_hw=[[50, 100], [100, 200], [50, 50], [0, 0]],
        splits=["train", "train", "train", "val"],
        image_labels=[0, 1, 0, 1],
        image_classes=("x", "y"),
        boxes=boxes,
    )


def test_boxes_of_a_table_fit_the_images_that_they_are_said_of(tmp_path):
    table = a_table(tmp_path)
    seed = next(s for s in range(20) if exchange(3, 1.0, s).tolist() == [1, 2, 0])
    noisy = noisy_table(table, [0, 1, 2], 1.0, seed)
    # Image 0 gets those of 1 (none, not known), 1 (200 x 100) those of 2 (50 x 50), 2 (50 x 50) that of 0 (100 x 50).
    assert np.diff(noisy.box_offsets).tolist() == [0, 2, 1, 0]
    np.testing.assert_allclose(noisy.boxes_of(1).xyxy, [[0, 0, 200, 100], [20, 20, 100, 81]])
    np.testing.assert_allclose(noisy.boxes_of(2).xyxy, [[5, 10, 30, 30]])
    assert noisy.boxes_of(1).labels.tolist() == [1, 0] and noisy.boxes_of(1).flags.tolist() == [2, 0]
    assert noisy.boxes_known.tolist() == [False, True, True, True]
    assert noisy.image_labels.tolist() == [1, 0, 0, 1] and noisy.image_ids.tolist() == table.image_ids.tolist()
    assert noisy_table(table, [0, 1, 2], 0.0, seed) is table


def test_images_that_are_not_trained_on_keep_theirs(tmp_path):
    table = a_table(tmp_path)
    for seed in range(5):
        noisy = noisy_table(table, [0, 2], 1.0, seed)
        assert noisy.image_labels[[1, 3]].tolist() == [1, 1] and noisy.boxes_known[1] == table.boxes_known[1]
        np.testing.assert_allclose(noisy.boxes_of(2).xyxy, [[5, 10, 30, 30]])
    assert label_source(noisy).classes == label_source(table).classes


@pytest.mark.parametrize("supervision", ["boxes", "labels"])
def test_images_of_a_data_set_are_trained_on_with_noise_and_evaluated_on_without(tmp_path, supervision):
    table = open_dataset(as_coco(drawn_images(tmp_path / "drawn", 24), tmp_path / "coco"))
    chosen = partial(chosen_images, table, supervision, (), None, on_empty_class="error", progress=silent, seed=2)
    clean, noisy = chosen(), chosen(noise=1.0)
    assert noisy.classes == clean.classes and noisy.train.image_ids.tolist() == clean.train.image_ids.tolist()
    n = len(clean.train)
    order = exchange(n, 1.0, 2)
    assert n > 4 and (order != np.arange(n)).all()
    for i in range(n):
        mine, others = noisy.train.boxes_of(i), clean.train.boxes_of(int(order[i]))
        np.testing.assert_array_equal(mine.labels, others.labels)
        np.testing.assert_allclose(mine.xyxy, others.xyxy, atol=1e-9)  # all images are of one size
    before, after = (label_source(t.table) for t in (clean, noisy))
    held_out = clean.validation_rows
    for rows, same in ((held_out, True), (clean.rows, False)):
        assert np.array_equal(before.label_table(rows), after.label_table(rows)) == (same or supervision == "boxes")


def test_noise_is_in_the_key_in_the_name_and_in_the_lineage():
    study, base = load_study("shapes")
    noisy = with_noise(study, 0.5)
    assert noisy.name == "shapes-noise-0.5" and noisy.title.endswith("(noise 0.5)")
    jobs = [Planner(s, base).origins.job("boxes", 0) for s in (study, noisy, with_noise(study, 1.0))]
    assert len({job.key for job in jobs}) == 3 and [job.settings.noise for job in jobs] == [0.0, 0.5, 1.0]
    assert lineage_entry("coco", "boxes", 96, 3200, noise=0.5) == "coco boxes (96 px, 3,200 images seen, noise 0.5)"
    with pytest.raises(UsageError, match=r"--noise 1\.5: it is a share"):
        with_noise(study, 1.5)
    only = study.model_copy(update={"pretraining": {}})
    with pytest.raises(UsageError, match="has no pre-training whose supervision could be noisy"):
        with_noise(only, 0.5)
