"""COCO instances, and data sets in their form: LVIS v1 and Objects365 v2.

`annotations/instances_train2017.json` with `train2017/`, and so on; other JSON files in COCO's form in `annotations/`,
in the root, or as `_annotations.coco.json` in `train/`, `valid/`, `test/`; or one such file, named itself.
Beyond COCO's own keys, those of `OTHER_FLAGS` become flags, and where every image has a text `label`, as those of drawn
worlds have, that is its class.
Outlines are kept as the file has them: polygons, or run lengths (compressed, as COCO's text).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns, Lists
from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.coco.json_files import CocoFile, parse
from headstart.readers.coco.layout import json_files, members
from headstart.readers.coco.lists import Classes, ImageRows
from headstart.readers.coco.recognition import is_like_coco, lacks
from headstart.readers.coco.rows import columns_of
from headstart.readers.coco.sets import read_set
from headstart.readers.coco.versions import beside, best_versions, few_shot
from headstart.readers.coco.words import short
from headstart.readers.fields import exact
from headstart.readers.folders import relative
from headstart.readers.options import ReadOptions

INSTANCES, LVIS, OBJECTS365, PANOPTIC = "instances_", "lvis_v1_", "zhiyuan_objv2_", "panoptic_"
OTHERS = (LVIS, OBJECTS365, PANOPTIC, "captions_", "person_keypoints_", "stuff_", "image_info_")
"""Beginnings of the names of files that are in COCO's form and are not its instances."""
FREQUENCIES = {"r": "rare", "c": "common", "f": "frequent"}


def _instances(root: DataPath) -> list[DataPath]:
    if root.is_file():
        named = root.name.startswith((LVIS, OBJECTS365, PANOPTIC))
        return [root] if root.suffix.lower() == ".json" and not named and is_like_coco(root) else []
    files = [path for path in json_files(root) if not path.name.startswith(OTHERS)]
    official = [path for path in files if path.name.startswith(INSTANCES)]
    return official or best_versions([path for path in files if is_like_coco(path)])


def named_files(root: DataPath, prefix: str) -> list[DataPath]:
    """The root where it is a JSON file whose name begins so, or such files of the data set that have annotation."""
    paths = [root] if root.is_file() else json_files(root)
    return [p for p in paths if p.suffix == ".json" and p.name.startswith(prefix) and "image_info" not in p.name]


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    return evidence("COCO", root, _instances(root))


def looks_like_lvis(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    return evidence("LVIS", root, named_files(root, LVIS))


def looks_like_objects365(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    return evidence("Objects365", root, named_files(root, OBJECTS365))


def evidence(what: str, root: DataPath, files: Sequence[DataPath]) -> str | None:
    """`COCO: annotations/instances_train2017.json`, or None without files."""
    return f"{what}: {', '.join(relative(p, root) or p.name for p in files)}" if files else None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Boxes with ids, areas, crowd flags and outlines; classes in the order of the category ids.

    Image ids are the file's ids; where those of two files coincide, its name goes before: `train/17`.
    Raises DataError for files that cannot be read, for images that are nowhere, and for bad records.
    """
    return _read(root, options, "coco", _instances, prefix=INSTANCES)


def read_lvis(root: DataPath, options: ReadOptions) -> Annotations:
    """As COCO; besides, the classes verified of each image: present (those with boxes, and those not boxed
    exhaustively), absent (`neg_category_ids`) and partial (`not_exhaustive_category_ids`); and each class's frequency.
    """
    return _read(root, options, "lvis", lambda r: named_files(r, LVIS), prefix=LVIS)


def read_objects365(root: DataPath, options: ReadOptions) -> Annotations:
    """As COCO; images are found by the last parts of their names (`patch8/objects365_v1_00420917.jpg`)."""
    return _read(root, options, "objects365", lambda r: named_files(r, OBJECTS365), prefix=OBJECTS365)


def _read(
    root: DataPath, options: ReadOptions, format: str, find: Callable[[DataPath], list[DataPath]], *, prefix: str
) -> Annotations:
    paths = [root] if root.is_file() else find(root)
    if options.shots and not root.is_file():
        paths = few_shot(json_files(root), paths, options.shots, options.shot_seed)
    if not paths:
        raise DataError(
            f"{root}: no JSON file with the lists `images` and `annotations` is there. Name the data set's "
            "folder, or the file itself."
        )
    base = root.parent if root.is_file() else root
    base = base.parent if base.name == "annotations" else base
    json_members = members(base, paths, prefix)
    files = [parse(member.path) for member in json_members]
    for file in files:
        if file.panoptic:
            raise DataError(
                f"{file.path}: its annotations have segments_info, which are panoptic ones. "
                "Read it with --format coco-panoptic."
            )
    faults, notes = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring), list[str]()
    if format == "coco" and not root.is_file():
        _report_others(root, paths, faults)
        subsets = "" if options.shots else beside(json_files(root))
        notes += [f"{root}: {subsets}"] if subsets else []
    data = read_set(
        base, json_members, files, options.images, for_scoring=options.for_scoring, faults=faults, notes=notes
    )
    classes, images = data.classes, data.images
    boxes = columns_of(data.parts, [[True] * len(rows.names) for rows in images], classes)
    federated = prefix == LVIS
    labels = [entry.get("label") for rows in images for entry in rows.entries]
    texts = [label for label in labels if isinstance(label, str)]
    kinds = tuple(sorted(set(texts))) if len(texts) == len(labels) and not federated else ()
    verified = _federated(files, images, classes, boxes, faults=faults) if federated else dict[str, Lists]()
    return data.annotated(
        root,
        format,
        boxes,
        notes,
        faults=faults,
        image_labels=[kinds.index(label) for label in texts] if kinds else None,
        image_classes=classes.names if federated else kinds,
        image_class_ids=classes.ids if federated else (),
        class_kinds=_frequencies(classes),
        present=verified.get("present"),
        absent=verified.get("absent"),
        partial=verified.get("partial"),
    )


def _report_others(root: DataPath, paths: Sequence[DataPath], faults: Faults) -> None:
    """JSON files beside those that are read which list images or annotations, too."""
    there = json_files(root)
    versions = {path.relative for path in there} - {path.relative for path in best_versions(there)}
    for path in there:
        if path.relative in versions:  # says of a split what another file says better, or is a subset
            continue
        lacking = lacks(path) if path not in paths and not path.name.startswith(OTHERS) else ["images", "annotations"]
        if len(lacking) < 2:
            why = f"has no list `{lacking[0]}`, and was left aside" if lacking else "was left aside"
            fix = "Name the file instead of the folder to read it, or take it away."
            faults.lost(Fault("file-left-aside", str(path), "", why, fix))


def _frequencies(classes: Classes) -> dict[str, str]:
    """Class -> rare, common or frequent, where the file says so."""
    said = {name: str(entry.get("frequency")) for name, entry in zip(classes.names, classes.entries, strict=True)}
    return {name: FREQUENCIES[kind] for name, kind in said.items() if kind in FREQUENCIES}


def _federated(
    files: Sequence[CocoFile], images: Sequence[ImageRows], classes: Classes, boxes: BoxColumns, *, faults: Faults
) -> dict[str, Lists]:
    """The verified classes of every image."""
    lists = {}
    for name, key in (("absent", "neg_category_ids"), ("partial", "not_exhaustive_category_ids")):
        rows, labels, first = [], [], 0
        for file, of_file in zip(files, images, strict=True):
            for row, entry in enumerate(of_file.entries, first):
                known = _verified(file, entry, key, classes.index, faults=faults)
                labels += known
                rows += [row] * len(known)
            first += len(of_file.entries)
        lists[name] = (np.array(rows, np.int64), np.array(labels, np.int64))
    boxed = np.repeat(np.arange(len(boxes.known)), np.diff(boxes.offsets))
    partial_rows, partial_labels = lists["partial"]
    lists["present"] = (np.concatenate([boxed, partial_rows]), np.concatenate([boxes.labels, partial_labels]))
    return {name: _listed(*pairs, num_images=len(boxes.known)) for name, pairs in lists.items()}


def _verified(
    file: CocoFile, entry: dict[str, object], key: str, index: dict[int | str, int], *, faults: Faults
) -> list[int]:
    """Class indices that an image's record lists under `key`; ids that are none are reported and left out."""
    listed = entry.get(key) or []
    good = [exact(n) for n in listed if type(n) in (int, str, float)] if isinstance(listed, list) else []
    wrong = [n for n in good if n not in index] if isinstance(listed, list) and len(good) == len(listed) else [listed]
    if wrong:
        faults.record(
            Fault(
                "label-unknown",
                str(file.path),
                f"image {short(entry['id'])}",
                f"has {short(wrong[0])} in {key}, which is no category of the file",
                "Correct it, or list the category.",
            )
        )
    return [index[number] for number in good if number in index]


def _listed(rows: NDArray[np.int64], labels: NDArray[np.int64], num_images: int) -> Lists:
    """Offsets and sorted class indices of each image, each once."""
    pairs = np.unique(np.stack([rows, labels]), axis=1)
    counts = np.bincount(pairs[0], minlength=num_images)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), pairs[1].astype(np.int32)
