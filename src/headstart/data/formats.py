"""Which format is this folder in? Every reader is asked; exactly one has to recognize it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headstart.data.annotations import Annotations
from headstart.data.readers import class_folders, index_masks, pets, voc
from headstart.data.readers.folders import subfolders
from headstart.data.readers.voc_xml import OnBadBox
from headstart.errors import DataError


@dataclass(frozen=True)
class Reader:
    """`looks_like` gives a sentence of evidence or None; `read` may raise DataError. `layout`: what is looked for."""

    looks_like: Callable[[Path], str | None]
    read: Callable[[Path, OnBadBox], Annotations]
    layout: str


READERS = {
    "oxford-pets": Reader(
        pets.looks_like, pets.read, "images/ with annotations/trainval.txt, test.txt and trimaps/ or xmls/"
    ),
    "voc": Reader(
        voc.looks_like, voc.read, "Annotations/*.xml with JPEGImages/ or images/; or XML files beside the images"
    ),
    "index-masks": Reader(index_masks.looks_like, index_masks.read, "images/ with masks/; or train/ with trainannot/"),
    "class-folders": Reader(
        class_folders.looks_like, class_folders.read, "two or more <class>/ of images; or train/<class>/"
    ),
}
"""Most specific first, as they are named in messages."""
FOUND_SHOWN = 12


def open_dataset(path: Path | str, on_bad_box: OnBadBox = "report") -> Annotations:
    """The table of the data set in the folder `path`.

    `on_bad_box`: boxes without extent are left out and boxes that leave the image clipped, each listed in
    `.notes` (`report`); or the first one raises (`error`).
    Raises DataError when the folder is missing, in no known format, in more than one, or has faults.
    """
    root = Path(path)
    if not root.is_dir():
        what = "is a file, not a folder. Unpack it and" if root.is_file() else "does not exist. Check the path and"
        raise DataError(f"{root}: {what} name the folder of the data set.")
    evidence = recognize(root)
    if len(evidence) > 1:
        both = "; ".join(f"{name} ({sentence})" for name, sentence in evidence.items())
        raise DataError(f"{root}: it could be read in {len(evidence)} ways: {both}. "
                        "Move each data set into a folder of its own and name that one.")  # fmt: skip
    if not evidence:
        raise DataError(_unknown(root))
    annotations = READERS[next(iter(evidence))].read(root, on_bad_box)
    if not annotations.tasks:
        raise DataError(f"{root}: read as {annotations.format}, but nothing in it can be trained on. "
                        "Check that the annotation belongs to these images.")  # fmt: skip
    return annotations


def recognize(root: Path) -> dict[str, str]:
    """Reader name -> its evidence, for every reader that recognizes the folder."""
    return {name: sentence for name, reader in READERS.items() if (sentence := reader.looks_like(root))}


def _unknown(root: Path) -> str:
    entries = sorted(p.name + ("/" if p.is_dir() else "") for p in root.iterdir() if not p.name.startswith("."))
    found = ", ".join(entries[:FOUND_SHOWN]) + (
        f" and {len(entries) - FOUND_SHOWN} more" if len(entries) > FOUND_SHOWN else ""
    )
    looked = "; ".join(f"{name} ({reader.layout})" for name, reader in READERS.items())
    inside = [folder for folder in subfolders(root).values() if recognize(folder)]
    advice = f"Did you mean {inside[0]}?" if inside else "Bring it into one of these layouts, or name its folder."
    return f"{root}: in no known format. Looked for: {looked}. Found: {found or 'nothing'}. {advice}"
