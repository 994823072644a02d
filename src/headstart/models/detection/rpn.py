"""Region proposals (Ren et al., arXiv 1506.01497), on one map or on a pyramid, for whole images and for chips.

Letters: B images, L anchors of an image over all levels, N proposals of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms, clip_boxes_to_image

from headstart.models.detection.anchors import RATIOS, anchors_of, answered, decode, sample
from headstart.models.detection.necks import start_small
from headstart.models.detection.targets import POSITIVES, Targets, full, in_range
from headstart.models.normalizers import over_processes

POSITIVE, NEGATIVE = 0.5, 0.4
"""IoU from which an anchor answers for a box, and below which it is background: SNIPER's (Faster R-CNN: .7, .3)."""
SAMPLED = 256
"""Anchors of an image that are trained on, at most half of them positive."""
SUPPRESSED_FROM = 0.7
"""IoU with a surer proposal above which one is left out."""
SMALLEST = 1.0
"""Pixels, side of a proposal."""
BETA = 1 / 9
"""Where the smooth L1 loss turns linear."""


class Raw(NamedTuple):
    """What the network says of every anchor: objectness logits (B, L), codes (B, L, 4), anchors (L, 4), and how many
    anchors each level has."""

    objectness: Tensor
    codes: Tensor
    anchors: Tensor
    per_level: tuple[int, ...]


class ProposalNetwork(nn.Module):
    """One 3x3 convolution shared by the levels; objectness and a box for each anchor.

    strides and sizes: of each level, finest first; sizes are square roots of anchors' areas in pixels.
    """

    def __init__(
        self,
        channels_in: int,
        channels: int,
        strides: Sequence[int],
        sizes: Sequence[Sequence[float]],
        *,
        proposals: int,
    ) -> None:
        super().__init__()
        self.strides, self.sizes, self.proposals = tuple(strides), tuple(map(tuple, sizes)), proposals
        each = len(self.sizes[0]) * len(RATIOS)
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.objectness = nn.Conv2d(channels, each, 1)
        self.codes = nn.Conv2d(channels, 4 * each, 1)
        start_small(self.conv, self.objectness, self.codes)

    def forward(self, maps: Sequence[Tensor]) -> Raw:
        """Maps (B, channels_in, h, w), finest first."""
        objectness, codes, anchors = [], [], []
        for x, stride, sizes in zip(maps, self.strides, self.sizes, strict=True):
            hidden = torch.relu(self.conv(x))
            objectness.append(full(self.objectness(hidden)).permute(0, 2, 3, 1).flatten(1))
            codes.append(full(self.codes(hidden)).permute(0, 2, 3, 1).reshape(len(x), -1, 4))
            anchors.append(anchors_of((x.shape[2], x.shape[3]), stride, sizes, codes[-1]))
        per_level = tuple(len(a) for a in anchors)
        return Raw(torch.cat(objectness, 1), torch.cat(codes, 1), torch.cat(anchors), per_level)

    def losses(self, raw: Raw, targets: Targets) -> dict[str, Tensor]:
        """Cross-entropy and smooth L1 of sampled anchors, divided by their number."""
        matched, wanted = [], []
        for i, boxes in enumerate(targets.boxes_xyxy):
            ignored, groups = targets.ignored_of(i), targets.groups_of(i)
            rows, codes = answered(boxes, raw.anchors, POSITIVE, NEGATIVE, ignored=ignored, group_of=groups)
            matched.append(rows)
            wanted.append(codes)
        rows = torch.stack(matched)
        chosen = torch.stack([sample(r, SAMPLED, 0.5, targets.seed_of(i)) for i, r in enumerate(matched)])
        positive = chosen & (rows >= 0)
        count = over_processes(chosen.sum().to(raw.codes.dtype))
        each = F.binary_cross_entropy_with_logits(raw.objectness, positive.to(raw.objectness.dtype), reduction="none")
        off = F.smooth_l1_loss(raw.codes, torch.stack(wanted), beta=BETA, reduction="none").sum(-1)
        return {
            "rpn_objectness": (each * chosen).sum() / count,
            "rpn_boxes": (off * positive).sum() / count,
            POSITIVES: positive.sum().to(raw.codes.dtype),
        }

    @torch.no_grad()
    def propose(self, raw: Raw, size_hw: tuple[int, int], valid_range: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Boxes (B, N, 4) and scores (B, N), falling; always N, where fewer were found with score -1 at the end.

        size_hw: pixels that boxes are clipped to. valid_range (B, 2): boxes of other sizes are not proposed.
        """
        scores, codes, anchors, levels = [], [], [], []
        start = 0
        for level, count in enumerate(raw.per_level):
            part = slice(start, start + count)
            top, which = raw.objectness[:, part].topk(min(count, 4 * self.proposals), 1)
            scores.append(top.sigmoid())
            codes.append(raw.codes[:, part].gather(1, which[..., None].expand(-1, -1, 4)))
            anchors.append(raw.anchors[part][which])
            levels.append(torch.full_like(which, level))
            start += count
        boxes = clip_boxes_to_image(decode(torch.cat(codes, 1), torch.cat(anchors, 1)), size_hw)
        score, level_of = torch.cat(scores, 1), torch.cat(levels, 1)
        usable = (boxes[..., 2:] - boxes[..., :2] >= SMALLEST).all(-1)
        if valid_range is not None:
            usable &= torch.stack([in_range(b, r) for b, r in zip(boxes, valid_range, strict=True)])
        out = boxes.new_zeros(len(boxes), self.proposals, 4)
        out_scores = boxes.new_full((len(boxes), self.proposals), -1.0)
        for i in range(len(boxes)):
            rows = usable[i].nonzero().flatten()
            rows = rows[batched_nms(boxes[i, rows], score[i, rows], level_of[i, rows], SUPPRESSED_FROM)]
            rows = rows[: self.proposals]
            out[i, : len(rows)], out_scores[i, : len(rows)] = boxes[i, rows], score[i, rows]
        return out, out_scores
