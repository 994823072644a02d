"""The images of a seed: a stratified part, nested in that of a larger limit, and what is held out beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.batches.training_part import selected, training_part
from headstart.config.study import Study, Task
from headstart.progress import silent
from headstart.recipes.schema import recipe_of
from headstart.study.runners import images as stages
from headstart.study.settings import DataPlace, PrepareSettings, SplitSettings
from headstart.world.shapes import draw_set
from support.miniatures import image

COUNTS = {"aster": 24, "bell": 12, "clover": 12}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """The training images of class folders, which lie in the order of classes on disk."""
    root = tmp_path_factory.mktemp("flowers")
    for k, name in enumerate(name for name, count in COUNTS.items() for _ in range(count)):
        image(root / "data/train" / name / f"{k}.png", k)
    for k, name in enumerate(COUNTS):
        image(root / "data/test" / name / f"{k}.png", 100 + k)
    place = DataPlace(str(root / "data"))
    (root / "split").mkdir()
    (root / "prepared").mkdir()
    stages.split(SplitSettings("-", "classify", 0, "error"), place, {}, root / "split", silent)
    wanted = PrepareSettings(
        "-", "classify", "trainval", None, folds=0, size_hw=(16, 16), on_bad_image="error", resize="stretch"
    )
    stages.prepare(wanted, place, {"split": root / "split"}, root / "prepared", silent)
    return ImageSet.open(root / "prepared")


def test_a_share_is_so_many_of_what_is_not_held_out(prepared: ImageSet) -> None:
    for hold_out in (False, True):
        whole = training_part(prepared, "classify", 1, None, hold_out=hold_out)
        part = training_part(prepared, "classify", 1, 0.25, hold_out=hold_out)
        number = training_part(prepared, "classify", 1, round(len(whole.train) / 4), hold_out=hold_out)
        assert part.train.tolist() == number.train.tolist() and part.held_out.tolist() == whole.held_out.tolist()
    assert len(training_part(prepared, "classify", 1, 0.001, hold_out=False).train) == 1


@pytest.mark.parametrize("seed", [0, 1, 7])
@pytest.mark.parametrize("limit", [4, 8, 12, 24])
def test_every_limit_has_its_share_of_each_class(prepared: ImageSet, limit: int, seed: int) -> None:
    rows = training_part(prepared, "classify", seed, limit, hold_out=False).train
    source = Batches(prepared, 4, 0, False, quarter_turns=False, rows=rows)
    seen = np.unique(np.concatenate([source.indices(t) for t in range(limit)]))
    assert seen.tolist() == rows.tolist() and len(seen) == limit
    assert np.bincount(prepared.image_labels[seen]).tolist() == [limit // 2, limit // 4, limit // 4]


def test_a_seed_draws_its_own_images_and_nests_its_limits(prepared: ImageSet) -> None:
    parts = {
        (seed, limit): training_part(prepared, "classify", seed, limit, hold_out=True)
        for seed in (0, 1)
        for limit in (8, 24, None)
    }
    for seed in (0, 1):
        few, many, every = (parts[seed, limit] for limit in (8, 24, None))
        assert set(few.train) < set(many.train) < set(every.train)
        assert few.held_out.tolist() == many.held_out.tolist() == every.held_out.tolist()
        assert len(every.held_out) == 9 and len(every.train) == 48 - 9  # a fifth of 48
        assert not set(every.train) & set(every.held_out)
        shares = np.bincount(prepared.image_labels[every.held_out], minlength=3) / 9
        assert np.abs(shares - [0.5, 0.25, 0.25]).max() < 1 / 9
    assert set(parts[0, 8].train) != set(parts[1, 8].train)
    assert set(parts[0, 8].held_out) != set(parts[1, 8].held_out)


def test_near_duplicates_are_held_out_together(prepared: ImageSet) -> None:
    pairs = replace(prepared, clusters=np.arange(48) // 2)
    part = training_part(pairs, "classify", 0, None, hold_out=True)
    assert not set(pairs.clusters[part.train]) & set(pairs.clusters[part.held_out])
    assert len(part.train) + len(part.held_out) == 48 and 9 <= len(part.held_out) <= 18
    one = training_part(replace(prepared, clusters=np.zeros(48, np.int64)), "classify", 0, None, hold_out=True)
    assert len(one.held_out) == 9  # there is nothing else to hold out


def test_few_images_are_all_trained_on(prepared: ImageSet) -> None:
    four = selected(prepared, np.arange(4))
    part = training_part(four, "classify", 0, None, hold_out=True)
    assert part.train.tolist() == [0, 1, 2, 3] and part.held_out.tolist() == []


def test_selected_rows_bring_all_that_is_theirs(tmp_path: Path) -> None:
    draw_set("novel", 6, 0, 48, out=tmp_path, progress=silent)
    whole = ImageSet.open(tmp_path)
    rows = np.array([4, 1])
    some = selected(whole, rows)
    for k, row in enumerate(rows):
        assert some.image_ids[k] == whole.image_ids[row] and some.image_labels[k] == whole.image_labels[row]
        assert np.array_equal(some.images[k], whole.images[row])
        assert np.array_equal(some.true_mask(k), whole.true_mask(row))
        for name in ("xyxy", "source_xyxy", "labels", "flags"):
            assert np.array_equal(getattr(some.boxes_of(k), name), getattr(whole.boxes_of(row), name))
    some.write(tmp_path / "again")  # which checks that the columns fit each other
    assert len(selected(whole, rows[:0])) == 0


def test_clusters_and_ids_moved_along(prepared: ImageSet) -> None:
    assert len(set(prepared.image_ids)) == len(prepared) == sum(COUNTS.values())
    named = [COUNTS_OF.index(str(i).split("/")[-2]) for i in prepared.image_ids]
    assert named == prepared.image_labels.tolist()
    assert len(set(prepared.clusters.tolist())) == len(prepared)


COUNTS_OF = sorted(COUNTS)


def test_a_study_may_limit_a_folder() -> None:
    folder = {"path": "flowers", "task": "classify", "size_hw": (32, 32)}
    recipe = recipe_of({"name": "r", "updates": 1, "batch_size": 1, "lr": 0.1, "head": "linear"})
    study = Study(
        name="limited",
        seeds=(0,),
        sets={"a": {**folder, "role": "train"}, "b": {**folder, "role": "test"}},
        weights=({"name": "w", "uri": "random:x"},),
        tasks=(Task(name="t", kind="classify", train=("a",), test=("b",), recipe=recipe, limit=20),),
    )
    assert study.tasks[0].limit == 20
