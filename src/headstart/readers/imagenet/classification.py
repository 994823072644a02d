"""ImageNet classification with a flat validation folder: `train/<wnid>/*.JPEG`, `val/*.JPEG` and the labels of val.

These come from one of, each beside the folders or in `ILSVRC2012_devkit_t12/data/` or `devkit/data/`:

- `LOC_val_solution.csv`: ImageId,PredictionString that begins with the WordNet id;
- `val.txt`: lines `ILSVRC2012_val_00000001.JPEG 65`, numbers of the sorted WordNet ids from 0 (Caffe);
- `ILSVRC2012_validation_ground_truth.txt`: line k is the class of the k-th name, as a number of the development kit,
  1 to 1000, which is not the sorted order: `meta.mat` or `map_clsloc.txt` (`n02119789 1 kit_fox`) says what it means.
  (readme.txt of ILSVRC2012_devkit_t12; with `val/<wnid>/` the data set is class folders, see `class_folders`.)
"""

from __future__ import annotations

from collections.abc import Iterator

from headstart.data.annotations import Annotations
from headstart.data.faults import Fault, Faults
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.fields import whole
from headstart.readers.folders import files_in, has_files, read_lines, read_text
from headstart.readers.imagenet.localization import read_solution
from headstart.readers.imagenet.wnids import (
    WNID,
    ClassImages,
    annotate_classes,
    has_wnid_folders,
    read_words,
    synsets,
    wnid_folders,
)
from headstart.readers.mat_files import mat_variable
from headstart.readers.options import ReadOptions

KITS = ("", "ILSVRC2012_devkit_t12/data", "devkit/data", "data")
SOLUTION, CAFFE = "LOC_val_solution.csv", "val.txt"
TRUTHS = ("ILSVRC2012_validation_ground_truth.txt", "ILSVRC2015_clsloc_validation_ground_truth.txt")
MAPS = ("map_clsloc.txt", "meta.mat")


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    if not has_wnid_folders(root / "train") or not has_files(root / "val") or has_wnid_folders(root / "val"):
        return None
    return f"ImageNet: {len(wnid_folders(root / 'train'))} folders train/<wnid>/ and val/ without folders"


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Image labels; class ids are WordNet ids in their sorted order; image ids are file names without ending.

    Raises DataError when nothing tells the classes of val, and for lines that cannot be read or name no class.
    """
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    folders = wnid_folders(root / "train")
    words = read_words([root / kit if kit else root for kit in KITS])
    classes = synsets(set(folders), words)
    images = ClassImages()
    for wnid, folder in folders.items():
        images.add(files_in(folder), "train", wnid)
    val = files_in(root / "val")
    told = _labels(root, val, classes.wnids, faults)
    for image in val:
        wnid, path, record = told.get(image.stem, ("", "", ""))
        if not wnid:
            faults.record(
                Fault(
                    "image-not-listed",
                    str(image),
                    "",
                    "has no class: the labels of val do not name it",
                    "Add a line for the image, or remove it.",
                )
            )
        elif wnid not in folders:
            faults.record(
                Fault(
                    "label-unknown",
                    path,
                    record,
                    f"has the class {wnid!r}, of which there is no folder in {root / 'train'}",
                    "Add the folder, or take the image and its line out.",
                )
            )
        else:
            images.add([image], "val", wnid)
    images.add(files_in(root / "test"), "test", "")
    sizes = [(0, 0)] * len(images.paths)
    return annotate_classes(root, "imagenet", images, classes, sizes_hw=sizes, faults=faults)


Told = dict[str, tuple[str, str, str]]
"""Stem of an image -> (WordNet id, file, what in the file)."""


def _labels(root: DataPath, val: list[DataPath], wnids: tuple[str, ...], faults: Faults) -> Told:
    kits = [root / kit if kit else root for kit in KITS]
    files = {name: kit / name for kit in kits for name in (SOLUTION, CAFFE, *TRUTHS, *MAPS) if (kit / name).is_file()}
    if SOLUTION in files:
        rows = read_solution(files[SOLUTION], faults)
        return {stem: (row.objects[0].name, str(row.path), f"image {stem!r}") for stem, row in rows.items()}
    if CAFFE in files:
        return dict(_caffe(files[CAFFE], wnids, faults))
    truth = next((files[name] for name in TRUTHS if name in files), None)
    if truth is None:
        raise DataError(
            f"{root / 'val'}: nothing tells the classes of its {len(val)} images. Put LOC_val_solution.csv, "
            f"val.txt or {TRUTHS[0]} with meta.mat into {root}, or sort the images into val/<wnid>/."
        )
    meaning = next((files[name] for name in MAPS if name in files), None)
    if meaning is None:
        raise DataError(
            f"{truth}: its numbers are those of the development kit. Put meta.mat or map_clsloc.txt beside it."
        )
    return _truth(truth, meaning, val)


def _caffe(path: DataPath, wnids: tuple[str, ...], faults: Faults) -> Iterator[tuple[str, tuple[str, str, str]]]:
    for k, line in enumerate(read_text(path).splitlines(), 1):
        fields = line.split()
        label = whole(fields[1]) if len(fields) == 2 else None
        if label is not None and 0 <= label < len(wnids):
            yield fields[0].rpartition("/")[2].partition(".")[0], (wnids[label], str(path), f"line {k}")
        elif fields:
            faults.record(
                Fault(
                    "line-malformed",
                    str(path),
                    f"line {k}",
                    f"is {line[:80]!r}; an image and a number from 0 to {len(wnids) - 1} are expected",
                    "Correct the line, or take it out.",
                )
            )


def _truth(path: DataPath, where: DataPath, val: list[DataPath]) -> Told:
    """Line k belongs to the k-th name in the sorted order of all names, so every image has to be there."""
    lines = read_text(path).split()
    if len(lines) != len(val):
        raise DataError(
            f"{path}: has {len(lines)} lines for {len(val)} images in {val[0].parent}, and tells them by "
            "their order only. Put all images there, or use LOC_val_solution.csv."
        )
    meaning = _map(where)
    told: Told = {}
    for k, (text, image) in enumerate(zip(lines, val, strict=True), 1):
        label = whole(text)
        if label is None or label not in meaning:
            raise DataError(
                f"{path}: line {k} is {text[:80]!r}; a number of the development kit from "
                f"{min(meaning)} to {max(meaning)} is expected. Fetch the file again."
            )
        told[image.stem] = (meaning[label], str(path), f"line {k} ({label} in {where.name})")
    return told


def _map(path: DataPath) -> dict[int, str]:
    """Number of the development kit -> WordNet id. Raises DataError."""
    pairs: list[tuple[str, str]] = []
    if path.suffix == ".mat":
        rows = mat_variable(path, "synsets").reshape(-1)
        names = rows.dtype.names or ()
        if not {"ILSVRC2012_ID", "WNID"} <= set(names):
            raise DataError(f"{path}: `synsets` has no fields ILSVRC2012_ID and WNID. Fetch the development kit again.")
        pairs = [(str(row["ILSVRC2012_ID"]), str(row["WNID"])) for row in rows]
    else:
        pairs = [(fields[1], fields[0]) for line in read_lines(path) if len(fields := line.split()) >= 2]
    meaning = {k: wnid for text, wnid in pairs if (k := whole(text)) is not None and WNID.fullmatch(wnid)}
    if not meaning or len(meaning) < len(pairs):
        raise DataError(f"{path}: does not give every number one WordNet id. Fetch the development kit again.")
    return meaning
