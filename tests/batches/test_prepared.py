"""Prepared sets: written, opened, boxes and masks at both sizes, damaged files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet, make_image_set
from headstart.batches.label_source import label_source
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.columns import BoxColumns
from headstart.data.flags import IGNORED
from headstart.errors import DataError, StoreError
from headstart.places.images import read_mask
from headstart.readers.formats import open_dataset
from headstart.study.runners.shared import with_masks
from headstart.study.settings import DataPlace
from headstart.world.shapes import draw_set
from support.miniatures import make_index_masks


def told(fraction: float, message: str) -> None:
    assert 0 <= fraction <= 1 and message


@pytest.fixture
def annotations(tmp_path: Path) -> Annotations:
    """Three images of 40 x 20 (w x h), the third without boxes; masks with value 1 left, 2 right, 3 void at the top."""
    root = tmp_path / "data"
    root.mkdir()
    names = [f"{k}.png" for k in range(3)]
    for k, name in enumerate(names):
        Image.new("RGB", (40, 20), (k * 50, 100, 200)).save(root / name)
        mask = np.full((20, 40), 1, np.uint8)
        mask[:, 20:] = 2
        mask[:4] = 3
        Image.fromarray(mask).save(root / f"m{name}")
    boxes = BoxColumns(
        offsets=np.array([0, 2, 3, 3]),
        source=np.array([[1.0, 1, 20, 10], [21, 11, 40, 20], [5, 5, 8, 8]]),
        labels=np.array([1, 0, 1], np.int32),
        flags=np.array([0, 1, 0], np.uint8),
        known=np.ones(3, bool),
        classes=("cat", "dog"),
        convention="voc",
    )
    lut = np.full(256, IGNORED, np.uint8)
    lut[[1, 2]] = (0, 1)
    return annotate(
        root,
        "test",
        ["a", "b", "c"],
        names,
        sizes_hw=[(20, 40)] * 3,
        splits=[""] * 3,
        boxes=boxes,
        image_labels=[0, 1, 1],
        image_classes=("x", "y"),
        mask_paths=[f"m{n}" for n in names],
        mask_lut=lut,
        mask_void=(3,),
        mask_classes=("l", "r"),
    )


def with_column(annotations: Annotations, name: str, values: list[int]) -> Annotations:
    batch = annotations.batch
    column = pa.array(values, pa.int32())
    return Annotations(
        batch.set_column(batch.schema.get_field_index(name), name, column), annotations.facts, annotations.place
    )


def made(annotations: Annotations, task: str, out: Path, **options: object) -> ImageSet:
    settings = {"indices": [2, 0], "clusters": [7, 9], "size_hw": (10, 10), "resize": "stretch", **options}
    make_image_set(annotations, task=task, out=out, progress=told, **settings)  # type: ignore[arg-type]
    return ImageSet.open(out)


def test_boxes_are_scaled_and_kept_as_they_were(annotations: Annotations, tmp_path: Path) -> None:
    images = made(annotations, "detect", tmp_path / "out")
    assert len(images) == 2 and images.images.shape == (2, 10, 10, 3) and isinstance(images.images, np.memmap)
    assert images.image_ids.tolist() == ["c", "a"] and images.clusters.tolist() == [7, 9]
    assert images.images[0, 5, 5].tolist() == [100, 100, 200] and images.images[1, 5, 5].tolist() == [0, 100, 200]
    assert images.boxes_xyxy.dtype == np.float32 and images.boxes_source_xyxy.dtype == np.float64
    assert len(images.boxes_of(0).labels) == 0
    boxes = images.boxes_of(1)
    # 40 x 20 to 10 x 10: x by a quarter, y by a half.
    assert boxes.xyxy.tolist() == [[0, 0, 5, 5], [5, 5, 10, 10]] and images.scale_xy(1).tolist() == [0.25, 0.5]
    assert boxes.source_xyxy.tolist() == [[0, 0, 20, 10], [20, 10, 40, 20]]
    assert boxes.labels.tolist() == [1, 0] and boxes.flags.tolist() == [0, 1]
    assert images.box_classes.tolist() == ["cat", "dog"] and images.image_labels.tolist() == [1, 0]
    assert images.masks is None and images.mask_paths.tolist() == ["", ""] and images.mask_classes.tolist() == []


def test_labels_of_whole_images_come_from_boxes_where_images_have_none(
    annotations: Annotations, tmp_path: Path
) -> None:
    """Image a shows a dog and a cat, c nothing: what each shows is known for both classes."""
    unlabelled = with_column(annotations, "label", [-1] * 3)
    with pytest.raises(DataError, match="image 'c' has no annotation for classify"):
        made(unlabelled, "classify", tmp_path / "refused")
    images = made(unlabelled, "classify", tmp_path / "out", labels=label_source(unlabelled))
    assert images.label_table is not None and images.label_table.tolist() == [[0, 0], [1, 1]]
    assert images.image_classes.tolist() == ["cat", "dog"] and images.image_labels.tolist() == [-1, -1]
    batches = Batches(images, 2, seed=0, flip=False, quarter_turns=False)
    batch = batches.batch(0)
    order = [images.image_ids.tolist().index(i) for i in batch.image_ids]
    assert batch.label_table is not None and batch.label_table.tolist() == images.label_table[order].tolist()
    with pytest.raises(ValueError, match="label_table has 1 rows, 2 are expected"):
        replace(images, label_table=images.label_table[:1]).write(tmp_path / "short")


def test_masks_at_both_sizes(annotations: Annotations, tmp_path: Path) -> None:
    images = made(annotations, "segment", tmp_path / "out")
    assert images.masks is not None and images.masks.shape == (2, 10, 10)
    expected = np.repeat([[0] * 5 + [1] * 5], 10, axis=0)
    expected[:2] = IGNORED
    assert np.array_equal(images.masks[0], expected)
    original = replace(images, mask_place=annotations.place).true_mask(1)
    assert original.shape == (20, 40) and original[10, [0, 39]].tolist() == [0, 1] and (original[:4] == IGNORED).all()
    assert images.mask_classes.tolist() == ["l", "r"]


def test_original_masks_are_read_from_an_archive_too(tmp_path: Path) -> None:
    make_index_masks(tmp_path / "set")
    shutil.make_archive(str(tmp_path / "x"), "zip", tmp_path / "set")
    annotations = open_dataset(tmp_path / "x.zip")
    images = made(annotations, "segment", tmp_path / "out")
    stages_view = with_masks(images, DataPlace(str(tmp_path / "x.zip")))
    for k in range(2):
        loose = read_mask(tmp_path / "set" / str(images.mask_paths[k]))
        assert np.array_equal(stages_view.true_mask(k), images.mask_lut[loose]) and loose.shape == (30, 40)


def test_crop_drops_boxes_and_is_for_classification(annotations: Annotations, tmp_path: Path) -> None:
    images = made(annotations, "classify", tmp_path / "out", resize="crop", size_hw=(7, 7))
    assert (
        images.images.shape == (2, 7, 7, 3) and len(images.boxes_xyxy) == 0 and images.box_offsets.tolist() == [0, 0, 0]
    )
    assert images.image_labels.tolist() == [1, 0] and images.sizes_hw.tolist() == [[20, 40]] * 2
    with pytest.raises(DataError, match=r"`crop` would cut boxes and masks\. For detect use stretch or letterbox"):
        made(annotations, "detect", tmp_path / "other", resize="crop")


def test_unknown_sizes_are_filled_in(annotations: Annotations, tmp_path: Path) -> None:
    unknown = with_column(annotations, "height", [0, 0, 0])
    assert made(unknown, "classify", tmp_path / "out").sizes_hw.tolist() == [[20, 40]] * 2


def test_a_box_outside_an_image_whose_size_was_not_known_is_named(annotations: Annotations, tmp_path: Path) -> None:
    """The second box begins at 20 of the 15 pixels that the image proves to have."""
    path = annotations.image_path(0)
    Image.new("RGB", (15, 20)).save(Path(str(path)))
    outside = with_column(with_column(annotations, "height", [0, 0, 0]), "width", [0, 0, 0])
    with pytest.raises(DataError) as fault:
        made(outside, "detect", tmp_path / "out")
    said = str(fault.value)
    assert said.startswith(f"{path}: box 1 of image 'a' ") and said.endswith(
        "Correct the annotation; or leave such images out with --on-bad-image skip."
    )


def test_the_true_mask_of_a_drawn_image_is_the_prepared_one(tmp_path: Path) -> None:
    draw_set("novel", 3, 0, 48, out=tmp_path / "drawn", progress=told)
    images = ImageSet.open(tmp_path / "drawn")
    assert images.masks is not None
    assert all(np.array_equal(images.true_mask(i), images.masks[i]) for i in range(3))


def test_equal_input_gives_equal_bytes(annotations: Annotations, tmp_path: Path) -> None:
    for name in ("one", "two"):
        made(annotations, "segment", tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert files == ["images.npy", "masks.npy", "records.npz"]
    assert all((tmp_path / "one" / f).read_bytes() == (tmp_path / "two" / f).read_bytes() for f in files)


def test_damaged_image_is_named_or_skipped_and_listed(annotations: Annotations, tmp_path: Path) -> None:
    Path(str(annotations.image_path(2))).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"2\.png: cannot be decoded as an image"):
        made(annotations, "segment", tmp_path / "stopped")
    out = tmp_path / "out"
    images = made(annotations, "segment", out, on_bad_image="skip")
    assert images.image_ids.tolist() == ["a"] and images.clusters.tolist() == [9]
    assert images.images.shape[0] == 1 and images.masks is not None and images.masks.shape == (1, 10, 10)
    (skipped,) = json.loads((out / "skipped.json").read_text())
    assert (skipped["image_id"], skipped["path"]) == ("c", "2.png") and "cannot be decoded" in skipped["why"]
    made(annotations, "segment", tmp_path / "fine", on_bad_image="skip", indices=[0, 1])
    assert json.loads((tmp_path / "fine" / "skipped.json").read_text()) == []
    with pytest.raises(DataError, match=r"none of 1 images could be decoded; first: .*2\.png"):
        made(annotations, "detect", tmp_path / "none", on_bad_image="skip", indices=[2], clusters=[0])


def test_masks_that_do_not_fit_are_named(annotations: Annotations, tmp_path: Path) -> None:
    path = Path(str(annotations.mask_path(0)))
    assert path
    Image.new("L", (40, 21), 1).save(path)
    with pytest.raises(DataError, match=r"m0\.png: the mask is 40 x 21 pixels, its image 40 x 20\. Export the mask"):
        made(annotations, "segment", tmp_path / "size")
    Image.new("L", (40, 20), 9).save(path)
    with pytest.raises(DataError, match=r"m0\.png: value 9 is neither a class nor void\. Name it"):
        made(annotations, "segment", tmp_path / "value")


def test_rows_without_annotation_are_refused(annotations: Annotations, tmp_path: Path) -> None:
    unlabeled = with_column(annotations, "label", [0, 1, -1])
    with pytest.raises(DataError, match=r"image 'c' has no annotation for classify.*detect, segment, classify"):
        made(unlabeled, "classify", tmp_path / "out")
    with pytest.raises(DataError, match="there are no images for detect"):
        made(annotations, "detect", tmp_path / "out", indices=[], clusters=[])


def test_write_and_open_again(annotations: Annotations, tmp_path: Path) -> None:
    first = made(annotations, "segment", tmp_path / "one")
    instances = np.arange(200, dtype=np.uint8).reshape(2, 10, 10)
    replace(first, instances=instances).write(tmp_path / "two")
    again = ImageSet.open(tmp_path / "two")
    assert again.instances is not None and np.array_equal(again.instances, instances) and again.parts is None
    assert np.array_equal(again.boxes_xyxy, first.boxes_xyxy) and np.array_equal(again.masks, first.masks)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="clusters has 1 rows, 2 are expected"):
        replace(first, clusters=first.clusters[:1]).write(tmp_path / "three")


def test_damaged_sets_are_named(annotations: Annotations, tmp_path: Path) -> None:
    out = tmp_path / "out"
    images = made(annotations, "detect", out)
    records = (out / "records.npz").read_bytes()
    (out / "records.npz").write_bytes(records[:500])
    with pytest.raises(StoreError, match=r"out: the prepared images cannot be read .*Delete this folder"):
        ImageSet.open(out)
    (out / "records.npz").write_bytes(records)
    np.save(out / "images.npy", np.zeros((1, 10, 10, 3), np.uint8))
    with pytest.raises(StoreError, match=r"out: images has 1 rows, 2 are expected\. Delete this folder"):
        ImageSet.open(out)
    np.save(out / "images.npy", np.asarray(images.images))
    np.save(out / "masks.npy", np.zeros((2, 9, 10), np.uint8))
    with pytest.raises(StoreError, match="masks are of another size than the images"):
        ImageSet.open(out)
    with pytest.raises(StoreError, match="cannot be read"):
        ImageSet.open(tmp_path / "nowhere")


def test_drawn_sets_open(tmp_path: Path) -> None:
    draw_set("base", 3, 0, 64, out=tmp_path / "drawn", progress=told)
    images = ImageSet.open(tmp_path / "drawn")
    assert len(images) == 3 and images.images.shape == (3, 64, 64, 3) and images.scale_xy(0).tolist() == [1, 1]
    assert images.instances is not None and images.parts is not None and images.masks is not None
    for i in range(3):
        assert len(images.boxes_of(i).labels) == images.instances[i].max()


def test_reading_needs_no_torch() -> None:
    code = "from headstart.batches import image_sets; from headstart.data import splits; "
    code += "from headstart.readers import formats; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
