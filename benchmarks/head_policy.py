"""What a fresh class layer should begin at: four policies, three numbers of classes, five seeds.

    python benchmarks/head_policy.py [--updates 30]

One FCOS is pre-trained on the 22 classes of both drawn worlds. Each transfer copies all of it but the class layer
(start `detector`), wants the first K of the same classes and takes all others for background, so that rows can be
reused at all. The class layer's bias begins at the prior .01, at -ln K (transformers' RT-DETR and D-FINE), or at 0; or
its rows are those of the pre-training. Told: the class loss of the first batch before any update, and mAP at IoU 0.5 on
other images after a third of the updates and after all, means over seeds with 95 % t intervals.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.batches.training_part import selected
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET
from headstart.progress import silent
from headstart.recipes.schema import Recipe, recipe_of
from headstart.tasks.copying import Copying, copy_into
from headstart.tasks.detect import TASK as DETECT
from headstart.tasks.transfer import Start, assembled, fit
from headstart.train.loop import train
from headstart.weights.detectors.facts import facts_of
from headstart.weights.detectors.given import Given
from headstart.weights.starts import CopySettings
from headstart.world.shapes import draw_set

SIDE, SEEDS, CLASSES = 64, 5, (1, 3, 20)
T = 2.776
"""97.5 % point of Student's t with four degrees of freedom: five seeds."""
PRETRAINED, TRAINED, TESTED = 1000, 64, 200
POLICIES = ("prior .01", "-ln K", "0", "rows reused")
HEAD = {"head": "fcos", "channels": 64, "batch_size": 16, "lr": 4e-3, "sentinel": False, "precision": "fp32"}


def recipe(updates: int) -> Recipe:
    return recipe_of({"name": "policy", "updates": updates, **HEAD})


def drawn(folder: Path, count: int, first: int) -> ImageSet:
    """So many images of each world; classes of the base world first."""
    sets = []
    for world in ("base", "novel"):
        draw_set(world, count, first, SIDE, out=folder / world, progress=silent)
        sets.append(ImageSet.open(folder / world))
    a, b = sets
    own = [
        *("images", "image_ids", "sizes_hw", "boxes_xyxy", "boxes_source_xyxy", "box_flags", "box_classes"),
        *("image_labels", "mask_paths"),
    ]
    columns = {name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in own}
    columns["box_offsets"] = np.concatenate([a.box_offsets, b.box_offsets[1:] + a.box_offsets[-1]])
    columns["box_labels"] = np.concatenate([a.box_labels, b.box_labels + len(a.box_classes)])
    columns["clusters"] = np.arange(2 * count)
    return replace(a, **columns, masks=None, instances=None, parts=None)


def first_classes(images: ImageSet, k: int, count: int) -> ImageSet:
    """`count` images that show one of the first k classes, with the boxes of these alone."""
    whose = np.repeat(np.arange(len(images)), np.diff(images.box_offsets))
    rows = np.unique(whose[images.box_labels < k])[:count]
    chosen = selected(images, rows)
    keep = chosen.box_labels < k
    counts = [int(keep[a:b].sum()) for a, b in zip(chosen.box_offsets[:-1], chosen.box_offsets[1:], strict=True)]
    columns = {n: getattr(chosen, n)[keep] for n in ("boxes_xyxy", "boxes_source_xyxy", "box_labels", "box_flags")}
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return replace(chosen, **columns, box_offsets=offsets, box_classes=chosen.box_classes[:k])


def begin(values: dict[str, torch.Tensor] | None, copying: Copying) -> Start:
    backbone = build_backbone("shapes-resnet")
    if values:
        backbone.load_state_dict({n.removeprefix("backbone."): v for n, v in values.items() if n[:9] == "backbone."})
    return Start(backbone, "shapes-resnet", Path(), IMAGENET, values is None, copying)


def pretrained(images: ImageSet, folder: Path) -> nn.Module:
    start = begin(None, Copying())
    model, _ = fit(start, "detect", images, recipe(400), seed=0, state_dir=folder, progress=silent)
    return model


def score(model: nn.Module, images: ImageSet) -> float:
    predictions = DETECT.predict(model, IMAGENET, images, silent)
    return DETECT.score([predictions], [images], None, "voc-area")[0]["det/voc-area/map@0.5"]


def one(values: dict[str, torch.Tensor], given: Given, policy: str, k: int, *, seed: int, updates: int) -> list[float]:
    """(class loss of the first batch, mAP after a third, mAP at the end) of one transfer."""
    rows = "by-name" if policy == "rows reused" else "fresh"
    copying = Copying(frozenset({"all"}), given, CopySettings("detector", rows))
    train_on, test_on = SETS[k]
    mine = selected(train_on, np.sort(np.random.default_rng(seed).choice(len(train_on), TRAINED, replace=False)))
    start, told = begin(values, copying), recipe(updates)
    model = assembled(start, "detect", told, k, size_hw=(SIDE, SIDE), seed=seed)
    copy_into(model, copying, [str(name) for name in train_on.box_classes])
    if policy in ("-ln K", "0"):
        nn.init.constant_(model.classes.bias, -math.log(k) if policy == "-ln K" else 0.0)  # type: ignore[union-attr, arg-type]
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        curve = train(
            model,
            DETECT.losses,
            Batches(mine, told.batch_size, seed, flip=True, quarter_turns=False),
            IMAGENET,
            recipe=told,
            state_dir=Path(folder),
            progress=silent,
            at_step={updates // 3: lambda: found.append(score(model, test_on))},
        )
    return [float(curve.of("classes")[0]), *(100 * value for value in (*found, score(model, test_on)))]


def interval(values: np.ndarray) -> str:
    half = T * values.std(ddof=1) / math.sqrt(len(values))
    return f"{values.mean():7.2f} ± {half:5.2f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--updates", type=int, default=30)
    updates = parser.parse_args().updates
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model = pretrained(drawn(root / "before", PRETRAINED, 0), root)
        values = {name: value.detach().clone() for name, value in model.state_dict().items()}
        pool, others = drawn(root / "train", 1500, 9000), drawn(root / "test", 1500, 12000)
        SETS = {k: (first_classes(pool, k, 4 * TRAINED), first_classes(others, k, TESTED)) for k in CLASSES}
        names = tuple(str(name) for name in pool.box_classes)
        facts = facts_of(recipe(1), names)
        assert facts
        given = Given(facts, {n: v for n, v in values.items() if not n.startswith("backbone.")}, "pre-training")
        print(f"{len(names)} classes before; {SEEDS} seeds; {TRAINED} images of {SIDE} pixels; {updates} updates of 16")
        heads = "  ".join(f"{title:>17}" for title in ("class loss before", "mAP after a third", "mAP at the end"))
        print(f"{'K':>3}  {'class layer':12}  {heads}")
        for k in CLASSES:
            for policy in POLICIES:
                rows = np.array([one(values, given, policy, k, seed=s, updates=updates) for s in range(SEEDS)])
                shown = "  ".join(f"{interval(column):>17}" for column in rows.T)
                print(f"{k:>3}  {policy:12}  {shown}", flush=True)
