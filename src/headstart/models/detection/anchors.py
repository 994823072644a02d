"""Anchors: where they lie, which box each answers for, which are trained on, and how boxes are told from them.

Letters: L anchors of an image, M boxes, h x w cells of a map. Boxes are xyxy in input pixels, continuous edges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_iou

RATIOS = (0.5, 1.0, 2.0)
"""Height over width."""
BACKGROUND, IGNORED = -1, -2
"""What an anchor or RoI is that answers for no box."""
IGNORED_FROM = 0.3
"""IoU with an ignored box above which an anchor is left out (SNIPER's code)."""
INSIDE_GROUP = 0.9
"""Part of a box within a group-of box above which it is no background (SNIPER's code for OpenImages)."""
LARGEST_LOG = math.log(1000 / 16)
"""Sides grow by at most this exponent; more would overflow before training has settled."""


def grid_points(height: int, width: int, stride: int, device: torch.device) -> Tensor:
    """Centres (height * width, 2) of the cells of a map, x y in input pixels."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride


def anchors_of(size_hw: tuple[int, int], stride: int, sizes: Sequence[float], like: Tensor) -> Tensor:
    """Anchors (h * w * sizes * ratios, 4) of a map of `size_hw` cells, around the centers of its cells; of the type
    and on the device of `like`. sizes: square roots of areas, pixels."""
    root = like.new_tensor(RATIOS).sqrt()
    size = like.new_tensor(sizes)[:, None]
    half = torch.stack([(size / root).flatten(), (size * root).flatten()], -1) / 2
    points = grid_points(*size_hw, stride, like.device).to(like.dtype)[:, None]
    return torch.cat([points - half, points + half], -1).reshape(-1, 4)


def match(boxes: Tensor, anchors: Tensor, high: float, low: float, *, rescue: bool) -> Tensor:
    """Row of the box that each anchor answers for (L,): IoU of at least `high`. BACKGROUND below `low`, else IGNORED.

    rescue: the anchors nearest to a box answer for the box that they overlap most, however little (arXiv 1506.01497);
    not where nothing overlaps the box at all.
    """
    if not len(boxes):
        return torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    overlaps = box_iou(boxes.to(anchors.dtype), anchors)
    best, row = overlaps.max(0)
    matched = torch.where(best >= high, row, torch.where(best < low, BACKGROUND, IGNORED))
    if rescue:
        most = overlaps.amax(1, keepdim=True)
        matched = torch.where(((overlaps == most) & (most > 0)).any(0), row, matched)
    return matched


def leave_out(
    matched: Tensor, boxes: Tensor, ignored: Tensor, group_of: Tensor, *, least_iou: float, positives_too: bool
) -> Tensor:
    """`matched` with IGNORED for boxes (L, 4) that overlap an ignored box by an IoU of more than `least_iou`, and for
    background that lies in a group-of box. positives_too: also where a box answers for a target."""
    if len(ignored):
        near = box_iou(boxes, ignored.to(boxes.dtype)).amax(1) > least_iou
        matched = torch.where(near & ((matched < 0) | positives_too), IGNORED, matched)
    if len(group_of):
        inside = part_within(boxes, group_of.to(boxes.dtype)).amax(1) > INSIDE_GROUP
        matched = torch.where(inside & (matched < 0), IGNORED, matched)
    return matched


def answered(
    boxes: Tensor, anchors: Tensor, high: float, low: float, *, ignored: Tensor, group_of: Tensor
) -> tuple[Tensor, Tensor]:
    """What anchors are trained on: `match` with rescue and what `leave_out` leaves, positives too, and the codes (L, 4)
    of the boxes that they answer for."""
    rows = match(boxes, anchors, high, low, rescue=True)
    rows = leave_out(rows, anchors, ignored, group_of, least_iou=IGNORED_FROM, positives_too=True)
    true = torch.cat([boxes.to(anchors.dtype), anchors[:1]])  # one more, for images without boxes
    return rows, encode(true[rows.clamp(min=0)], anchors)


def part_within(boxes: Tensor, others: Tensor) -> Tensor:
    """(L, M) part of each box's area that lies in each of the others."""
    low, high = torch.maximum(boxes[:, None, :2], others[:, :2]), torch.minimum(boxes[:, None, 2:], others[:, 2:])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return (high - low).clamp(min=0).prod(-1) / area.clamp(min=1e-6)[:, None]


def sample(
    matched: Tensor, count: int, positive_part: float, seed: Tensor | None = None, *, purpose: int = 0
) -> Tensor:
    """Which to train on (L,) bool: `count` at random, at most `positive_part` of them positive, else background.

    Drawn from the image's own number `seed` (a scalar int64 tensor) and the `purpose` alone, so that it does not depend
    on how many processes share a batch; without one, from torch's generator.
    """
    draws = hashed(len(matched), torch.randint(2**62, ()) if seed is None else seed, purpose).to(matched.device)

    def first(candidates: Tensor, most: Tensor | int) -> Tensor:
        order = torch.where(candidates, draws, torch.iinfo(torch.int64).max).argsort()
        rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        return candidates & (rank < most)

    positive = first(matched >= 0, int(count * positive_part))
    return positive | first(matched == BACKGROUND, count - positive.sum())


def hashed(count: int, seed: Tensor, purpose: int = 0) -> Tensor:
    """(count,) int64, place by place as if random: the finalizer of splitmix64 (Steele et al., OOPSLA 2014), whose
    arithmetic modulo 2^64 is that of int64 on CPU and GPU. seed: a scalar int64 tensor."""
    x = (torch.arange(count, device=seed.device) + 1) * _signed(0x9E3779B97F4A7C15) + seed + purpose
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    return x ^ _shifted(x, 31)


def _signed(value: int) -> int:
    """The int64 with the bits of an uint64."""
    return value - 2**64 if value >= 2**63 else value


def _shifted(x: Tensor, bits: int) -> Tensor:
    """x >> bits with zeros coming in; torch's own keeps the sign."""
    return (x >> bits) & (2 ** (64 - bits) - 1)


def encode(boxes: Tensor, anchors: Tensor, deviations: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """How boxes (..., 4) differ from anchors: center by side, logarithm of sides, over their usual deviations."""
    sides = (anchors[..., 2:] - anchors[..., :2]).clamp(min=1e-3)
    shift = ((boxes[..., :2] + boxes[..., 2:]) - (anchors[..., :2] + anchors[..., 2:])) / 2 / sides
    growth = ((boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3) / sides).log()
    return torch.cat([shift / deviations[0], growth / deviations[1]], -1)


def decode(codes: Tensor, anchors: Tensor, deviations: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """Boxes (..., 4) that `encode` gives `codes` for."""
    sides = anchors[..., 2:] - anchors[..., :2]
    center = (anchors[..., :2] + anchors[..., 2:]) / 2 + codes[..., :2] * deviations[0] * sides
    half = (codes[..., 2:] * deviations[1]).clamp(max=LARGEST_LOG).exp() * sides / 2
    return torch.cat([center - half, center + half], -1)
