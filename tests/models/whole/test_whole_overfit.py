"""Whole detectors learn eight photographs of raccoons by heart from random values (`nightly`)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from headstart.batches.image_sets import ImageSet
from headstart.models.whole.families import FAMILIES, InputSize
from headstart.models.whole.network import Whole
from headstart.progress import silent
from headstart.recipes.schema import recipe_of
from headstart.tasks.detect import TASK as DETECT
from headstart.tasks.transfer import Start, fit
from support.references.raccoons import eight_raccoons
from support.whole.small import small_network

pytest.importorskip("transformers")
pytestmark = pytest.mark.nightly
SIDE = 128
LENGTHS = {
    "rt_detr_v2": (400, 1e-3),
    "d_fine": (500, 1e-3),
    "rf_detr": (800, 1e-3),
    "lw_detr": (600, 2e-3),
    "deformable_detr": (600, 2e-3),
    "detr": (2000, 3e-3),
}
"""Updates and rate of each."""


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return eight_raccoons(tmp_path_factory.mktemp("eight"), SIDE)


@pytest.mark.parametrize("name", LENGTHS)
def test_a_family_learns_eight_images(eight: ImageSet, name: str, tmp_path: Path) -> None:
    family, began = FAMILIES[name], time.process_time()
    updates, rate = LENGTHS[name]
    network = small_network(name)
    torch.manual_seed(0)
    whole = Whole(network.config, family, InputSize(SIDE))
    start = Start(whole, "", Path(), family.preprocessing, is_random=True)
    usual = {"name": "overfit", "batch_size": 8, "lr": 1.0, "own_rate": rate, "warmup": 20, "weight_decay": 0.0}
    usual |= {"flip": False, "clip_norm": 0.1, "reestimate_batch_norm": False, "head": "whole", "of_family": name}
    recipe = recipe_of(usual | {"updates": updates})
    model, curve = fit(start, "detect", eight, recipe, seed=0, state_dir=tmp_path, progress=silent)
    found = DETECT.predict(model, family.preprocessing, eight, silent)
    ap = DETECT.score([found], [eight], None, "voc-area")[0]["det/voc-area/map@0.5"]
    seconds = time.process_time() - began
    print(f"{name}: AP at 0.5 {ap:.3f}, loss {curve.total[0]:.2f} to {curve.total[-1]:.3f}, {seconds:.0f} CPU s")
    assert ap >= 0.95
