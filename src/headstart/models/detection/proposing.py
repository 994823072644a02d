"""A detector's proposals alone: what a short training before SNIPER's makes, to find where negative chips are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from headstart.models.detection.targets import Detected, Targets
from headstart.models.detection.two_stage import TwoStageDetector


class ProposalDetector(nn.Module):
    """The backbone, neck and proposal network of a Faster R-CNN; its detections are proposals, all of label 0."""

    def __init__(self, detector: TwoStageDetector) -> None:
        super().__init__()
        self.backbone, self.num_classes = detector.backbone, detector.num_classes
        self.detector = detector
        del detector.head, detector.layers
        if detector.levels == ("C4",) and hasattr(self.backbone, "layer4"):
            self.backbone.layer4.requires_grad_(False)  # no proposal is read from it

    def losses(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """Of the proposals."""
        return self.detector.rpn.losses(self.detector.rpn(self.detector.maps(images)), targets)

    @torch.no_grad()
    def detect(self, images: Tensor, score_threshold: float = 0.0, max_detections: int = 300) -> list[Detected]:
        """Proposals of each image, surest first."""
        size_hw = (images.shape[2], images.shape[3])
        boxes, scores = self.detector.rpn.propose(self.detector.rpn(self.detector.maps(images)), size_hw)
        proposals = []
        for box, score in zip(boxes, scores, strict=True):
            sure = (score > score_threshold).nonzero().flatten()[:max_detections]
            proposals.append(Detected(box[sure], score[sure], torch.zeros_like(sure)))
        return proposals
