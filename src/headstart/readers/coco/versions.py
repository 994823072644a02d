"""Which of the JSON files that suites of data sets have side by side are read.

ODinW has files with and without the root category in every split, sometimes corrected ones (`new_..`), and subsets of
the training images of so many examples a class (`fewshot_train_shot10_seed3.json`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from headstart.errors import DataError
from headstart.places.paths import DataPath

FEW = re.compile(r"fewshot_train_shot(\d{1,9})_seed(\d{1,9})\.json")
VERSIONS = ("new_annotations_without_background", "annotations_without_background", "_annotations.coco")
"""Ends of the names of files that say the same, without `.json`: the best first."""


def best_versions(paths: Sequence[DataPath]) -> list[DataPath]:
    """Without subsets of few examples, and of files that say the same of one split the best alone."""
    whole = [path for path in paths if not FEW.fullmatch(path.name)]
    groups: dict[tuple[str, str], list[DataPath]] = {}
    for path in whole:
        if _rank(path) is not None:
            groups.setdefault(_split_in(path), []).append(path)
    named = {folder for folder, before in groups if before}
    best = {
        min(group, key=lambda path: _rank(path) or 0).relative
        for (folder, before), group in groups.items()
        if before or folder not in named  # beside train_.., val_.., a file without a split says all of it again
    }
    return [path for path in whole if _rank(path) is None or path.relative in best]


def few_shot(paths: Sequence[DataPath], chosen: Sequence[DataPath], shots: int, seed: int) -> list[DataPath]:
    """The chosen files, that of the training split replaced by its subset of so many examples a class.

    Raises DataError where there is no such file, naming those that are there.
    """
    there = {(int(m[1]), int(m[2])): path for path in paths if (m := FEW.fullmatch(path.name))}
    subset = there.get((shots, seed))
    if subset is None:
        has = ", ".join(f"shots={s} shot_seed={k}" for s, k in sorted(there)) or "none"
        raise DataError(
            f"{paths[0].parent}: there is no fewshot_train_shot{shots}_seed{seed}.json. Subsets that are there: {has}."
        )
    return [subset, *(path for path in chosen if not _trains(path, subset))]


def beside(paths: Sequence[DataPath]) -> str:
    """What is said of subsets that were not asked for; "" where there are none."""
    subsets = sorted({(int(m[1]), int(m[2])) for path in paths if (m := FEW.fullmatch(path.name))})
    if not subsets:
        return ""
    shots, seed = subsets[0]
    return (
        f"{len(subsets)} subsets of few examples a class are there and not read; --read shots={shots} with "
        f"--read shot_seed={seed} takes one for training"
    )


def _trains(path: DataPath, subset: DataPath) -> bool:
    by_name = path.name.startswith("train_")
    return by_name or (path.parent.relative == subset.parent.relative and _rank(path) is not None)


def _rank(path: DataPath) -> int | None:
    stem = path.name.removesuffix(".json")
    return next((rank for rank, end in enumerate(VERSIONS) if stem.endswith(end)), None)


def _split_in(path: DataPath) -> tuple[str, str]:
    """Folder, and what stands before the version in the name (`train_`)."""
    stem = path.name.removesuffix(".json")
    return _folder(path), stem.removesuffix(VERSIONS[_rank(path) or 0])


def _folder(path: DataPath) -> str:
    return path.parent.relative
