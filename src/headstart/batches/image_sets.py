"""A prepared set: images decoded and brought to one size once, with their annotation, shared by all trials.

A folder with `images.npy` and `records.npz`, and where there are masks `masks.npy`; sets of the embedded world have
`instances.npy` and `parts.npy` too. Large arrays are memory-mapped, so workers share them. Letters: n images of
h x w pixels, m boxes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.batches.label_source import LabelSource
from headstart.batches.views import RowsOf, view_of, write_view
from headstart.data.annotations import Annotations
from headstart.data.boxes import impossible, to_edges
from headstart.data.flags import Target
from headstart.data.masks import class_mask, segment_classes
from headstart.errors import DataError, StoreError
from headstart.places.fitting import Resize, fitted_hw
from headstart.places.images import read_mask, read_rgb, resize_mask, resize_rgb
from headstart.places.paths import DataPath, Place
from headstart.progress import Progress
from headstart.store.arrays import mapped_array, save_array, save_arrays
from headstart.store.files import write_json

MAPPED = ("images", "masks", "instances", "parts")
NOT_STORED = ("mask_place",)
OPTIONAL = ("segment_ids", "mask_colors", "label_table", "shown_hw")
OF_BOXES = ("boxes_xyxy", "boxes_source_xyxy", "box_labels", "box_flags", "segment_ids")
OF_CLASSES = ("box_classes", "image_classes", "mask_classes", "mask_lut", "mask_colors", "mask_place")
REPORT_EVERY = 32


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """Boxes of one image; fields as in `ImageSet`."""

    xyxy: NDArray[np.float32]
    source_xyxy: NDArray[np.float64]
    labels: NDArray[np.int32]
    flags: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """See the module. Class names are arrays of str; labels count from 0."""

    images: NDArray[np.uint8]
    """(n, h, w, 3) RGB, memory-mapped."""
    image_ids: NDArray[np.str_]
    sizes_hw: NDArray[np.int32]
    """(n, 2) original height and width."""
    boxes_xyxy: NDArray[np.float32]
    """(m, 4) pixels of the prepared image, continuous edges."""
    boxes_source_xyxy: NDArray[np.float64]
    """(m, 4) pixels of the original image, continuous edges from 0."""
    box_offsets: NDArray[np.int64]
    """(n + 1,)"""
    box_labels: NDArray[np.int32]
    box_flags: NDArray[np.uint8]
    """(m,) bits of `headstart.data.annotations`."""
    box_classes: NDArray[np.str_]
    image_labels: NDArray[np.int32]
    """(n,) -1 none."""
    image_classes: NDArray[np.str_]
    clusters: NDArray[np.int64]
    """(n,) images of one cluster are near-duplicates and are resampled together."""
    mask_classes: NDArray[np.str_]
    mask_paths: NDArray[np.str_]
    """(n,) of the original masks, relative to the data set's place; '' where there is none."""
    mask_lut: NDArray[np.uint8]
    """(256,) value in such a mask -> class, or 255 (ignored)."""
    mask_colors: NDArray[np.uint8] | None = None
    """(c, 3) where `mask_paths` are color images: the RGB of value 0, 1, .. of `mask_lut`."""
    segment_ids: NDArray[np.int64] | None = None
    """(m,) where `mask_paths` are panoptic: the ids that stand for the boxes in them."""
    masks: NDArray[np.uint8] | None = None
    """(n, h, w) class or 255, memory-mapped."""
    label_table: NDArray[np.int8] | None = None
    """(n, K) where images may have several of the K `image_classes`: 1 present, 0 absent, -1 not known; `image_labels`
    are -1 then."""
    shown_hw: NDArray[np.int32] | None = None
    """(n, 2) rows and columns of the prepared image that show the original, of a letterbox; None: all."""
    instances: NDArray[np.uint8] | None = None
    """(n, h, w) 0 background, k: visible pixels of the image's k-th box, counted from 1."""
    parts: NDArray[np.uint8] | None = None
    """(n, h, w) likewise for parts."""
    mask_place: Place | None = None
    """Where the data set's masks are now; it may have been moved since, so whoever needs them says it."""

    def __len__(self) -> int:
        return len(self.image_ids)

    @classmethod
    def open(cls, folder: Path) -> ImageSet:
        """Raises StoreError when files are missing, damaged or do not fit each other."""
        names = {f.name for f in fields(cls)} - {*MAPPED, *NOT_STORED}
        try:
            with np.load(folder / "records.npz", allow_pickle=False) as records:
                columns = {name: records[name] for name in names if name in records or name not in OPTIONAL}
            view = view_of(folder)
            pixels = view[0] if view else folder
            large: dict[str, Any] = {
                name: np.load(pixels / f"{name}.npy", mmap_mode="r", allow_pickle=False)
                for name in MAPPED
                if name == "images" or (pixels / f"{name}.npy").exists()
            }
            if view:
                large = {name: RowsOf(array, view[1]) for name, array in large.items()}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise StoreError(
                f"{folder}: the prepared images cannot be read ({error}). "
                "Delete this folder; the next run makes it again."
            ) from error
        opened = cls(**large, **columns)
        if fault := opened._fault():
            raise StoreError(f"{folder}: {fault}. Delete this folder; the next run makes it again.")
        return opened

    def write(self, folder: Path) -> None:
        """All files of the set. `prepare` writes large arrays row by row instead."""
        if fault := self._fault():
            raise ValueError(fault)
        folder.mkdir(parents=True, exist_ok=True)
        for name in MAPPED:
            if getattr(self, name) is not None:
                save_array(folder / f"{name}.npy", getattr(self, name))
        columns = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in (*MAPPED, *NOT_STORED)}
        save_arrays(folder / "records.npz", {name: column for name, column in columns.items() if column is not None})

    def write_rows(self, folder: Path, of: Path, rows: NDArray[np.int64]) -> None:
        """The set of these rows alone, as a view of this one, which is the folder `of`: no pixels are copied."""
        folder.mkdir(parents=True, exist_ok=True)
        columns = columns_of(self, rows, without=(*MAPPED, *NOT_STORED))
        save_arrays(folder / "records.npz", columns)
        write_view(folder, of, rows)

    def boxes_of(self, i: int) -> ImageBoxes:
        """Boxes of image i: views of the columns."""
        rows = slice(int(self.box_offsets[i]), int(self.box_offsets[i + 1]))
        return ImageBoxes(
            self.boxes_xyxy[rows], self.boxes_source_xyxy[rows], self.box_labels[rows], self.box_flags[rows]
        )

    def true_mask(self, i: int) -> NDArray[np.uint8]:
        """Classes of image i at the size of its original mask; where the set was drawn, the prepared one.

        Raises DataError when the original cannot be read.
        """
        if self.mask_paths[i]:
            assert self.mask_place is not None, "original masks need `mask_place`"
            path = DataPath(self.mask_place, str(self.mask_paths[i]))
            if self.segment_ids is None:
                colors = () if self.mask_colors is None else self.mask_colors.tolist()
                return self.mask_lut[read_mask(path, colors)]
            rows = slice(int(self.box_offsets[i]), int(self.box_offsets[i + 1]))
            return segment_classes(path, self.segment_ids[rows], self.box_labels[rows])
        assert self.masks is not None
        return np.asarray(self.masks[i])

    def scale_xy(self, i: int) -> NDArray[np.float64]:
        """(2,) prepared width and height over the original ones; for images that were not cropped."""
        shown = self.images.shape[1:3] if self.shown_hw is None else self.shown_hw[i]
        return np.asarray(shown, np.float64)[::-1] / self.sizes_hw[i, ::-1]

    @property
    def canvases_hw(self) -> NDArray[np.float64]:
        """(n, 2) size of the whole prepared image in pixels of the original: `sizes_hw`, but for a letterbox."""
        if self.shown_hw is None:
            return self.sizes_hw.astype(np.float64)
        return self.sizes_hw * np.array(self.images.shape[1:3]) / self.shown_hw

    def _fault(self) -> str:
        n, m = len(self.image_ids), len(self.box_labels)
        per_image = ("images", "sizes_hw", "image_labels", "label_table", "clusters", "mask_paths", "shown_hw")
        for name, count in [
            *((k, n) for k in (*per_image, *MAPPED[1:])),
            *((k, m) for k in ("boxes_xyxy", "boxes_source_xyxy", "box_flags", "segment_ids")),
        ]:
            array = getattr(self, name)
            if array is not None and len(array) != count:
                return f"{name} has {len(array)} rows, {count} are expected"
            if array is not None and name in MAPPED and array.shape[1:3] != self.images.shape[1:3]:
                return f"{name} are of another size than the images"
        steps = np.diff(self.box_offsets)
        if len(steps) != n or self.box_offsets[0] != 0 or self.box_offsets[-1] != m or (steps < 0).any():
            return f"box_offsets do not divide {m} boxes among {n} images"
        return ""


def columns_of(images: ImageSet, rows: NDArray[np.int64], without: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a set of these rows alone, but for those that are None; names of classes stay."""
    sizes = np.diff(images.box_offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    boxes = np.repeat(images.box_offsets[rows] - offsets[:-1], sizes) + np.arange(offsets[-1])
    columns: dict[str, Any] = {"box_offsets": offsets}
    for name in (f.name for f in fields(images) if f.name not in (*without, "box_offsets")):
        column = getattr(images, name)
        if column is not None:
            at = boxes if name in OF_BOXES else rows
            columns[name] = column if name in OF_CLASSES else column[at]
    return columns


def make_image_set(
    annotations: Annotations,
    indices: ArrayLike,
    clusters: ArrayLike,
    task: Target,
    *,
    size_hw: tuple[int, int],
    resize: Resize,
    out: Path,
    progress: Progress,
    on_bad_image: Literal["error", "skip"] = "error",
    labels: LabelSource | None = None,
) -> None:
    """Decode the k rows `indices` and write them as a prepared set into `out`.

    clusters (k,): of these rows. Image labels always come along; boxes when images are not cropped; masks for
    `segment`. `crop` is for `classify` alone, and drops boxes. Image sizes that the reader did not know are filled in.
    labels: what the same table says about whole images, for `classify`; None: its image labels.
    Raises DataError with path for an image or mask that cannot be decoded or does not fit its annotation; with
    `on_bad_image="skip"` it is left out and listed in `skipped.json` (image_id, path, why) instead.
    Raises DataError too when a row has no annotation for the task.
    """
    rows = np.asarray(indices, np.int64)
    groups = np.asarray(clusters, np.int64)
    supported = annotations.supports(task) if labels is None else labels.known
    _require_usable(annotations, rows, groups, task, resize=resize, supported=supported)
    out.mkdir(parents=True, exist_ok=True)
    names = ("images", "masks") if task == "segment" else ("images",)
    shapes = {"images": (len(rows), *size_hw, 3), "masks": (len(rows), *size_hw)}
    arrays = {k: mapped_array(out / f"{k}.npy", shapes[k], np.uint8) for k in names}
    kept: list[int] = []
    sizes: list[tuple[int, int]] = []
    skipped: list[dict[str, str]] = []
    for position, row in enumerate(rows):
        if position % REPORT_EVERY == 0:
            progress(position / len(rows), f"image {position}/{len(rows)}")
        try:
            image, mask = _decode(annotations, int(row), task)
        except DataError as error:
            if on_bad_image == "error":
                raise
            image_id, path = annotations.image_id(int(row)), annotations.image_name(int(row))
            skipped.append({"image_id": image_id, "path": path, "why": str(error)})
            continue
        arrays["images"][len(kept)] = resize_rgb(image, size_hw, resize)
        if mask is not None:
            arrays["masks"][len(kept)] = resize_mask(mask, size_hw, resize)
        kept.append(position)
        sizes.append((image.shape[0], image.shape[1]))
    for name, array in arrays.items():
        _finish(out / f"{name}.npy", array, len(kept))
    if not kept:
        raise DataError(f"{annotations.root}: none of {len(rows)} images could be decoded; first: {skipped[0]['why']}")
    if on_bad_image == "skip":
        write_json(out / "skipped.json", skipped)
    records = _records(annotations.select(rows[kept]), np.array(sizes, np.int32), size_hw, task, resize=resize)
    if labels is not None:
        records |= _label_records(labels, rows[kept])
    save_arrays(out / "records.npz", records | {"clusters": groups[kept]})
    progress(1.0, f"{len(kept)} images")


def _require_usable(
    annotations: Annotations,
    rows: NDArray[np.int64],
    groups: NDArray[np.int64],
    task: Target,
    *,
    resize: str,
    supported: NDArray[np.bool_],
) -> None:
    if len(groups) != len(rows):
        raise ValueError(f"clusters of {len(groups)} images for {len(rows)} rows")
    if resize == "crop" and task != "classify":
        raise DataError(f"{annotations.root}: `crop` would cut boxes and masks. For {task} use stretch or letterbox.")
    lacking = rows[~supported[rows]]
    if len(lacking) or not len(rows):
        what = (
            f"image {str(annotations.image_ids[lacking[0]])!r} has no annotation"
            if len(lacking)
            else "there are no images"
        )
        raise DataError(
            f"{annotations.root}: {what} for {task}. Choose a task that the data set has annotation for: "
            f"{', '.join(annotations.tasks)}."
        )


def read_image(annotations: Annotations, row: int) -> NDArray[np.uint8]:
    """The image of a row at its original size, (h, w, 3) RGB; only the crop where the row is one.

    Raises DataError, see `headstart.places.images.read_rgb`.
    """
    crop = annotations.crop(row)
    size_hw = (crop[4], crop[5]) if crop else annotations.size_hw(row)
    image = read_rgb(annotations.image_path(row), size_hw if all(size_hw) else None)
    return image[crop[1] : crop[3], crop[0] : crop[2]] if crop else image


def _decode(annotations: Annotations, row: int, task: Target) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """The image and, for segmentation, its mask as classes, both at original size."""
    image = read_image(annotations, row)
    if annotations.crop(row):
        return image, None
    if not all(annotations.size_hw(row)):
        _require_boxes_inside(annotations, row, (image.shape[0], image.shape[1]))
    mask = class_mask(annotations, row) if task == "segment" else None
    if mask is not None and mask.shape != image.shape[:2]:
        path = annotations.mask_path(row)
        raise DataError(
            f"{path}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels, its image {image.shape[1]} x "
            f"{image.shape[0]}. Export the mask at the size of its image."
        )
    return image, mask


def _require_boxes_inside(annotations: Annotations, row: int, size_hw: tuple[int, int]) -> None:
    """What reading could not check, since it did not know the image's size."""
    boxes = annotations.boxes_of(row, size_hw).xyxy
    for k, _, why in impossible(boxes, "edges", np.array(size_hw))[:1]:
        raise DataError(
            f"{annotations.image_path(row)}: box {k} of image {annotations.image_id(row)!r} {why}. "
            "Correct the annotation; or leave such images out with --on-bad-image skip."
        )


def _records(
    kept: Annotations, sizes_hw: NDArray[np.int32], size_hw: tuple[int, int], task: Target, *, resize: str
) -> dict[str, np.ndarray]:
    if resize == "crop":
        boxes, labels, flags = np.zeros((0, 4)), kept.box_labels[:0], kept.box_flags[:0]
        offsets = np.zeros_like(kept.box_offsets)
    else:
        labels, flags, offsets = kept.box_labels, kept.box_flags, kept.box_offsets
        boxes = to_edges(kept.boxes_source, kept.source_convention, np.repeat(sizes_hw, np.diff(offsets), axis=0))
    shown = np.full((len(sizes_hw), 2), size_hw, np.int32)
    if resize == "letterbox":
        shown = np.array([fitted_hw((h, w), size_hw) for h, w in sizes_hw.tolist()], np.int32)
    scale, border = (np.repeat(v, np.diff(offsets), axis=0) for v in (shown / sizes_hw, shown))
    scaled = boxes * np.tile(scale[:, ::-1], 2)
    # What is trained on ends at the image's border; what is scored (`boxes_source_xyxy`) is what the source says.
    clipped = np.clip(scaled, 0, np.tile(border[:, ::-1], 2))
    masked = task == "segment"
    ids = kept.box_ids if masked and kept.mask_kind == "panoptic" else None
    return {
        **({} if ids is None else {"segment_ids": ids}),
        **({"mask_colors": np.array(kept.mask_colors, np.uint8)} if masked and kept.mask_colors else {}),
        **({"shown_hw": shown} if resize == "letterbox" else {}),
        "image_ids": kept.image_ids,
        "sizes_hw": sizes_hw,
        "boxes_xyxy": clipped.astype(np.float32),
        "boxes_source_xyxy": boxes,
        "box_offsets": offsets.astype(np.int64),
        "box_labels": labels.astype(np.int32),
        "box_flags": flags,
        "box_classes": np.array(kept.box_classes, np.str_),
        "image_labels": kept.image_labels,
        "image_classes": np.array(kept.image_classes, np.str_),
        "mask_classes": np.array(kept.mask_classes if masked else (), np.str_),
        "mask_paths": np.array([m if masked else "" for m in kept.mask_paths.tolist()], np.str_),
        "mask_lut": kept.mask_lut,
    }


def _label_records(labels: LabelSource, rows: NDArray[np.int64]) -> dict[str, np.ndarray]:
    several = {"label_table": labels.label_table(rows)} if labels.several else {}
    return several | {
        "image_labels": labels.labels(rows).astype(np.int32),
        "image_classes": np.array(labels.classes, np.str_),
    }


def _finish(path: Path, array: np.memmap, count: int) -> None:
    """Flush; when images were skipped, write the file again without the rows at its end."""
    array.flush()
    if count < len(array):
        save_array(path, array[:count])
