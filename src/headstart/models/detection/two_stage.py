"""Faster R-CNN (arXiv 1506.01497) on any backbone with stages: on one stage, C4, dilated C5 or a pyramid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from headstart.models.backbones.dilation import dilate_last
from headstart.models.detection import roi_heads, rpn
from headstart.models.detection.anchors import match
from headstart.models.detection.mimicking import Mimicking, norms_at_rest
from headstart.models.detection.necks import TopDown
from headstart.models.detection.parts import ClassRows
from headstart.models.detection.published import PublishedPyramid
from headstart.models.detection.roi_heads import Pooling, RoiHead, RoiPool, with_image
from headstart.models.detection.rpn import ProposalNetwork
from headstart.models.detection.targets import Detected, Reach, Targets, survivors

Neck = Literal["plain", "c4", "dc5", "fpn"]
SINGLE_SIZES = (0.1, 0.2, 0.357, 0.588)
"""Square roots of anchors' areas on a single map, as fractions of the image's longer side."""
PYRAMID_SIZE = 8
"""The same on each level of a pyramid, in strides (arXiv 1612.03144)."""
BINS = 7
"""Bins a side of a pooled RoI, as the layers after it see them."""


@dataclass(frozen=True)
class TwoStageSettings:
    """Of `TwoStageDetector`.

    neck: `plain` reads `levels`, side by side where they are several of one stride; `c4` proposes on C4 and runs the
    backbone's own layer4 on each RoI; `dc5` is plain after C5 was dilated to the stride of C4; `fpn` reads a pyramid
    over `levels` and one coarser.
    """

    neck: Neck
    levels: tuple[str, ...]
    channels: int
    anchors: tuple[float, ...] = ()
    """Square roots of areas in pixels: all on a single map, one a level of a pyramid. Empty: by size of the image."""
    proposals: int = 300
    """Of an image, after suppression."""
    rois: int = 128
    """Of an image trained on."""
    positive_part: float = 0.25
    """At most so much of them are objects."""
    class_agnostic: bool = False
    """One box a RoI instead of one for each class."""
    roi_pool: Pooling = "align"
    decoupled: bool = False
    """Objectness and class apart, for large vocabularies."""
    soft_background: bool = False
    """Background far from any box counts less, for data sets that are not labeled exhaustively."""
    reduce: bool = False
    """A 1x1 convolution to `channels` before RoIs are read, which large maps need."""
    mimic: bool = False
    """In training, features of objects are drawn to those of their cut-out images."""
    published: bool = False
    """torchvision's pyramid, whose coarsest level is for proposals only."""


class TwoStageDetector(nn.Module):
    """Same face as `FcosDetector`. size: longer side of the images, pixels, for the anchors' sizes."""

    def __init__(self, backbone: Any, num_classes: int, settings: TwoStageSettings, size: int) -> None:
        super().__init__()
        if settings.neck == "dc5":
            dilate_last(backbone)
        if settings.neck == "c4" and not hasattr(backbone, "layer4"):
            raise ValueError("the neck c4 runs the backbone's layer4 on each RoI; this backbone has none")
        self.backbone, self.num_classes, self.settings = backbone, num_classes, settings
        stages = {s.name: s for s in backbone.stages}
        self.levels = ("C4",) if settings.neck == "c4" else settings.levels
        if settings.neck == "fpn":
            self.neck: TopDown | PublishedPyramid = (
                PublishedPyramid(backbone, settings.levels, settings.channels, pooled=True)
                if settings.published
                else TopDown(backbone, settings.levels, settings.channels, coarser=1, smooth=True)
            )
            strides, channels = self.neck.strides, settings.channels
            sizes: list[list[float]] = [[PYRAMID_SIZE * s] for s in strides]
            if settings.anchors:
                if len(settings.anchors) != len(strides):
                    raise ValueError(
                        f"anchors: {len(settings.anchors)} sizes for the pyramid's {len(strides)} levels; "
                        "give one a level, finest first"
                    )
                sizes = [[a] for a in settings.anchors]
        else:
            strides, channels = _joined(stages, self.levels)
            sizes = [list(settings.anchors) or [size * s for s in SINGLE_SIZES]]
        self.rpn = ProposalNetwork(channels, settings.channels, strides, sizes, proposals=settings.proposals)
        bins = BINS * (stages["C5"].stride // stages["C4"].stride) if settings.neck == "c4" else BINS
        width = stages["C5"].channels if settings.neck == "c4" else 4 * settings.channels
        self.reduce = nn.Sequential()
        if settings.reduce:
            self.reduce, channels = (
                nn.Sequential(nn.Conv2d(channels, settings.channels, 1), nn.ReLU()),
                settings.channels,
            )
        read = strides[:-1] if settings.published else strides
        pool = RoiPool(settings.roi_pool, bins, read, channels, width=4 * settings.channels)
        self.layers = nn.Sequential() if settings.neck == "c4" else _two_layers(channels * BINS * BINS, width)
        self.head = RoiHead(
            pool,
            width,
            num_classes,
            settings.rois,
            positive_part=settings.positive_part,
            class_agnostic=settings.class_agnostic,
            decoupled=settings.decoupled,
            soft_background=settings.soft_background,
        )
        objects = max(1, int(settings.rois * settings.positive_part))
        self.mimic = Mimicking(width, num_classes, objects) if settings.mimic else None

    @property
    def class_rows(self) -> tuple[ClassRows, ...]:
        """Layers with something of their own for each class."""
        classes = ClassRows("head.classes.classes.", background=0 if self.settings.decoupled else 1)
        boxes = () if self.settings.class_agnostic else (ClassRows("head.boxes.", each=4),)
        return (classes, *boxes, ClassRows("mimic.classes."))

    def maps(self, images: Tensor) -> list[Tensor]:
        """What proposals and RoIs are read from, finest first."""
        if self.settings.neck == "fpn":
            return self.neck(self.backbone(images))
        if self.settings.neck == "c4":
            return [self.backbone(images, last="C4")["C4"]]
        stages = self.backbone(images)
        return [torch.cat([stages[level] for level in self.levels], 1)]

    def roi_maps(self, maps: list[Tensor]) -> list[Tensor]:
        """What RoIs are read from."""
        return [self.reduce(x) for x in maps[: len(self.head.pool.strides)]]

    def features(self, pooled: Tensor) -> Tensor:
        """Pooled RoIs (N, C, k, k) -> (N, width)."""
        if self.settings.neck == "c4":
            return self.backbone.layer4(pooled).mean((2, 3))
        return self.layers(pooled)

    def patch_features(self, patches: Tensor) -> Tensor:
        """Features (N, width) of whole images (N, 3, S, S), by the layers that read RoIs."""
        whole = patches.new_tensor([0, 0, patches.shape[3], patches.shape[2]]).expand(len(patches), 1, 4)
        return self.features(self.head.pool(self.roi_maps(self.maps(patches)), with_image(whole)))

    def losses(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Of the proposals (`rpn_objectness`, `rpn_boxes`), of the RoIs (`classes`, `boxes`), and of mimicking."""
        maps = self.maps(images)
        raw = self.rpn(maps)
        proposals, scores = self.rpn.propose(raw, _size(images), targets.valid_range)
        chosen = self.head.choose(proposals, scores, targets)
        x = self.features(self.head.pool(self.roi_maps(maps), with_image(chosen.boxes)))
        losses = self.rpn.losses(raw, targets) | self.head.losses(x, chosen)
        if self.mimic is not None:
            with norms_at_rest(self):
                losses |= self.mimic.losses(images, chosen, x, targets, read=self.patch_features)
        return losses

    @torch.no_grad()
    def detect(
        self,
        images: Tensor,
        score_threshold: float = 0.02,
        max_detections: int = 100,
        valid_range: Tensor | None = None,
    ) -> list[Detected]:
        """Suppression by class at IoU 0.5. valid_range (B, 2): of the proposals, as in `Targets`."""
        maps = self.maps(images)
        proposals, scores = self.rpn.propose(self.rpn(maps), _size(images), valid_range)
        return self.head.detect(
            self.roi_maps(maps),
            proposals,
            scores,
            self.features,
            size_hw=_size(images),
            threshold=score_threshold,
            most=max_detections,
        )

    @torch.no_grad()
    def reach(self, image: Tensor) -> Reach:
        """As `FcosDetector.reach`: proposals are exact boxes, and suppressed whatever their class, then by class."""
        anchors = self.rpn(self.maps(image)).anchors

        def found(boxes: Tensor, labels: Tensor) -> Tensor:
            rows = match(boxes, anchors, rpn.POSITIVE, rpn.NEGATIVE, rescue=True)
            proposed = survivors(rows, boxes, torch.zeros_like(labels), rpn.SUPPRESSED_FROM)
            return survivors(proposed.nonzero().flatten(), boxes, labels, roi_heads.SUPPRESSED_FROM)

        return found


def _joined(stages: dict[str, Any], levels: tuple[str, ...]) -> tuple[tuple[int], int]:
    """Stride and channels of these stages side by side on one map."""
    if lacking := [level for level in levels if level not in stages]:
        raise ValueError(f"the head reads {lacking[0]}, but the backbone has {', '.join(stages)}")
    strides = {stages[level].stride for level in levels}
    if len(strides) > 1:
        raise ValueError(
            f"{' and '.join(levels)} have the strides {', '.join(map(str, sorted(strides)))}, so they "
            'cannot be read side by side. Dilate C5 (neck = "dc5"), or name one level.'
        )
    return (strides.pop(),), sum(stages[level].channels for level in levels)


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]


def _two_layers(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
