"""YOLO data sets without the YAML of Ultralytics, as tools export them; told by what their files hold.

- Darknet, and CVAT's "YOLO 1.1": a file `obj.data` with lines `names = data/obj.names`, `train = data/train.txt`; the
  lists name images as `data/obj_train_data/a.jpg`, and label files lie beside the images.
- Label Studio, labelImg and others: `classes.txt` with a name on each line; `images/` with `labels/`, each flat or with
  `train/`, `val/`, `test/` inside; `train/images/` with `train/labels/`; or label files beside the images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.fields import number, whole
from headstart.readers.file_names import NamedFiles
from headstart.readers.folders import files_in, has_files, read_lines, read_text, relative, split_of, subfolders
from headstart.readers.yolo.yaml_layout import YoloConfig

DATA = frozenset({".data"})
TEXT = frozenset({".txt"})
NAMES = ("classes.txt", "obj.names", "classes.names", "labels.txt")
LISTS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
"""Key of an `obj.data` -> split."""
SETTING = re.compile(r"\s*(\w+)\s*=\s*(\S.*?)\s*")
LOOKED_AT = 5


def export_of(root: DataPath) -> YoloConfig | None:
    """The data set that the folder holds, as its YAML would say it; None where it holds none. Raises DataError."""
    if root.is_file():
        return None
    return next((found for find in (_darknet, _with_classes) if (found := find(root))), None)


def label_lines(folder: DataPath) -> bool:
    """Whether one of the folder's first text files begins with a line of YOLO's: a class number and four numbers."""
    texts = [path for path in files_in(folder, TEXT) if path.name not in NAMES][:LOOKED_AT]
    return any(_label_line(path) for path in texts)


def _label_line(path: DataPath) -> bool:
    try:
        fields = next(iter(read_text(path).splitlines()), "").split()
    except DataError:
        return False
    return len(fields) >= 5 and whole(fields[0]) is not None and None not in map(number, fields[1:])


def _darknet(root: DataPath) -> YoloConfig | None:
    for path in files_in(root, DATA):
        said = {m[1]: m[2] for line in read_lines(path) if (m := SETTING.fullmatch(line))}
        splits = {split: [said[key].removeprefix("data/")] for key, split in LISTS.items() if key in said}
        if "names" in said and splits:
            names = NamedFiles().find([root], said["names"]) or NamedFiles().find([root], said["names"].split("/")[-1])
            if names is None:
                raise DataError(f"{path}: `names = {said['names']}` is not there. Put the list of class names there.")
            return YoloConfig(path, "", splits, _names(names), stripped="data/")
    return None


def _with_classes(root: DataPath) -> YoloConfig | None:
    names = next((path for name in NAMES if (path := root / name).is_file()), None)
    if names is None:
        return None
    splits: dict[str, list[str]] = {}
    for split, folder in _image_folders(root):
        splits.setdefault(split, []).append(relative(folder, root) or ".")
    return YoloConfig(names, "", splits, _names(names)) if splits else None


def _image_folders(root: DataPath) -> Iterator[tuple[str, DataPath]]:
    """(split, folder of images) of those that have label files where YOLO's are."""
    if has_files(root / "images") and label_lines(root / "labels"):
        yield "", root / "images"
    for name, folder in subfolders(root / "images").items():
        if (split := split_of(name)) and has_files(folder) and label_lines(root / "labels" / name):
            yield split, folder
    for name, folder in subfolders(root).items():
        if (split := split_of(name)) and has_files(folder / "images") and label_lines(folder / "labels"):
            yield split, folder / "images"
        elif has_files(folder) and label_lines(folder):
            yield split or "", folder
    if has_files(root) and label_lines(root):
        yield "", root


def _names(path: DataPath) -> dict[int, str]:
    names = dict(enumerate(read_lines(path)))
    if not names or len(set(names.values())) < len(names):
        raise DataError(f"{path}: holds no names of classes that differ. Write one name on each line, from class 0.")
    return names
