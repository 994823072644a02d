"""A whole detector with classes of its own, behind the interface of all our detectors.

Letters: B images, Q queries, K classes, M boxes of an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert, clip_boxes_to_image

from headstart.models.detection.parts import ClassRows
from headstart.models.detection.targets import Detected, Reach, Targets, full
from headstart.models.whole.augmenting import AS_IT_IS, Changes, changed
from headstart.models.whole.families import PRIOR_LOGIT
from headstart.models.whole.network import Whole, as_config, network_of, resized, start_classes

MOST = 100
"""Detections of an image, as of our other detectors."""


class WholeDetector(nn.Module):
    """`backbone` is that of `whole`, with its values; all else is fresh, and in `rest`: the family's own network, which
    runs the backbone as its own.

    changes: of images while training.
    """

    def __init__(self, whole: Whole, num_classes: int, changes: Changes = AS_IT_IS) -> None:
        super().__init__()
        self.family, self.size, self.num_classes, self.changes = whole.family, whole.size, num_classes, changes
        self.step = whole.step
        self.class_rows = tuple(ClassRows(f"rest.{name}", background=more) for name, more in whole.family.classes)
        self.changes_input = not changes.is_nothing
        self.backbone: nn.Module = whole.network.get_submodule(whole.family.inner)
        self.rest: Any = network_of(as_config(whole.config.to_dict(), whole.family, num_classes), whole.family)
        start_classes(self.rest, whole.family, PRIOR_LOGIT)
        path, _, name = whole.family.inner.rpartition(".")
        holder = self.rest.get_submodule(path)
        delattr(holder, name)
        holder.__dict__[name] = self.backbone  # seen there, and registered here: one name a tensor

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and boxes, as of `Whole`."""
        out = self.rest(pixel_values=resized(images, self.size.of((images.shape[2], images.shape[3]))))
        return out.logits, out.pred_boxes

    def losses(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """The family's own loss, of all its parts. Boxes that are ignored, or hold several objects, count as
        background: these losses know nothing else."""
        height, width = images.shape[2:]
        boxes = [(of.to(images.dtype), labels) for of, labels in zip(targets.boxes_xyxy, targets.labels, strict=True)]
        usual = self.size.of((height, width))
        seeds = [] if targets.seeds is None else targets.seeds.tolist()
        if self.changes.is_nothing or not seeds:
            images, scale = resized(images, usual), (1 / width, 1 / height)
        else:
            size_hw = self.size.of((height, width), self.changes.scale(seeds[0]), self.step)
            images, boxes = changed(images, boxes, size_hw, self.changes, seeds=seeds)
            scale = (1 / size_hw[1], 1 / size_hw[0])
        unit = images.new_tensor([*scale, *scale])
        labels = [{"class_labels": labels, "boxes": box_convert(of * unit, "xyxy", "cxcywh")} for of, labels in boxes]
        with seeded(seeds, images.device):
            return {"detection": self.rest(pixel_values=images, labels=labels).loss}

    @torch.no_grad()
    def detect(self, images: Tensor, score_threshold: float = 0.0, max_detections: int = MOST) -> list[Detected]:
        """The surest pairs of query and class of each image, nothing suppressed: queries do not repeat each other. Of a
        softmax each query has one class."""
        logits, boxes = map(full, self(images))
        if self.family.softmax:
            scores, labels = logits.softmax(-1)[..., :-1].max(-1)
            rows = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
        else:
            scores = logits.sigmoid().flatten(1)
            places = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
            rows, labels = places // logits.shape[2], places % logits.shape[2]
        height, width = images.shape[2:]
        xyxy = box_convert(boxes, "cxcywh", "xyxy") * boxes.new_tensor([width, height, width, height])
        found = []
        for of_image, which, kind, where in zip(scores, rows, labels, xyxy, strict=True):
            top, order = of_image.sort(descending=True, stable=True)
            order = order[top > score_threshold][:max_detections]
            found.append(
                Detected(clip_boxes_to_image(where[which[order]], (height, width)), of_image[order], kind[order])
            )
        return found

    def reach(self, image: Tensor) -> Reach:
        """As many boxes as there are queries, wherever they are."""
        queries = int(self.rest.config.num_queries)

        def found(boxes: Tensor, labels: Tensor) -> Tensor:
            return torch.arange(len(boxes), device=boxes.device) < min(queries, MOST)

        return found


@contextmanager
def seeded(seeds: list[int], device: torch.device) -> Iterator[None]:
    """What is drawn from torch's generators follows from the images' numbers alone (dropout, noise on true boxes), so
    that a training which goes on has the same draws. Without numbers: as torch is."""
    if not seeds:
        yield
        return
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(mixed(seeds))
        yield


def mixed(seeds: list[int]) -> int:
    """One number of several."""
    total = seeds[0]
    for _, seed in pairwise(seeds):
        total = (total * 6364136223846793005 + seed) % (1 << 63)
    return total
