"""Every recipe trains, in small, on a data set in the layout that it is for: its loss halves, and it has positives."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.main import get_command

from headstart import api
from headstart.cli.main import app
from headstart.models.backbones.building import build_backbone
from headstart.recipes.pretraining import PretrainingOptions, PretrainingRecipe, builtin_names, load_recipe
from headstart.tasks.table import trained_task
from headstart.weights import catalogue
from headstart.weights.cards import resolve
from support.drawn_layouts import Drawn, as_coco, as_fall11, as_imagenet, as_openimages, as_voc, drawn_images

LAYOUTS: dict[str, Callable[[list[Drawn], Path], Path]] = {
    "sniper-coco": as_coco,
    "sniper-voc": as_voc,
    "sniper-voc-transfer": as_voc,
    "sniper-openimages": as_openimages,
    "sniper-imagenet-loc": as_fall11,
    "faster-rcnn-fpn-1x": as_coco,
    "dcnv2-voc": as_voc,
    "imagenet-classification": as_imagenet,
    "shapes-chips": as_coco,
    "shapes-boxes": as_coco,
    "shapes-labels": as_coco,
}
SMALLER = 4
"""Images of 120 pixels instead of 480: sizes in pixels are a quarter of the recipe's."""
EPOCHS = {
    "sniper-coco": 5,
    "sniper-voc": 5,
    "sniper-voc-transfer": 5,
    "sniper-imagenet-loc": 60,
    "imagenet-classification": 60,
}
BACKBONES = {
    "preact-resnet101[stage4=deformable]": "preact-resnet26[stage4=deformable]",
    "resnet101": "resnet18",
    "resnet50": "resnet18",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Drawn]:
    return drawn_images(tmp_path_factory.mktemp("drawn"), 16)


def in_small(recipe: PretrainingRecipe) -> list[str]:
    """Changes that bring a recipe to small images, a small network and a short training."""
    changes = [
        f"backbone={BACKBONES.get(recipe.backbone, recipe.backbone)}",
        "weights=",
        "training.batch_size=4",
        "training.warmup=4",
        f"epochs={EPOCHS.get(recipe.name, 12)}",
        "checkpoint_epochs=40",
        "training.sentinel=false",  # the norms of weights that a test made remember nothing
    ]
    if recipe.name.startswith("shapes"):
        return changes[:1] + changes[2:]
    rate = {"imagenet-classification": 2e-2, "sniper-imagenet-loc": 1.2e-2}.get(recipe.name, 4e-3)
    changes += ["training.reference_batch=4", f"training.lr={rate}", f"sampling.size={recipe.sampling.size // SMALLER}"]
    if recipe.supervision == "labels":  # noise of random parts and of batch norm over four images hides the learning
        changes += ["training.batch_size=16", "training.reference_batch=16", "sampling.least_area=0.5"]
    if recipe.supervision == "boxes":
        changes += ["training.channels=64", "training.rois=64", "training.proposals=100"]
    if recipe.negatives:
        changes.append("sampling.proposal_epochs=1")
    for place, scales in (("sampling.scales", getattr(recipe.sampling, "scales", ())), ("inference", recipe.inference)):
        small = []
        for s in scales:
            own = s.model_dump(mode="json", exclude_none=True)
            pixels = ("lo", "hi", "limit") if s.kind == "factor" else ("lo", "hi", "limit", "value")
            small.append({k: v / SMALLER if k in pixels and k in own else v for k, v in own.items()})
        if small:
            changes.append(f"{place}={as_toml(small)}")
    if anchors := getattr(recipe.training, "anchors", ()):
        changes.append(f"training.anchors={[a / SMALLER for a in anchors]}")
    return changes


def as_toml(tables: list[dict]) -> str:
    return "[" + ", ".join("{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in t.items()) + "}" for t in tables) + "]"


def test_every_recipe_has_a_miniature() -> None:
    assert sorted(LAYOUTS) == builtin_names()


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_command_in_a_recipe_is_one_and_its_network_can_be_built(name: str) -> None:
    """In full size, with the backbone that the command's weights have; nothing is downloaded."""
    recipe = load_recipe(name)
    words = shlex.split(recipe.command)
    assert words[:2] == ["headstart", "pretrain"] and words[3:5] == ["--recipe", name]
    context = get_command(app).commands["pretrain"].make_context("pretrain", words[2:])  # type: ignore[attr-defined]
    weights = context.params["weights"] or recipe.weights or f"random:{recipe.backbone}"
    backbone = entry.backbone if (entry := catalogue.find(weights)) else resolve(weights, Path()).backbone
    training = recipe.recipe(1)
    assert backbone == recipe.backbone
    assert not (weights.startswith("random:") and training.freeze)
    with torch.device("cpu" if recipe.backbone == "shapes-resnet" else "meta"):  # nothing large is filled with values
        model = trained_task("detect" if recipe.supervision == "boxes" else "classify").build(
            build_backbone(backbone), training, 20, (recipe.sampling.size, recipe.sampling.size)
        )
    assert sum(p.numel() for p in model.parameters()) > 1e5


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights to start from where a recipe freezes some: a ResNet-18 whose norms have statistics."""
    from headstart.models.backbones.preprocessing import IMAGENET
    from headstart.weights import native

    torch.manual_seed(0)
    backbone = build_backbone("resnet18")
    with torch.no_grad():
        for _ in range(20):
            backbone(torch.randn(4, 3, 64, 64))
    tensors = {k: v for k, v in backbone.state_dict().items() if not k.endswith("num_batches_tracked")}
    facts = native.CheckpointFacts(
        "start",
        "resnet18",
        IMAGENET.to_json(),
        [],
        licence="none",
        source="a test",
        digest=native.tensor_digest(tensors),
    )
    return f"file:{native.write(tmp_path_factory.mktemp('start'), tensors, facts)}"


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_loss_halves(name: str, drawn: list[Drawn], start: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    slow = getattr(recipe.training, "decoupled", False)  # classes are learned on objects alone
    few = drawn[:8] if slow else drawn
    data = LAYOUTS[name](few, tmp_path / "data")
    weights = start if recipe.training.freeze and "preact" not in recipe.backbone else ""
    changes = in_small(recipe)
    if recipe.training.freeze and not weights:
        changes.append("training.freeze=[]")
    splits = ("train", "val") if LAYOUTS[name] is as_voc else ()
    options = PretrainingOptions(weights, tmp_path / "out", split=splits, on_empty_class="skip", loaders=0, threads=1)
    done = api.pretrain(data, name, options, changes=changes)
    with np.load(done.folder / "curve.npz") as curve:
        loss = curve["loss"]
        counts = {key: curve[key] for key in curve.files if key.startswith("number_of_")}
    fifth = max(1, len(loss) // 5)
    print(
        f"{name}: {len(loss)} updates, loss {loss[:3].mean():.3f} to {loss[-fifth:].mean():.3f}; "
        + ", ".join(f"{key} {value.mean():.1f} an update" for key, value in counts.items())
    )
    assert loss[-fifth:].mean() < loss[:3].mean() / 2
    assert bool(counts) == (recipe.supervision == "boxes")
    assert all((value > 0).mean() > 0.5 for value in counts.values())
