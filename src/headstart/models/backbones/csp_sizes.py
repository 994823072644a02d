"""Sizes of the CSP backbones of `headstart.models.backbones.csp`, for those who need no torch."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Repeats and widths as fractions of the largest model's, and the most channels that are scaled."""

    depth: float
    width: float
    most: int = 1024


SIZES = {
    "csp-v5n": Size(0.33, 0.25),
    "csp-v5s": Size(0.33, 0.5),
    "csp-v5m": Size(0.67, 0.75),
    "csp-v5l": Size(1, 1),
    "csp-v5x": Size(1.33, 1.25),
    "csp-v8n": Size(0.33, 0.25),
    "csp-v8s": Size(0.33, 0.5),
    "csp-v8m": Size(0.67, 0.75, 768),
    "csp-v8l": Size(1, 1, 512),
    "csp-v8x": Size(1, 1.25, 512),
}
WIDTHS = (64, 128, 256, 512, 1024)
REPEATS = {"v5": (3, 6, 9, 3), "v8": (3, 6, 6, 3)}


def widths_and_repeats(name: str) -> tuple[list[int], list[int]]:
    """Channels of the stem and the four stages, and blocks of the stages; channels are multiples of 8."""
    size = SIZES[name]
    channels = [8 * -int(-min(n, size.most) * size.width // 8) for n in WIDTHS]
    return channels, [max(round(n * size.depth), 1) for n in REPEATS[name[4:6]]]
