"""torchvision's Faster R-CNN on one stage of any backbone, sized for small inputs."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from headstart.models.detectors import Detected, Targets


class _OneStage(nn.Module):
    """The backbone as torchvision wants it: a dict of maps and `out_channels`."""

    def __init__(self, backbone: nn.Module, level: str) -> None:
        super().__init__()
        self.body = backbone
        self.level = level
        self.out_channels = next(s.channels for s in backbone.stages if s.name == level)  # type: ignore[union-attr]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return OrderedDict({self.level: self.body(images)[self.level]})


class FasterRcnnDetector(nn.Module):
    """Same face as `FcosDetector`. torchvision counts background as class 0: labels are shifted here
    and nowhere else."""

    def __init__(self, backbone: nn.Module, num_classes: int, level: str, channels: int, size: int) -> None:
        super().__init__()
        self.backbone = backbone
        anchors = AnchorGenerator(((size / 10, size / 5, size / 2.8, size / 1.7),), ((0.5, 1.0, 2.0),))
        self.detector = FasterRCNN(
            _OneStage(backbone, level), min_size=size, max_size=size,
            image_mean=[0.0] * 3, image_std=[1.0] * 3, _skip_resize=True,
            rpn_anchor_generator=anchors, rpn_pre_nms_top_n_train=300, rpn_pre_nms_top_n_test=200,
            rpn_post_nms_top_n_train=48, rpn_post_nms_top_n_test=50, rpn_batch_size_per_image=64,
            box_batch_size_per_image=32, box_roi_pool=MultiScaleRoIAlign([level], 5, 2),
            box_head=_TwoLayers(25 * self._channels(backbone, level), 3 * channels),
            box_predictor=_Predictor(3 * channels, num_classes + 1),
            box_detections_per_img=50, box_score_thresh=0.02,
        )  # fmt: skip

    @staticmethod
    def _channels(backbone: nn.Module, level: str) -> int:
        return next(s.channels for s in backbone.stages if s.name == level)  # type: ignore[union-attr]

    def losses(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """torchvision's four losses under its own names."""
        pairs = zip(targets.boxes_xyxy, targets.labels, strict=True)
        return self.detector(list(images), [{"boxes": b, "labels": k + 1} for b, k in pairs])

    @torch.no_grad()
    def detect(self, images: Tensor, score_threshold: float = 0.02, max_detections: int = 50) -> list[Detected]:
        """Detections as torchvision filters them; `score_threshold` can only raise its own 0.02."""
        found = []
        for d in self.detector(list(images)):
            keep = (d["scores"] > score_threshold).nonzero().flatten()[:max_detections]
            found.append(Detected(d["boxes"][keep], d["scores"][keep], d["labels"][keep] - 1))
        return found


class _TwoLayers(nn.Sequential):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())


class _Predictor(nn.Module):
    def __init__(self, inputs: int, num_outputs: int) -> None:
        super().__init__()
        self.classes = nn.Linear(inputs, num_outputs)
        self.boxes = nn.Linear(inputs, num_outputs * 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.classes(x), self.boxes(x)
