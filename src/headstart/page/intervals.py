"""Dot-and-interval plots: one row for each thing measured, on a common axis.

Rows are HTML and their strips SVG with positions in percent: text keeps its size on any screen, and on a phone the
strip moves below its label. In a strip the inner SVG starts at half its height, however tall the label makes it.
Everything that stands in the picture also stands in its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from headstart.page.numbers import bracket, factor, finite, measured
from headstart.page.scales import Scale, domain, tick_text, ticks

LEFT, RIGHT = 1.5, 98.5
"""Ends of the axis within a strip, percent: room for a dot at either end."""


@dataclass(frozen=True)
class IntervalRow:
    """One row: a value with its interval, in stored units (fractions for points)."""

    label: str
    effect: float | None
    lo: float | None = None
    hi: float | None = None
    seeds: tuple[float | None, ...] = ()
    """One value for each seed, drawn as small open dots."""
    series: int | None = None
    """Index of the color (`None`: ink)."""
    strong: bool = False
    """Row belongs to the emphasised set: filled dot and tinted row."""
    tags: tuple[str, ...] = ()
    """Short words beside the label."""


@dataclass(frozen=True)
class Band:
    """A shaded range of the axis, or a line where both ends are equal."""

    lo: float
    hi: float
    label: str


def interval_chart(
    rows: Sequence[IntervalRow],
    title: str,
    unit: str = "points",
    signed: bool = False,
    *,
    bands: Sequence[Band] = (),
    zero: bool = False,
    limits: tuple[float, float] | None = None,
) -> Markup:
    """A dot-and-interval plot.

    unit: "points" multiplies by 100 and shows one decimal; any other unit shows three. signed: write "+" before
    positive values (differences). zero: draw the line of no difference and keep it on the axis. limits: ends of the
    axis in stored units; by default they follow the values. Rows without a value say so and stay empty.
    """
    times = factor(unit)
    values = [v for r in rows for v in (r.effect, r.lo, r.hi, *r.seeds)] + [e for b in bands for e in (b.lo, b.hi)]
    lo, hi = limits or domain(values, include=(0.0,) if zero else ())
    marks = ticks(lo * times, hi * times)
    axis = Scale(lo * times, hi * times, LEFT, RIGHT)
    under = [_grid(axis, marks), *(_band(axis, b, times) for b in bands)]
    if zero:
        under.append(Markup('<line class="zero" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="100%"/>').format(axis(0.0)))
    body = [_row(r, axis, Markup("").join(under), unit, signed=signed) for r in rows]
    body.append(_axis_row(axis, marks, unit))
    body.extend(_key(b) for b in bands if b.label)
    return Markup('<figure class="forest" role="group" aria-label="{}">{}</figure>').format(
        title, Markup("").join(body)
    )


def _grid(axis: Scale, marks: Sequence[float]) -> Markup:
    line = Markup('<line class="grid" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="100%"/>')
    return Markup("").join(line.format(axis(m)) for m in marks)


def _band(axis: Scale, band: Band, times: float) -> Markup:
    left, right = (min(max(axis(e * times), 0.0), 100.0) for e in (band.lo, band.hi))
    if right - left < 0.01:
        return Markup('<line class="mark" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="100%"/>').format(left)
    return Markup('<rect class="band" x="{:.2f}%" width="{:.2f}%" y="0" height="100%"/>').format(left, right - left)


def _row(row: IntervalRow, axis: Scale, under: Markup, unit: str, *, signed: bool) -> Markup:
    times = factor(unit)

    def at(stored: float) -> float:
        return axis(stored * times)

    drawn: list[Markup] = []
    lo, hi, effect = finite(row.lo), finite(row.hi), finite(row.effect)
    if lo is not None and hi is not None:
        drawn.append(Markup('<line class="span" x1="{:.2f}%" x2="{:.2f}%" y1="-3" y2="-3"/>').format(at(lo), at(hi)))
        cap = Markup('<line class="cap" x1="{0:.2f}%" x2="{0:.2f}%" y1="-7" y2="1"/>')
        drawn += [cap.format(at(lo)), cap.format(at(hi))]
    if effect is not None:
        dot = Markup('<circle class="dot" cx="{:.2f}%" cy="-3" r="4.5"/>')
        drawn.append(dot.format(at(effect)))
    seeds = [v for v in map(finite, row.seeds) if v is not None]
    if len(seeds) > 1:
        ring = Markup('<circle class="seed" cx="{:.2f}%" cy="9" r="2.4"/>')
        drawn += [ring.format(at(v)) for v in seeds]
    value = measured(effect, unit, signed)
    interval = bracket(lo, hi, unit, signed)
    said = f"{row.label}: {value} {interval}".strip()
    if len(seeds) > 1:
        said += "; seeds " + ", ".join(measured(v, unit, signed) for v in seeds)
    tags = Markup("").join(Markup(' <span class="tag">{}</span>').format(t) for t in row.tags)
    classes = "forest-row" + (" strong" if row.strong else "") + ("" if row.series is None else f" s{row.series % 7}")
    shown = escape(value) if effect is not None else Markup('<span class="muted">no value</span>')
    return Markup(
        '<div class="{}"><div class="forest-label">{}{}</div>'
        '<div class="strip"><svg width="100%" height="100%" role="img"><title>{}</title>{}'
        '<svg y="50%" width="100%" height="1">{}</svg></svg></div>'
        '<div class="forest-value">{} <span class="ci">{}</span></div></div>'
    ).format(classes, row.label, tags, said, under, Markup("").join(drawn), shown, interval)


def _axis_row(axis: Scale, marks: Sequence[float], unit: str) -> Markup:
    text = Markup('<text x="{:.2f}%" y="15">{}</text>')
    drawn = Markup("").join(text.format(axis(m), t) for m, t in zip(marks, tick_text(marks), strict=True))
    return Markup(
        '<div class="forest-row forest-axis" aria-hidden="true"><div class="forest-label"></div>'
        '<div class="strip"><svg width="100%" height="20">'
        '<line class="axis" x1="0" x2="100%" y1="0.5" y2="0.5"/>{}</svg></div>'
        '<div class="forest-value">{}</div></div>'
    ).format(drawn, unit)


def _key(band: Band) -> Markup:
    kind = "key-line" if band.lo == band.hi else "key-band"
    return Markup('<p class="key"><span class="{}" aria-hidden="true"></span>{}</p>').format(kind, band.label)
