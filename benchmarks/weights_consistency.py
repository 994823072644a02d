"""How far right and wrong networks are from their batch norms: where the limits of `checks.consistency` lie.

Really trained networks are few here (four files of `../shared/weights`, where it is staged). For more, statistics of
random networks are set by passing photographs through them (those of FOLDER, or drawn fields), as training would; then
the networks are broken, one thing at a time.

    python benchmarks/weights_consistency.py [FOLDER of photographs]
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.places.trust import trusting
from headstart.store.files import write_text
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load
from headstart.weights.checks.consistency import MOVED, SPREAD, consistency
from headstart.weights.photographs import photographs

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.references.calibrated import calibrated  # noqa: E402

OUT = ROOT / "src" / "headstart" / "weights" / "public" / "consistency.md"
CAFFE = Preprocessing("bgr", 1.0, (103.53, 116.28, 123.675), (1.0, 1.0, 1.0))
PLAIN = Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3)
Row = tuple[str, bool, nn.Module, Preprocessing]


def folder_of_photographs(folder: Path, count: int = 32, side: int = 128) -> np.ndarray:
    from PIL import Image

    images = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[:count]:
        image = Image.open(path).convert("RGB")
        scale = 1.14 * side / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        images.append(np.asarray(image.crop((left, top, left + side, top + side))))
    return np.stack(images)


def moved_into(state: dict[str, Any], name: str) -> nn.Module:
    """Another network with the same names and shapes."""
    net = build_backbone(name)
    keys = list(net.state_dict())
    net.load_state_dict(dict(zip(keys, state.values(), strict=True)))
    return net.eval()


def trained_rows() -> Iterator[Row]:
    cards = ("mobilenet_v1_imagenet", "mobilenet_v1_widerface", "shufflenet_v2_initial", "shufflenet_v2_fastestdet")
    for card in cards:
        loaded = load(resolve(f"{card}.toml", ROOT / "examples"), 0)
        yield f"{card}, trained", True, loaded.backbone, loaded.preprocessing
        for words, wrong in scales(loaded.preprocessing):
            yield f"{card}, trained: {words}", False, loaded.backbone, wrong
        if card.startswith("shuffle"):
            yield (
                f"{card}, trained: channels in torchvision's order",
                False,
                permuted(loaded.backbone),
                loaded.preprocessing,
            )


def scales(right: Preprocessing) -> Iterator[tuple[str, Preprocessing]]:
    if right.scale == 1.0:
        yield "0..1 for 0..255", dataclasses.replace(IMAGENET)
    else:
        yield "0..255 for 0..1", dataclasses.replace(right, scale=1.0)


def permuted(net: nn.Module) -> nn.Module:
    """The same tensors in torchvision's ShuffleNet, which splits channels in halves."""
    from torchvision.models import shufflenet_v2_x0_5

    class Theirs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body: Any = shufflenet_v2_x0_5(weights=None)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            body = self.body
            return {"C5": body.stage4(body.stage3(body.stage2(body.maxpool(body.conv1(x)))))}

    theirs = Theirs().eval()
    del theirs.body.conv5, theirs.body.fc
    state = {}
    for key, value in net.state_dict().items():
        for old, new in (("first_conv", "conv1"), ("branch_proj", "branch1"), ("branch_main", "branch2")):
            key = key.replace(old, new)
        state[key] = value
    theirs.body.load_state_dict(state)
    return theirs


PAIRS = (
    ("resnetblur18", "resnet18", "blur pools left out"),
    ("resnetblur50", "resnet50", "blur pools left out"),
    ("resnetaa50", "resnet50", "average pools left out"),
    ("resnetaa34d", "resnet34d", "average pools left out"),
    ("resnetaa50d", "resnet50d", "average pools left out"),
    ("resnet50", "resnet50[stride_in=conv1]", "stride in the other convolution"),
    ("resnet50[stride_in=conv1]", "resnet50", "stride in the other convolution"),
    ("efficientnet_blur_b0", "efficientnet_b0", "blur pools left out"),
)
RIGHT = ("resnet18", "resnet26", "resnet34", "resnet50", "resnext50_32x4d", "regnetx_008", "mobilenetv2_100")
RIGHT += ("densenet121", "vgg11_bn", "hgnetv2_b0", "ghostnet_100", "tv-shufflenet_v2_x0_5", "dla34", "mnasnet_100")


def calibrated_rows(images: np.ndarray) -> Iterator[Row]:
    for source, target, words in PAIRS:
        net = calibrated(source, images)
        yield source, True, net, IMAGENET
        yield f"{source} as {target}: {words}", False, moved_into(net.state_dict(), target), IMAGENET
    for name in RIGHT:
        net = calibrated(name, images)
        yield name, True, net, IMAGENET
        yield f"{name}: 0..255 for normalized", False, net, PLAIN if name == "resnet18" else CAFFE
        if name in ("resnet18", "resnet50", "mobilenetv2_100", "densenet121"):
            yield f"{name}: channels of every second convolution reversed", False, shuffled(net), IMAGENET


def shuffled(net: nn.Module) -> nn.Module:
    import copy

    net = copy.deepcopy(net)
    convolutions = [part for part in net.modules() if isinstance(part, nn.Conv2d) and part.groups == 1]
    for conv in convolutions[1::2]:
        conv.weight.data = conv.weight.data.flip(1)
    return net


def main(folder: str = "") -> None:
    images = folder_of_photographs(Path(folder)) if folder else photographs(32, 128)
    lines = ["| network | is | means off by (sigma) | spread off by | verdict |", "|---|---|---:|---:|---|"]
    with trusting(everything=True):
        staged = list(trained_rows()) if (ROOT.parent / "shared" / "weights").is_dir() else []
        for rows in (iter(staged), calibrated_rows(images)):
            for title, right, net, preprocessing in rows:
                found = consistency(net, preprocessing)
                kind = "right" if right else "wrong"
                lines.append(f"| {title} | {kind} | {found.moved:.2f} | {found.spread:.2f} | {found.verdict} |")
                print(lines[-1], flush=True)
                write_text(OUT, "\n".join(lines) + "\n")
    print(f"limits: {MOVED}, {SPREAD}")


if __name__ == "__main__":
    main(*sys.argv[1:])
