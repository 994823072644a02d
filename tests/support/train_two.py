"""A training in float64 for `test_distributed`: alone, or as one of several processes that torchrun started."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.progress import silent
from headstart.recipes.schema import recipe_of
from headstart.tasks.table import TASKS
from headstart.tasks.transfer import Start, fit
from headstart.train.distributed import World, joined
from headstart.train.state import model_tensors, save_tensors

KINDS: dict[str, dict[str, Any]] = {
    "detect": {"head": "fcos"},
    "segment": {"head": "pixel"},
    "classify": {"head": "linear", "accumulate": 2},
    "faster-rcnn": {"head": "faster-rcnn", "neck": "fpn", "levels": ("C4", "C5"), "proposals": 24, "rois": 12},
    "dcn": {
        "head": "faster-rcnn",
        "deformable": ("C5",),
        "roi_pool": "deform-modulated",
        "proposals": 24,
        "rois": 12,
        "decoupled": True,
        "soft_background": True,
        "mimic": True,
    },
}


def main(images: Path, out: Path, *kinds: str) -> None:
    """Train each kind, one after the other in the same processes, and leave its tensors in a folder of its name."""
    torch.set_num_threads(1)
    with joined("cpu") as world:
        for kind in kinds:
            train_one(images, out / kind, kind, world)


def train_one(images: Path, out: Path, kind: str, world: World) -> None:
    task = kind if kind in TASKS else "detect"
    recipe = recipe_of(
        dict(
            name="two",
            updates=8,
            batch_size=8,
            lr=1e-2,
            warmup=2,
            batch_norm="group",
            precision="fp64",
            reestimate_batch_norm=False,
            **({} if kind == "classify" else {"channels": 8}),
            **KINDS[kind],
        )
    )
    torch.manual_seed(3)
    start = Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=True)
    state = out / f"state{world.rank}"
    state.mkdir(parents=True)
    model, _ = fit(start, task, ImageSet.open(images), recipe, seed=0, state_dir=state, progress=silent, world=world)
    if world.leads:
        save_tensors(out / "model.safetensors", model_tensors(model))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
