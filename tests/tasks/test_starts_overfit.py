"""Every start learns eight photographs of raccoons by heart, whatever it copies (`nightly`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET
from headstart.progress import silent
from headstart.recipes.schema import Recipe, recipe_of
from headstart.tasks.copying import BACKBONE_ONLY, Copying
from headstart.tasks.detect import TASK as DETECT
from headstart.tasks.transfer import Start, fit, save_model, saved_tensors
from headstart.weights.detectors.reading import read_pretrained
from headstart.weights.starts import STARTS, CopyProof, CopySettings
from headstart.world.shapes import draw_set
from support.references.raccoons import eight_raccoons

pytestmark = pytest.mark.nightly
SIDE = 128
PYRAMID = {"neck": "fpn", "levels": ("C3", "C4", "C5"), "channels": 64}
HEADS: dict[str, dict[str, Any]] = {
    "fcos": PYRAMID,
    "retinanet": PYRAMID,
    "faster-rcnn": {**PYRAMID, "proposals": 64, "rois": 32},
}


def recipe_with(head: str, updates: int) -> Recipe:
    usual = {"name": "overfit", "batch_size": 4, "lr": 2e-3, "warmup": 10, "weight_decay": 0.0, "flip": False}
    return recipe_of({**usual, "updates": updates, "head": head, **HEADS[head], "reestimate_batch_norm": False})


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return eight_raccoons(tmp_path_factory.mktemp("eight"), SIDE)


@pytest.fixture(scope="module", params=HEADS)
def before(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A short pre-training on drawings, as one leaves it."""
    folder = tmp_path_factory.mktemp(request.param)
    draw_set("base", 64, 0, SIDE, out=folder / "images", progress=silent)
    images, recipe = ImageSet.open(folder / "images"), recipe_with(request.param, 60)
    torch.manual_seed(0)
    start = Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), IMAGENET, is_random=True)
    model, _ = fit(start, "detect", images, recipe, seed=0, state_dir=folder, progress=silent)
    (folder / "model").mkdir()
    classes = list(DETECT.classes_of(images))
    save_model(folder / "model", model, {"recipe": recipe.identity(), "task": "detect", "classes": classes})
    return request.param, folder


@pytest.mark.parametrize("kind", STARTS)
def test_every_start_learns_eight_images(before: tuple[str, Path], eight: ImageSet, kind: Any, tmp_path: Path) -> None:
    head, folder = before
    torch.manual_seed(0)
    backbone, copying = build_backbone("shapes-resnet"), BACKBONE_ONLY
    if kind != "random":
        values = saved_tensors(folder / "model")
        own = {n.removeprefix("backbone."): v for n, v in values.items() if n.startswith("backbone.")}
        backbone.load_state_dict(own)
        copying = Copying(frozenset(own), read_pretrained(folder), CopySettings(kind))
    start = Start(backbone, "shapes-resnet", Path(), IMAGENET, kind == "random", copying)
    told: list[CopyProof] = []
    recipe = recipe_with(head, 300)
    model, curve = fit(start, "detect", eight, recipe, seed=0, state_dir=tmp_path, progress=silent, told=told.append)
    found = DETECT.predict(model, IMAGENET, eight, silent)
    ap = DETECT.score([found], [eight], None, "voc-area")[0]["det/voc-area/map@0.5"]
    print(f"{head}, {kind}: AP at 0.5 {ap:.3f}, loss {curve.total[0]:.2f} to {curve.total[-1]:.3f}")
    assert told[0].start == kind
    assert ap >= 0.95
