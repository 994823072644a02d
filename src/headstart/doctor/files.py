"""What the files tell: images that are missing, broken, turned, of another size, listed nowhere or in two splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from headstart.data.annotations import Annotations
from headstart.data.duplicates import near_duplicate_clusters, overlap
from headstart.data.faults import Fault
from headstart.data.flags import IGNORED
from headstart.errors import DataError
from headstart.places.images import IMAGE_SUFFIXES, header_sizes_hw, read_mask, read_rgb, read_segment_ids
from headstart.places.paths import DataPath

Progress = Callable[[int, int, str], None]
"""Called with (done, in all, what is being done)."""
CHUNK = 64


def check_listing(table: Annotations) -> list[Fault]:
    """Images that are not there, and image files beside the listed ones that nothing names. Lists folders only.

    Images whose annotation was left out in reading are reported there.
    """
    told = {PurePosixPath(fault.path).stem for fault in table.left_out}
    listed: dict[str, set[str]] = {}
    for i in range(len(table)):
        folder, _, name = table.image_name(i).rpartition("/")
        listed.setdefault(folder, set()).add(name)
    masks = {str(m) for m in table.mask_paths if m}
    faults = []
    for folder, names in sorted(listed.items()):
        there = table.place.entries(folder)
        prefix = f"{folder}/" if folder else ""
        odd = table.place.no_files(folder)
        gone = dict.fromkeys(names - set(there), "there is no such file")
        gone |= {name: f"it is {odd[name]}, not a file" for name in names & set(odd)}
        for name, why in sorted(gone.items()):
            path = str(DataPath(table.place, prefix + name))
            faults.append(Fault("image-missing", path, "", why, "Put it back, or take it out of the annotation."))
        surplus = [n for n, is_folder in there.items() if not is_folder and n not in names and not n.startswith(".")]
        for name in sorted(surplus):
            file = PurePosixPath(name)
            if file.suffix.lower() in IMAGE_SUFFIXES and prefix + name not in masks and file.stem not in told:
                faults.append(
                    Fault(
                        "image-not-listed",
                        str(DataPath(table.place, prefix + name)),
                        "",
                        "no annotation names this image",
                        "Annotate it, or remove it.",
                    )
                )
    return faults


@dataclass
class Looked:
    """What decoding every image and mask found."""

    faults: list[Fault] = field(default_factory=list)
    sizes_hw: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Row -> size as a viewer shows it, of the images that could be decoded."""
    mask_values: set[int] = field(default_factory=set)


def check_images(table: Annotations, progress: Progress) -> Looked:
    """Decode every image and mask. Missing files are left to `check_listing`."""
    out = Looked()
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(table), CHUNK):
            rows = range(start, min(start + CHUNK, len(table)))
            for row, (faults, size, values) in zip(rows, pool.map(lambda i: _look(table, i), rows), strict=True):
                out.faults += faults
                out.mask_values |= values
                if size:
                    out.sizes_hw[row] = size
            progress(rows[-1] + 1, len(table), "decoding images")
    out.faults += _unused_values(table, out)
    return out


def _look(table: Annotations, i: int) -> tuple[list[Fault], tuple[int, int] | None, set[int]]:
    path, annotated = table.image_path(i), table.size_hw(i)
    if not path.exists():
        return [], None, set()
    try:
        shown, stored = header_sizes_hw(path)
        read_rgb(path)
    except DataError as error:
        return [_unreadable("image-unreadable", path, error)], None, set()
    faults = []
    if all(annotated) and annotated not in (shown, stored):
        why = f"the image is {shown[1]} x {shown[0]}, its annotation was made for {annotated[1]} x {annotated[0]}"
        faults.append(Fault("size-differs", str(path), "", why, "Put back the image that was annotated."))
    elif shown != stored and annotated == stored:
        why = f"its EXIF orientation turns it to {shown[1]} x {shown[0]}, its annotation was made for the stored pixels"
        faults.append(Fault("exif-rotation", str(path), "", why, "Turn the pixels and remove the orientation."))
    mask = table.mask_path(i)
    if mask is None:
        return faults, shown, set()
    look = _look_at_mask if table.mask_kind == "index" else _look_at_segments
    of_mask, values = look(table, i, mask, (shown, stored))
    return [*faults, *of_mask], shown, values


def _unreadable(rule: str, path: DataPath, error: DataError) -> Fault:
    """What decoding the file says of it, and its advice."""
    why, _, fix = str(error).removeprefix(f"{path}: ").partition(". ")
    return Fault(rule, str(path), "", why, fix)


def _look_at_mask(
    table: Annotations, i: int, path: DataPath, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[list[Fault], set[int]]:
    try:
        mask = read_mask(path, table.mask_colors)
    except DataError as error:
        return [_unreadable("mask-unreadable", path, error)], set()
    faults = _size_faults(path, (mask.shape[0], mask.shape[1]), sizes)
    values = np.unique(mask)
    for value in np.setdiff1d(values[table.mask_lut[values] == IGNORED], table.mask_void).tolist():
        faults.append(
            Fault(
                "mask-value-unknown",
                str(path),
                f"value {value}",
                "is neither a class nor void",
                "Name it in the list of classes, or correct the mask.",
            )
        )
    return faults, set(values.tolist())


def _look_at_segments(
    table: Annotations, i: int, path: DataPath, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[list[Fault], set[int]]:
    """Panoptic: which segments are drawn, and which of the image's are not."""
    try:
        drawn = read_segment_ids(path)
    except DataError as error:
        return [_unreadable("mask-unreadable", path, error)], set()
    faults = _size_faults(path, (drawn.shape[0], drawn.shape[1]), sizes)
    ids = table.box_ids
    assert ids is not None, "panoptic segments have ids"
    annotated = ids[table.box_offsets[i] : table.box_offsets[i + 1]]
    for value in np.setdiff1d(np.unique(drawn), [0, *annotated]).tolist():
        faults.append(
            Fault(
                "mask-value-unknown",
                str(path),
                f"segment {value}",
                "is not annotated in its image",
                "Fetch the PNG files and the JSON file of one version.",
            )
        )
    for value in np.setdiff1d(annotated, drawn).tolist():
        faults.append(
            Fault(
                "segment-not-drawn",
                str(path),
                f"segment {value}",
                "is annotated and not drawn",
                "Fetch the PNG files and the JSON file of one version.",
            )
        )
    return faults, set()


def _size_faults(path: DataPath, drawn: tuple[int, int], sizes: tuple[tuple[int, int], tuple[int, int]]) -> list[Fault]:
    if drawn in sizes:
        return []
    why = f"the mask is {drawn[1]} x {drawn[0]}, its image {sizes[0][1]} x {sizes[0][0]}"
    return [Fault("mask-size-differs", str(path), "", why, "Export the mask at the size of its image.")]


def _unused_values(table: Annotations, looked: Looked) -> Iterator[Fault]:
    if not looked.mask_values:
        return
    for k, name in enumerate(table.mask_classes):
        values = set(np.flatnonzero(table.mask_lut == k).tolist())
        if not values & looked.mask_values:
            yield Fault(
                "mask-value-unused",
                str(table.root),
                f"class {k} ({name!r})",
                f"has value {min(values, default=k)}, which no mask holds",
                "Remove the class, or add masks of it.",
            )


def check_duplicates(table: Annotations, looked: Looked, progress: Progress) -> list[Fault]:
    """Equal and near-equal images, across splits and within one, among those that could be decoded."""
    rows = np.array(sorted(looked.sizes_hw), np.int64)
    progress(0, 1, "looking for near-duplicates")
    clusters = near_duplicate_clusters(table, rows, on_bad_image="skip")
    progress(1, 1, "looking for near-duplicates")
    faults = []
    order = np.argsort(clusters, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1):
        if len(members) < 2:
            continue
        images = rows[members]
        splits = [str(table.splits[i]) for i in images]
        same = {hashlib.sha256(table.image_path(int(i)).read_bytes()).digest() for i in images}
        names = [f"{table.image_name(int(i))} ({s or 'in no list'})" for i, s in zip(images, splits, strict=True)]
        across = len({_part(s) for s in splits if s}) > 1
        rule = "near-duplicate" if not across else "split-same-image" if len(same) == 1 else "split-near-duplicate"
        shown = ", ".join(names[1:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        what = "is the same file as" if len(same) == 1 else "looks like"
        fix = "Keep all of them in one split." if across else "Keep one, or leave them: they are kept together."
        faults.append(
            Fault(rule, str(table.image_path(int(images[0]))), f"({splits[0] or 'in no list'})", f"{what} {shown}", fix)
        )
    return faults


def check_against(table: Annotations, other: Annotations, progress: Progress) -> tuple[list[Fault], tuple[str, ...]]:
    """Images of `table` that are near-duplicates of images of `other`, and how many those are in each split of both."""
    shared = overlap(table, other, lambda done, of: progress(done, of, "comparing the two sets"))
    name = other.root.name
    faults = []
    for row in np.unique(shared.rows_a).tolist():
        theirs = shared.rows_b[shared.rows_a == row]
        named = f"{other.image_name(int(theirs[0]))} ({other.splits[theirs[0]] or 'in no list'})"
        more = f" and {len(theirs) - 1} more" if len(theirs) > 1 else ""
        faults.append(
            Fault(
                "in-the-other-set",
                str(table.image_path(row)),
                f"({table.splits[row] or 'in no list'})",
                f"looks like {named}{more} of {name}",
                "Leave it out of one of the two.",
            )
        )
    lines = []
    for whole, splits in ((table.root.name, shared.splits_a), (name, shared.splits_b)):
        counts = ", ".join(f"{both:,} of {of:,} {split or 'in no list'}" for split, (both, of) in splits.items())
        lines.append(f"{whole}: {counts} images are in the other set, too")
    return faults, tuple(lines)


def _part(split: str) -> str:
    """Training and validation images may be joined; what must stay apart is the test."""
    return "train" if split == "trainval" else split
