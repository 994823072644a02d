"""Numbered regions and boxes over a photograph, as SVG in the photograph's pixels.

Lines of regions lie inside them; of regions that share an edge, one's line lies beside the other's. Numbers stand in
corners, as HTML above the SVG, so that they keep their size on any screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from headstart.page.pictures import data_uri

COLORS = 7
"""Classes k0, k1, ... of the style sheet."""
SHOWN_WIDTH = 330.0
"""Pixels of the screen that a picture is about as wide as; tells how much room a number takes."""
DEEPEST = 4
"""Lines that can lie beside each other."""
XYXY = tuple[float, float, float, float]
Spot = tuple[float, float, float, float]


@dataclass(frozen=True)
class Region:
    """color: an index, or None for the color of what stands apart. title: shown on hover."""

    xyxy: XYXY
    name: str
    title: str
    color: int | None


@dataclass(frozen=True)
class Outline:
    """A box; dashed for those that do not count."""

    xyxy: XYXY
    title: str
    dashed: bool


def shared_image(key: str, pixels: NDArray[np.uint8], max_side: int) -> Markup:
    """An image to be drawn by `over_shared` in as many pictures as wanted, while the page holds it once."""
    height, width = pixels.shape[:2]
    return Markup(
        '<svg class="shared" width="0" height="0" aria-hidden="true"><defs><image id="{}" href="{}" width="{:g}" '
        'height="{:g}" preserveAspectRatio="none"/></defs></svg>'
    ).format(key, data_uri(pixels, max_side), width, height)


def over_shared(
    key: str, size_hw: tuple[int, int], regions: Sequence[Region], outlines: Sequence[Outline], *, place: str, alt: str
) -> Markup:
    """The shared image `key` with outlines and regions, dark (outlines, too) where no region is. place: unique on the
    page."""
    height, width = size_hw
    hole = Markup('<rect x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>')
    holes = Markup("").join(hole.format(*_corner_and_size(r.xyxy)) for r in regions)
    veil = Markup(
        '<mask id="{0}"><rect width="{1:g}" height="{2:g}" fill="#fff"/>{3}</mask>'
        '<rect class="veil" width="{1:g}" height="{2:g}" mask="url(#{0})"/>'
    ).format(place, width, height, holes)
    drawn = Markup('<use href="#{}"/>').format(key) + _outlines(outlines, max(size_hw) / 210) + veil
    return _framed(size_hw, drawn + _lines(regions, max(size_hw) / 115), alt, _tabs(regions, size_hw))


def alone(pixels: NDArray[np.uint8], outlines: Sequence[Outline], name: Region, alt: str, *, max_side: int) -> Markup:
    """A region by itself, under its name and color, with outlines in its own pixels."""
    height, width = pixels.shape[:2]
    image = Markup('<image href="{}" width="{:g}" height="{:g}" preserveAspectRatio="none"/>').format(
        data_uri(pixels, max_side), width, height
    )
    drawn = image + _outlines(outlines, max(height, width) / 105)
    return _framed((height, width), drawn, alt, _tab(name, 0.0, 0.0))


def swatch(kind: str) -> Markup:
    """A sample for a legend. kind: "region", "apart", "box" or "dashed"."""
    box = '<rect class="box-edge" {0} stroke-width="4"{2}/><rect class="box{1}" {0} stroke-width="2"{2}/>'
    place = 'x="6" y="5" width="18" height="10"'
    drawn = {
        "region": f'<g class="region k0"><rect class="line" {place} stroke-width="3"/></g>',
        "apart": f'<g class="region apart"><rect class="line" {place} stroke-width="3"/></g>',
        "box": box.format(place, "", ""),
        "dashed": box.format(place, " dashed", ' stroke-dasharray="4 3"'),
    }[kind]
    return Markup('<svg class="swatch" width="30" height="20" aria-hidden="true">{}</svg>').format(Markup(drawn))


def _framed(size_hw: tuple[int, int], drawn: Markup, alt: str, tabs: Markup) -> Markup:
    return Markup(
        '<div class="regions"><svg class="photo" viewBox="0 0 {:g} {:g}" role="img"><title>{}</title>{}</svg>{}</div>'
    ).format(size_hw[1], size_hw[0], alt, drawn, tabs)


def _corner_and_size(xyxy: Sequence[float], inset: float = 0.0) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = xyxy
    return x1 + inset, y1 + inset, max(x2 - x1 - 2 * inset, 0.0), max(y2 - y1 - 2 * inset, 0.0)


def _outlines(outlines: Sequence[Outline], stroke: float) -> Markup:
    rect = Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" stroke-width="{:.2f}"{}/>')
    parts = []
    for outline in sorted(outlines, key=lambda o: not o.dashed):
        dashes = Markup(' stroke-dasharray="{:.2f} {:.2f}"').format(3 * stroke, 2.4 * stroke) if outline.dashed else ""
        place = _corner_and_size(outline.xyxy)
        kind = "box dashed" if outline.dashed else "box"
        edge, line = rect.format("box-edge", *place, 2 * stroke, dashes), rect.format(kind, *place, stroke, dashes)
        parts.append(Markup("<g><title>{}</title>{}{}</g>").format(outline.title, edge, line))
    return Markup("").join(parts)


def _lines(regions: Sequence[Region], stroke: float) -> Markup:
    depths: list[int] = []
    for k, region in enumerate(regions):
        taken = {depths[j] for j in range(k) if _share_an_edge(region.xyxy, regions[j].xyxy, stroke)}
        depths.append(min(set(range(DEEPEST)) - taken, default=0))
    rect = Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" stroke-width="{:.2f}"/>')
    parts = []
    for region, depth in zip(regions, depths, strict=True):
        place = _corner_and_size(region.xyxy, (0.6 + 1.25 * depth) * stroke)
        parts.append(
            Markup('<g class="region {}"><title>{}</title>{}{}</g>').format(
                _color(region),
                region.title,
                rect.format("line-edge", *place, 1.6 * stroke),
                rect.format("line", *place, stroke),
            )
        )
    return Markup("").join(parts)


def _share_an_edge(a: XYXY, b: XYXY, stroke: float) -> bool:
    """Whether lines at the same depth would run over each other."""
    overlap = [min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1)]
    near = [min(abs(a[k] - b[k]), abs(a[k + 2] - b[k + 2])) < stroke for k in (0, 1)]
    return (near[0] and overlap[1] > 0) or (near[1] and overlap[0] > 0)


def _tabs(regions: Sequence[Region], size_hw: tuple[int, int]) -> Markup:
    """Names in a corner of their region, or along its edges, where none stands yet."""
    height, width = size_hw
    taken: list[Spot] = []
    parts = []
    for region in regions:
        wide = (9.0 + 7.5 * len(region.name)) * width / SHOWN_WIDTH
        high = 18.0 * width / SHOWN_WIDTH
        x1, y1, x2, y2 = region.xyxy
        spots = [
            (x1 + u * max(x2 - x1 - wide, 0), y1 + v * max(y2 - y1 - high, 0))
            for u, v in (
                (0, 0),
                (1, 0),
                (0, 1),
                (1, 1),
                (0.35, 0),
                (0, 0.35),
                (0.65, 0),
                (1, 0.35),
                (0.35, 1),
                (0.65, 1),
                (0, 0.65),
                (1, 0.65),
                (0.5, 0.2),
            )
        ]
        free = [s for s in spots if not any(_overlap((*s, s[0] + wide, s[1] + high), other) for other in taken)]
        x, y = (free or spots)[0]
        taken.append((x, y, x + wide, y + high))
        parts.append(_tab(region, 100 * x / width, 100 * y / height))
    return Markup("").join(parts)


def _tab(region: Region, left: float, top: float) -> Markup:
    return Markup('<span class="tab {}" style="left:{:.2f}%;top:{:.2f}%" aria-hidden="true">{}</span>').format(
        _color(region), left, top, region.name
    )


def _overlap(a: Spot, b: Spot) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _color(region: Region) -> str:
    return "apart" if region.color is None else f"k{region.color % COLORS}"
