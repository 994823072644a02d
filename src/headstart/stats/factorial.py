"""Effects of two factors on arms that are a whole table of them, such as data and supervision.

Effects are contrasts with each factor's first level. The main effect of a level is its difference to the first, the
mean over the levels of the other factor. The interaction of two levels is how much more the one does at the other than
at the other's first level: 0 where effects add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headstart.stats.arms import Arms
from headstart.stats.intervals import LEVEL, Interval

Cells = Mapping[str, Mapping[str, str]]
"""Level of the first factor -> level of the second -> arm. Every pair of levels is there."""


@dataclass(frozen=True)
class Effect:
    """One contrast. first, second: the levels that it is of; empty: the factor is averaged over (a main effect)."""

    first: str
    second: str
    interval: Interval

    @property
    def is_interaction(self) -> bool:
        return bool(self.first and self.second)


def effects(arms: Arms, cells: Cells, level: float = LEVEL) -> list[Effect]:
    """Main effects of the first factor, of the second, interactions; each with its interval."""
    rows = list(cells)
    columns = list(cells[rows[0]])

    def contrast(weights: Mapping[tuple[str, str], float]) -> Interval:
        return arms.combination({cells[row][column]: w for (row, column), w in weights.items()}, level)

    found = []
    for row in rows[1:]:
        share = 1 / len(columns)
        of = {(row, c): share for c in columns} | {(rows[0], c): -share for c in columns}
        found.append(Effect(row, "", contrast(of)))
    for column in columns[1:]:
        share = 1 / len(rows)
        of = {(r, column): share for r in rows} | {(r, columns[0]): -share for r in rows}
        found.append(Effect("", column, contrast(of)))
    for row in rows[1:]:
        for column in columns[1:]:
            of = {(row, column): 1.0, (row, columns[0]): -1.0, (rows[0], column): -1.0, (rows[0], columns[0]): 1.0}
            found.append(Effect(row, column, contrast(of)))
    return found
