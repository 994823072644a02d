"""Small trainings with one fault each, for the sentinel to find, and what it is to call it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.names import COUNT
from headstart.progress import silent
from headstart.recipes.schema import Recipe, recipe_of
from headstart.tasks import transfer
from headstart.tasks.transfer import Start, fit
from headstart.train.sentinel import window_of
from headstart.train.state import model_tensors
from headstart.world.shapes import draw_set

HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "fcos": ("detect", {"head": "fcos"}),
    "retinanet": ("detect", {"head": "retinanet", "neck": "fpn", "levels": ("C4", "C5")}),
    "faster-rcnn": ("detect", {"head": "faster-rcnn"}),
    "faster-rcnn-fpn": ("detect", {"head": "faster-rcnn", "neck": "fpn", "levels": ("C4", "C5")}),
    "faster-rcnn-c4": ("detect", {"head": "faster-rcnn", "neck": "c4"}),
    "faster-rcnn-dc5": ("detect", {"head": "faster-rcnn", "neck": "dc5", "decoupled": True, "mimic": True}),
    "pixel": ("segment", {"head": "pixel"}),
    "linear": ("classify", {"head": "linear"}),
}
USUAL: dict[str, Any] = {"name": "mini", "updates": 500, "warmup": 50, "batch_size": 8, "lr": 3e-3}
OF_HEADS: dict[str, Any] = {"channels": 16, "proposals": 32, "rois": 16}
RAW = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Run:
    """One training, as `fit` gets it."""

    head: str
    images: ImageSet
    backbone: nn.Module
    is_random: bool
    preprocessing: Preprocessing = IMAGENET
    changes: dict[str, Any] = field(default_factory=dict)
    assembled: Callable[[nn.Module], nn.Module] = lambda model: model
    """What is done to the model before it is trained."""

    def recipe(self) -> Recipe:
        of_head = HEADS[self.head][1]
        read = Recipe.family[of_head["head"]].model_fields
        settings = USUAL | {name: value for name, value in OF_HEADS.items() if name in read}
        return recipe_of(settings | of_head | self.changes)

    def train(self, state: Path, whole: bool = False, **more: Any) -> Any:
        """Until the sentinel's window is over, or the `whole` training. Raises what `fit` raises."""
        recipe, asked = self.recipe(), 0

        def over() -> bool:
            nonlocal asked
            asked += 1
            return not whole and asked > window_of(recipe.updates)

        start = Start(copy.deepcopy(self.backbone), "shapes-resnet", Path(), self.preprocessing, self.is_random)
        state.mkdir(exist_ok=True)
        with self._changed():
            task = HEADS[self.head][0]
            return fit(start, task, self.images, recipe, seed=1, state_dir=state, progress=silent, stopped=over, **more)

    @contextmanager
    def _changed(self) -> Iterator[None]:
        change, usual = self.assembled, transfer.assembled
        more = {"several": True} if self.images.label_table is not None else {}
        with mock.patch.object(transfer, "assembled", lambda *a, **k: change(usual(*a, **k, **more))):
            yield


def drawn(folder: Path, count: int = 40, side: int = 48, world: str = "base") -> ImageSet:
    draw_set(world, count, 0, side, out=folder, progress=silent)
    return ImageSet.open(folder)


def trained_backbone(images: ImageSet, folder: Path, updates: int = 40) -> nn.Module:
    """A backbone that has learnt a little, with the statistics of its norms."""
    torch.manual_seed(0)
    recipe = recipe_of(
        {"name": "before", "updates": updates, "warmup": 4, "batch_size": 8, "lr": 4e-3, "head": "linear"}
    )
    folder.mkdir(exist_ok=True)
    start = Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), IMAGENET, is_random=True)
    model, _ = fit(start, "classify", images, recipe, seed=3, state_dir=folder, progress=silent)
    return model.backbone  # type: ignore[return-value]


def random_backbone() -> nn.Module:
    torch.manual_seed(0)
    return build_backbone("shapes-resnet")


class Turned(Preprocessing):
    """Gives the network the colors in the other order."""

    def apply(self, images: Tensor) -> Tensor:
        return super().apply(images.flip(1))


class Nothing(Preprocessing):
    """Gives the network values 0..255."""

    def apply(self, images: Tensor) -> Tensor:
        return images.float()


def no_prior(model: nn.Module) -> nn.Module:
    nn.init.zeros_(model.classes.bias)  # type: ignore[union-attr, arg-type]
    return model


def detached(model: nn.Module) -> nn.Module:
    model.backbone.register_forward_hook(lambda m, given, maps: {k: v.detach() for k, v in maps.items()})  # type: ignore[union-attr]
    return model


def half_random(backbone: nn.Module) -> nn.Module:
    """Every other tensor as before training."""
    mixed, fresh = copy.deepcopy(backbone), model_tensors(random_backbone())
    with torch.no_grad():
        for k, (name, tensor) in enumerate(model_tensors(mixed).items()):
            if k % 2:
                tensor.copy_(fresh[name])
    return mixed


def loud(model: nn.Module) -> nn.Module:
    """Features beyond what half precision holds, that single precision has no trouble with."""
    model.backbone.register_forward_hook(lambda m, given, maps: {k: v * 1e5 for k, v in maps.items()})  # type: ignore[union-attr]
    return model


def summed(model: nn.Module) -> nn.Module:
    """Losses summed over the images, not averaged."""
    usual: Any = model.losses

    def losses(images: Tensor, truth: Any) -> dict[str, Tensor]:
        return {k: v if k.startswith(COUNT) else v * len(images) for k, v in usual(images, truth).items()}

    model.losses = losses  # type: ignore[assignment]
    return model


def frozen_by_hand(model: nn.Module) -> nn.Module:
    model.backbone.requires_grad_(False)  # type: ignore[union-attr]
    return model


def dead(model: nn.Module) -> nn.Module:
    model.backbone.register_forward_hook(lambda m, given, maps: {k: v * 0 + 1 for k, v in maps.items()})  # type: ignore[union-attr]
    return model


def with_boxes(images: ImageSet, change: Callable[[np.ndarray], np.ndarray]) -> ImageSet:
    return replace(images, boxes_xyxy=change(images.boxes_xyxy).astype(np.float32))


def to_xywh(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)


def sorted_by_class(images: ImageSet) -> Any:
    """Batches in the order of the labels."""
    order = np.argsort(images.image_labels, kind="stable")
    return mock.patch.object(
        Batches, "indices", lambda self, t: order[(np.arange(self.batch_size) + t * self.batch_size) % len(order)]
    )


def faults(images: ImageSet, trained: nn.Module) -> dict[str, tuple[str, Run]]:
    """By what was done: the name that the sentinel has for it, and the training."""
    fresh, side = random_backbone(), images.images.shape[1]

    def run(head: str, **more: Any) -> Run:
        return Run(head, more.pop("images", images), more.pop("backbone", fresh), more.pop("is_random", True), **more)

    several = np.zeros((len(images), len(images.image_classes)), np.int8)
    several[np.arange(len(images)), images.image_labels] = 1
    table = replace(images, label_table=several, image_labels=np.full_like(images.image_labels, -1))
    frozen = {"batch_norm": "frozen", "reestimate_batch_norm": False}
    shifted = np.asarray(images.masks).astype(np.uint8) + 1
    none = np.zeros_like(images.images)
    halves = (np.asarray(images.images) > 127).astype(np.uint8)
    prior, ids, rate = "no prior in the head", "class ids are out of range", "learning rate too high"
    return {
        "no prior, FCOS": (prior, run("fcos", assembled=no_prior)),
        "no prior, RetinaNet": (prior, run("retinanet", assembled=no_prior)),
        "rate times 100, FCOS": (rate, run("fcos", changes={"lr": 0.3})),
        "rate times 100, classifier": (rate, run("linear", changes={"lr": 0.3})),
        "rate times 100, segmentation": (rate, run("pixel", changes={"lr": 0.3})),
        "rate times 100, classifier by SGD": (rate, run("linear", changes={"lr": 10.0, "optimizer": "sgd"})),
        "box ids from 1": (ids, run("fcos", images=replace(images, box_labels=images.box_labels + 1))),
        "box ids from 1, Faster R-CNN": (
            ids,
            run("faster-rcnn", images=replace(images, box_labels=images.box_labels + 1)),
        ),
        "image ids from -1": (ids, run("linear", images=replace(images, image_labels=images.image_labels - 1))),
        "mask ids from 1": (ids, run("pixel", images=replace(images, masks=shifted))),
        "BGR": ("BGR for RGB, or RGB for BGR", run("fcos", preprocessing=Turned())),
        "0..255 by a network that takes normalized values": (
            "no normalization",
            run("linear", preprocessing=Nothing()),
        ),
        "0..255 said to be what the network takes": (
            "no normalization",
            run("linear", preprocessing=replace(RAW, scale=1.0)),
        ),
        "0..1 by loaded weights that take normalized values": (
            "no normalization",
            run("fcos", backbone=trained, is_random=False, preprocessing=RAW),
        ),
        "half of the tensors random": (
            "half-loaded backbone",
            run("pixel", backbone=half_random(trained), is_random=False),
        ),
        "x y w h": ("boxes are x, y, width, height", run("fcos", images=with_boxes(images, to_xywh))),
        "boxes in 0..1": (
            "boxes are fractions of the image",
            run("retinanet", images=with_boxes(images, lambda b: b / side)),
        ),
        "boxes of images twice as large": (
            "boxes are not in their images",
            run("faster-rcnn", images=with_boxes(images, lambda b: 2 * b)),
        ),
        "the same, cut at the border": (
            "boxes are not in their images",
            run("faster-rcnn", images=with_boxes(images, lambda b: np.clip(2 * b, 0, side))),
        ),
        "frozen random norms": ("frozen random norms", run("fcos", is_random=False, changes=frozen)),
        "black images": ("images are constant", run("linear", images=replace(images, images=none))),
        "images in 0..1": ("images are in 0..1", run("pixel", images=replace(images, images=halves))),
        "one class of boxes": ("only one class", run("fcos", images=replace(images, box_labels=0 * images.box_labels))),
        "one class of images": (
            "only one class",
            run("linear", images=replace(images, image_labels=0 * images.image_labels)),
        ),
        "one class of pixels": (
            "only one class",
            run("pixel", images=replace(images, masks=0 * np.asarray(images.masks))),
        ),
        "no pixel has a class": (
            "nothing to learn from",
            run("pixel", images=replace(images, masks=0 * np.asarray(images.masks) + 255)),
        ),
        "features detached": ("no gradient in the backbone", run("linear", assembled=detached)),
        "backbone set not to train": ("no gradient in the backbone", run("fcos", assembled=frozen_by_hand)),
        "loud features in half precision": (
            "numbers beyond the precision",
            run("linear", assembled=loud, changes={"precision": "fp16"}),
        ),
        "dead features": ("dead features", run("linear", assembled=dead)),
        "losses summed over images": ("loss unlike an untrained head's", run("linear", assembled=summed)),
        "no prior, several labels": (prior, run("linear", images=table, assembled=no_prior)),
    }


FAULTS = (
    "no prior, FCOS",
    "no prior, RetinaNet",
    "no prior, several labels",
    "rate times 100, FCOS",
    "rate times 100, classifier",
    "rate times 100, segmentation",
    "rate times 100, classifier by SGD",
    "box ids from 1",
    "box ids from 1, Faster R-CNN",
    "image ids from -1",
    "mask ids from 1",
    "BGR",
    "0..255 by a network that takes normalized values",
    "0..255 said to be what the network takes",
    "0..1 by loaded weights that take normalized values",
    "half of the tensors random",
    "x y w h",
    "boxes in 0..1",
    "boxes of images twice as large",
    "the same, cut at the border",
    "frozen random norms",
    "black images",
    "images in 0..1",
    "one class of boxes",
    "one class of images",
    "one class of pixels",
    "no pixel has a class",
    "features detached",
    "backbone set not to train",
    "loud features in half precision",
    "dead features",
    "losses summed over images",
)
"""Names of `faults`, which need images to be made."""
