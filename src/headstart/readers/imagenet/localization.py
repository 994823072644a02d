"""ImageNet classification and localization (ILSVRC CLS-LOC, 2012 to 2017, and Kaggle's copy of it).

    [ILSVRC/]Data/CLS-LOC/{train/<wnid>/*.JPEG, val/*.JPEG, test/*.JPEG}
    [ILSVRC/]Annotations/CLS-LOC/{train/<wnid>/*.xml, val/*.xml}
    [ILSVRC/]ImageSets/CLS-LOC/{train_cls,val,test}.txt             lines `n01440764/n01440764_10026 1`
    LOC_synset_mapping.txt                                          lines `n01440764 tench, Tinca tinca`
    LOC_train_solution.csv, LOC_val_solution.csv                    lines `n02017213_7894,n02017213 115 57 465 399`

(The tree as `tensorflow_datasets/image_classification/imagenet2012` and the README of the Kaggle competition
imagenet-object-localization-challenge give it.) A training image has the class of its folder. A validation image has
that of its folder if it lies in one, else of LOC_val_solution.csv, else of its XML file. About half of the training
images have boxes; the others are known to show their class, and where is not. Boxes come from the XML files, or from
the solution files where there are none. Corners: `xmls.boxes_of_xmls`.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field

from headstart.data.annotations import Annotations
from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.fields import number
from headstart.readers.folders import files_in, read_text
from headstart.readers.imagenet.wnids import (
    WNID,
    ClassImages,
    Synsets,
    annotate_classes,
    has_wnid_folders,
    read_class_list,
    read_words,
    synsets,
    wnid_folders,
)
from headstart.readers.imagenet.xmls import boxes_of_xmls, read_xmls, report_orphans, xml_files
from headstart.readers.options import ReadOptions
from headstart.readers.voc.objects import VocObject
from headstart.readers.voc.xml import VocFile

DATA, ANNOTATIONS, LISTS = "Data/CLS-LOC", "Annotations/CLS-LOC", "ImageSets/CLS-LOC"
SOLUTIONS = {"train": "LOC_train_solution.csv", "val": "LOC_val_solution.csv"}
LIST_FILES = {"train": "train_cls.txt", "val": "val.txt", "test": "test.txt"}
Solution = dict[str, VocFile]
"""Image id -> what its row says, in the form of an XML file."""


@dataclass
class _Images(ClassImages):
    """`wnids`: '' where the class is not told by a folder or a solution."""

    xmls: list[DataPath | None] = field(default_factory=list)


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    base = _base(root)
    return f"ImageNet CLS-LOC: {base / DATA}" if base else None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Image labels and boxes; class ids are WordNet ids in their sorted order; image ids are file names without ending.
    Sizes are those of the XML files; of other images they stay unknown until decoding.

    `classes`: a text file of WordNet ids; images and objects of others are left aside, and counted.
    Raises DataError for files that cannot be read, for XML files without image, listed images that are not there, and
    classes that do not hold together.
    """
    base = _base(root)
    if base is None:
        raise DataError(
            f"{root}: there is no {DATA}/ in it. Name the folder that holds Data/, Annotations/ and ImageSets/."
        )
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    notes: list[str] = []
    chosen = read_class_list(options.classes) if options.classes else None
    tops = list(dict.fromkeys((root, base, base.parent)))
    words = read_words(tops)
    trained = wnid_folders(base / DATA / "train")
    classes = synsets(chosen or set(words) or set(trained), words)
    validated = _solution(tops, "val", faults)
    images = _images(base, trained, validated, faults)
    _check_lists(base, images, faults, notes)
    files = read_xmls(images.xmls, faults)
    if not any(images.xmls):
        solutions = {"train": _solution(tops, "train", faults), "val": validated, "test": {}}
        files = [solutions[split].get(path.stem) for path, split in zip(images.paths, images.splits, strict=True)]
    wnids = [_class_of(k, images, files, faults) for k in range(len(images.paths))]
    keep = _kept(images, wnids, classes, chosen is not None, faults=faults, notes=notes)
    files = [files[k] for k in keep]
    boxes, sizes = boxes_of_xmls(files, classes, chosen is not None, faults, notes=notes)
    without = sum(1 for k, file in zip(keep, files, strict=True) if file is None and images.splits[k] != "test")
    if without:
        notes.append(f"{base}: {without} training and validation images have no boxes and take no part in detection")
    chosen_images = ClassImages(
        [images.paths[k] for k in keep], [images.splits[k] for k in keep], [wnids[k] for k in keep]
    )
    return annotate_classes(
        root, "imagenet-loc", chosen_images, classes, sizes_hw=sizes, boxes=boxes, notes=notes, faults=faults
    )


def _base(root: DataPath) -> DataPath | None:
    return next((base for base in (root, root / "ILSVRC") if (base / DATA).is_dir()), None)


def _images(base: DataPath, trained: dict[str, DataPath], solution: Solution, faults: Faults) -> _Images:
    images = _Images()
    for wnid, folder in trained.items():
        _folder(folder, base / ANNOTATIONS / "train" / wnid, "train", wnid, into=images, faults=faults)
    val = base / DATA / "val"
    if has_wnid_folders(val):
        for wnid, folder in wnid_folders(val).items():
            xmls = base / ANNOTATIONS / "val"
            _folder(folder, xmls / wnid if (xmls / wnid).is_dir() else xmls, "val", wnid, into=images, faults=None)
    else:
        first = len(images.paths)
        _folder(val, base / ANNOTATIONS / "val", "val", "", into=images, faults=faults)
        for k in range(first, len(images.paths)):
            told = solution.get(images.paths[k].stem)
            images.wnids[k] = told.objects[0].name if told and told.objects else ""
    _folder(base / DATA / "test", base / ANNOTATIONS / "test", "test", "", into=images, faults=faults)
    if not images.paths:
        raise DataError(f"{base / DATA}: holds no images. Put the images into train/<wnid>/, val/ and test/.")
    return images


def _folder(
    folder: DataPath, xml_folder: DataPath, split: str, wnid: str, *, into: _Images, faults: Faults | None
) -> None:
    """Adds the images of a folder with their XML files; with `faults`, XML files without image are reported."""
    xmls = xml_files(xml_folder)
    images = files_in(folder)
    for image in images:
        into.paths.append(image)
        into.splits.append(split)
        into.wnids.append(wnid)
        into.xmls.append(xmls.get(image.stem))
    if faults:
        report_orphans(xmls, {image.stem for image in images}, folder, faults)


def _solution(tops: list[DataPath], split: str, faults: Faults) -> Solution:
    """Rows of the split's solution file; empty without one."""
    path = next((top / SOLUTIONS[split] for top in tops if (top / SOLUTIONS[split]).is_file()), None)
    return read_solution(path, faults) if path else {}


def read_solution(path: DataPath, faults: Faults) -> Solution:
    """Rows of one of Kaggle's solution files. Raises DataError for another header."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    rows: Solution = {}
    try:
        if next(reader, None) != ["ImageId", "PredictionString"]:
            raise DataError(f"{path}: its header is not ImageId,PredictionString. Fetch the file again.")
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            objects = _objects(fields[1]) if len(fields) == 2 else None
            if objects and fields[0] not in rows:
                rows[fields[0]] = VocFile(path, fields[0], None, objects, within=f"line {reader.line_num}, ")
                continue
            shown = ",".join(fields)[:80]
            why = f"is {shown!r}; an image and, for each object, a WordNet id and four numbers are expected"
            faults.record(
                Fault(
                    "line-malformed",
                    str(path),
                    f"line {reader.line_num}",
                    f"has {fields[0]!r} a second time" if objects else why,
                    "Correct the line, or take it out.",
                )
            )
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num} cannot be read as CSV ({error}). Fetch it again.") from error
    return rows


def _objects(text: str) -> tuple[VocObject, ...] | None:
    """Objects of a PredictionString; None when it is none."""
    fields = text.split()
    objects = []
    for k in range(0, len(fields), 5):
        values = [v for f in fields[k + 1 : k + 5] if (v := number(f)) is not None]
        if not WNID.fullmatch(fields[k]) or len(values) < 4:
            return None
        objects.append(VocObject(fields[k], (values[0], values[1], values[2], values[3]), 0, k // 5))
    return tuple(objects)


def _check_lists(base: DataPath, images: _Images, faults: Faults, notes: list[str]) -> None:
    """Images that the lists name are there; others are told."""
    for split, name in LIST_FILES.items():
        path = base / LISTS / name
        there = {image.stem for image, part in zip(images.paths, images.splits, strict=True) if part == split}
        if not path.is_file() or not there:
            continue
        listed = set()
        for k, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            stem = line.split()[0].rpartition("/")[2]
            listed.add(stem)
            if stem not in there:
                faults.record(
                    Fault(
                        "image-missing",
                        str(path),
                        f"line {k}",
                        f"names {line.split()[0][:200]!r}, which is not in {base / DATA / split}",
                        "Put the image there, or take the line out.",
                    )
                )
        others = len(there - listed)
        if others:
            notes.append(
                f"{path}: {others} images of {base / DATA / split} are not in the list, and were read all the same"
            )


def _class_of(k: int, images: _Images, files: list[VocFile | None], faults: Faults) -> str:
    """The class of image k, from its folder or solution, else from its objects. Reported where these disagree."""
    file = files[k]
    if file is None:
        return images.wnids[k]
    names = sorted({item.name for item in file.objects})
    if images.wnids[k] and names and images.wnids[k] not in names:
        above = images.paths[k].parent
        told = f"the folder {above}" if WNID.fullmatch(above.name) else SOLUTIONS["val"]
        faults.record(
            Fault(
                "label-contradicts",
                str(file.path),
                file.within.removesuffix(", "),
                f"has objects of {' and '.join(names)}, but {told} says that its image shows {images.wnids[k]}",
                "Correct one of the two.",
            )
        )
    elif len(names) > 1 and not images.wnids[k]:
        faults.record(
            Fault(
                "label-contradicts",
                str(file.path),
                "",
                f"has objects of {' and '.join(names)}, so the class of its image is not known",
                "Add LOC_val_solution.csv, or correct the names.",
            )
        )
    return images.wnids[k] or (names[0] if len(names) == 1 else "")


def _kept(
    images: _Images, wnids: list[str], classes: Synsets, selected: bool, *, faults: Faults, notes: list[str]
) -> list[int]:
    """Images of the classes, and those without class of the test part; others are reported, or left aside."""
    known = set(classes.wnids)
    keep = [k for k, wnid in enumerate(wnids) if wnid in known or (not wnid and not selected)]
    if selected:
        if not keep:
            raise DataError(
                f"{images.paths[0].parent}: no image is of one of the {len(known)} chosen classes. "
                "Check the list of classes."
            )
        notes.append(
            f"{len(wnids) - len(keep)} of {len(wnids)} images are of classes that were not chosen, and were left aside"
        )
        return keep
    for k in sorted(set(range(len(wnids))) - set(keep)):
        faults.record(
            Fault(
                "label-unknown",
                str(images.paths[k]),
                "",
                f"has the class {wnids[k]!r}, which the list of synsets does not name",
                "Add it to LOC_synset_mapping.txt, or remove the image.",
            )
        )
    unknown = sum(1 for k in keep if not wnids[k] and images.splits[k] != "test")
    if unknown:
        notes.append(
            f"{unknown} validation images have no class: there is neither LOC_val_solution.csv nor an XML file"
        )
    return keep
