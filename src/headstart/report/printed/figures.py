"""Figures of a run for a paper: PDF or PNG, one a ranking and one for what each detector of a pair gets wrong.

Drawn by matplotlib (`pip install 'headstart[plots]'`), in the colors of the page, text as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headstart.errors import UsageError
from headstart.metrics.detection_errors import KINDS
from headstart.page.numbers import finite
from headstart.report.run_dir import RunDir
from headstart.report.why.wrong import WORDS
from headstart.report.words import capital, metric_words, task_words
from headstart.store.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["pdf", "png"]
Row = tuple[str, float, float | None, float | None]
"""A name, its value and the ends of its interval, all in points."""
INK, MUTED = "#1c1e21", "#5c6066"
ROW, WIDTH = 0.32, 5.5
"""Inches."""


def figures(run: RunDir, out: Path, format: Format = "pdf") -> list[Path]:
    """Write the figures of a run into the folder `out`; returns their paths, none where nothing is ranked or explained.

    Raises UsageError without matplotlib, StoreError where a figure cannot be written.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise UsageError(
            "--figures draws with matplotlib, which is not installed: pip install 'headstart[plots]'"
        ) from None
    mpl.rcParams.update({"pdf.fonttype": 42, "font.size": 9})
    drawn = [*_rankings(run), *_pairs(run)]
    if drawn:
        out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in drawn:
        paths.append(out / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', name).strip('-')}.{format}")
        with replacing(paths[-1]) as new:
            figure.savefig(new, format=format, dpi=300, bbox_inches="tight", metadata=_metadata(format))
    return paths


def _metadata(format: Format) -> dict[str, Any]:
    """Without a date: the same run gives the same file."""
    return {"CreationDate": None, "Creator": "Headstart"} if format == "pdf" else {"Software": "Headstart"}


def _rankings(run: RunDir) -> list[tuple[str, Figure]]:
    found = []
    for ranking in run.metrics.get("rankings") or []:
        rows = [_row(row["weights"], row["mean"], row.get("lo"), row.get("hi")) for row in ranking["rows"]]
        best = {name for name in (ranking["best"], *ranking["best_set"]) if ranking["ranked"]}
        kept = [row for row in rows if row is not None]
        if kept:
            title = capital(task_words(run, ranking["task"]))
            axes = _chart(kept, title, f"{metric_words(ranking['metric'])}, points", strong=best)
            found.append((f"ranking-{ranking['task']}-{ranking['metric']}", axes))
    return found


def _pairs(run: RunDir) -> list[tuple[str, Figure]]:
    found = []
    for facts in run.metrics.get("pairs") or []:
        costs = (facts.get("errors") or {}).get("given_back") or {}
        apart = [(WORDS[kind][0], costs[kind]["difference"]) for kind in KINDS if kind in costs]
        rows = [_row(name, of["effect"], of["lo"], of["hi"]) for name, of in apart]
        kept = [row for row in rows if row is not None]
        if kept:
            a, b = facts["a"], facts["b"]
            title = f"What mending a kind of error gives back: {a} less {b}"
            figure = _chart(kept, title, "mAP at IoU 0.5, points", zero=True)
            found.append((f"errors-{facts['why']}-{a}-{b}", figure))
    return found


def _row(name: str, value: object, lo: object, hi: object) -> Row | None:
    if (middle := finite(value)) is None:
        return None
    ends = [None if (end := finite(v)) is None else 100 * end for v in (lo, hi)]
    return name, 100 * middle, ends[0], ends[1]


def _chart(
    rows: Sequence[Row], title: str, label: str, *, strong: set[str] | None = None, zero: bool = False
) -> Figure:
    """A dot and an interval for each row, the first on top; those of `strong` filled."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 0.9 + ROW * len(rows)))
    axes: Axes = figure.add_subplot()
    for k, (name, value, lo, hi) in enumerate(rows):
        if lo is not None and hi is not None:
            axes.plot([lo, hi], [k, k], color=INK, linewidth=1.4, solid_capstyle="butt")
        filled = INK if strong is None or name in strong else "white"
        axes.plot([value], [k], "o", markersize=5.5, color=INK, markerfacecolor=filled)
    if zero:
        axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(rows)), [_plain(name) for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(_plain(label))
    axes.set_title(_plain(title), loc="left", fontsize=10)
    axes.grid(axis="x", color="#d8d8d4", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def _plain(text: str) -> str:
    """No formula: a dollar in a name is a dollar."""
    return text.replace("$", r"\$")
