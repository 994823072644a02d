"""`limit` on a set from a folder: a stratified part, nested in that of a larger limit, whatever the order of files."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.config.study import Study, Task
from headstart.progress import silent
from headstart.recipes.schema import recipe_of
from headstart.study.runners import images as stages
from headstart.study.settings import DataPlace, PrepareSettings, SplitSettings
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


@pytest.mark.parametrize("limit", [4, 8, 12, 24])
def test_every_limit_has_its_share_of_each_class(prepared: ImageSet, limit: int) -> None:
    seen = np.unique(
        np.concatenate(
            [Batches(prepared, 4, 0, False, quarter_turns=False, limit=limit).indices(t) for t in range(limit)]
        )
    )
    assert len(seen) == limit
    assert np.bincount(prepared.image_labels[seen]).tolist() == [limit // 2, limit // 4, limit // 4]


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
