"""Which images are trained on, which choose a rate, and which are only scored.

Near-duplicates stay together wherever we deal images out ourselves: a test image whose twin was trained on measures
memory. Dealing depends on image ids and the seed alone, so it is the same on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from headstart.data.annotations import Annotations, Target
from headstart.data.images import read_thumbnail
from headstart.errors import DataError

HASH_SIZE_HW = (8, 9)
SAME_BITS = 4
"""Images whose 64 bits differ in at most so many are near-duplicates,"""
SAME_GRAY = 24.0
"""if their thumbnails differ by at most so much on average too: flat images all have the same bits."""
CHUNK = 512
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


def near_duplicate_clusters(
    annotations: Annotations, indices: ArrayLike, on_bad_image: Literal["error", "skip"] = "error"
) -> NDArray[np.int64]:
    """(k,) cluster of each of the k images `indices`, numbered from 0 in order of first occurrence.

    Difference hash of 9 x 8 gray thumbnails (N. Krawetz, 2013): a bit says whether a cell is brighter than its right
    neighbor. Being near-duplicates is carried on from image to image. Raises DataError for an image that
    cannot be decoded; with `skip` it is a cluster of its own.
    """
    rows = np.asarray(indices, np.int64)
    thumbnails = np.zeros((len(rows), *HASH_SIZE_HW), np.uint8)
    readable = np.ones(len(rows), bool)
    for k, row in enumerate(rows):
        try:
            thumbnails[k] = read_thumbnail(annotations.image_path(int(row)), HASH_SIZE_HW)
        except DataError:
            if on_bad_image == "error":
                raise
            readable[k] = False
    first, second = _near_pairs(thumbnails)
    near = readable[first] & readable[second]
    links = coo_array((np.ones(near.sum(), bool), (first[near], second[near])), shape=(len(rows), len(rows)))
    labels = connected_components(links, directed=False)[1]
    _, first_seen, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_seen))[inverse].astype(np.int64)


def has_test(annotations: Annotations, task: Target) -> bool:
    """Whether the source has test images with annotation for the task, and others to train on.

    Without a test part, a `val` part beside a training part is the test.
    """
    return _official(annotations, task) is not None


def assign(
    annotations: Annotations, task: Target, folds: int = 0, clusters: ArrayLike | None = None, seed: int = 0
) -> Roles:
    """Rows for training, validation and test. Only images with annotation for the task take part.

    `folds` 0: the source's own test images. Its `val` images validate if there are test images as well; else a fifth
    of the training images does. `folds` >= 2, for data without test images: each image is tested in one fold, and of
    the others of that fold a fifth validates. What we deal out ourselves is balanced over classes, keeps clusters
    together, and leaves each part an image of each class where there are enough.
    `clusters` (n,): see `near_duplicate_clusters`, for all images; None: every image stands alone.
    Raises DataError when `folds` does not suit the data, or a part would be empty.
    """
    groups = np.arange(len(annotations)) if clusters is None else np.asarray(clusters, np.int64)
    if len(groups) != len(annotations):
        raise ValueError(f"clusters of {len(groups)} images for a table of {len(annotations)}")
    official = _official(annotations, task)
    if official is not None:
        if folds:
            raise DataError(f"{annotations.root}: {len(official.test)} images are the data's own test images for "
                            f"{task}, so no folds are needed. Leave out `fold` and `folds`.")  # fmt: skip
        return _from_official(annotations, task, official, groups, seed)
    if folds < 2:
        raise DataError(f"{annotations.root}: no images are set apart for testing {task}. Use folds (`folds` = "
                        f"{DEFAULT_FOLDS}, and `fold` = 0, 1, ... in turn), or set a test part apart.")  # fmt: skip
    pool = _pool(annotations, task)
    part = _deal(annotations, task, pool, groups, [1 / folds] * folds, seed)
    dealt = []
    for k in range(folds):
        train, val = _validation(annotations, task, pool[part != k], groups, seed)
        dealt.append(Fold(train, val, pool[part == k]))
    _require_filled(annotations, task, dealt)
    return Roles(tuple(dealt), official=False, notes=_left_out(annotations, task, pool))


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
    annotations: Annotations, task: Target, official: Fold, groups: NDArray[np.int64], seed: int
) -> Roles:
    train, val, test = official.train, official.val, official.test
    if not len(val):
        train, val = _validation(annotations, task, train, groups, seed)
    fold = Fold(train, val, test)
    _require_filled(annotations, task, [fold])
    notes = list(_left_out(annotations, task, np.concatenate([train, val, test])))
    if not (annotations.splits[test] == "test").any():
        notes.append(f"{annotations.root}: no test part, so the {len(test)} images of its val part are the test images")
    twins = int(np.isin(groups[test], groups[np.concatenate([train, val])]).sum())
    if twins:
        notes.append(f"{annotations.root}: {twins} of {len(test)} test images have a near-duplicate among the training "
                     "and validation images; the data's own split was kept")  # fmt: skip
    return Roles((fold,), official=True, notes=tuple(notes))


def _pool(annotations: Annotations, task: Target) -> NDArray[np.int64]:
    """Images to deal out: those in the source's lists, or all when it has none."""
    listed = annotations.splits != ""
    return np.flatnonzero(annotations.supports(task) & (listed if listed.any() else True))


def _left_out(annotations: Annotations, task: Target, used: NDArray[np.int64]) -> tuple[str, ...]:
    count = len(annotations) - len(used)
    return (f"{annotations.root}: {count} images have no annotation for {task} or are in no list",) if count else ()


def _validation(
    annotations: Annotations, task: Target, rows: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    part = _deal(annotations, task, rows, groups, [1 - VALIDATION_SHARE, VALIDATION_SHARE], seed)
    return rows[part == 0], rows[part == 1]


def _deal(
    annotations: Annotations,
    task: Target,
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
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
    members.sort(key=lambda m: (-len(m), _shuffled(min(annotations.image_ids[rows[m]].tolist()), seed)))
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


def _near_pairs(thumbnails: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs a < b of near thumbnails (k, 8, 9), a chunk of rows against all later ones at a time."""
    bits = thumbnails[:, :, :-1] > thumbnails[:, :, 1:]
    hashes = np.packbits(bits.reshape(-1, 64), axis=1).view(np.uint64)[:, 0]
    found = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(hashes), CHUNK):
        distance = np.bitwise_count(hashes[start : start + CHUNK, None] ^ hashes[None, start:])
        pairs = np.argwhere(distance <= SAME_BITS) + start
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        difference = np.abs(thumbnails[pairs[:, 0]].astype(np.int16) - thumbnails[pairs[:, 1]]).mean(axis=(1, 2))
        found.append(pairs[difference <= SAME_GRAY])
    first, second = np.concatenate(found).T
    return first, second


def _shuffled(image_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
