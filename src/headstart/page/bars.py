"""Bar charts of counts, as SVG of the size of a line chart."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from headstart.page.lines import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from headstart.page.scales import Scale, ticks

LONGEST_NAME = 26
ROW = 19.0


def histogram(
    edges: Sequence[str], counts: Sequence[float], title: str, description: str, *, x_label: str, y_label: str
) -> Markup:
    """Upright bars between named edges (one more than counts)."""
    highest = max([*counts, 1])
    x = Scale(0, len(counts), LEFT, WIDTH - RIGHT)
    y = Scale(0, highest * 1.05, HEIGHT - BOTTOM, TOP)
    line = Markup('<line class="grid" x1="{:g}" x2="{:g}" y1="{:.1f}" y2="{:.1f}"/>')
    text = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    bar = Markup('<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>')
    parts = []
    for mark in ticks(0, highest * 1.05, 5):
        named = f"{mark / 1000:g} k" if mark >= 1000 else f"{mark:g}"
        parts.append(line.format(LEFT, WIDTH - RIGHT, y(mark), y(mark)))
        parts.append(text.format("tick", LEFT - 6, y(mark) + 4, "end", named))
    for k, count in enumerate(counts):
        what = f"{edges[k]} to {edges[k + 1]}: {count:,g}"
        parts.append(bar.format(x(k) + 1, y(count), x(k + 1) - x(k) - 2, HEIGHT - BOTTOM - y(count), what))
    every = max(1, round(len(edges) / 8))
    for k, name in enumerate(edges):
        if k % every == 0:
            parts.append(text.format("tick", x(k), HEIGHT - BOTTOM + 16, "middle", name))
    parts.append(text.format("axis-label", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "middle", x_label))
    label = '<text class="axis-label" transform="translate(11 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>'
    parts.append(Markup(label).format((HEIGHT - BOTTOM + TOP) / 2, y_label))
    return _figure(title, description, HEIGHT, parts)


def ranked(names: Sequence[str], counts: Sequence[float], title: str, description: str) -> Markup:
    """Lying bars, one a name, in the given order; names that are long are cut, their whole text shown on hover."""
    height = TOP + ROW * max(len(names), 1) + 6
    left = 8 + 6.2 * min(max(map(len, names), default=1), LONGEST_NAME)
    x = Scale(0, max([*counts, 1]), left, WIDTH - 52)
    row = Markup(
        '<g><title>{}: {:,g}</title><text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>'
        '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
        '<text class="tick" x="{:.1f}" y="{:.1f}">{}</text></g>'
    )
    parts = []
    for k, (name, count) in enumerate(zip(names, counts, strict=True)):
        short = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        top = TOP + k * ROW
        size = (left, top + 2, max(x(count) - left, 0.5), ROW - 5)
        number = (x(count) + 4, top + 12.5, f"{count:,g}")
        parts.append(row.format(name, count, left - 5, top + 12.5, short, *size, *number))
    return _figure(title, description, height, parts)


def _figure(title: str, description: str, height: float, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption><svg viewBox="0 0 {:g} {:g}" role="img">'
        "<title>{}</title><desc>{}</desc>{}</svg></figure>"
    ).format(title, WIDTH, height, title, description, Markup("").join(parts))
