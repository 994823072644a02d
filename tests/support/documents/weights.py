"""Weights of the pages, in miniature: files with random values in the forms that users have."""

from __future__ import annotations

import shutil

import torch
from safetensors.torch import save_file

from headstart.models.backbones.building import build_backbone
from support.documents.place import ROOT, Place, changed, example
from support.small_studies import CARD
from support.whole.small import small_folder


def own_weights(place: Place, name: str) -> None:
    """A folder as `headstart weights import` leaves it, of the small network of the drawn world. The first says that it
    is the ImageNet classifier."""
    torch.manual_seed(int(name.removeprefix("W")))
    save_file(dict(build_backbone("shapes-resnet").state_dict()), place / f"cards/{name}/weights.safetensors")
    other = {"pretrained": name.lower()} | ({"ImageNet-1k labels": f"labels {name}"} if name != "W1" else {})
    (place / f"cards/{name}/card.toml").write_text(changed(CARD, other))
    place.run(f"weights import cards/{name}/card.toml {name}")


def mobile_networks(place: Place, name: str) -> None:
    """The examples, and checkpoints in the form that their cards say, beside the folder as beside a clone."""
    shutil.copytree(ROOT / "examples", place / name)
    network = example("mobilenet_v1").mobilenet_v1_025
    folder = place.folder.parent / "shared/weights/mobilenetv1_0.25x"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (file, prefix, within) in enumerate(
        (("imagenet_mobilenetV1X0.25_pretrain.tar", "module.", True), ("widerface_retinaface.pth", "body.", False))
    ):
        torch.manual_seed(seed)
        values = {prefix + key: value for key, value in network().state_dict().items()}
        torch.save({"state_dict": values} if within else values, folder / file)
    starts, other = place / name / "starts.toml", {"[0, 1, 2, 3, 4]": "[0, 1]", "epochs = 8": "epochs = 1"}
    other |= {"count = 1500": "count = 32", "count = 1000": "count = 60", "count = 500": "count = 12"}
    starts.write_text(changed(starts.read_text(), other | {"updates = 60": "updates = 3"}))


def torchvision_detector(place: Place, name: str) -> None:
    """With random values."""
    from torchvision.models import detection

    build = detection.retinanet_resnet50_fpn if name == "retinanet.pth" else detection.fasterrcnn_resnet50_fpn
    torch.save(build(weights=None, weights_backbone=None).state_dict(), place / name)


def whole_detector(place: Place, name: str) -> None:
    small_folder(place / name, "d_fine" if name.startswith("dfine") else "rt_detr_v2")
