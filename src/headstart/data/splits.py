"""Which images are trained on, which choose a rate, and which are only scored.

Near-duplicates (`headstart.data.duplicates`) and the source's groups (videos, patients) stay together wherever we deal
images out ourselves: a test image whose twin was trained on measures memory. Dealing depends on image ids and the seed
alone, so it is the same on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.data.annotations import Annotations
from headstart.data.duplicates import with_groups
from headstart.data.flags import Target
from headstart.errors import DataError

VALIDATION_SHARE = 0.2
DEFAULT_FOLDS = 3
"""Folds for data without test images of its own."""


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows of the table, int64, ascending; no row is in two of them."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Roles:
    """One fold when the data set has test images of its own (`official`), else one for each part left out."""

    folds: tuple[Fold, ...]
    official: bool
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Fold]:
        return iter(self.folds)

    def __len__(self) -> int:
        return len(self.folds)

    def __getitem__(self, k: int) -> Fold:
        return self.folds[k]


def has_test(annotations: Annotations, task: Target) -> bool:
    """Whether the source has test images with annotation for the task, and others to train on.

    Without a test part, a `val` part beside a training part is the test.
    """
    return _official(annotations, task) is not None


def num_of_role(annotations: Annotations, task: Target, role: str, folds: int = 0) -> int:
    """Images that `assign` gives a role (train, val, trainval, test) in one of `folds`; of another role all. Their
    near-duplicates are not known yet, so what is not the source's own split is about so many."""
    official = _official(annotations, task)
    if official is not None:
        test, learned, val = len(official.test), len(official.train) + len(official.val), len(official.val)
    else:
        pool = len(_pool(annotations, task))
        test, val = pool // max(folds, 1), 0
        learned = pool - test
    val = val or round(VALIDATION_SHARE * learned)
    return {"train": learned - val, "val": val, "trainval": learned, "test": test}.get(role, len(annotations))


def assign(
    annotations: Annotations, task: Target, folds: int = 0, clusters: ArrayLike | None = None, *, seed: int = 0
) -> Roles:
    """Rows for training, validation and test. Only images with annotation for the task take part.

    `folds` 0: the source's own test images. Its `val` images validate if there are test images as well; else a fifth
    of the training images does. `folds` >= 2, for data without test images: each image is tested in one fold, and of
    the others of that fold a fifth validates. What we deal out ourselves is balanced over classes, keeps clusters
    together, and leaves each part an image of each class where there are enough.
    `clusters` (n,): see `near_duplicate_clusters`, for all images; None: every image stands alone. Groups that the
    source names are joined to them.
    Raises DataError when `folds` does not suit the data, or a part would be empty.
    """
    groups = _groups(annotations, clusters)
    official = _official(annotations, task)
    if official is not None:
        if folds:
            raise DataError(
                f"{annotations.root}: {len(official.test)} images are the data's own test images for "
                f"{task}, so no folds are needed. Leave out `fold` and `folds`."
            )
        return _from_official(annotations, task, official, groups, seed=seed)
    if folds < 2:
        raise DataError(
            f"{annotations.root}: no images are set apart for testing {task}. Use folds (`folds` = "
            f"{DEFAULT_FOLDS}, and `fold` = 0, 1, ... in turn), or set a test part apart."
        )
    pool = _pool(annotations, task)
    part = _deal(annotations, task, pool, groups, shares=[1 / folds] * folds, seed=seed)
    dealt = []
    for k in range(folds):
        train, val = _validation(annotations, task, pool[part != k], groups, seed=seed)
        dealt.append(Fold(train, val, pool[part == k]))
    _require_filled(annotations, task, dealt)
    return Roles(tuple(dealt), official=False, notes=_left_out(annotations, task, pool))


def divide(
    annotations: Annotations, task: Target, shares: Sequence[float], clusters: ArrayLike | None = None, *, seed: int = 0
) -> tuple[NDArray[np.int64], ...]:
    """Rows of all images with annotation for the task, dealt into parts of the given shares; ascending.

    As `assign` deals: balanced over classes, clusters and the source's groups together, whatever the source's own
    splits are. shares: positive, sum 1. Raises DataError when a part would be empty.
    """
    if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"shares {list(shares)} must be positive and sum to 1")
    rows = np.flatnonzero(annotations.supports(task))
    part = _deal(annotations, task, rows, _groups(annotations, clusters), shares=list(shares), seed=seed)
    parts = tuple(rows[part == k] for k in range(len(shares)))
    if not all(len(p) for p in parts):
        raise DataError(
            f"{annotations.root}: {len(rows)} images cannot be dealt into {len(shares)} parts for "
            f"{task} with near-duplicates and groups together. Add images or ask for fewer."
        )
    return parts


def _groups(annotations: Annotations, clusters: ArrayLike | None) -> NDArray[np.int64]:
    alone = np.arange(len(annotations)) if clusters is None else np.asarray(clusters, np.int64)
    if len(alone) != len(annotations):
        raise ValueError(f"clusters of {len(alone)} images for a table of {len(annotations)}")
    return with_groups(annotations, np.arange(len(annotations)), alone)


def _official(annotations: Annotations, task: Target) -> Fold | None:
    usable = annotations.supports(task)
    rows = {
        split: np.flatnonzero(usable & (annotations.splits == split)) for split in ("train", "trainval", "val", "test")
    }
    train = np.union1d(rows["train"], rows["trainval"])
    if len(rows["test"]) and len(train):
        return Fold(train, rows["val"], rows["test"])
    if len(rows["test"]) and len(rows["val"]):
        return Fold(rows["val"], rows["val"][:0], rows["test"])
    if len(train) and len(rows["val"]):
        return Fold(train, rows["val"][:0], rows["val"])
    return None


def _from_official(
    annotations: Annotations, task: Target, official: Fold, groups: NDArray[np.int64], *, seed: int
) -> Roles:
    train, val, test = official.train, official.val, official.test
    if not len(val):
        train, val = _validation(annotations, task, train, groups, seed=seed)
    fold = Fold(train, val, test)
    _require_filled(annotations, task, [fold])
    notes = list(_left_out(annotations, task, np.concatenate([train, val, test])))
    if not (annotations.splits[test] == "test").any():
        notes.append(f"{annotations.root}: no test part, so the {len(test)} images of its val part are the test images")
    twins = int(np.isin(groups[test], groups[np.concatenate([train, val])]).sum())
    or_group = "" if annotations.groups is None else ", or another image of their group,"
    if twins:
        notes.append(
            f"{annotations.root}: {twins} of {len(test)} test images have a near-duplicate{or_group} among "
            "the training and validation images; the data's own split was kept"
        )
    return Roles((fold,), official=True, notes=tuple(notes))


def _pool(annotations: Annotations, task: Target) -> NDArray[np.int64]:
    """Images to deal out: those in the source's lists, or all when it has none."""
    listed = annotations.splits != ""
    return np.flatnonzero(annotations.supports(task) & (listed if listed.any() else True))


def _left_out(annotations: Annotations, task: Target, used: NDArray[np.int64]) -> tuple[str, ...]:
    count = len(annotations) - len(used)
    return (f"{annotations.root}: {count} images have no annotation for {task} or are in no list",) if count else ()


def _validation(
    annotations: Annotations, task: Target, rows: NDArray[np.int64], groups: NDArray[np.int64], *, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    part = _deal(annotations, task, rows, groups, shares=[1 - VALIDATION_SHARE, VALIDATION_SHARE], seed=seed)
    return rows[part == 0], rows[part == 1]


def _deal(
    annotations: Annotations,
    task: Target,
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    shares: list[float],
    seed: int,
) -> NDArray[np.int64]:
    """(k,) part of each of the k `rows`, in the given shares.

    Iterative stratification (Sechidis et al., ECML PKDD 2011): the class with the fewest images left is dealt first,
    each cluster to the part that lacks most of it.
    """
    if not len(rows):
        return np.zeros(0, np.int64)
    order = np.argsort(groups[rows], kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[rows][order])) + 1)
    # Large clusters first, while every part has room; among equals an order that no listing or library decides.
    members.sort(key=lambda m: (-len(m), shuffled(min(annotations.image_ids[rows[m]].tolist()), seed)))
    present = _presence(annotations, task, rows)
    counts = np.array([present[m].sum(0) for m in members], np.int32)
    remaining = counts.sum(0)
    wanted = np.maximum(np.outer(shares, remaining), np.minimum(1, remaining // len(shares)))
    room = np.array(shares) * len(rows)
    part = np.full(len(rows), -1)
    left = np.ones(len(members), bool)
    while left.any():
        rarest = int(np.argmin(np.where(remaining > 0, remaining, len(rows) + 1)))
        for k in np.flatnonzero(left & (counts[:, rarest] > 0)):
            best = max(range(len(shares)), key=lambda p: (wanted[p, rarest], room[p], -p))
            part[members[k]] = best
            wanted[best] -= counts[k]
            room[best] -= len(members[k])
            remaining -= counts[k]
            left[k] = False
    return part


def _presence(annotations: Annotations, task: Target, rows: NDArray[np.int64]) -> NDArray[np.int32]:
    """(k, classes + 1): which classes occur in an image; the last column stands for none.

    Masks are not decoded for it: for segmentation the image labels serve, where there are any.
    """
    num_classes = len(annotations.box_classes) if task == "detect" else len(annotations.image_classes)
    present = np.zeros((len(rows), num_classes + 1), np.int32)
    if task == "detect":
        for k, row in enumerate(rows):
            present[k, annotations.box_labels[annotations.box_offsets[row] : annotations.box_offsets[row + 1]]] = 1
    else:
        labels = annotations.image_labels[rows]
        present[np.flatnonzero(labels >= 0), labels[labels >= 0]] = 1
    present[:, -1] = present[:, :-1].sum(1) == 0
    return present


def _require_filled(annotations: Annotations, task: Target, folds: list[Fold]) -> None:
    for fold in folds:
        sizes = {"training": len(fold.train), "validation": len(fold.val), "test": len(fold.test)}
        empty = [name for name, size in sizes.items() if not size]
        if empty:
            raise DataError(
                f"{annotations.root}: no {empty[0]} images remain for {task} ({sum(sizes.values())} images in all, "
                "near-duplicates kept together). Add images or use fewer folds."
            )


def shuffled(image_id: str, seed: int) -> bytes:
    """A key to sort images by: an order that looks random and is the same on every machine."""
    return hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
