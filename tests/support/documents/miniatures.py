"""What the commands of the pages name, in miniature: how each is made, and what stands in place of the others."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from support.documents import data, studies, weights
from support.documents.place import Place

MAKERS: dict[str, Callable[[Place, str], None]] = {
    "DATA": data.objects,
    "path/to/data": data.objects,
    "voc_bccd": data.blood_cells,
    "flowers17": data.classes,
    "oxford_pets3": data.pets,
    "photographs": data.photographs,
    "images": data.photographs,
    "VOCdevkit": data.objects,
    "coco": data.coco,
    "tiny-imagenet-200": data.tiny_imagenet,
    "tiny_imagenet_pretrain.zip": data.packed,
    "tiny_imagenet_novel.zip": data.packed,
    "shapes": data.shapes,
    "DIR": data.suite,
    **{f"W{k}": weights.own_weights for k in range(1, 9)},
    "examples": weights.mobile_networks,
    "retinanet.pth": weights.torchvision_detector,
    "my-detector.pth": weights.torchvision_detector,
    "rtdetr-drawn": weights.whole_detector,
    "dfine-random": weights.whole_detector,
    **{f"{name}.json": data.jittered for name in ("detections", "others", "d2", "d3", "o2", "o3")},
    "TABLE.csv": data.leaderboard,
    "scores.csv": partial(data.leaderboard, more=("--holes", "6")),
    "means.csv": partial(data.leaderboard, more=("--datasets", "12", "--means")),
    "study.toml": studies.small_study,
    "tiny.toml": studies.small_study,
    "other.toml": studies.other_study,
    "chain.toml": studies.chain,
    "whole.toml": studies.whole_study,
    "RUN": studies.small_run,
    "bccd": studies.copied_run,
    "moved": studies.changed_run,
    "STORE": studies.shared_store,
    "st": studies.copied_store,
    "runs/mine": studies.run_of_boxes,
    "runs/stopped": studies.finished_training,
    "runs/compare-voc_bccd": studies.compared,
}
"""By the name that pages give it."""
MADE_THERE = {"runs/stopped"}
"""Not made once and copied: the page goes on with them, from the same place."""
OF_PAGE: dict[str, dict[str, str]] = {
    "README.md": {
        "tv:ResNet50_Weights.IMAGENET1K_V2": "W1",
        "tv:FasterRCNN_ResNet50_FPN_Weights.COCO_V1": "W2",
        "random:resnet50": "random:shapes-resnet",
    },
    "evaluate.md": {"DETECTIONS": "detections.json", "DATA": "shapes"},
    "probes.md": {"DATA": "flowers17"},
    "run-directory.md": {"/data/store": "store"},
    "starts.md": {
        "tv:RetinaNet_ResNet50_FPN_Weights.COCO_V1": "run:runs/mine",
        "tv:ResNet50_Weights.IMAGENET1K_V2#backbone": "file:W1#backbone",
    },
}
"""What stands in place of a page's words: what is small, at hand, and of a name with a miniature."""


def named_in(words: list[str]) -> list[str]:
    """The names with a miniature that the words of a command name, or a place in which."""
    parts = [part for word in words for part in re.split("[:=#@]", word)]
    return [name for name in MAKERS if any(part == name or part.startswith(f"{name}/") for part in parts)]
