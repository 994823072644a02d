"""Where the XML files and the images of a Pascal VOC data set are: by the usual names of folders, or by content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from headstart.places.paths import DataPath
from headstart.readers.file_names import composed
from headstart.readers.folders import files_in, has_files, relative, split_of, subfolders, walked
from headstart.readers.voc.lists import years

XML = frozenset({".xml"})
ANNOTATION_FOLDERS = ("annotations", "xmls", "labels")
IMAGE_FOLDERS = ("jpegimages", "images", "imgs", "image")
HEAD = 4096
LOOKED_AT = 3
"""XML files of a folder of which the beginning is read."""


@dataclass(frozen=True)
class VocPlace:
    """A folder of XML files, that of their images, their split, and what goes before their image ids."""

    xml: DataPath
    images: DataPath
    split: str
    prefix: str


def roots(root: DataPath) -> list[tuple[DataPath, str]]:
    """(data set, what goes before its image ids): the root itself, or the years of a VOCdevkit."""
    of_years = [] if _usual(root) else [(base, prefix) for base, prefix in years(root) if _usual(base)]
    return of_years if len(of_years) > 1 else [(root, "")]


def places(root: DataPath) -> list[VocPlace]:
    """By the usual names of folders; empty where they are called otherwise."""
    return [replace(place, prefix=prefix + place.prefix) for base, prefix in roots(root) for place in _usual(base)]


def found_places(root: DataPath) -> list[VocPlace]:
    """Folders anywhere below whose XML files are Pascal VOC's, each with the folder that has the images of their names.

    A split is told by the name of a folder on the way; with several folders, the way goes before the image ids.
    """
    folders = list(walked(root))
    with_images = [folder for folder in folders if has_files(folder)]
    found = []
    for folder in folders:
        if like_voc(folder) and (images := _images_of(folder, with_images)):
            way = relative(folder, root).split("/")
            split = next((split for name in reversed(way) if (split := split_of(name))), "")
            above = folder.parent
            if above != root and (above / "ImageSets").is_dir():
                return []  # A data set of its own, whose lists make the splits: name its folder.
            found.append(VocPlace(folder, images, split, f"{relative(folder, root)}/"))
    if len(found) == 1:
        return [replace(found[0], prefix="")]
    if len({place.prefix.split("/")[0] for place in found if not place.split}) > 1:
        return []  # Data sets beside each other.
    return [replace(place, prefix=f"{place.prefix.strip('/')}/".lstrip("/")) for place in found]


def like_voc(folder: DataPath) -> bool:
    """Whether one of the folder's first XML files begins as Pascal VOC's do."""
    return any(_annotation(path) for path in files_in(folder, XML)[:LOOKED_AT])


def _annotation(path: DataPath) -> bool:
    try:
        with path.open() as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return b"<annotation" in head.replace(b"\0", b"")  # Without the zero bytes of UTF-16.


def _images_of(folder: DataPath, with_images: list[DataPath]) -> DataPath | None:
    """The folder with an image of the name of one of the first XML files: itself, else the nearest."""
    stems = {composed(path.stem) for path in files_in(folder, XML)[:LOOKED_AT]}
    by_distance = sorted(with_images, key=lambda images: (_apart(folder, images), images.relative))
    return next((i for i in by_distance if any(composed(p.stem) in stems for p in files_in(i))), None)


def _apart(one: DataPath, other: DataPath) -> int:
    """Steps from one folder to the other."""
    ways = one.relative.split("/"), other.relative.split("/")
    same = next((k for k, (a, b) in enumerate(zip(*ways, strict=False)) if a != b), min(map(len, ways)))
    return len(ways[0]) + len(ways[1]) - 2 * same


def _usual(root: DataPath) -> list[VocPlace]:
    folders = {name.lower(): folder for name, folder in subfolders(root).items()}
    for name in ANNOTATION_FOLDERS:
        if name in folders and has_files(folders[name], XML):
            images = next((folders[k] for k in IMAGE_FOLDERS if k in folders and has_files(folders[k])), None)
            images = images or (folders[name] if has_files(folders[name]) else None)
            return [VocPlace(folders[name], images, "", "")] if images else []
    if has_files(root, XML) and has_files(root):
        return [VocPlace(root, root, "", "")]
    return list(_of_splits(folders))


def _of_splits(folders: dict[str, DataPath]) -> Iterator[VocPlace]:
    for folder in folders.values():
        if (split := split_of(folder.name)) and has_files(folder, XML) and has_files(folder):
            yield VocPlace(folder, folder, split, f"{folder.name}/")
