"""The YAML file of a YOLO data set: where the images of each split are, and what the class numbers mean.

`path` is the folder that `train`, `val` and `test` are relative to; each of these is a folder, a text file that lists
images, or a list of such. `names` is a list, or class numbers with names. (docs.ultralytics.com/datasets/detect,
"Ultralytics YOLO format"; the same file as in YOLOv5, whose exports by Roboflow begin paths with `../`.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.fields import whole
from headstart.readers.file_names import inner, leads_out, named, tails
from headstart.readers.yaml_files import read_mapping

YAML = frozenset({".yaml", ".yml"})
USUAL = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
KEYS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Key in the file -> split."""
LONGEST = 4 << 20
"""Bytes; a longer file is no such YAML."""


@dataclass(frozen=True)
class YoloConfig:
    """What the file says. `splits`: split -> entries as written. `names`: class number -> name."""

    path: DataPath
    base: str
    """Value of `path`; '' where there is none."""
    splits: dict[str, list[str]]
    names: dict[int, str]
    keypoints: int = 0
    """Numbers of the keypoints that follow each box (`kpt_shape`); 0 where labels are boxes or polygons."""
    stripped: str = ""
    """What paths of images begin with that is no folder of the data set."""

    @property
    def split_names(self) -> str:
        return " and ".join(split or "all" for split in self.splits)


def configs_in(root: DataPath) -> list[DataPath]:
    """YAML files directly in the folder, or the file itself, that have `names` and a split; their syntax may be bad."""
    files = [root] if root.is_file() else [entry for entry, is_folder in root.iterdir() if not is_folder]
    return [path for path in files if path.suffix.lower() in YAML and _has_keys(path)]


def chosen_config(root: DataPath) -> DataPath:
    """The one that is meant: `data.yaml`, the one named like the folder, or the only one. Raises DataError."""
    configs = configs_in(root)
    as_folder = (root.name, PurePosixPath(root.name).stem)
    usual = [p for p in configs if p.name in USUAL] or [p for p in configs if p.stem in as_folder] or configs
    if not usual:
        raise DataError(
            f"{root}: there is no YAML file with `names` and `train`, `val` or `test`. "
            "Put the data.yaml of the data set there, or name it instead of the folder."
        )
    if len(usual) > 1:
        raise DataError(
            f"{root}: {' and '.join(p.name for p in usual)} could both describe the data set. "
            f"Name one of them instead of the folder, such as {usual[0]}."
        )
    return usual[0]


def read_config(path: DataPath) -> YoloConfig:
    """Raises DataError when the file cannot be read as YAML, or lacks what is needed."""
    value = read_mapping(path)
    base = value.get("path", "")
    if not isinstance(base, str):
        raise DataError(f"{path}: `path` is no text. Give the folder that `train` and `val` are relative to.")
    splits: dict[str, list[str]] = {}
    for key, split in KEYS.items():
        entries = value.get(key) or []
        entries = [entries] if isinstance(entries, str) else entries
        if not isinstance(entries, list) or not all(isinstance(e, str) and e for e in entries):
            raise DataError(f"{path}: `{key}` is neither a folder, a list file nor a list of such. Correct it.")
        if entries and split in splits:
            raise DataError(f"{path}: `{key}` stands beside another key for the {split} images. Leave one.")
        if entries:
            splits[split] = entries
    if not splits:
        raise DataError(f"{path}: names no images. Add `train`, `val` or `test` with a folder or a list file.")
    return YoloConfig(path, base, splits, _names(path, value), keypoints=_keypoints(path, value))


def said(config: YoloConfig, entry: str) -> DataPath | None:
    """Where the file says that `entry` is; None outside the data set's place."""
    base = named(config.path.parent, config.base)
    return named(base, entry) if base is not None else None


def located(config: YoloConfig, entry: str) -> list[DataPath]:
    """Where `entry` may be, best first: below `path`, else beside the YAML; a leading `../` may be Roboflow's."""
    here = config.path.parent
    below = named(here, config.base) if config.base else here
    bases = [base for base in (below, here) if base is not None]
    stripped = re.sub(r"^(\.\./)+", "", entry.replace("\\", "/"))
    places = [named(base, name) for name in dict.fromkeys((entry, stripped)) for base in bases]
    if leads_out(entry):  # A path of the machine that wrote the file: the longest end that is there.
        ends = (inner(entry), *tails(inner(entry)))
        places += [named(base, end) for end in ends if end for base in bases]
    return list(dict.fromkeys(path for path in places if path is not None))


def _keypoints(path: DataPath, value: dict[str, Any]) -> int:
    """`kpt_shape: [number of keypoints, numbers of each]`: 2, or 3 with visibility."""
    shape = value.get("kpt_shape")
    if shape is None:
        return 0
    sides = [whole(side) if isinstance(side, str) else None for side in shape] if isinstance(shape, list) else []
    if len(sides) != 2 or sides[0] is None or sides[0] < 1 or sides[1] not in (2, 3):
        raise DataError(
            f"{path}: `kpt_shape` is {str(shape)[:80]}; the number of keypoints, and 2 or 3 numbers for each, are "
            "expected. Write such as [17, 3], or take it out if labels hold no keypoints."
        )
    return sides[0] * sides[1]


def _has_keys(path: DataPath) -> bool:
    try:
        text = path.read_bytes().decode("utf-8", "replace") if path.size() <= LONGEST else ""
    except (OSError, DataError):
        return False
    key = r"^['\"]?({})['\"]?\s*:"
    return all(re.search(key.format(names), text, re.MULTILINE) for names in ("names", "|".join(KEYS)))


def _names(path: DataPath, value: dict[str, Any]) -> dict[int, str]:
    names = value.get("names")
    if isinstance(names, list):
        names = {str(k): name for k, name in enumerate(names)}
    if not isinstance(names, dict) or not names:
        raise DataError(f"{path}: `names` is no list of class names. Give the name of every class number.")
    name_of: dict[int, str] = {}
    for key, name in names.items():
        k = whole(str(key))
        if k is None or k < 0 or not isinstance(name, str) or not name.strip():
            raise DataError(
                f"{path}: `names` has the entry {key!r}: {name!r}; a class number and its name are "
                "expected. Correct the entry."
            )
        if k in name_of:
            raise DataError(f"{path}: `names` gives class {k} twice. Take one entry out.")
        name_of[k] = name.strip()
    if len(set(name_of.values())) < len(name_of):
        twice = next(name for name in name_of.values() if list(name_of.values()).count(name) > 1)
        raise DataError(f"{path}: `names` gives {twice!r} to more than one class. Give every class its own name.")
    told = value.get("nc")
    if told is not None and (not isinstance(told, str) or whole(told) != len(name_of)):
        raise DataError(f"{path}: `nc` is {told!r}, but `names` has {len(name_of)} classes. Correct one of the two.")
    return dict(sorted(name_of.items()))
