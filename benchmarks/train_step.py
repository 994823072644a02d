"""One training step: `headstart.train.loop.train` against a bare torch loop with the same model and batches.

    python benchmarks/train_step.py [--updates 20] [--rounds 5]
    python benchmarks/train_step.py --throughput resnet50 resnet101 --device cuda --batch 32 [--precision bf16]

The first: CPU seconds an update on one thread (on a GPU: seconds), in turns over the same batches made beforehand; the
ratio is the median over rounds. Goal: at most 1.02 on the CPU, 1.03 on a GPU. The second: chips a second of Faster
R-CNN with SNIPER's settings on 512-pixel chips, with batches at hand, compiled or not, and with the loader; peak memory
on GPUs; and the hours that an epoch count of Open Images V4 (1.74 M images) would take on 8 of them.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from headstart.batches.batch import Batch
from headstart.batches.chips.batches import ChipBatches
from headstart.batches.chips.epochs import ChipLayout
from headstart.batches.chips.scales import scales_of
from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET
from headstart.readers.formats import open_dataset
from headstart.recipes.pretraining import load_recipe
from headstart.recipes.schema import Recipe, recipe_of
from headstart.tasks.detect import TASK as DETECT
from headstart.train.distributed import World
from headstart.train.loop import make_optimizer, train
from headstart.train.saving import Keeping
from headstart.train.schedule import rate_factor
from headstart.world.shapes import draw_set

OPENIMAGES_IMAGES, OPENIMAGES_EPOCHS, GPUS = 1.74e6, 14, 8
CASES = {
    "FCOS, shapes-resnet, 32 of 96": ("shapes-resnet", 96, {"head": "fcos", "batch_size": 32}),
    "RetinaNet, ResNet-18, 4 of 256": (
        "resnet18",
        256,
        {"head": "retinanet", "batch_size": 4, "neck": "fpn", "levels": ("C3", "C4", "C5")},
    ),
    "Faster R-CNN, ResNet-18, 4 of 256": (
        "resnet18",
        256,
        {
            "head": "faster-rcnn",
            "batch_size": 4,
            "neck": "fpn",
            "levels": ("C3", "C4", "C5"),
            "rois": 64,
            "proposals": 100,
        },
    ),
}


class AtHand:
    """Batches made beforehand, over and over."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches, self.batch_size, self.count = batches, len(batches[0]), len(batches) * len(batches[0])

    def batch(self, t: int, part: slice = slice(None)) -> Batch:
        return self.batches[t % len(self.batches)]

    def together(self, first: int, stop: int) -> Iterator[range]:
        return (range(t, t + 1) for t in range(first, stop))

    def made(self, steps: range, part: slice) -> list[Batch]:
        return [self.batch(t) for t in steps]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--throughput", nargs="*", default=[], help="backbones of Faster R-CNN")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--loaders", type=int, default=0)
    parser.add_argument("--size", type=int, default=512)
    given = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(given.device)
    with tempfile.TemporaryDirectory() as scratch:
        if given.throughput:
            throughput(given, device, Path(scratch))
            return
        print(f"{'seconds an update':<36}{'bare':>9}{'headstart':>11}{'ratio':>8}")
        for name, (backbone, size, settings) in CASES.items():
            recipe = recipe_of(dict(name="step", updates=given.updates, lr=1e-3, warmup=0, **settings))
            folder = Path(scratch) / str(size)
            if not folder.exists():
                draw_set("base", 64, 0, size, out=folder, progress=lambda fraction, message: None)
            source = AtHand(
                [
                    Batches(ImageSet.open(folder), recipe.batch_size, 0, True, quarter_turns=False).batch(t)
                    for t in range(8)
                ]
            )
            times: dict[str, list[float]] = {"bare": [], "ours": []}
            for number in range(-1, given.rounds):  # Round -1 warms up.
                for way in ("bare", "ours") if number % 2 else ("ours", "bare"):
                    model = detector(backbone, recipe, size).to(device)
                    began = seconds(device)
                    if way == "bare":
                        bare(model, source, recipe, device)
                    else:
                        ours(model, source, recipe, device, folder / "state")
                    if number >= 0:
                        times[way].append((seconds(device) - began) / given.updates)
            ratio = statistics.median(b / a for a, b in zip(times["bare"], times["ours"], strict=True))
            print(
                f"{name:<36}{statistics.median(times['bare']):>9.4f}{statistics.median(times['ours']):>11.4f}"
                f"{ratio:>8.3f}",
                flush=True,
            )


def seconds(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def detector(backbone: str, recipe: Recipe, size: int) -> nn.Module:
    torch.manual_seed(0)
    model = DETECT.build(build_backbone(backbone), recipe, 12, (size, size))
    return model.to(memory_format=torch.channels_last)


def bare(model: nn.Module, source: AtHand, recipe: Recipe, device: torch.device) -> None:
    """What one writes by hand."""
    optimizer = make_optimizer(model, recipe)
    model.train()
    for step in range(recipe.updates):
        batch = source.batch(step).to(device)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * rate_factor(recipe, step)
        optimizer.zero_grad(set_to_none=True)
        images = IMAGENET.apply(batch.images).contiguous(memory_format=torch.channels_last)
        losses = DETECT.losses(model, batch, images)
        sum(v for k, v in losses.items() if not k.startswith("number_of_")).backward()  # type: ignore[union-attr]
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimizer.step()


def ours(model: nn.Module, source: AtHand, recipe: Recipe, device: torch.device, state: Path, loaders: int = 0) -> None:
    train(
        model,
        DETECT.losses,
        source,
        IMAGENET,
        recipe=recipe,
        state_dir=state,
        progress=lambda fraction, message: None,
        world=World(device=device),
        workers=loaders,
        keeping=Keeping(seconds=1e9),
    )


def throughput(given: argparse.Namespace, device: torch.device, scratch: Path) -> None:
    """Chips a second, and what they come to for Open Images."""
    from loader import written

    data = written(scratch, 2 * given.batch)
    layout = ChipLayout("chips", scales_of(load_recipe("sniper-openimages").sampling.scales), given.size)
    chips = ChipBatches(open_dataset(data), layout, given.batch, 0, flip=True, window=256)
    at_hand = AtHand([chips.batch(t) for t in range(2)])
    print(
        f"{'Faster R-CNN on chips':<24}{'precision':>10}{'compiled':>10}{'chips/s':>10}{'with loader':>13}"
        f"{'GB':>7}{'hours for Open Images on 8':>28}"
    )
    for backbone in given.throughput:
        for compiled in (False, True):
            recipe = recipe_of(
                {
                    "name": "throughput",
                    "updates": given.updates,
                    "batch_size": given.batch,
                    "lr": 1e-3,
                    "head": "faster-rcnn",
                    "channels": 256,
                    "neck": "dc5",
                    "levels": ("C5",),
                    "reduce": True,
                    "class_agnostic": True,
                    "rois": 300,
                    "proposals": 300,
                    "positive_part": 1.0,
                    "precision": given.precision,
                    "compile": compiled,
                    "warmup": 0,
                }
            )
            rates = []
            for source, loaders in ((at_hand, 0), (chips, given.loaders)):
                model = detector(backbone, recipe, given.size).to(device)
                ours(model, source, recipe.model_copy(update={"updates": 3}), device, scratch / "warm", loaders)
                began = time.perf_counter()
                ours(model, source, recipe, device, scratch / "state", loaders)
                if device.type == "cuda":
                    torch.cuda.synchronize()
                rates.append(given.updates * given.batch / (time.perf_counter() - began))
            gigabytes = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else float("nan")
            chips_in_all = OPENIMAGES_IMAGES * chips.count / len(chips.annotations) * OPENIMAGES_EPOCHS
            hours = chips_in_all / (rates[1] * GPUS) / 3600
            print(
                f"{backbone:<24}{given.precision:>10}{'yes' if compiled else 'no':>10}{rates[0]:>10.1f}"
                f"{rates[1]:>13.1f}{gigabytes:>7.1f}{hours:>28.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
