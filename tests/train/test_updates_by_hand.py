"""Updates of the loop against the same arithmetic written out: clipping, rates, decay, momentum, parts, averages.

Every setting is also left out of the arithmetic once: the weights have to end elsewhere then, or nobody would notice
if the loop did not read it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.progress import silent
from headstart.recipes.schema import recipe_of
from headstart.tasks.table import trained_task
from headstart.tasks.transfer import Start, assembled, fit
from headstart.train.loop import reestimate_batch_norm
from headstart.train.state import model_tensors
from headstart.world.shapes import draw_set

UPDATES, SEED, RATE = 8, 5, 0.02
STEPS = [0.5, 1, 1, 1, 0.1, 0.1, 0.01, 0.01]
"""Factors of the rate with a warm-up of 2 updates and drops at 1/2 and 3/4."""
COSINE = [0.5, 1, *(0.5 * (1 + np.cos(np.pi * k / 6)) for k in range(6))]

USUAL: dict[str, Any] = {
    "name": "test",
    "updates": UPDATES,
    "batch_size": 4,
    "lr": RATE,
    "head": "linear",
    "optimizer": "sgd",
    "schedule": "steps",
    "drops": (0.5, 0.75),
    "warmup": 2,
    "weight_decay": 0.1,
    "clip_norm": 5.0,
    "precision": "fp64",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    out = tmp_path_factory.mktemp("drawn")
    draw_set("base", 12, 0, 32, out=out, progress=silent)
    return ImageSet.open(out)


def start() -> Start:
    torch.manual_seed(7)
    return Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=False)


def trained(drawn: ImageSet, folder: Path, changes: dict[str, Any]) -> dict[str, Tensor]:
    folder.mkdir(exist_ok=True)
    model, _ = fit(start(), "classify", drawn, recipe_of(USUAL | changes), seed=SEED, state_dir=folder, progress=silent)
    return model_tensors(model)


def by_hand(drawn: ImageSet, changes: dict[str, Any]) -> tuple[dict[str, Tensor], list[float]]:
    """Tensors after the updates, and the norm of every update's gradients before they are clipped."""
    now, begin = USUAL | changes, start()
    kind, recipe = trained_task("classify"), recipe_of(now)
    model = assembled(begin, "classify", recipe, len(kind.classes_of(drawn)), size_hw=(32, 32), seed=SEED)
    batches = Batches(drawn, 4, SEED, now.get("flip", True), quarter_turns=now.get("quarter_turns", False))
    if now.get("reestimate_batch_norm", True):
        reestimate_batch_norm(begin.backbone, batches, begin.preprocessing)
    model.double().train()
    parameters = dict(model.named_parameters())
    means = {name: tensor.clone() for name, tensor in model_tensors(model).items() if tensor.is_floating_point()}
    moments: dict[str, tuple[Tensor, Tensor]] = {n: (torch.zeros_like(p),) * 2 for n, p in parameters.items()}
    rate = RATE * 4 / now["reference_batch"] if now.get("reference_batch") else RATE
    norms = []
    for t, factor in enumerate(STEPS if now["schedule"] == "steps" else COSINE):
        gradients = {name: torch.zeros_like(p) for name, p in parameters.items()}
        for part in batches.batch(t).parts(count := now.get("accumulate", 1)):
            losses = kind.losses(model, part, begin.preprocessing.apply(part.images).double())
            found = torch.autograd.grad(sum(losses.values()), list(parameters.values()))
            for name, gradient in zip(parameters, found, strict=True):
                gradients[name] += gradient / count
        norms.append(float(torch.stack([g.norm() for g in gradients.values()]).norm()))
        shrunk = min(1.0, now["clip_norm"] / (norms[-1] + 1e-6))  # as torch does
        for name, parameter in parameters.items():
            lr = rate * factor * (now.get("backbone_rate", 1.0) if name.startswith("backbone.") else 1.0)
            decay = now["weight_decay"] if parameter.ndim > 1 else 0.0
            with torch.no_grad():
                moments[name] = stepped(parameter, gradients[name] * shrunk, moments[name], lr, decay, t, now)
        decay = min(now.get("average", 0.0), (t + 1) / (11 + t))
        for name, tensor in model_tensors(model).items():
            if name in means:
                means[name] = decay * means[name] + (1 - decay) * tensor.detach()
    return (means if now.get("average") else model_tensors(model)), norms


def stepped(
    parameter: Tensor, g: Tensor, moments: tuple[Tensor, Tensor], lr: float, decay: float, t: int, now: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """One step of SGD with momentum 0.9, or of AdamW (I. Loshchilov and F. Hutter, arXiv 1711.05101)."""
    first, second = moments
    if now["optimizer"] == "sgd":
        first = 0.9 * first + g + decay * parameter
        parameter -= lr * first
        return first, second
    first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
    parameter *= 1 - lr * decay
    parameter -= lr * (first / (1 - 0.9 ** (t + 1))) / ((second / (1 - 0.999 ** (t + 1))).sqrt() + 1e-8)
    return first, second


def far_apart(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """Largest difference of any number of two models."""
    return max(
        float((tensor.detach().double() - two[name].detach().double()).abs().max()) for name, tensor in one.items()
    )


CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"clip_norm": 1e6}),
    ({}, {"clip_norm": 10.0}),
    ({}, {"weight_decay": 0.0}),
    ({}, {"schedule": "cosine", "drops": ()}),
    ({"schedule": "cosine", "drops": ()}, {}),
    ({"optimizer": "adamw"}, {}),
    ({"optimizer": "adamw"}, {"optimizer": "adamw", "weight_decay": 0.0}),
    ({"accumulate": 2}, {}),
    ({"average": 0.5}, {}),
    ({"average": 0.99}, {"average": 0.05}),
    ({"backbone_rate": 0.1}, {}),
    ({"reference_batch": 16}, {}),
    ({"flip": False}, {}),
    ({"quarter_turns": True}, {}),
    ({"reestimate_batch_norm": False}, {}),
]


@pytest.mark.parametrize(("changes", "otherwise"), CHANGES, ids=[f"{a} or {b}" for a, b in CHANGES])
def test_updates_are_those_of_the_arithmetic_and_need_each_setting(
    drawn: ImageSet, tmp_path: Path, changes: dict[str, Any], otherwise: dict[str, Any]
) -> None:
    found = trained(drawn, tmp_path / "run", changes)
    expected, norms = by_hand(drawn, changes)
    assert min(norms) < USUAL["clip_norm"] < max(norms), "some gradients are clipped, and some are not"
    assert far_apart(expected, found) < 1e-8
    assert far_apart(by_hand(drawn, otherwise)[0], found) > 1e-4


def test_a_first_update_is_as_long_as_its_clipped_gradients(drawn: ImageSet, tmp_path: Path) -> None:
    """Without decay and momentum yet, the first update is rate x factor x the gradients, whose length is clipped."""
    begin = start()
    settings = {"updates": 1, "warmup": 0, "drops": (0.999,), "weight_decay": 0.0, "clip_norm": 0.01}
    recipe = recipe_of(USUAL | settings)
    before = assembled(
        begin, "classify", recipe, len(trained_task("classify").classes_of(drawn)), size_hw=(32, 32), seed=SEED
    )
    first = {name: p.detach().double().clone() for name, p in before.named_parameters()}
    after, _ = fit(start(), "classify", drawn, recipe, seed=SEED, state_dir=tmp_path, progress=silent)
    moved = torch.stack([(p.detach() - first[name]).norm() for name, p in after.named_parameters()]).norm()
    assert float(moved) == pytest.approx(RATE * 0.01, rel=1e-6)


def test_heads_alone_or_parts_that_are_frozen(drawn: ImageSet, tmp_path: Path) -> None:
    """Where heads alone are trained, re-estimated statistics are the only change to the rest, and without that there is
    none at all. Frozen parts keep theirs, re-estimated or not."""
    before = {name: tensor.clone() for name, tensor in model_tensors(start().backbone).items()}
    cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({"trainable": "heads"}, ("conv1", "bn1", "layer")),
        ({"freeze": ("stem", "C3"), "sentinel": False}, ("conv1", "bn1", "layer2")),
        ({"freeze": ("C2",), "sentinel": False}, ("layer1",)),
        ({"freeze": ("C4",), "sentinel": False}, ("layer3",)),
        ({"freeze": ("C5",), "sentinel": False}, ("layer4",)),
    ]
    for k, (changes, resting) in enumerate(cases):
        tensors = trained(drawn, tmp_path / str(k), changes | {"reestimate_batch_norm": False})
        again = trained(drawn, tmp_path / f"{k} estimated", changes)
        for name, tensor in before.items():
            after = tensors[f"backbone.{name}"]
            assert torch.equal(after, tensor.to(after)) == name.startswith(resting), (changes, name)
            if name.startswith(resting):
                estimated = "freeze" not in changes and ("running" in name or "num_batches" in name)
                assert torch.equal(again[f"backbone.{name}"], tensor.to(after)) != estimated, (changes, name)


def test_frozen_statistics_stay_while_their_weights_are_trained(drawn: ImageSet, tmp_path: Path) -> None:
    before = model_tensors(start().backbone)
    changes = {"batch_norm": "frozen", "reestimate_batch_norm": False, "sentinel": False}
    tensors = trained(drawn, tmp_path / "run", changes)
    for name, tensor in before.items():
        after = tensors[f"backbone.{name}"]
        assert torch.equal(after, tensor.to(after)) == ("running" in name or "num_batches" in name), name


def test_group_norm_takes_the_place_of_batch_norm(drawn: ImageSet, tmp_path: Path) -> None:
    recipe = recipe_of(USUAL | {"batch_norm": "group", "updates": 1})
    model, _ = fit(start(), "classify", drawn, recipe, seed=SEED, state_dir=tmp_path, progress=silent)
    kinds = {type(module) for module in model.modules()}
    assert nn.GroupNorm in kinds and nn.BatchNorm2d not in kinds
