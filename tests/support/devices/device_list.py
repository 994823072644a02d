"""What is run on a device and on the CPU to be compared: every head, trained, and what it predicts afterwards.

Tests on the pretended device ask for equal bits; those on a real one (`gpu`) for numbers that are near.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.progress import silent
from headstart.recipes.schema import Recipe, recipe_of
from headstart.tasks.table import trained_task
from headstart.tasks.transfer import Start, fit
from headstart.train.distributed import World

HEADS: dict[str, tuple[str, dict]] = {
    "linear": ("classify", {"head": "linear"}),
    "pixel": ("segment", {"head": "pixel"}),
    "fcos": ("detect", {"head": "fcos"}),
    "fcos-pyramid": ("detect", {"head": "fcos", "neck": "fpn", "levels": ("C4", "C5")}),
    "retinanet": ("detect", {"head": "retinanet", "neck": "fpn", "levels": ("C4", "C5")}),
    "faster-rcnn": ("detect", {"head": "faster-rcnn", "class_agnostic": True, "roi_pool": "deform"}),
    "faster-rcnn-c4": ("detect", {"head": "faster-rcnn", "neck": "c4", "deformable": ("C5",)}),
    "faster-rcnn-dc5": (
        "detect",
        {
            "head": "faster-rcnn",
            "neck": "dc5",
            "deformable": ("C4", "C5"),
            "roi_pool": "deform-modulated",
            "mimic": True,
        },
    ),
    "faster-rcnn-pyramid": (
        "detect",
        {
            "head": "faster-rcnn",
            "neck": "fpn",
            "levels": ("C4", "C5"),
            "decoupled": True,
            "soft_background": True,
            "reduce": True,
        },
    ),
}
VARIANTS: dict[str, dict] = {
    "plain": {"precision": "fp32"},
    "bf16": {"precision": "bf16", "accumulate": 2, "average": 0.9},
    "sync": {"precision": "fp32", "batch_norm": "sync", "clip_norm": 0.1, "optimizer": "sgd"},
}


class Trained(NamedTuple):
    """losses (updates, names); tensors of the model, on the CPU; its predictions."""

    losses: np.ndarray
    tensors: dict[str, torch.Tensor]
    predictions: dict[str, np.ndarray]


def trained(head: str, variant: str, images: ImageSet, device: torch.device, state: Path, loaders: int = 0) -> Trained:
    """Train a head for three updates on a device, and predict on the images."""
    task, changes = HEADS[head]
    settings = {"name": "test", "updates": 3, "batch_size": 2, "lr": 1e-3, "channels": 8, "proposals": 12, "rois": 8}
    read = Recipe.family[changes["head"]].model_fields
    recipe = recipe_of({k: v for k, v in settings.items() if k in read} | changes | VARIANTS[variant])
    torch.manual_seed(7)
    start = Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=True)
    state.mkdir()
    world = World(device=device)
    model, curve = fit(
        start, task, images, recipe, seed=5, state_dir=state, progress=silent, world=world, workers=loaders
    )
    assert {t.device for t in model.state_dict().values()} == {device}
    predictions = trained_task(task).predict(model, start.preprocessing, images, silent)
    return Trained(curve.values, {name: t.cpu() for name, t in model.state_dict().items()}, predictions)
