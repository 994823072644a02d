"""What the detectors of two candidates get wrong, kind by kind: a sentence, a chart of differences, a table."""

from __future__ import annotations

from typing import Any

from headstart.metrics.detection_errors import KINDS
from headstart.page.intervals import IntervalRow, interval_chart
from headstart.page.numbers import NO_VALUE, bracket, fixed, listed, measured, p_value

WORDS = {
    "classification": ("another class", "an object of another class is there"),
    "localization": ("a poor box", "right class, IoU 0.1 to 0.5"),
    "both": ("another class, poor box", "IoU 0.1 to 0.5 with an object of another class"),
    "duplicate": ("found already", "a surer detection has the object"),
    "background": ("nothing there", "IoU below 0.1 with every object"),
    "missed": ("missed", "no detection is near the object, however unsure"),
}
SURE = 0.05


def errors(facts: dict[str, Any]) -> dict[str, Any] | None:
    """For the page: `sentence`, `chart`, `rows` (kind, what it is, points of a, of b, difference, errors of a, of b for
    100 objects, difference); None where kinds of errors were not told apart."""
    found = facts.get("errors")
    if not found:
        return None
    costs, rates = found["given_back"], found["errors"]
    kinds = [kind for kind in KINDS if costs.get(kind, {}).get("a") is not None]
    if not kinds:
        return None
    rows = [
        IntervalRow(WORDS[kind][0], *(costs[kind]["difference"][end] for end in ("effect", "lo", "hi")))
        for kind in kinds
    ]
    a, b = facts["a"], facts["b"]
    title = f"Points that mending one kind of errors gives back, {a} less {b}"
    return {
        "sentence": sentence(costs, a, b),
        "chart": interval_chart(rows, title, signed=True, zero=True),
        "rows": [(*WORDS[kind], *_cells(costs[kind]), *_cells(rates[kind])) for kind in kinds],
    }


def sentence(costs: dict[str, Any], a: str, b: str) -> str:
    """Which kinds are shown to cost one more than the other."""
    of_a, of_b = (max(costs, key=lambda kind: costs[kind][role] or 0.0) for role in "ab")
    back = [f"{measured(costs[kind][role])} points" for kind, role in ((of_a, "a"), (of_b, "b"))]
    if of_a == of_b:
        lost = f"Both lose most by “{WORDS[of_a][0]}”: mended, {back[0]} come back to {a}, {back[1]} to {b}"
    else:
        lost = (
            f"{a} loses most by “{WORDS[of_a][0]}” ({back[0]} come back where that is mended), "
            f"{b} by “{WORDS[of_b][0]}” ({back[1]})"
        )
    tested = {kind: p for kind in costs if (p := costs[kind]["difference"]["p_adjusted"]) is not None}
    sure = [kind for kind, p in tested.items() if p < SURE]
    if not tested:
        end = "With one seed it is not tested which of them costs one more than the other."
    elif not sure:
        end = "No kind is shown to cost one more than the other."
    else:
        parts = [f"“{WORDS[kind][0]}” costs {_more(costs[kind], a, b)} (p {p_value(tested[kind])})" for kind in sure]
        end = f"Shown to differ: {listed(parts)}; p for all kinds together, by Holm."
    return f"{lost}. {end}"


def _more(of_kind: dict[str, Any], a: str, b: str) -> str:
    value = of_kind["difference"]["effect"]
    return f"{a if value > 0 else b} {fixed(100 * abs(value))} points more"


def _cells(of_kind: dict[str, Any]) -> tuple[str, str, str]:
    if of_kind["a"] is None or of_kind["b"] is None:
        return (NO_VALUE,) * 3
    apart = of_kind["difference"]
    ends = bracket(apart["lo"], apart["hi"], signed=True)
    return measured(of_kind["a"]), measured(of_kind["b"]), f"{measured(apart['effect'], signed=True)} {ends}".strip()
