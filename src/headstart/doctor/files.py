"""What the files tell: images that are missing, broken, turned, of another size, listed nowhere or in two splits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from headstart.data.annotations import Annotations
from headstart.data.duplicates import near_duplicate_clusters, overlap
from headstart.data.faults import Fault
from headstart.doctor.masks import MasksSeen, look_at_mask, look_at_segments, unreadable, unused_values
from headstart.errors import DataError
from headstart.places.images import IMAGE_SUFFIXES, header_sizes_hw, largest_of_16_bits, read_rgb
from headstart.places.paths import DataPath

Progress = Callable[[int, int, str], None]
"""Called with (done, in all, what is being done)."""
CHUNK = 64
OF_16_BITS = (".png", ".tif", ".tiff", ".pgm")
DARK = 1 << 13
"""Images of 16 bits whose values stay below are shown nearly black."""


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
    masks: MasksSeen = field(default_factory=MasksSeen)


def check_images(table: Annotations, progress: Progress) -> Looked:
    """Decode every image and mask. Missing files are left to `check_listing`."""
    out = Looked()
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(table), CHUNK):
            rows = range(start, min(start + CHUNK, len(table)))
            for row, (faults, size, seen) in zip(rows, pool.map(lambda i: _look(table, i), rows), strict=True):
                out.faults += faults
                out.masks.add(seen)
                if size:
                    out.sizes_hw[row] = size
            progress(rows[-1] + 1, len(table), "decoding images")
    out.faults += [*unused_values(table, out.masks), *out.masks.palettes_that_differ()]
    return out


def _look(table: Annotations, i: int) -> tuple[list[Fault], tuple[int, int] | None, MasksSeen]:
    path, annotated = table.image_path(i), table.size_hw(i)
    if not path.exists():
        return [], None, MasksSeen()
    try:
        shown, stored = header_sizes_hw(path)
        read_rgb(path)
        largest = largest_of_16_bits(path) if path.suffix.lower() in OF_16_BITS else None
    except DataError as error:
        return [unreadable("image-unreadable", path, error)], None, MasksSeen()
    faults = []
    if largest is not None and largest < DARK:
        why = f"its 16 bits hold values up to {largest} ({largest.bit_length()} bits), and only the upper byte is shown"
        faults.append(Fault("image-dark", str(path), "", why, "Scale the values to 16 bits, or save 8 bits."))
    if all(annotated) and annotated not in (shown, stored):
        why = f"the image is {shown[1]} x {shown[0]}, its annotation was made for {annotated[1]} x {annotated[0]}"
        faults.append(Fault("size-differs", str(path), "", why, "Put back the image that was annotated."))
    elif shown != stored and annotated == stored:
        why = f"its EXIF orientation turns it to {shown[1]} x {shown[0]}, its annotation was made for the stored pixels"
        faults.append(Fault("exif-rotation", str(path), "", why, "Turn the pixels and remove the orientation."))
    mask = table.mask_path(i)
    if mask is None:
        return faults, shown, MasksSeen()
    look = look_at_mask if table.mask_kind == "index" else look_at_segments
    of_mask, seen = look(table, i, mask, (shown, stored))
    return [*faults, *of_mask], shown, seen


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
