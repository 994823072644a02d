"""FCN and DeepLabV3 on a ResNet-18 learn the trimaps of eight photographs of pets by heart, as far as their grids reach
(`nightly`)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET
from headstart.progress import silent
from headstart.readers.formats import image_place, open_dataset
from headstart.recipes.schema import recipe_of
from headstart.tasks.segment import TASK
from headstart.tasks.transfer import Start, fit

PETS = Path(__file__).parents[3] / "shared" / "data" / "oxford_pets3"
SIDE = 192
UPDATES = 150
MIOU = "seg/miou"

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not PETS.is_dir(), reason="the photographs of pets are not there"),
]


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    data, out, size_hw = open_dataset(PETS), tmp_path_factory.mktemp("eight"), (SIDE, SIDE)
    rows, clusters = range(0, 120, 15), range(8)  # of all three breeds
    make_image_set(data, rows, clusters, "segment", size_hw=size_hw, resize="stretch", out=out, progress=silent)
    return replace(ImageSet.open(out), mask_place=image_place(PETS, None))


@pytest.mark.parametrize("head", ["fcn", "deeplab"])
def test_eight_images_are_learnt_by_heart(eight: ImageSet, tmp_path: Path, head: str) -> None:
    torch.manual_seed(0)
    settings = {"name": "overfit", "updates": UPDATES, "batch_size": 8, "lr": 2e-3, "weight_decay": 0.0, "head": head}
    recipe = recipe_of(settings | {"flip": False, "reestimate_batch_norm": False})
    start = Start(build_backbone("resnet18"), "resnet18", Path(), IMAGENET, is_random=True)
    began = time.process_time()
    model, curve = fit(start, "segment", eight, recipe, seed=0, state_dir=tmp_path, progress=silent)
    seconds = time.process_time() - began
    found, best = (f(model, IMAGENET, eight) for f in (lambda *a: TASK.predict(*a, silent), TASK.reachable))
    (score, _), (most, _) = (TASK.score([arrays], [eight], None, "") for arrays in (found, best))
    print(
        f"{head}: mean IoU {score[MIOU]:.3f} of {most[MIOU]:.3f} that its grid can reach, "
        f"{UPDATES} updates, {seconds:.0f} s of CPU time, loss {curve.total[0]:.2f} to {curve.total[-1]:.2f}"
    )
    assert score[MIOU] > most[MIOU] - 0.05
