"""Whether it matters how nearness is measured: the difference of both imbalances under every choice, stage by stage."""

from __future__ import annotations

from typing import Any

from headstart.page.numbers import NO_VALUE, fixed
from headstart.report.why.words import Effect, is_open

PREFIX = "choice/"
WORDS = {"raw": "raw", "standardized": "standardized channels", "whitened": "whitened"}


def choices(facts: dict[str, Any]) -> dict[str, Any] | None:
    """For the page: `sentence` on the last stage, `stages`, `rows` (choice, cells (difference, ends, whether decided));
    None where there is nothing, as in runs of before."""
    effects: dict[str, Effect] = facts["effects"]
    keys = [name.split("/")[1:4] for name in effects if name.startswith(PREFIX) and name.endswith("/a_less_b")]
    if not keys:
        return None
    stages = list(dict.fromkeys(stage for stage, *_ in keys))
    rows = []
    for scaling, distance in dict.fromkeys((scaling, distance) for _, scaling, distance in keys):
        names = [f"{PREFIX}{stage}/{scaling}/{distance}/a_less_b" for stage in stages]
        rows.append((f"{WORDS[scaling]}, {distance}", [_cell(effects, name) for name in names]))
    return {"sentence": _sentence(effects, stages[-1], facts), "stages": stages, "rows": rows}


def _cell(effects: dict[str, Effect], name: str) -> tuple[str, str, bool]:
    value, lo, hi = effects.get(name, (None, None, None))
    if value is None:
        return NO_VALUE, "", False
    ends = "" if lo is None else f"[{fixed(lo, 3, True)}, {fixed(hi, 3, True)}]"
    return fixed(value, 3, True), ends, not is_open(effects, name)


def _sentence(effects: dict[str, Effect], stage: str, facts: dict[str, Any]) -> str:
    names = [name for name in effects if name.startswith(f"{PREFIX}{stage}/") and name.endswith("/a_less_b")]
    more = {"b": 0, "a": 0}
    for name in names:
        if not is_open(effects, name):
            more["b" if (effects[name][0] or 0) > 0 else "a"] += 1
    total, (of_b, of_a) = len(names), more.values()
    a, b = facts["a"], facts["b"]
    if total in (of_a, of_b):
        return f"However nearness is measured, neighbors for {a if of_a else b} tell more of the other’s."
    if not of_a and not of_b:
        return f"However nearness is measured ({total} ways), neither’s neighbors are shown to tell more."
    return (
        f"It matters how nearness is measured: neighbors for {a} tell more of the other’s in {of_a} of {total} ways, "
        f"those for {b} in {of_b}; the others are open."
    )
