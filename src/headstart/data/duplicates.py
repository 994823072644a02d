"""Images that show the same: found by a perceptual hash, within a data set and between two.

Difference hash of 9 x 8 gray thumbnails (N. Krawetz, 2013): a bit says whether a cell is brighter than its right
neighbor. Two images are near-duplicates when

- at most `SAME_BITS` of 64 bits differ: re-encodings, other sizes, other brightness; or
- at most `NEAR_BITS` differ and the thumbnails' gray values correlate by `NEAR_CORRELATION`: cuts of a few percent at
  the border, turns of a degree, shots of a burst;

and in both cases their gray values differ by at most `SAME_GRAY` on average, since flat images all have the same bits.
Mirror images are not found. Thumbnails are kept in the cache folder by the stamps of their files.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from headstart.data.annotations import Annotations
from headstart.data.flags import SPLITS
from headstart.data.thumbnail_files import kept_thumbnails
from headstart.errors import DataError, StoreError
from headstart.places.cache import SETTLED_NS
from headstart.places.images import read_thumbnail
from headstart.progress import Counted
from headstart.store.batches import load_batch, require_intact, save_batch
from headstart.store.files import ABANDONED, sweep

HASH_SIZE_HW = (8, 9)
SAME_BITS, NEAR_BITS = 4, 8
SAME_GRAY = 24.0
NEAR_CORRELATION = 0.97
FLAT = 2.0
"""Thumbnails that deviate less than so from their mean have no pattern that could correlate."""
CHUNK = 1000
CELLS = HASH_SIZE_HW[0] * HASH_SIZE_HW[1]
"""Called with (images done, images in all)."""
OnBad = Literal["error", "skip"]


@dataclass(frozen=True, eq=False)
class Overlap:
    """Near-duplicates between the tables a and b."""

    rows_a: NDArray[np.int64]
    rows_b: NDArray[np.int64]
    """(p,) pairs: image rows_a[k] of a is a near-duplicate of image rows_b[k] of b; by rising rows_b, then rows_a."""
    bits: NDArray[np.int64]
    """(p,) how many of 64 bits differ."""
    splits_a: dict[str, tuple[int, int]]
    """Split -> (images with a near-duplicate in the other table, images); splits without images are not in it."""
    splits_b: dict[str, tuple[int, int]]
    unreadable: tuple[str, ...]
    """What is wrong with each image that could not be compared."""


def overlap(a: Annotations, b: Annotations, progress: Counted | None = None, on_bad_image: OnBad = "skip") -> Overlap:
    """Images of `a` (say, of a pre-training) that are near-duplicates of images of `b` (say, a test set).

    Reads every image once; again only where its file changed. Raises DataError for an image that cannot be decoded;
    with `skip` it is left out and listed.
    """
    count = len(a) + len(b)
    shown = [progress and (lambda done, _, base=base: progress(base + done, count)) for base in (0, len(a))]
    pictures = [thumbnails(t, np.arange(len(t)), on_bad_image, s) for t, s in zip((a, b), shown, strict=True)]
    (thumbs_a, ok_a, bad_a), (thumbs_b, ok_b, bad_b) = pictures
    kept_a, kept_b = np.flatnonzero(ok_a), np.flatnonzero(ok_b)
    first, second, bits = _near_between(thumbs_b[kept_b], thumbs_a[kept_a])
    rows_a, rows_b = kept_a[second], kept_b[first]
    order = np.lexsort((rows_a, rows_b))
    return Overlap(
        rows_a[order], rows_b[order], bits[order], _by_split(a, rows_a), _by_split(b, rows_b), (*bad_a, *bad_b)
    )


def near_duplicate_clusters(
    annotations: Annotations, indices: ArrayLike, on_bad_image: OnBad = "error", progress: Counted | None = None
) -> NDArray[np.int64]:
    """(k,) cluster of each of the k images `indices`, numbered from 0 in order of first occurrence.

    Being near-duplicates is carried on from image to image. Raises DataError for an image that cannot be decoded; with
    `skip` it is a cluster of its own.
    """
    rows = np.asarray(indices, np.int64)
    thumbs, readable, _ = thumbnails(annotations, rows, on_bad_image, progress)
    kept = np.flatnonzero(readable)
    first, second, _ = _near_within(thumbs[kept])
    return clusters_of(kept[first], kept[second], len(rows))


def known_clusters(annotations: Annotations, indices: ArrayLike) -> NDArray[np.int64] | None:
    """The same from thumbnails that are kept of the files as they are now; None where one is not. Reads no image."""
    rows = np.asarray(indices, np.int64)
    names = [annotations.image_name(int(row)) for row in rows]
    stamps = [annotations.place.stamp(name) or (-1, -1) for name in names]
    thumbs, known = _Kept(kept_thumbnails(annotations.place)).find(names, stamps)
    if not known.all():
        return None
    first, second, _ = _near_within(thumbs)
    return clusters_of(first, second, len(rows))


def clusters_of(first: NDArray[np.int64], second: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(count,) connected components of the pairs (first[k], second[k]), numbered in order of first occurrence."""
    links = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    labels = connected_components(links, directed=False)[1]
    _, first_seen, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_seen))[inverse].astype(np.int64)


def with_groups(annotations: Annotations, indices: ArrayLike, clusters: ArrayLike) -> NDArray[np.int64]:
    """(k,) clusters of the k images `indices`, joined where the source says that images belong together (a video, a
    patient): both kinds of link are followed. Numbered from 0 in order of first occurrence."""
    rows, links = np.asarray(indices, np.int64), np.asarray(clusters, np.int64)
    if annotations.groups is None:
        return links
    first, second = _in_a_row(links), np.zeros((2, 0), np.int64)
    named = np.flatnonzero(annotations.groups[rows] != "")
    if len(named):
        second = named[_in_a_row(np.unique(annotations.groups[rows[named]], return_inverse=True)[1].reshape(-1))]
    pairs = np.concatenate([first, second], axis=1)
    return clusters_of(pairs[0], pairs[1], len(rows))


def _in_a_row(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """(2, p) places with equal values, each linked to the next such place."""
    order = np.argsort(values, kind="stable")
    equal = np.flatnonzero(np.diff(values[order]) == 0)
    return np.stack([order[equal], order[equal + 1]])


def thumbnails(
    annotations: Annotations, rows: NDArray[np.int64], on_bad_image: OnBad = "error", progress: Counted | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], list[str]]:
    """uint8 (k, 72) gray thumbnails of 8 x 9 cells, (k,) which could be read, and what is wrong with the others.

    Those of unchanged files come from the cache folder. Raises DataError, see `near_duplicate_clusters`.
    """
    place = annotations.place
    began = time.time_ns()
    names = [annotations.image_name(int(row)) for row in rows]
    stamps = [place.stamp(name) or (-1, -1) for name in names]
    cache = _Kept(kept_thumbnails(place))
    out, known = cache.find(names, stamps)
    readable = np.ones(len(rows), bool)
    missing = np.flatnonzero(~known)
    faults: dict[int, str] = {}

    def read(k: int) -> NDArray[np.uint8] | None:
        try:
            return read_thumbnail(annotations.image_path(int(rows[k])), HASH_SIZE_HW).reshape(-1)
        except DataError as error:
            if on_bad_image == "error":
                raise
            faults[k] = str(error)
            return None

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(missing), CHUNK):
            part = missing[start : start + CHUNK]
            for k, thumb in zip(part.tolist(), pool.map(read, part.tolist()), strict=True):
                readable[k] = thumb is not None
                if thumb is not None:
                    out[k] = thumb
            if progress:
                progress(len(rows) - len(missing) + start + len(part), len(rows))
    settled = [k for k in missing.tolist() if readable[k] and stamps[k][1] <= began - SETTLED_NS]
    if settled:
        cache.add([names[k] for k in settled], [stamps[k] for k in settled], out[settled])
    return out, readable, [faults[k] for k in sorted(faults)]


class _Kept:
    """Thumbnails in an Arrow file, with the names and stamps of their files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._batch: pa.RecordBatch | None = None
        with contextlib.suppress(StoreError):
            require_intact(path)
            batch = load_batch(path)
            if batch.schema.names == ["name", "size", "time", "thumb"]:
                self._batch = batch

    def find(
        self, names: Sequence[str], stamps: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """(k, 72) and which of the k files are in it with the same stamps."""
        out = np.zeros((len(names), CELLS), np.uint8)
        known = np.zeros(len(names), bool)
        if self._batch is not None and names:
            rows = pc.index_in(pa.array(names, pa.string()), value_set=self._batch["name"]).fill_null(-1).to_numpy()
            wanted = np.array(stamps, np.int64)
            stored = np.stack([self._batch["size"].to_numpy(), self._batch["time"].to_numpy()], 1)
            known = (rows >= 0) & (stored[rows] == wanted).all(1)
            out[known] = self._thumbs()[rows[known]]
        return out, known

    def add(self, names: list[str], stamps: list[tuple[int, int]], thumbs: NDArray[np.uint8]) -> None:
        """Write the file again with these added. Where it cannot be written, nothing is kept."""
        columns = [pa.array(names, pa.string()), *(pa.array([s[k] for s in stamps], pa.int64()) for k in (0, 1))]
        if self._batch is not None:
            old = pc.invert(pc.is_in(self._batch["name"], value_set=columns[0]))
            columns = [pa.concat_arrays([self._batch[k].filter(old), columns[k]]) for k in range(3)]
            thumbs = np.concatenate([self._thumbs()[old.to_numpy(zero_copy_only=False)], thumbs])
        columns.append(pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(thumbs).reshape(-1)), CELLS))
        batch = pa.RecordBatch.from_arrays(columns, ["name", "size", "time", "thumb"])
        with contextlib.suppress(OSError, StoreError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            sweep(self._path.parent, older_than=ABANDONED)
            save_batch(self._path, batch)

    def _thumbs(self) -> NDArray[np.uint8]:
        assert self._batch is not None
        return self._batch["thumb"].flatten().to_numpy().reshape(-1, CELLS)


Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""First, second, and how many bits differ; (p,) each."""


def _near_within(thumbs: NDArray[np.uint8]) -> Pairs:
    """Links between near thumbnails (k, 72): equal ones are linked in a row, and one of them to those near it."""
    distinct, inverse = np.unique(thumbs, axis=0, return_inverse=True)
    equal = _in_a_row(inverse.reshape(-1))
    firsts = np.zeros(len(distinct), np.int64)
    firsts[inverse.reshape(-1)[::-1]] = np.arange(len(thumbs))[::-1]
    a, b, bits = _near(distinct, distinct, same_set=True)
    return (
        np.concatenate([equal[0], firsts[a]]),
        np.concatenate([equal[1], firsts[b]]),
        np.concatenate([np.zeros(equal.shape[1], np.int64), bits]),
    )


def _near_between(queries: NDArray[np.uint8], thumbs: NDArray[np.uint8]) -> Pairs:
    """All pairs of near thumbnails of (k, 72) and (n, 72)."""
    return _near(queries, thumbs, same_set=False)


def _near(queries: NDArray[np.uint8], thumbs: NDArray[np.uint8], same_set: bool) -> Pairs:
    from headstart.data import near_search as search  # Imports numba, which takes half a second.

    rule = (NEAR_BITS, SAME_BITS, SAME_GRAY, NEAR_CORRELATION, FLAT)
    hashes, asked = _hashes(thumbs), _hashes(queries)
    of_quarters = [np.zeros((0, 3), np.int64)]
    for quarter in range(search.QUARTERS):
        order, starts = search.by_quarter(hashes, quarter)
        of_quarters.append(
            search.near_rows(asked, queries, hashes, thumbs, order, starts, quarter, same_set, search.MASKS, rule)
        )
    pairs = np.concatenate(of_quarters)
    return pairs[:, 0], pairs[:, 1], pairs[:, 2]


def _hashes(thumbs: NDArray[np.uint8]) -> NDArray[np.uint64]:
    cells = thumbs.reshape(-1, *HASH_SIZE_HW)
    bits = cells[:, :, :-1] > cells[:, :, 1:]
    return np.packbits(bits.reshape(-1, 64), axis=1).view(np.uint64).reshape(-1)


def _by_split(table: Annotations, rows: NDArray[np.int64]) -> dict[str, tuple[int, int]]:
    touched = np.zeros(len(table), bool)
    touched[rows] = True
    parts = {split: table.rows_of(split) for split in SPLITS}
    return {split: (int(touched[part].sum()), len(part)) for split, part in parts.items() if len(part)}
