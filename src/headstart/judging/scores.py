"""A table of scores as arrays: data sets by models by repeats.

Letters: D data sets, M models, S repeats (seeds) at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headstart.errors import DataError, UsageError
from headstart.judging.columns import SHARE, find_roles, given_roles, is_lower_better, plain
from headstart.judging.layouts import Entry, entries_of
from headstart.judging.reading import PERCENT_NOTE, read_rows


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores as the table has them.

    values (D, M, S): in the table's own unit; nan where there is no score. images (D,): 0 where not known. groups: one
    of each data set, or none. unit: "fraction", "percent", "units of the table", or the user's word. has_seeds: whether
    repeats are told apart by a seed. is_share: whether the score is known by its name as a share of images answered
    rightly.
    """

    path: str
    datasets: tuple[str, ...]
    models: tuple[str, ...]
    values: NDArray[np.float64]
    images: NDArray[np.int64]
    groups: tuple[str, ...]
    score: str
    unit: str
    has_seeds: bool
    higher_is_better: bool
    is_share: bool
    notes: tuple[str, ...]

    @property
    def repeats(self) -> NDArray[np.int64]:
        """(D, M) how many scores a cell has."""
        return (~np.isnan(self.values)).sum(2)

    @property
    def cells(self) -> NDArray[np.float64]:
        """(D, M) means over repeats."""
        return cell_means(self.values)


def cell_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D, M) mean over the repeats (D, M, S) that a cell has; nan where it has none."""
    seen = ~np.isnan(values)
    total = np.where(seen, values, 0.0).sum(2)
    return np.divide(total, seen.sum(2), out=np.full(total.shape, np.nan), where=seen.any(2))


def read_scores(
    path: Path, columns: Mapping[str, str] | Sequence[str] = (), better: str | None = None, unit: str | None = None
) -> Scores:
    """Read a table; see docs/judge.md. columns: role -> name (or words ROLE=NAME), for columns not told by their names.

    better: "higher" or "lower"; by default told from the name of the score. unit: a word; by default told from the
    values. Raises DataError with path, row and advice; UsageError for a role or a direction that there is not.
    """
    if better not in (None, "higher", "lower"):
        raise UsageError(f"--better {better}: write higher or lower.")
    given = given_roles(columns)
    rows = read_rows(path)
    roles, notes = find_roles(rows.header, given, rows.path)
    entries, name, more = entries_of(rows, roles)
    notes = [*rows.notes, *notes, *more]
    lower = is_lower_better(name) if better is None else better == "lower"
    if lower and better is None:
        notes.append(f"lower is better, by the name {name!r}; --better higher says otherwise")
    datasets, models, values, told = _arrays(rows.path, entries, name, has_seeds="seed" in roles)
    notes += told
    scores = Scores(
        path=rows.path,
        datasets=datasets,
        models=models,
        values=values,
        images=_images(entries, datasets, notes),
        groups=_groups(rows.path, entries, datasets),
        score=name,
        unit="percent" if PERCENT_NOTE in notes else "",
        has_seeds="seed" in roles and values.shape[2] > 1,
        higher_is_better=not lower,
        is_share=plain(name) in SHARE,
        notes=tuple(notes),
    )
    return _with_unit(_comparable(scores), unit)


def _arrays(
    path: str, entries: Sequence[Entry], name: str, *, has_seeds: bool
) -> tuple[tuple[str, ...], tuple[str, ...], NDArray[np.float64], list[str]]:
    """Data sets and models in the order of the table, values (D, M, S), and notes."""
    for e in entries:
        if not e.dataset or not e.model:
            which = "model" if e.dataset else "data set"
            raise DataError(f"{path}, row {e.line}: the {which} has no name. Fill it in, or remove the row.")
    datasets = {name: k for k, name in enumerate(dict.fromkeys(e.dataset for e in entries))}
    models = {name: k for k, name in enumerate(dict.fromkeys(e.model for e in entries))}
    notes = [*_alike(datasets, "data sets"), *_alike(models, "models")]
    cells: dict[tuple[int, int], dict[str, Entry]] = {}
    same = blank = 0
    for e in entries:
        if np.isnan(e.score):
            blank += 1
            continue
        before = cells.setdefault((datasets[e.dataset], models[e.model]), {}).setdefault(e.seed, e)
        if before.score != e.score:
            raise _twice(path, e, before, has_seeds=has_seeds)
        same += before is not e
    notes += [f"{same} rows repeat another one exactly and count once"] if same else []
    notes += [f"{blank} scores are blank"] if blank else []
    if not cells:
        raise DataError(f"{path}: no row has a score. Fill in the column {name!r}.")
    values = np.full((len(datasets), len(models), max(map(len, cells.values()))), np.nan)
    for (d, m), cell in cells.items():
        values[d, m, : len(cell)] = [e.score for e in cell.values()]
    return tuple(datasets), tuple(models), values, notes


def _twice(path: str, here: Entry, before: Entry, *, has_seeds: bool) -> DataError:
    what = f"{here.model!r} on {here.dataset!r}" + (f", seed {here.seed!r}," if has_seeds else "")
    advice = "If these are seeds, add a column 'seed'; if two metrics or settings, keep the rows of one."
    return DataError(
        f"{path}, row {here.line}: {what} has the score {here.score:g} here and {before.score:g} in row {before.line}. "
        f"{'Remove one.' if has_seeds else advice}"
    )


def _images(entries: Sequence[Entry], datasets: Sequence[str], notes: list[str]) -> NDArray[np.int64]:
    known: dict[str, set[int]] = {name: set() for name in datasets}
    for e in entries:
        known[e.dataset].add(e.images)
    several = [name for name, sizes in known.items() if len(sizes - {0}) > 1]
    if several:
        notes.append(f"numbers of images differ between rows of {several[0]!r}; the least of each data set is used")
    return np.array([min(sizes - {0}, default=0) for sizes in known.values()], np.int64)


def _groups(path: str, entries: Sequence[Entry], datasets: Sequence[str]) -> tuple[str, ...]:
    first: dict[str, Entry] = {}
    for e in entries:
        before = first.setdefault(e.dataset, e)
        if before.group != e.group:
            raise DataError(
                f"{path}, row {e.line}: {e.dataset!r} is in the group {e.group!r} here and in {before.group!r} in row "
                f"{before.line}. A data set has one group."
            )
    names = [first[name].group for name in datasets]
    return tuple(name or "(none)" for name in names) if any(names) else ()


def _alike(names: Mapping[str, int], what: str) -> list[str]:
    """Notes on names that are nearly the same."""
    seen: dict[str, str] = {}
    pairs = []
    for name in names:
        before = seen.setdefault(" ".join(name.lower().split()), name)
        pairs += [(before, name)] if before != name else []
    return [f"{what} that differ in case or blanks alone are taken as two: {a!r}, {b!r}" for a, b in pairs[:3]]


def _comparable(scores: Scores) -> Scores:
    """Raises DataError for fewer than two data sets or models."""
    if len(scores.models) < 2:
        raise DataError(f"{scores.path}: one model only ({scores.models[0]!r}). A comparison needs two or more.")
    if len(scores.datasets) < 2:
        raise DataError(
            f"{scores.path}: one data set only ({scores.datasets[0]!r}). How differences vary from data set to data "
            "set "
            "cannot be told from one; give two or more. For one, see `headstart evaluate` with --seeds and --compare."
        )
    return scores


def _with_unit(scores: Scores, unit: str | None) -> Scores:
    """With its unit in words. Raises DataError where fractions and percent seem to be mixed."""
    if unit is not None:
        return replace(scores, unit=unit)
    lowest, highest = float(np.nanmin(scores.values)), float(np.nanmax(scores.values))
    if lowest >= 0 and highest <= 1:
        return replace(scores, unit=scores.unit or "fraction")
    if lowest < 0 or highest > 100 or not scores.higher_is_better:
        return replace(scores, unit=scores.unit or "units of the table")
    tops = np.array([np.nanmax(v) if not np.isnan(v).all() else np.nan for v in scores.values])
    if (tops <= 1).any() and np.median(tops[tops > 1]) > 10:
        first = scores.datasets[int(np.flatnonzero(tops <= 1)[0])]
        raise DataError(
            f"{scores.path}: the scores of {int((tops <= 1).sum())} data sets lie between 0 and 1 (such as {first!r}), "
            "those "
            f"of others go up to {highest:g}. Fractions and percent seem to be mixed: write them in one way; if they "
            "are "
            "in the same unit, say so with --unit percent."
        )
    return replace(scores, unit="percent")
