"""Lists of names in Pascal VOC's `ImageSets/`, and the years of a `VOCdevkit/`."""

from __future__ import annotations

import re
from collections.abc import Collection

from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.file_names import composed
from headstart.readers.folders import files_in, read_lines, subfolders

LISTS = ("train", "val", "test", "trainval")
"""Lists that make splits; an image in `trainval` and `val` is a `val` image."""
TEXT = frozenset({".txt"})
YEAR = re.compile(r"VOC\d{4}", re.IGNORECASE)


def years(root: DataPath) -> list[tuple[DataPath, str]]:
    """(folder, what goes before its image ids) of VOC2007/, VOC2012/ ..; empty where there are not two or more."""
    folders = [folder for name, folder in subfolders(root).items() if YEAR.fullmatch(name)]
    return [(folder, f"{folder.name}/") for folder in folders] if len(folders) > 1 else []


def lists_of(root: DataPath, kind: str) -> dict[str, list[DataPath]]:
    """Split -> files of `ImageSets/<kind>/` that list its images.

    Where Main/ has no `train.txt` and so on, the lists of single classes (`cat_train.txt`: a name and 1, -1 or 0) do as
    well: each names every image of the split.
    """
    sets = next((f for name, f in subfolders(root).items() if name.lower() == "imagesets"), None)
    folder = sets and next((f for name, f in subfolders(sets).items() if name.lower() == kind.lower()), None)
    files = {path.stem: path for path in files_in(folder, TEXT)} if folder else {}
    if whole := {split: [files[split]] for split in LISTS if split in files}:
        return whole
    single = {split: [path for stem, path in files.items() if stem.endswith(f"_{split}")] for split in LISTS}
    return {split: paths for split, paths in single.items() if paths}


def splits_of(
    lists: dict[str, list[DataPath]], ids: Collection[str], left_out: Collection[str], faults: Faults
) -> dict[str, str]:
    """Image id -> split. Reports names without an image (but those of `left_out`, which were reported already).

    Raises DataError for a test image that is in another list.
    """
    splits: dict[str, str] = {}
    id_of = {composed(i): i for i in ids}
    for split, paths in lists.items():
        for path in paths:
            for line in read_lines(path):
                # Lists of one class add 1 or -1 after the name; names themselves may hold blanks.
                name = composed(line if composed(line) in id_of else line.split()[0])
                if name in id_of:
                    _assign(splits, id_of[name], split, path)
                elif name not in left_out:
                    why, fix = "has neither an image nor an XML file", "Put them back, or take the line out."
                    faults.record(Fault("annotation-without-image", str(path), f"{name!r}", why, fix))
    return splits


def _assign(splits: dict[str, str], name: str, split: str, path: DataPath) -> None:
    if splits.get(name, split) != split and "test" in (split, splits[name]):
        raise DataError(
            f"{path}: {name!r} is a test image and in {splits[name]}.txt too. "
            "Test images must not be trained on: take it out of one list."
        )
    splits.setdefault(name, split)
