"""A training in float64 on images of several labels: alone, or as one of several processes that torchrun started."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from headstart.batches.label_batches import LabelBatches
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.norms import set_norms
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.recipes.schema import Recipe, recipe_of
from headstart.tasks.classify import TASK
from headstart.train.distributed import joined
from headstart.train.loop import train
from headstart.train.state import model_tensors, save_tensors
from support.miniatures_coco import an_annotation, an_image, coco_json

COLORS = {"blue": (40, 60, 250), "lime": (60, 240, 50), "red": (250, 50, 40)}
SIDE = 48


def color_folders(root: Path, count: int = 5) -> Path:
    """Images of one color each, of different sizes; the class is the color."""
    for number, (name, rgb) in enumerate({"blue": (0, 0, 255), "lime": (0, 255, 0), "red": (255, 0, 0)}.items()):
        for k in range(count):
            path = root / "train" / name / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20 + 5 * k, 30 + number), rgb).save(path)
    return root


def draw(root: Path, count: int = 16, verified: bool = False) -> Path:
    """Gray images with none to three squares, each of a color of its own. verified: as in LVIS, where of each image one
    of the colors that it lacks is said to be absent, and of the others nothing."""
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for number in range(1, count + 1):
        pixels = rng.integers(100, 156, (SIDE, SIDE, 3), dtype=np.uint8)
        shown = [k for k in range(3) if number >> k & 1]
        for k in shown:
            y, x = rng.integers(0, 10), 16 * k + rng.integers(0, 2)
            y += 16 * int(rng.integers(0, 2))
            pixels[y : y + 14, x : x + 14] = list(COLORS.values())[k]
            boxes.append(
                an_annotation(
                    len(boxes) + 1, number, [int(x), int(y), 14, 14], k + 1, area=196, segmentation=[[0, 0, 1, 0, 1, 1]]
                )
            )
        absent = [k + 1 for k in range(3) if k not in shown][: 1 if verified else 0]
        more = {"neg_category_ids": absent, "not_exhaustive_category_ids": []} if verified else {}
        images.append(an_image(number, f"{number}.png", **more) | {"width": SIDE, "height": SIDE})
        (root / "train2017").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / f"train2017/{number}.png")
    kinds = [{"id": k + 1, "name": name, "frequency": "f"} for k, name in enumerate(COLORS)]
    for image in images if verified else []:
        image["coco_url"] = f"http://images.cocodataset.org/train2017/{image.pop('file_name')}"
    name = "lvis_v1_train" if verified else "instances_train2017"
    coco_json(root / f"annotations/{name}.json", images, boxes, kinds)
    return root


def recipe(**changes) -> Recipe:
    settings = {
        "name": "two",
        "updates": 20,
        "batch_size": 8,
        "lr": 1e-2,
        "warmup": 2,
        "head": "linear",
        "reestimate_batch_norm": False,
    }
    return recipe_of(settings | changes)


def main(data: Path, out: Path) -> None:
    torch.set_num_threads(1)
    settings = recipe(batch_norm="group", precision="fp64", accumulate=2)
    torch.manual_seed(3)
    table = open_dataset(data)
    batches = LabelBatches(table, range(len(table)), 32, settings.batch_size, seed=0, flip=True)
    model = TASK.build(build_backbone("shapes-resnet"), settings, 3, (32, 32), several=batches.source.several)
    model = set_norms(model, settings.batch_norm)
    with joined("cpu") as world:
        state = out / f"state{world.rank}"
        state.mkdir(parents=True)
        train(
            model, TASK.losses, batches, Preprocessing(), recipe=settings, state_dir=state, progress=silent, world=world
        )
        if world.leads:
            save_tensors(out / "model.safetensors", model_tensors(model))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
