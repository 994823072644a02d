"""Categories and images of parsed COCO files: which there are, in which order, and whether they can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.readers.coco.json_files import CocoFile
from headstart.readers.coco.words import short
from headstart.readers.fields import LARGEST_SIDE, exact
from headstart.readers.file_names import inner, path_of

LONGEST_NAME = 1000
"""Pixels; more is taken for a fault of the file."""
CategoryId = int | str


@dataclass(frozen=True)
class Classes:
    """The categories of all files, in the order of their ids."""

    names: tuple[str, ...]
    ids: tuple[CategoryId, ...]
    entries: tuple[dict[str, Any], ...]

    @property
    def index(self) -> dict[CategoryId, int]:
        return {category_id: k for k, category_id in enumerate(self.ids)}


def _root_categories(categories: dict[CategoryId, dict[str, Any]], used: set[CategoryId]) -> list[CategoryId]:
    """Roboflow's exports list the project first: of supercategory "none", without boxes, itself that of the others."""
    above = {above for entry in categories.values() if isinstance(above := entry.get("supercategory"), str)}
    roots = [n for n, entry in categories.items() if n not in used and entry.get("supercategory") == "none"]
    alone = sum(entry.get("supercategory") == "none" for entry in categories.values()) == 1
    return [n for n in roots if len(categories) > 1 and (categories[n]["name"] in above or (alone and n == 0))]


def classes_of(files: Sequence[CocoFile], notes: list[str], faults: Faults) -> Classes:
    """Of all files together. Raises DataError for categories without id or name, for ids that mean two things, and for
    two categories of one name that are both used (one that is not used is left out)."""
    categories: dict[CategoryId, dict[str, Any]] = {}
    first: dict[CategoryId, str] = {}
    for file in files:
        seen: set[CategoryId] = set()
        for k, entry in enumerate(file.categories):
            number, name = exact(entry.get("id")), entry.get("name")
            if type(number) not in (int, str) or not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
                raise DataError(
                    f"{file.path}: category number {k} has id {short(number)} and name {short(name)}. "
                    "Give every category an id and a name."
                )
            if number in seen:
                raise DataError(f"{file.path}: two categories have the id {short(number)}. Give each an id of its own.")
            assert number is not None
            other = categories.setdefault(number, entry)
            source = first.setdefault(number, file.path.name)
            seen.add(number)
            if other["name"] != name:
                raise DataError(
                    f"{file.path}: category {short(number)} is {name!r} here and {other['name']!r} in "
                    f"{source}. Give the files the same categories, or open one alone."
                )
    used = {exact(c) for file in files for c in file.rows.category_ids if type(c) in (int, str, float)}
    for number in _root_categories(categories, used):
        notes.append(
            f"{files[0].path}: the category {short(number)} ({categories[number]['name']!r}) is the root of the others "
            "and has no box; it is no class"
        )
        del categories[number]
    by_name: dict[str, list[CategoryId]] = {}
    for number, entry in categories.items():
        by_name.setdefault(entry["name"].strip(), []).append(number)
    renamed: dict[CategoryId, str] = {}
    for name, numbers in by_name.items():
        if len(numbers) > 1:
            idle = [number for number in numbers if number not in used]
            busy = [number for number in numbers if number in used]
            if len({categories[number]["name"] for number in busy}) < len(busy):
                raise DataError(
                    f"{files[0].path}: the categories {', '.join(map(short, numbers))} are all named "
                    f"{name!r}. Give each a name of its own, or join them."
                )
            for number in idle if busy else idle[1:]:
                del categories[number]
            renamed |= {number: f"{name} ({k})" for k, number in enumerate(busy[1:], 2)}  # they differ in blanks
        elif not name:
            renamed[numbers[0]] = f"class {numbers[0]}"
    for number, name in renamed.items():
        why = f"has the name {categories[number]['name']!r}, which is blank or another's but for blanks"
        note = f"It is called {name!r} here. Give it a name of its own."
        faults.lost(Fault("class-renamed", str(files[0].path), f"category {short(number)}", why, note))
    ids = sorted(categories, key=lambda number: (isinstance(number, str), number))
    names = tuple(renamed.get(i, categories[i]["name"].strip()) for i in ids)
    return Classes(names, tuple(ids), tuple(categories[i] for i in ids))


@dataclass(frozen=True)
class ImageRows:
    """The images of a file that can be, in its order."""

    entries: list[dict[str, Any]]
    names: list[str]
    sizes_hw: NDArray[np.int32]
    index: dict[Any, int]
    """The file's id -> place in `entries`."""
    left_out: set[Any]
    """Ids of images that were left out."""


def images_of(file: CocoFile, faults: Faults, for_scoring: bool = False) -> ImageRows:
    """Reports images without id or name, with an impossible size, and ids that stand for two images. for_scoring: name
    and size are nothing that is needed."""
    images: dict[Any, tuple[dict[str, Any], str, tuple[int, int]]] = {}
    out: set[Any] = set()
    for k, entry in enumerate(file.images):
        number = entry["id"] = exact(entry.get("id"))
        record = f"image {short(number)}"
        fault = None
        name, size = _name(entry), _size_hw(entry)
        if for_scoring:
            name, size = name or str(number), size or (0, 0)
        if type(number) not in (int, str):
            record = f"image number {k} ({short(entry.get('file_name'))})"
            fault = ("id-missing", f"has id {short(number)}", "Give it an id")
        elif name is None:
            why = f"has file_name {short(entry.get('file_name'))}"
            fault = ("image-name-missing", why, "Write the path of its file there")
        elif size is None:
            said = f"{short(entry.get('width'))} x {short(entry.get('height'))}"
            fault = ("size-impossible", f"has the size {said}", "Write its width and height in pixels")
        elif number in images or number in out:
            same = number in images and images[number][1] == name
            what = "stands twice" if same else "stands for two images, so whose its annotations are cannot be known"
            fault = ("id-not-unique", f"{what} ({short(name)})", "Give every image an id of its own")
            if not same:
                images.pop(number, None)
                out.add(number)
        else:
            assert name is not None and size is not None
            images[number] = (entry, name, size)
        if fault:
            faults.record(Fault(fault[0], str(file.path), record, fault[1], f"{fault[2]}."))
            if fault[0] != "id-not-unique" and type(number) in (int, str):
                out.add(number)
    values = list(images.values())
    return ImageRows(
        entries=[entry for entry, _, _ in values],
        names=[name for _, name, _ in values],
        sizes_hw=np.array([size for _, _, size in values], np.int32).reshape(-1, 2),
        index={number: k for k, number in enumerate(images)},
        left_out=out,
    )


def _name(entry: dict[str, Any]) -> str | None:
    """Path of the image; LVIS gives the address of COCO's image, whose last two parts are folder and file."""
    name = entry.get("file_name")
    if name is None and isinstance(entry.get("coco_url"), str):
        name = "/".join(path_of(entry["coco_url"]).split("/")[-2:])
    if not isinstance(name, str) or len(name) > LONGEST_NAME or "\0" in name:
        return None
    return inner(name) or None


def _size_hw(entry: dict[str, Any]) -> tuple[int, int] | None:
    """(0, 0) where the file does not say; None for what no image has."""
    sides = entry.get("height"), entry.get("width")
    if sides in ((None, None), (0, 0)):
        return (0, 0)
    whole = [
        int(side)
        for side in sides
        if isinstance(side, (int, float)) and 1 <= side <= LARGEST_SIDE and side == int(side)
    ]
    return (whole[0], whole[1]) if len(whole) == 2 else None
