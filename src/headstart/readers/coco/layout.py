"""Where the files of a COCO-like data set are: its JSON files, the split of each, the folder of its images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from headstart.data.flags import SPLITS
from headstart.errors import DataError
from headstart.places.opening import open_place
from headstart.places.paths import DataPath
from headstart.readers.file_names import NamedFiles
from headstart.readers.folders import files_in, split_of, subfolders

JSON = frozenset({".json"})
WITHOUT_SPLIT = ("_annotations", "annotations", "new_annotations")
"""Beginnings of the names of files whose folder says the split."""
LOOKED_AT = 5
"""Images that are looked for, before a folder is taken for that of a file."""


@dataclass(frozen=True)
class Member:
    """A JSON file and its split; `name` tells its images apart from those of other files."""

    path: DataPath
    split: str
    name: str


def members(root: DataPath, paths: Sequence[DataPath], prefix: str) -> list[Member]:
    """The files with their splits, in the order train, val, test. Raises DataError for two files of one split.

    The split is told by the file's name (`instances_train2017`, `train`), else by its folder.
    """
    json_members = [Member(path, _split(path, prefix), _name(path, root, prefix)) for path in paths]
    for split in SPLITS:
        same = [member.path for member in json_members if member.split == split]
        if len(same) > 1:
            what = f"the {split} split" if split else "of no split that their names tell"
            raise DataError(
                f"{same[0].parent}: {' and '.join(path.name for path in same)} are both {what}. "
                "Name the one file to read instead of its folder."
            )
    return sorted(json_members, key=lambda member: SPLITS.index(member.split))


def _split(path: DataPath, prefix: str) -> str:
    stem = path.stem.lower().removeprefix(prefix)
    words = [word for word in re.split(r"[_.\s-]+", stem) if word]
    split = split_of(stem) or next((s for word in reversed(words) if (s := split_of(word))), None)
    return split or split_of(path.parent.name) or ""


def _name(path: DataPath, root: DataPath, prefix: str) -> str:
    stem = path.stem.removeprefix(prefix)
    return path.parent.name if stem.startswith(WITHOUT_SPLIT) and path.parent.relative != root.relative else stem


def json_files(root: DataPath) -> list[DataPath]:
    """JSON files where such data sets have them: in annotations/, the root itself, or train/, val/, test/."""
    folders = subfolders(root)
    places = [folder for name, folder in folders.items() if name.lower() in ("annotations", "panoptic")]
    places += [root, *(folder for name, folder in folders.items() if split_of(name))]
    return [path for place in places for path in files_in(place, JSON)]


@dataclass(frozen=True)
class ImageFolder:
    """Where a file's images are: below `folder`, by the last `parts` of their names (all where it is 0)."""

    folder: DataPath
    parts: int

    def relative(self, names: Sequence[str]) -> list[str]:
        """Paths relative to the place, as they are written on disk where that differs in its Unicode form."""
        prefix = f"{self.folder.relative}/" if self.folder.relative else ""
        paths = [prefix + _last(name, self.parts) for name in names]
        files = NamedFiles()
        odd = ((k, files.on_disk(DataPath(self.folder.place, p))) for k, p in enumerate(paths) if not p.isascii())
        for k, there in odd:
            paths[k] = there.relative if there else paths[k]
        return paths


def image_folder(
    root: DataPath, member: Member, names: Sequence[str], images: str | None, *, optional: bool = False
) -> ImageFolder:
    """The first folder that has the first images of the file. Raises DataError when no folder has any of them; where
    they are optional it is the root then.

    Looked at: the user's own choice alone where there is one; else beside the file, folders named as the file is, and
    `images/`. Names that hold folders are tried whole, then by their last two and their last part.
    """
    step = max(1, len(names) // LOOKED_AT)
    shown = list(dict.fromkeys([*names[:LOOKED_AT], *names[::step][:LOOKED_AT]]))
    places = _candidates(open_place(images) if images else root, member, own=images is not None)
    best, most, files = None, 0, NamedFiles()
    for folder in places:
        for parts in (0, 2, 1):
            if parts and not any(name.count("/") >= parts for name in shown):
                continue
            there = sum(_is_file(folder / _last(name, parts), files) for name in shown)
            if there > most and (parts == 0 or len({_last(n, parts) for n in names}) == len(set(names))):
                best, most = ImageFolder(folder, parts), there
        if most == len(shown):
            break
    if best is None and optional:
        return ImageFolder(root, 0)
    if best is None:
        looked = ", ".join(dict.fromkeys(str(place) for place in places))
        raise DataError(
            f"{member.path}: none of its images is there: looked for {', '.join(map(repr, shown[:3]))} in "
            f"{looked}. Put the images there, or say where they are: --read images=FOLDER."
        )
    return best


def _is_file(path: DataPath, files: NamedFiles) -> bool:
    return path.is_file() or (not path.relative.isascii() and files.has(path))


def _last(name: str, parts: int) -> str:
    return "/".join(name.split("/")[-parts:]) if parts else name


def _candidates(root: DataPath, member: Member, own: bool) -> list[DataPath]:
    below = [root] if own else []
    below += [root / member.name, root / "images" / member.name]
    if member.split:
        below += [
            folder
            for base in (root, root / "images")
            for name, folder in subfolders(base).items()
            if split_of(name) == member.split
        ]
    if not own:
        below += [member.path.parent, member.path.parent / "images", member.path.parent / member.name]
    below += [root / "images", root / "data", root]
    if not member.split:  # Of a part of a known one, as `minival`; a file of a split must not find another's images.
        below += [*subfolders(root).values(), *subfolders(root / "images").values()]
    return list({folder.relative: folder for folder in below if folder.is_dir()}.values())
