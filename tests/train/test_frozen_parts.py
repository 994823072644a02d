"""Frozen parts stay as they are, bit by bit, their batch norms' statistics too; every part, and several at once."""

from pathlib import Path

import pytest
import torch

from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.progress import silent
from headstart.recipes.schema import recipe_of
from headstart.tasks.transfer import Start, fit
from headstart.train.state import model_tensors
from headstart.world.shapes import draw_set

PREFIXES = {"stem": ("conv1.", "bn1."), **{f"C{k + 1}": (f"layer{k}.",) for k in range(1, 5)}}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    out = tmp_path_factory.mktemp("drawn")
    draw_set("base", 12, 0, 48, out=out, progress=silent)
    return ImageSet.open(out)


@pytest.mark.parametrize(
    ("frozen", "reestimated"), [*(([name], True) for name in PREFIXES), (["stem", "C2"], False), ([*PREFIXES], True)]
)
def test_frozen_parts_and_their_statistics_are_bit_equal(drawn, tmp_path, frozen, reestimated) -> None:
    torch.manual_seed(3)
    backbone = build_backbone("shapes-resnet")
    start = Start(backbone, "shapes-resnet", Path(), Preprocessing(), is_random=False)
    before = {name: tensor.clone() for name, tensor in model_tensors(backbone).items()}
    settings = {"name": "t", "updates": 2, "batch_size": 4, "lr": 1e-2, "head": "linear", "freeze": frozen}
    recipe = recipe_of(settings | {"reestimate_batch_norm": reestimated, "warmup": 0, "sentinel": False})
    fit(start, "classify", drawn, recipe, seed=5, state_dir=tmp_path, progress=silent)
    kept = tuple(prefix for part in frozen for prefix in PREFIXES[part])
    moved = {name for name, tensor in model_tensors(backbone).items() if not torch.equal(tensor, before[name])}
    assert not [name for name in moved if name.startswith(kept)]
    others = [name for name in before if not name.startswith(kept) and name.endswith(("weight", "running_mean"))]
    assert set(others) <= moved, "all else is trained"
