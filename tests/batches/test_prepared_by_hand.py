"""Prepared sets made from a table: each column by hand, and every word of what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.batches import image_sets
from headstart.batches.image_sets import ImageSet, make_image_set, read_image
from headstart.batches.label_source import label_source
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.data.flags import CROWD, IGNORED
from headstart.data.views import as_crops
from headstart.errors import DataError
from headstart.places.fitting import FILLING
from headstart.places.images import read_rgb, resize_rgb
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from support.miniatures_coco import make_coco_panoptic


def _mask(path: Path, values: np.ndarray) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path.name


# Made from a table

BOXES = [(-2.0, 1, 8, 10), (4, 4, 25, 30), (3, 3, 5, 5)]


def table(folder: Path, count: int = 3, **changes: object) -> Annotations:
    """Images of 20 x 16 (w x h): the first has two boxes that leave it, the second one; masks of a class and void."""
    folder.mkdir(exist_ok=True)
    for k in range(count):
        Image.new("RGB", (20, 16), (10 * k, 5, 1)).save(folder / f"{k}.png")
        _mask(folder / "m" / f"{k}.png", np.tile([[1, 1, 2, 3]], (16, 5)))
    lut = np.full(256, IGNORED, np.uint8)
    lut[[1, 2]] = (0, 1)
    boxes = BoxColumns(
        offsets=np.array([0, 2, 3, *[3] * (count - 2)])[: count + 1],
        source=np.array(BOXES),
        labels=np.array([1, 0, 1], np.int32),
        flags=np.array([0, CROWD, 0], np.uint8),
        known=np.ones(count, bool),
        classes=("cat", "dog"),
        convention="edges",
    )
    given: dict = {
        "sizes_hw": [(16, 20)] * count,
        "splits": ["train"] * count,
        "boxes": boxes,
        "image_labels": [k % 2 for k in range(count)],
        "image_classes": ("x", "y"),
        "mask_paths": [f"m/{k}.png" for k in range(count)],
        "mask_lut": lut,
        "mask_void": (3,),
        "mask_classes": ("l", "r"),
    }
    return annotate(
        folder, "made", [f"n{k}" for k in range(count)], [f"{k}.png" for k in range(count)], **given | changes
    )


def prepared(of: Annotations, out: Path, task: str = "detect", **changes: object) -> ImageSet:
    given: dict = {"indices": range(len(of)), "clusters": np.arange(len(of)) + 5, "size_hw": (8, 5)}
    settings = given | {"resize": "stretch", "progress": silent} | changes
    make_image_set(of, task=task, out=out, **settings)  # type: ignore[arg-type]
    return ImageSet.open(out)


TYPES = {
    "images": "uint8",
    "sizes_hw": "int32",
    "boxes_xyxy": "float32",
    "boxes_source_xyxy": "float64",
    "box_offsets": "int64",
    "box_labels": "int32",
    "box_flags": "uint8",
    "image_labels": "int32",
    "clusters": "int64",
    "mask_lut": "uint8",
    "masks": "uint8",
}


def test_every_column_of_a_prepared_set_by_hand(tmp_path: Path) -> None:
    """16 x 20 to 8 x 5 pixels: y by a half, x by a quarter."""
    source = table(tmp_path / "data")
    images = prepared(source, tmp_path / "a" / "b", task="segment")
    assert images.boxes_source_xyxy.tolist() == [list(box) for box in BOXES]
    assert images.boxes_xyxy.tolist() == [[0, 0.5, 2, 5], [1, 2, 5, 8], [0.75, 1.5, 1.25, 2.5]]
    assert images.box_offsets.tolist() == [0, 2, 3, 3] and images.box_labels.tolist() == [1, 0, 1]
    assert images.box_flags.tolist() == [0, CROWD, 0] and images.box_classes.tolist() == ["cat", "dog"]
    assert images.image_ids.tolist() == ["n0", "n1", "n2"] and images.clusters.tolist() == [5, 6, 7]
    assert images.sizes_hw.tolist() == [[16, 20]] * 3 and images.image_labels.tolist() == [0, 1, 0]
    assert images.image_classes.tolist() == ["x", "y"] and images.mask_classes.tolist() == ["l", "r"]
    assert images.mask_paths.tolist() == ["m/0.png", "m/1.png", "m/2.png"]
    assert images.mask_lut[:4].tolist() == [255, 0, 1, 255]
    assert images.segment_ids is None and images.mask_colors is None and images.masks is not None
    assert images.images.shape == (3, 8, 5, 3) and images.images[:, 4, 3].tolist() == [
        [0, 5, 1],
        [10, 5, 1],
        [20, 5, 1],
    ]
    for name, kind in TYPES.items():
        assert str(getattr(images, name).dtype) == kind, name
    for name in ("image_ids", "box_classes", "image_classes", "mask_classes", "mask_paths"):
        assert getattr(images, name).dtype.kind == "U", name
    wanted = np.tile([[1, 1, 2, 3]], (16, 5))[1::2, 2::4]
    assert np.array_equal(images.masks[2], images.mask_lut[wanted])
    for k in range(3):
        assert np.array_equal(images.images[k], resize_rgb(read_rgb(source.image_path(k)), (8, 5)))


def test_a_letterbox_keeps_the_aspect_and_fills_with_no_class(tmp_path: Path) -> None:
    """16 x 20 in 8 x 5 pixels: a quarter of it, 4 x 5 in the upper left; boxes end where the image does."""
    source = table(tmp_path / "data")
    images = prepared(source, tmp_path / "out", task="segment", resize="letterbox")
    assert images.shown_hw is not None and images.shown_hw.tolist() == [[4, 5]] * 3
    assert images.scale_xy(1).tolist() == [0.25, 0.25] and images.canvases_hw.tolist() == [[32, 20]] * 3
    assert images.boxes_xyxy.tolist() == [[0, 0.25, 2, 2.5], [1, 1, 5, 4], [0.75, 0.75, 1.25, 1.25]]
    assert images.boxes_source_xyxy.tolist() == [list(box) for box in BOXES]
    assert np.array_equal(images.images[2, :4], resize_rgb(read_rgb(source.image_path(2)), (4, 5)))
    assert (images.images[:, 4:] == FILLING).all()
    assert images.masks is not None and (images.masks[:, 4:] == IGNORED).all()
    assert np.array_equal(images.masks[0, :4], images.mask_lut[np.tile([[1, 1, 2, 3]], (16, 5))[2::4, 2::4]])
    assert ImageSet.open(tmp_path / "out").shown_hw is not None
    assert prepared(source, tmp_path / "stretched").shown_hw is None


@pytest.mark.parametrize("task", ["detect", "classify"])
def test_masks_are_prepared_for_segmentation_alone(tmp_path: Path, task: str) -> None:
    images = prepared(table(tmp_path / "data"), tmp_path / "out", task=task)
    assert images.masks is None and images.mask_paths.tolist() == [""] * 3 and images.mask_classes.tolist() == []
    assert images.mask_classes.dtype.kind == images.mask_paths.dtype.kind == "U"
    assert len(images.box_labels) == 3 and sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "images.npy",
        "records.npz",
    ]


def test_rows_are_taken_in_the_order_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    images = prepared(table(tmp_path / "data"), tmp_path / "out", indices=[2, 0], clusters=[8, 4])
    assert images.image_ids.tolist() == ["n2", "n0"] and images.clusters.tolist() == [8, 4]
    assert images.box_offsets.tolist() == [0, 0, 2] and images.images[:, 0, 0, 0].tolist() == [20, 0]


def test_a_crop_has_no_boxes(tmp_path: Path) -> None:
    source = table(tmp_path / "data")
    images = prepared(source, tmp_path / "out", task="classify", resize="crop", size_hw=(7, 7))
    assert images.box_offsets.tolist() == [0, 0, 0, 0] and images.boxes_xyxy.shape == (0, 4)
    assert images.boxes_source_xyxy.shape == (0, 4) and len(images.box_labels) == len(images.box_flags) == 0
    for name, kind in TYPES.items():
        assert name == "masks" or str(getattr(images, name).dtype) == kind, name
    assert np.array_equal(images.images[1], resize_rgb(read_rgb(source.image_path(1)), (7, 7), "crop"))


def test_colors_and_segments_come_along_for_segmentation_alone(tmp_path: Path) -> None:
    make_coco_panoptic(tmp_path / "panoptic")
    panoptic = open_dataset(tmp_path / "panoptic", format="coco-panoptic")
    images = prepared(panoptic, tmp_path / "a", task="segment", size_hw=(30, 40))
    assert images.segment_ids is not None and images.segment_ids.dtype == np.int64
    assert images.segment_ids.tolist() == [5, 70000] * 3 and images.mask_colors is None and images.masks is not None
    placed = replace(images, mask_place=panoptic.place)
    assert all(np.array_equal(placed.true_mask(k), images.masks[k]) for k in range(3))
    assert prepared(panoptic, tmp_path / "b", size_hw=(30, 40)).segment_ids is None
    colors = ((1, 2, 3), (4, 5, 6), (7, 8, 9))
    colored = table(tmp_path / "colored", mask_colors=colors, mask_lut=[0, 1, *[IGNORED] * 254], mask_void=(2,))
    for k in range(3):
        _mask(tmp_path / "colored" / "m" / f"{k}.png", np.array(colors)[np.tile([[0, 0, 1, 2]], (16, 5))])
    images = prepared(colored, tmp_path / "c", task="segment")
    assert images.mask_colors is not None and images.mask_colors.dtype == np.uint8
    assert images.mask_colors.tolist() == [list(color) for color in colors] and images.segment_ids is None
    assert images.masks is not None and set(np.unique(images.masks[0]).tolist()) <= {0, 1, 255}
    assert prepared(colored, tmp_path / "d").mask_colors is None


def test_labels_are_those_of_the_source_that_is_given(tmp_path: Path) -> None:
    """Boxes of two classes make several labels an image, of one class a label each; the table's own are left."""
    source = table(tmp_path / "data")
    plain = prepared(source, tmp_path / "a", task="classify")
    assert plain.label_table is None and plain.image_labels.tolist() == [0, 1, 0]
    unlabeled = table(tmp_path / "data", image_labels=[-1] * 3)
    labels = label_source(unlabeled)
    images = prepared(unlabeled, tmp_path / "b", task="classify", labels=labels, indices=[2, 0, 1], clusters=[4, 5, 6])
    assert images.label_table is not None and images.label_table.dtype == np.int8
    assert images.label_table.tolist() == [[0, 0], [1, 1], [0, 1]] and images.image_classes.tolist() == ["cat", "dog"]
    assert images.image_labels.tolist() == [-1] * 3 and images.image_labels.dtype == np.int32
    assert images.image_classes.dtype.kind == "U" and images.clusters.tolist() == [4, 5, 6]
    fewer = labels.only([False, True])
    images = prepared(unlabeled, tmp_path / "c", task="classify", labels=fewer, on_bad_image="skip")
    assert images.label_table is not None and images.label_table.tolist() == [[1], [1], [0]]
    assert images.image_classes.tolist() == ["dog"]
    single = label_source(table(tmp_path / "data", image_labels=[1, -1, 0]))
    images = prepared(unlabeled, tmp_path / "d", task="classify", labels=single, indices=[2, 0], clusters=[0, 1])
    assert images.label_table is None and images.image_labels.tolist() == [0, 1]
    assert images.image_labels.dtype == np.int32 and images.image_classes.tolist() == ["x", "y"]
    with pytest.raises(DataError, match="image 'n1' has no annotation for classify"):
        prepared(unlabeled, tmp_path / "e", task="classify", labels=single)
    (tmp_path / "data" / "0.png").unlink()
    images = prepared(unlabeled, tmp_path / "f", task="classify", labels=labels, on_bad_image="skip")
    assert images.label_table is not None and images.label_table.tolist() == [[0, 1], [0, 0]]


def test_progress_is_told_every_few_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_sets, "REPORT_EVERY", 2)
    told: list[tuple[float, str]] = []
    prepared(table(tmp_path / "data", 5), tmp_path / "out", progress=lambda *said: told.append(said))
    assert told == [(0.0, "image 0/5"), (0.4, "image 2/5"), (0.8, "image 4/5"), (1.0, "5 images")]


def test_bad_images_are_refused_or_left_out(tmp_path: Path) -> None:
    source = table(tmp_path / "data", 4)
    (tmp_path / "data" / "1.png").unlink()
    for settings in ({}, {"on_bad_image": "error"}):
        with pytest.raises(DataError) as fault:
            prepared(source, tmp_path / "stopped", **settings)
        assert str(fault.value).startswith(f"{tmp_path}/data/1.png: there is no such file. Put it back")
    told: list[tuple[float, str]] = []
    images = prepared(
        source,
        tmp_path / "out",
        task="segment",
        on_bad_image="skip",
        indices=[0, 1, 3],
        clusters=[9, 8, 7],
        progress=lambda *said: told.append(said),
    )
    assert images.image_ids.tolist() == ["n0", "n3"] and images.clusters.tolist() == [9, 7]
    assert images.images[:, 0, 0, 0].tolist() == [0, 30] and images.masks is not None and len(images.masks) == 2
    assert images.box_offsets.tolist() == [0, 2, 2] and told[-1] == (1.0, "2 images")
    assert json.loads((tmp_path / "out" / "skipped.json").read_text()) == [
        {"image_id": "n1", "path": "1.png", "why": str(fault.value)}
    ]
    assert not (tmp_path / "stopped" / "skipped.json").exists()


def test_where_no_image_can_be_decoded_the_first_is_named(tmp_path: Path) -> None:
    source = table(tmp_path / "data")
    for k in (1, 2):
        (tmp_path / "data" / f"{k}.png").unlink()
    with pytest.raises(DataError) as fault:
        prepared(source, tmp_path / "out", indices=[2, 1], clusters=[0, 1], on_bad_image="skip")
    assert str(fault.value) == (
        f"{tmp_path}/data: none of 2 images could be decoded; first: {tmp_path}/data/2.png: there is no such file. "
        "Put it back, or take it out of the annotation."
    )


def test_what_cannot_be_made_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = table(tmp_path / "data", image_labels=[1, -1, -1], mask_paths=["m/0.png", "", "m/2.png"])
    root = tmp_path / "data"
    choose = "Choose a task that the data set has annotation for: detect, segment, classify."
    for settings, said in (
        ({"task": "classify"}, f"{root}: image 'n1' has no annotation for classify. {choose}"),
        ({"task": "segment"}, f"{root}: image 'n1' has no annotation for segment. {choose}"),
        ({"indices": [], "clusters": []}, f"{root}: there are no images for detect. {choose}"),
        (
            {"resize": "crop"},
            f"{root}: `crop` would cut boxes and masks. For detect use stretch or letterbox.",
        ),
        (
            {"resize": "crop", "task": "segment", "indices": [0], "clusters": [0]},
            f"{root}: `crop` would cut boxes and masks. For segment use stretch or letterbox.",
        ),
    ):
        with pytest.raises(DataError) as fault:
            prepared(source, tmp_path / "out", **settings)  # type: ignore[arg-type]
        assert str(fault.value) == said
    with pytest.raises(ValueError) as fault_of_caller:
        prepared(source, tmp_path / "out", clusters=[0, 1])
    assert str(fault_of_caller.value) == "clusters of 2 images for 3 rows"
    assert not (tmp_path / "out").exists()
    assert len(prepared(source, tmp_path / "out", task="classify", indices=[0], clusters=[0])) == 1


def test_masks_of_another_size_are_refused(tmp_path: Path) -> None:
    source = table(tmp_path / "data")
    _mask(tmp_path / "data" / "m" / "2.png", np.ones((20, 16)))
    with pytest.raises(DataError) as fault:
        prepared(source, tmp_path / "out", task="segment")
    assert str(fault.value) == (
        f"{tmp_path}/data/m/2.png: the mask is 16 x 20 pixels, its image 20 x 16. "
        "Export the mask at the size of its image."
    )
    assert len(prepared(source, tmp_path / "out")) == 3


def test_sizes_that_were_not_known_are_filled_in_and_boxes_checked(tmp_path: Path) -> None:
    unknown = table(tmp_path / "data", sizes_hw=[(0, 0)] * 3)
    images = prepared(unknown, tmp_path / "out")
    assert images.sizes_hw.tolist() == [[16, 20]] * 3
    assert images.boxes_xyxy.tolist() == [[0, 0.5, 2, 5], [1, 2, 5, 8], [0.75, 1.5, 1.25, 2.5]]
    Image.new("RGB", (20, 4)).save(tmp_path / "data" / "0.png")
    with pytest.raises(DataError) as fault:
        prepared(unknown, tmp_path / "out")
    assert str(fault.value) == (
        f"{tmp_path}/data/0.png: box 1 of image 'n0' lies outside the image of 20 x 4 with (4, 4, 25, 30). "
        "Correct the annotation; or leave such images out with --on-bad-image skip."
    )
    skipped = prepared(unknown, tmp_path / "out", on_bad_image="skip")
    assert skipped.image_ids.tolist() == ["n1", "n2"]


def test_relative_boxes_take_the_size_of_their_own_image(tmp_path: Path) -> None:
    boxes = BoxColumns(
        offsets=np.array([0, 1, 1, 3]),
        source=np.array([[0.0, 0, 0.5, 0.25], [0.5, 0.5, 1, 1], [0, 0.25, 0.25, 0.5]]),
        labels=np.zeros(3, np.int32),
        flags=np.zeros(3, np.uint8),
        known=np.ones(3, bool),
        classes=("a",),
        convention="relative",
    )
    source = table(tmp_path / "data", boxes=boxes, sizes_hw=[(0, 0)] * 3)
    Image.new("RGB", (40, 8)).save(tmp_path / "data" / "2.png")
    images = prepared(source, tmp_path / "out")
    assert images.boxes_source_xyxy.tolist() == [[0, 0, 10, 4], [20, 4, 40, 8], [0, 2, 10, 4]]
    assert images.boxes_xyxy.tolist() == [[0, 0, 2.5, 2], [2.5, 4, 5, 8], [0, 2, 1.25, 4]]
    assert images.sizes_hw.tolist() == [[16, 20], [16, 20], [8, 40]]


def test_images_at_their_original_size(tmp_path: Path) -> None:
    """Three shapes: an image of known size, one of a size that only the file knows, and a crop out of a file."""
    source = table(tmp_path / "data")
    noise = np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "data" / "1.png")
    assert np.array_equal(read_image(source, 1), noise)
    Image.fromarray(noise[:8]).save(tmp_path / "data" / "0.png")
    with pytest.raises(DataError, match=r"0\.png: the image is 20 x 8 pixels, its annotation was made for 20 x 16"):
        read_image(source, 0)
    half_known = table(tmp_path / "data", sizes_hw=[(16, 20), (0, 20), (0, 0)])
    Image.fromarray(noise[:8]).save(tmp_path / "data" / "1.png")
    assert np.array_equal(read_image(half_known, 1), noise[:8])
    crops = as_crops(source, without=0)
    assert crops.image_ids.tolist() == ["n0#0", "n0#1", "n1#0"] and crops.crop(1) == (4, 4, 20, 16, 16, 20)
    Image.fromarray(noise).save(tmp_path / "data" / "0.png")
    assert np.array_equal(read_image(crops, 0), noise[1:10, :8])
    assert np.array_equal(read_image(crops, 1), noise[4:16, 4:20])
    with pytest.raises(DataError, match=r"1\.png: the image is 20 x 8 pixels, its annotation was made for 20 x 16"):
        read_image(crops, 2)
    prepared_crops = prepared(crops, tmp_path / "out", task="classify", size_hw=(4, 4), indices=[1], clusters=[0])
    assert np.array_equal(prepared_crops.images[0], resize_rgb(noise[4:16, 4:20], (4, 4)))
    assert prepared_crops.sizes_hw.tolist() == [[12, 16]]
