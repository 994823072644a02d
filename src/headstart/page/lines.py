"""Line charts with bands, as SVG. Small (380 x 244 units), so that a phone shows them at their own size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from headstart.page.numbers import finite
from headstart.page.scales import Scale, domain, log_ticks, tick_text, ticks

WIDTH, HEIGHT = 380.0, 244.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 10.0, 42.0
"""Margins around the plotted area."""

Values = Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """One line. A value of None is a gap: nothing is drawn there and nothing bridges it."""

    label: str
    x: Sequence[float]
    y: Values
    series: int = 0
    lo: Values = ()
    hi: Values = ()
    """Ends of the band; empty for none."""
    thin: tuple[Values, ...] = ()
    """Further lines on the same `x`, drawn faintly (one for each seed)."""


@dataclass(frozen=True)
class Axes:
    """What stands at the axes. Ticks and limits follow the values where they are not given."""

    x_label: str
    y_label: str
    x_ticks: Sequence[tuple[float, str]] = ()
    x_notes: Sequence[str] = ()
    """A second line of text below each of `x_ticks` (numbers of images)."""
    y_limits: tuple[float, float] | None = None
    y_zero: bool = False
    log_y: bool = False
    markers: bool = True
    """Dots at every value and dashes by series. Without: solid lines, for curves of many points."""


def line_chart(lines: Sequence[Line], title: str, description: str, axes: Axes) -> Markup:
    """A figure: `title` above an SVG chart of `lines`; `description` is read to those who cannot see it."""
    x_values = [v for line in lines for v in line.x] + [v for v, _ in axes.x_ticks]
    bottom = BOTTOM + (14 if axes.x_notes else 0)
    pad = 0.08 if axes.x_ticks and len(axes.x_ticks) <= 8 else 0.02
    x = Scale(*domain(x_values, pad), LEFT, WIDTH - RIGHT)
    y = Scale(*_y_domain(lines, axes), HEIGHT - bottom, TOP, axes.log_y)
    parts = [_y_axis(y, axes), _x_axis(x, axes, HEIGHT - bottom)]
    parts += [_band(line, x, y) for line in lines if line.lo and line.hi]
    parts += [_path("thin", line.series, line.x, values, x=x, y=y) for line in lines for values in line.thin]
    parts += [_path("line" if axes.markers else "line solid", line.series, line.x, line.y, x=x, y=y) for line in lines]
    parts += [_markers(line, x, y, axes.markers) for line in lines]
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption><svg viewBox="0 0 {:g} {:g}" role="img">'
        "<title>{}</title><desc>{}</desc>{}</svg></figure>"
    ).format(title, WIDTH, HEIGHT, title, description, Markup("").join(parts))


def legend(items: Sequence[tuple[str, int]], markers: bool = True) -> Markup:
    """Names beside samples of their lines, once for several charts. items: (name, series); markers: as in `Axes`."""
    dot = Markup('<circle class="marker" cx="15" cy="5" r="3"/>') if markers else Markup("")
    kind = "line" if markers else "line solid"
    sample = Markup(
        '<li class="s{}"><svg width="30" height="10" aria-hidden="true">'
        '<line class="{}" x1="1" x2="29" y1="5" y2="5"/>{}</svg>{}</li>'
    )
    return Markup('<ul class="legend">{}</ul>').format(
        Markup("").join(sample.format(series % 7, kind, dot, name) for name, series in items)
    )


def _y_domain(lines: Sequence[Line], axes: Axes) -> tuple[float, float]:
    if axes.y_limits:
        return axes.y_limits
    values = [v for line in lines for part in (line.y, line.lo, line.hi, *line.thin) for v in part]
    if axes.log_y:
        positive = [v for v in map(finite, values) if v is not None and v > 0] or [0.1, 1.0]
        return min(positive) / 1.1, max(positive) * 1.1
    lo, hi = domain(values, include=(0.0,) if axes.y_zero else ())
    negative = any((finite(v) or 0.0) < 0 for v in values)
    return (0.0 if axes.y_zero and not negative else lo), hi


def _y_axis(y: Scale, axes: Axes) -> Markup:
    marks = log_ticks(y.lo, y.hi) if axes.log_y else ticks(y.lo, y.hi, 5)
    texts = [f"{m:g}" for m in marks] if axes.log_y else tick_text(marks)
    line = Markup('<line class="grid" x1="{:g}" x2="{:g}" y1="{:.1f}" y2="{:.1f}"/>')
    text = Markup('<text class="tick" x="{:g}" y="{:.1f}" text-anchor="end">{}</text>')
    drawn = [line.format(LEFT, WIDTH - RIGHT, y(m), y(m)) for m in marks]
    drawn += [text.format(LEFT - 6, y(m) + 4, t) for m, t in zip(marks, texts, strict=True)]
    label = Markup(
        '<text class="axis-label" transform="translate(11 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>'
    )
    return Markup("").join([*drawn, label.format((y.start + y.end) / 2, axes.y_label)])


def _x_axis(x: Scale, axes: Axes, base: float) -> Markup:
    marks = list(axes.x_ticks)
    if not marks:
        values = ticks(x.lo, x.hi, 5)
        marks = list(zip(values, tick_text(values), strict=True))
    tick = Markup('<line class="axis" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
    text = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>')
    small = Markup('<text class="tick" style="font-size:{:.1f}px" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>')
    drawn = [tick.format(LEFT, WIDTH - RIGHT, base, base)]
    size = _fitting([(x(value), name) for value, name in marks])
    for index, (value, name) in enumerate(marks):
        drawn += [tick.format(x(value), x(value), base, base + 4), small.format(size, x(value), base + 16, name)]
        if index < len(axes.x_notes):
            drawn.append(text.format("note", x(value), base + 29, axes.x_notes[index]))
    drawn.append(text.format("axis-label", (x.start + x.end) / 2, HEIGHT - 5, axes.x_label))
    return Markup("").join(drawn)


def _fitting(marks: Sequence[tuple[float, str]], size: float = 11.0, least: float = 8.0) -> float:
    """Size of letters at which texts centered on their positions keep apart (a letter is about 0.56 wide)."""
    for (left, a), (right, b) in pairwise(marks):
        letters = (len(a) + len(b)) / 2 + 1.2
        size = min(size, (right - left) / (0.56 * letters))
    return max(size, least)


def _runs(x_values: Sequence[float], *columns: Values) -> list[list[tuple[float, ...]]]:
    """Stretches of consecutive points where every column has a value."""
    runs: list[list[tuple[float, ...]]] = [[]]
    for point in zip(x_values, *columns, strict=True):
        numbers = [finite(v) for v in point]
        if any(n is None for n in numbers):
            runs.append([])
        else:
            runs[-1].append(tuple(n for n in numbers if n is not None))
    return [run for run in runs if run]


def _path(kind: str, series: int, x_values: Sequence[float], values: Values, *, x: Scale, y: Scale) -> Markup:
    runs = [[f"{x(a):.1f} {y(b):.1f}" for a, b in run] for run in _runs(x_values, values) if len(run) > 1]
    path = "".join("M" + "L".join(run) for run in runs)
    return Markup('<path class="{} s{}" d="{}"/>').format(kind, series % 7, path) if path else Markup("")


def _band(line: Line, x: Scale, y: Scale) -> Markup:
    shape = ""
    for run in _runs(line.x, line.lo, line.hi):
        edge = [f"{x(a):.1f} {y(low):.1f}" for a, low, _ in run]
        edge += [f"{x(a):.1f} {y(high):.1f}" for a, _, high in reversed(run)]
        if len(run) > 1:
            shape += f"M{'L'.join(edge)}Z"
    return Markup('<path class="spread s{}" d="{}"/>').format(line.series % 7, shape) if shape else Markup("")


def _markers(line: Line, x: Scale, y: Scale, everywhere: bool) -> Markup:
    """Dots at every value, or only at those that stand alone between gaps (no path shows them)."""
    runs = [run for run in _runs(line.x, line.y) if everywhere or len(run) == 1]
    dot = Markup('<circle class="marker s{}" cx="{:.1f}" cy="{:.1f}" r="3"/>')
    return Markup("").join(dot.format(line.series % 7, x(a), y(b)) for run in runs for a, b in run)
