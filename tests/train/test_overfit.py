"""Detectors on ResNet-18 learn eight photographs of raccoons by heart (drawings where the data set is absent)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.recipes.schema import recipe_of
from headstart.tasks import detect
from headstart.tasks.transfer import Start, fit
from headstart.world.shapes import draw_set

RACCOONS = Path(__file__).parents[3] / "shared" / "data" / "voc_raccoon"
SIZE = 256
DRAWN_UPDATES = 200
"""Eight drawings have 29 objects of 9 classes, the photographs one raccoon each."""
AP50 = "det/voc-area/map@0.5"
PYRAMID = {"neck": "fpn", "levels": ("C3", "C4", "C5")}
FEW = {"proposals": 32, "rois": 16}  # each RoI runs through layer4
SOME = {"proposals": 64, "rois": 32}
DETECTORS: dict[str, dict] = {
    "Faster R-CNN C4": {"head": "faster-rcnn", "neck": "c4", **FEW},
    "Faster R-CNN DC5": {"head": "faster-rcnn", "neck": "dc5", **SOME},
    "Faster R-CNN FPN": {"head": "faster-rcnn", "updates": 150, **SOME, **PYRAMID},
    "RetinaNet": {"head": "retinanet", **PYRAMID},
    "FCOS": {"head": "fcos", **PYRAMID},
    "DCNv2": {
        "head": "faster-rcnn",
        "neck": "dc5",
        "deformable": ("C4", "C5"),
        "roi_pool": "deform-modulated",
        "reduce": True,
        **SOME,
    },
}


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    out = tmp_path_factory.mktemp("eight")
    if RACCOONS.is_dir():
        make_image_set(
            open_dataset(RACCOONS),
            range(8),
            range(8),
            "detect",
            size_hw=(SIZE, SIZE),
            resize="stretch",
            out=out,
            progress=silent,
        )
    else:
        draw_set("base", 8, 0, SIZE, out=out, progress=silent)
    return ImageSet.open(out)


@pytest.mark.nightly
@pytest.mark.parametrize("name", DETECTORS)
def test_eight_images_are_learnt_by_heart(eight: ImageSet, tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    settings = {"updates": 100} | DETECTORS[name] | ({} if RACCOONS.is_dir() else {"updates": DRAWN_UPDATES})
    recipe = recipe_of(
        dict(
            name="overfit",
            batch_size=4,
            lr=1e-3,
            warmup=10,
            weight_decay=0.0,
            flip=False,
            channels=64,
            reestimate_batch_norm=False,
            **settings,
        )
    )
    began = time.process_time()
    start = Start(build_backbone("resnet18"), "resnet18", Path(), IMAGENET, is_random=True)
    model, curve = fit(start, "detect", eight, recipe, seed=0, state_dir=tmp_path, progress=silent)
    seconds = time.process_time() - began
    found = detect.predict(model, IMAGENET, eight, silent)
    scores, _ = detect.score([found], [eight], None, "voc-area")
    print(
        f"{name}: {recipe.updates} updates, AP at 0.5 {scores[AP50]:.3f}, {seconds:.0f} s of CPU time, "
        f"loss {curve.total[0]:.2f} to {curve.total[-1]:.2f}"
    )
    assert scores[AP50] > 0.9
