"""Long tables (a row a score) and wide ones (a row a data set, a column a model, or the other way round) as entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from headstart.judging.columns import AVERAGES, NEEDED, missing, plain
from headstart.judging.reading import Rows, any_number, counts, numbers


class Entry(NamedTuple):
    """One score. seed, group: "" where there is no such column; images: 0 where not known; line: its row in the
    file."""

    dataset: str
    model: str
    seed: str
    score: float
    images: int
    group: str
    line: int


def entries_of(rows: Rows, roles: Mapping[str, int]) -> tuple[list[Entry], str, list[str]]:
    """Entries, the name of the score, and notes. Raises DataError for a table that is neither long nor wide."""
    if all(role in roles for role in NEEDED):
        entries, name, notes = _long(rows, roles)
    elif "score" not in roles and ("dataset" in roles) != ("model" in roles):
        entries, name, notes = _wide(rows, roles)
    else:
        raise missing(rows.header, roles, rows.path)
    # Averages of the other rows or columns say nothing new.
    averages = sorted({name for e in entries for name in (e.dataset, e.model) if plain(name) in AVERAGES})
    if averages:
        notes.append(f"left out as averages of the others: {', '.join(map(repr, averages))}")
        entries = [e for e in entries if e.dataset not in averages and e.model not in averages]
    return entries, name, notes


def _long(rows: Rows, roles: Mapping[str, int]) -> tuple[list[Entry], str, list[str]]:
    (scores,), notes = numbers(rows, [roles["score"]])
    datasets, models = rows.column(roles["dataset"]), rows.column(roles["model"])
    seeds, images, groups = _beside(rows, roles)
    entries = list(map(Entry, datasets, models, seeds, scores, images, groups, rows.lines))
    return entries, rows.header[roles["score"]], notes + _unread(rows, list(roles.values()))


def _wide(rows: Rows, roles: Mapping[str, int]) -> tuple[list[Entry], str, list[str]]:
    by_dataset = "dataset" in roles
    first = roles["dataset" if by_dataset else "model"]
    wide = [k for k in range(len(rows.header)) if k not in roles.values() and any_number(rows.column(k))]
    if first != 0 or len(wide) < 2:
        raise missing(rows.header, roles, rows.path)
    columns, notes = numbers(rows, wide)
    what, each = ("data set", "model") if by_dataset else ("model", "data set")
    notes.append(f"a wide table: a row is a {what}, each of {len(wide)} columns a {each}")
    seeds, images, groups = _beside(rows, roles, of_datasets=by_dataset)
    entries = []
    for place, scores in zip(wide, columns, strict=True):
        names, column = rows.column(first), [rows.header[place]] * len(rows.rows)
        datasets, models = (names, column) if by_dataset else (column, names)
        entries += list(map(Entry, datasets, models, seeds, scores, images, groups, rows.lines))
    return entries, "score", notes + _unread(rows, [*roles.values(), *wide])


def _beside(
    rows: Rows, roles: Mapping[str, int], *, of_datasets: bool = True
) -> tuple[list[str], list[int], list[str]]:
    """Seeds, numbers of images and groups of each row; the latter two only where a row has one data set."""
    count = len(rows.rows)
    seeds = rows.column(roles["seed"]) if "seed" in roles else [""] * count
    images = counts(rows, roles["images"]) if "images" in roles and of_datasets else [0] * count
    groups = rows.column(roles["group"]) if "group" in roles and of_datasets else [""] * count
    return seeds, images, groups


def _unread(rows: Rows, read: list[int]) -> list[str]:
    left = [repr(name) for k, name in enumerate(rows.header) if k not in read]
    more = f" and {len(left) - 8} more" if len(left) > 8 else ""
    return [f"columns that are not read: {', '.join(left[:8])}{more}"] if left else []
