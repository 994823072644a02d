"""YOLO: a YAML file (`yolo_yaml`), images, and a text file of labels for each image.

The label file of `.../images/.../a.jpg` is `.../labels/.../a.txt`: the last `images` of the path is replaced; without
such a folder it lies beside the image. A line is a class number and either the box (center x, center y, width, height)
or a polygon of three or more points (x1 y1 x2 y2 ...), all as fractions of the image that a viewer shows.
(docs.ultralytics.com/datasets/detect and /segment; the rules as in `ultralytics/data/utils.py` of
ultralytics/ultralytics: `img2label_paths`, `verify_image_label`, `exif_size`.) Here and there differ in two things:

- An image without a label file is there an image without objects. Here its boxes are unknown, and it takes part in
  nothing, unless `missing_labels="empty"` is said. An empty label file is an image without objects in both.
- In a file that mixes boxes and polygons, a line of four numbers is there a polygon of two corners, here a box.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.boxes import leaving, to_edges
from headstart.data.columns import BoxColumns
from headstart.data.faults import Fault, Faults, nothing_left
from headstart.data.sizes import headers_of
from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.boxes import note_leaving, offsets_of
from headstart.readers.file_names import NamedFiles, composed, leads_out
from headstart.readers.folders import files_in, read_text, relative, subfolders
from headstart.readers.options import ReadOptions
from headstart.readers.yolo.exports import export_of
from headstart.readers.yolo.labels import Labels, read_labels
from headstart.readers.yolo.yaml_layout import YoloConfig, chosen_config, configs_in, located, read_config, said

NO_LABELS = frozenset({"classes.txt", "labels.txt", "notes.txt", "readme.txt"})
"""Text files that tools leave in label folders."""


def looks_like(root: DataPath) -> str | None:
    """A sentence of evidence, or None."""
    configs = configs_in(root)
    return f"YOLO: {' and '.join(path.name for path in configs)} with names and splits" if configs else None


def found_in(root: DataPath) -> str | None:
    """The same of exports without a YAML file, see `exports`."""
    config = export_of(root)
    return f"YOLO: {config.path.name} with images and label files of {config.split_names}" if config else None


def read(root: DataPath, options: ReadOptions) -> Annotations:
    """Boxes, and the polygons that lines give; ids are paths below the YAML's folder without ending. Classes in the
    order of their numbers. Sizes come from the headers of the images.

    Raises DataError for a YAML that cannot be followed, label files and lines that cannot be read, class numbers that
    have no name, numbers that are no fractions, and label files without an image.
    """
    export = None if configs_in(root) else export_of(root)
    config = export or read_config(chosen_config(root))
    top = config.path.parent
    faults = Faults(options.on_bad_box, options.on_bad_record, options.for_scoring)
    notes: list[str] = []
    files = NamedFiles()
    split_of_image = _images(config, files, faults, notes)
    folder = options.labels or "labels"
    label_files = {image: _label_file(image, folder) for image in split_of_image}
    there = {image: files.on_disk(path) for image, path in label_files.items()}
    existing = {image: path for image, path in there.items() if path}
    _require_labels(config, label_files, existing, folder)
    _report_orphans(label_files, faults)
    lines = Labels()
    images: list[DataPath] = []
    for image in split_of_image:
        if image not in existing or read_labels(existing[image], config, len(images), lines, faults=faults):
            images.append(image)
    headers = headers_of(images, on_bad_image="skip")
    sizes = np.array([header[0] if header else (0, 0) for header in headers], np.int32).reshape(-1, 2)
    known = np.array([image in existing or options.missing_labels == "empty" for image in images], bool)
    boxes = _columns(lines, sizes, known, config, faults=faults, notes=notes)
    without = [image for image in images if image not in existing]
    if without and options.missing_labels != "empty":
        notes.append(
            f"{len(without)} of {len(images)} images have no label file and take no part in detection; first: "
            f"{without[0]}. If they show no object: --read missing_labels=empty"
        )
    if lines.posed:
        why = f"{lines.posed} labels have keypoints, of which only the boxes before them are read"
        faults.lost(Fault("keypoints-not-read", str(config.path), "", why, "Nothing is to be done for boxes."))
    notes += files.notes
    return annotate(
        root,
        "yolo",
        [relative(image, top).removesuffix(image.suffix) for image in images],
        [image.relative for image in images],
        sizes_hw=sizes,
        splits=[split_of_image[image] for image in images],
        boxes=boxes,
        notes=notes,
        left_out=faults.found,
    )


def _images(config: YoloConfig, files: NamedFiles, faults: Faults, notes: list[str]) -> dict[DataPath, str]:
    """Image -> split, in the order of splits and names."""
    splits: dict[DataPath, str] = {}
    shared: list[DataPath] = []
    for split, entries in config.splits.items():
        for entry in entries:
            for image in _listed(config, split, entry, files, faults=faults, notes=notes):
                other = splits.setdefault(image, split)
                if other != split and split == "test":
                    raise DataError(
                        f"{config.path}: {image} is a test image and a {other} image too. "
                        "Test images must not be trained on: take it out of one split."
                    )
                if other != split:
                    shared.append(image)
    if shared:
        why = f"{len(shared)} images are both train and val, and are read as train; first: {shared[0]}"
        faults.lost(Fault("val-is-train", str(config.path), "", why, "Name images of their own for val."))
    if not splits:
        told = "none of the places it names holds an image. Check `path` and the splits."
        raise nothing_left(config.path, faults.found, told)
    return splits


def _listed(
    config: YoloConfig, split: str, entry: str, files: NamedFiles, *, faults: Faults, notes: list[str]
) -> Iterator[DataPath]:
    """Images of one folder or list file that a split names."""
    places = located(config, entry)
    bases = (*located(config, "."), config.path.parent)
    there = next((path for path in places if path.is_dir() or files.has(path)), None)
    if there is None:
        looked = " and ".join(map(str, places)) or "nowhere: it leads out of the data set"
        by = f" with `path: {config.base}`" if config.base else ""
        faults.record(
            Fault(
                "split-missing",
                str(config.path),
                f"`{split}: {entry}`{by}",
                f"is not there (looked at {looked})",
                "Correct `path` and the entry, or put the YAML into the folder that holds the images.",
            )
        )
        return
    exported = not config.base and there.relative.endswith(entry.replace("../", ""))  # Roboflow's begin with ../.
    if (config.base or leads_out(entry)) and there != said(config, entry) and not exported:
        says = f"`path: {config.base}` says" if config.base else "it says"
        notes.append(f"{config.path}: `{split}: {entry}` is not where {says}; {there} is read")
    if there.is_dir():
        yield from _below(there)
        return
    for k, line in enumerate(read_text(there).splitlines(), 1):
        if line := line.strip().removeprefix(config.stripped):
            image = files.find((there.parent, *bases), line)
            if image is not None:
                yield image
                continue
            faults.record(
                Fault(
                    "image-missing",
                    str(there),
                    f"line {k}",
                    f"names {line!r}, which is not there",
                    "Put the image there, or take the line out.",
                )
            )


def _below(folder: DataPath) -> Iterator[DataPath]:
    yield from files_in(folder)
    for inner in subfolders(folder).values():
        yield from _below(inner)


def _label_file(image: DataPath, folder: str) -> DataPath:
    parts = image.relative.split("/")
    for k in range(len(parts) - 2, -1, -1):
        if parts[k] == "images":
            parts[k] = folder
            break
    stem = parts[-1].removesuffix(image.suffix)
    return DataPath(image.place, "/".join([*parts[:-1], f"{stem}.txt"]))


def _require_labels(
    config: YoloConfig, wanted: dict[DataPath, DataPath], existing: dict[DataPath, DataPath], folder: str
) -> None:
    if not existing:
        image, path = next(iter(wanted.items()))
        raise DataError(
            f"{config.path}: none of the {len(wanted)} images has a label file; for {image} there is no "
            f"{path}. Put the label files into {folder}/ beside images/, or say what that folder is called: "
            "--read labels=NAME."
        )


def _report_orphans(label_files: dict[DataPath, DataPath], faults: Faults) -> None:
    """Label files, in the folders that are read, beside whose place there is no image."""
    for labels, images in {path.parent: image.parent for image, path in label_files.items()}.items():
        stems = {composed(image.stem) for image in files_in(images)}
        for path in files_in(labels, frozenset({".txt"})) if labels != images else []:
            if composed(path.stem) not in stems and path.name.lower() not in NO_LABELS:
                faults.record(
                    Fault(
                        "annotation-without-image",
                        str(path),
                        "",
                        f"no image in {images} has its name",
                        "Put the image back, or remove the label file.",
                    )
                )


def _columns(
    lines: Labels,
    sizes: NDArray[np.int32],
    known: NDArray[np.bool_],
    config: YoloConfig,
    *,
    faults: Faults,
    notes: list[str],
) -> BoxColumns:
    values = np.array(lines.values, np.float64).reshape(-1, 4)
    of_image = np.array(lines.image, np.int64)
    own_sizes = sizes[of_image]
    keep = faults.settle_boxes(values, "yolo", own_sizes, lines.record)
    unit = np.ones((len(values), 2), np.int32)  # Six decimals of a fraction round by less than 1e-6, in any image.
    note_leaving(np.flatnonzero(keep & leaving(to_edges(values, "yolo", unit), unit)), lines.record, notes)
    kept = np.flatnonzero(keep)
    rings = [lines.rings[k] for k in kept]
    polygons = [
        [(np.array(r) * np.tile(size[::-1], len(r) // 2)).tolist()] if r and size.any() else None
        for r, size in zip(rings, own_sizes[kept], strict=True)
    ]
    lost = sum(1 for ring, polygon in zip(rings, polygons, strict=True) if ring and polygon is None)
    if lost:
        why = f"{lost} polygons are kept as boxes only: the sizes of their images cannot be read"
        faults.lost(Fault("outline-not-read", str(config.path), "", why, "Fetch the images again."))
    outlined = sum(1 for ring in rings if ring)
    if 0 < outlined < len(rings):
        notes.append(
            f"{config.path}: of {len(rings)} labels, {outlined} are polygons and the others boxes; lines of "
            "four numbers are read as center, width and height"
        )
    return BoxColumns(
        offsets=offsets_of(of_image[kept], len(sizes)),
        source=values[kept],
        labels=np.array(lines.labels, np.int32)[kept],
        flags=np.zeros(len(kept), np.uint8),
        known=known,
        classes=tuple(config.names.values()),
        convention="yolo",
        class_ids=tuple(config.names),
        polygons=pa.array(polygons, pa.list_(pa.list_(pa.float64()))) if outlined else None,
    )
