"""Detectors in the loop: every precision, stopped and gone on, saved and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.batches.image_batches import pixels_of
from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.progress import silent
from headstart.recipes.schema import Recipe, recipe_of
from headstart.tasks.transfer import Start, fit, load_model, model_facts, save_model
from headstart.train import saving
from headstart.train.state import model_tensors
from headstart.world.shapes import draw_set

KINDS: dict[str, dict] = {
    "RetinaNet": {"head": "retinanet", "neck": "fpn", "levels": ("C4", "C5")},
    "C4": {"head": "faster-rcnn", "neck": "c4", "deformable": ("C5",)},
    "DC5": {
        "head": "faster-rcnn",
        "neck": "dc5",
        "deformable": ("C4", "C5"),
        "roi_pool": "deform-modulated",
        "mimic": True,
    },
    "FPN": {"head": "faster-rcnn", "neck": "fpn", "levels": ("C4", "C5"), "decoupled": True},
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    out = tmp_path_factory.mktemp("drawn")
    draw_set("base", 8, 0, 48, out=out, progress=silent)
    return ImageSet.open(out)


def recipe(name: str, **changes) -> Recipe:
    settings = {"name": "test", "updates": 3, "batch_size": 2, "lr": 1e-3, "channels": 8}
    few = {"proposals": 12, "rois": 8} if KINDS[name]["head"] == "faster-rcnn" else {}
    return recipe_of(settings | few | KINDS[name] | changes)


def start() -> Start:
    torch.manual_seed(7)
    return Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=True)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("precision", ["bf16", "fp64"])
def test_every_precision_trains(drawn: ImageSet, tmp_path: Path, name: str, precision: str) -> None:
    model, curve = fit(
        start(), "detect", drawn, recipe(name, precision=precision), seed=5, state_dir=tmp_path, progress=silent
    )
    assert np.isfinite(curve.values).all()
    assert next(model.parameters()).dtype == (torch.float64 if precision == "fp64" else torch.float32)


@pytest.mark.parametrize("name", ["C4", "FPN"])
def test_what_is_drawn_at_random_goes_on_after_a_stop(
    drawn: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(saving, "SAVE_EVERY_SECONDS", 0.0)
    for folder in ("whole", "parts"):
        (tmp_path / folder).mkdir()
    whole, _ = fit(start(), "detect", drawn, recipe(name), seed=5, state_dir=tmp_path / "whole", progress=silent)

    def stop(model: torch.nn.Module) -> dict:
        return {2: lambda: (_ for _ in ()).throw(KeyboardInterrupt)}

    with pytest.raises(KeyboardInterrupt):
        fit(start(), "detect", drawn, recipe(name), seed=5, state_dir=tmp_path / "parts", progress=silent, at_step=stop)
    parts, _ = fit(start(), "detect", drawn, recipe(name), seed=5, state_dir=tmp_path / "parts", progress=silent)
    found = model_tensors(parts)
    assert all(torch.equal(tensor, found[key]) for key, tensor in model_tensors(whole).items())


@pytest.mark.parametrize("name", KINDS)
def test_a_saved_detector_finds_the_same_again(drawn: ImageSet, tmp_path: Path, name: str) -> None:
    begin, (out, state) = start(), (tmp_path / "out", tmp_path / "state")
    out.mkdir(), state.mkdir()
    model, _ = fit(begin, "detect", drawn, recipe(name, updates=1), seed=5, state_dir=state, progress=silent)
    save_model(out, model, model_facts(begin, "detect", recipe(name, updates=1), drawn, resize="stretch"))
    again = load_model(out).model
    images = Preprocessing().apply(pixels_of(drawn, slice(0, 4)))
    for before, after in zip(model.detect(images, 1e-3), again.detect(images, 1e-3), strict=True):  # type: ignore[operator]
        assert len(before.scores) > 0
        assert torch.equal(before.boxes_xyxy, after.boxes_xyxy) and torch.equal(before.scores, after.scores)
