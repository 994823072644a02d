"""The drawn world: the same bytes everywhere, exact annotations, the statistics that its docstring states."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from scipy import ndimage

from headstart.errors import UsageError
from headstart.progress import silent
from headstart.world import shapes
from headstart.world.shapes import WORLDS, Drawing, draw, draw_set, main

SAMPLE = 600
"""Images of each world that the statistics are taken over."""

# Other bytes mean other results for everyone: raise the version of the `draw` job with them.
GOLDEN = {
    ("base", 0, 96): "ed05b4d76bcace754f82578dc897dae04a5c3783f2d08d994c3679162d1977ef",
    ("base", 7, 96): "80bce9f0aac2793314189f1332fa00b274898242fad3d77a1d6afba6e7d83663",
    ("base", 123456, 64): "d012e8ab76d1c9e7024043bbf4dbc7074139900e1daf27267dbd439db3aceb5f",
    ("novel", 0, 96): "73ab794e1faee199346687a459ab55c68bdb29a487afddd58dcd1c516804169e",
    ("novel", 7, 96): "af31d91e423439bea8f872bfedb7535b975ead36a8950300e25d6db8ea847f41",
    ("novel", 123456, 64): "e43a4b3626a7f6b188976348388d9adbf591c985fd8561e5c0401e0c2baf494a",
}


def _digest(drawing: Drawing) -> str:
    arrays = (
        drawing.image,
        drawing.boxes_xyxy.astype("<f4"),
        drawing.labels.astype("<i4"),
        drawing.instances,
        drawing.parts,
    )
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


@cache
def _sample(world: str) -> tuple[Drawing, ...]:
    return tuple(draw(world, index, 96) for index in range(SAMPLE))


def _extent(mask: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize(("world", "index", "size"), GOLDEN)
def test_bytes_are_golden(world: str, index: int, size: int) -> None:
    assert _digest(draw(world, index, size)) == GOLDEN[world, index, size]


def test_an_image_depends_on_its_index_alone() -> None:
    forward = {index: _digest(draw("novel", index, 48)) for index in range(5)}
    backward = {index: _digest(draw("novel", index, 48)) for index in reversed(range(5))}
    assert forward == backward
    assert len(set(forward.values())) == 5
    assert _digest(draw("base", 0, 48)) not in forward.values()


def test_worlds_share_no_class_glyph_or_hue() -> None:
    base, novel = WORLDS["base"], WORLDS["novel"]
    assert (len(base.classes), len(novel.classes)) == (12, 10)
    assert not set(base.classes) & set(novel.classes)
    for world in (base, novel):
        assert len(world.hues) == len(world.textures) == len(world.outlines) == len(world.classes)
        assert len(set(zip(world.textures, world.outlines, strict=True))) == len(world.classes)
    gaps = [abs(a - b) for a in base.hues for b in novel.hues]
    assert min(min(gap, 1 - gap) for gap in gaps) >= 1 / 24 - 1e-9


def test_glyphs_differ_even_when_turned_or_mirrored() -> None:
    glyphs = [glyph for world in ("base", "novel") for glyph in shapes._glyphs(world)]
    for i, glyph in enumerate(glyphs):
        turned = [np.rot90(side, k) for side in (glyph, glyph.T) for k in range(4)]
        for other in glyphs[:i]:
            assert min(int((view != other).sum()) for view in turned) >= 4


@pytest.mark.parametrize("world", WORLDS)
def test_boxes_and_masks_agree(world: str) -> None:
    for drawing in _sample(world):
        assert drawing.image.shape == (96, 96, 3)
        assert drawing.labels[0] == drawing.image_label
        assert drawing.instances.max() == len(drawing.labels)
        for k, box in enumerate(drawing.boxes_xyxy):
            mask = drawing.instances == k + 1
            assert box.tolist() == _extent(mask)
            # An object is dropped rather than left nearly invisible.
            assert mask.sum() >= 30
            part = drawing.parts == k + 1
            assert part.any()
            assert not (part & ~mask).any()
        assert drawing.parts.max() <= len(drawing.labels)


@pytest.mark.parametrize("world", WORLDS)
def test_statistics_of_a_world(world: str) -> None:
    drawings = _sample(world)
    classes = len(WORLDS[world].classes)
    mains = np.array([(drawing.labels == drawing.image_label).sum() for drawing in drawings])
    others = np.array([(drawing.labels != drawing.image_label).sum() for drawing in drawings])
    labels = np.array([drawing.image_label for drawing in drawings])
    # Five standard deviations of a share in SAMPLE images: 0.10 at most.
    assert np.abs(np.bincount(mains, minlength=6)[1:] / SAMPLE - [0.40, 0.25, 0.17, 0.11, 0.07]).max() < 0.1
    assert np.abs(np.bincount(others, minlength=3) / SAMPLE - 1 / 3).max() < 0.1
    assert np.abs(np.bincount(labels, minlength=classes) / SAMPLE - 1 / classes).max() < 0.06
    for drawing in drawings:
        rest = drawing.labels[drawing.labels != drawing.image_label]
        assert len(set(rest.tolist())) == len(rest)
    first = np.array([drawing.boxes_xyxy[0] for drawing in drawings])
    sides = np.sqrt((first[:, 2] - first[:, 0]) * (first[:, 3] - first[:, 1])) / 96
    # Log-uniform from 0.15 to 0.6: its median is 0.3. Rotation adds to an extent, lobes and occlusion take away.
    assert 0.26 < np.median(sides) < 0.33
    assert sides.min() > 0.09
    assert sides.max() < 0.6 * 1.42


def test_a_part_has_its_share_of_the_minor_axis() -> None:
    """Alone in the image, a part's area is that of a disc of 0.42 of the minor half axis."""
    ratios = []
    for drawing in _sample("base"):
        if len(drawing.labels) == 1:
            part, body = (drawing.parts > 0).sum(), (drawing.instances > 0).sum()
            ratios.append(part / body)
    # disc / ellipse = 0.42^2 / stretch, stretch between 1 and 1.6: 0.110 to 0.176; a box is larger, lobes are smaller.
    assert len(ratios) > 40
    assert min(ratios) > 0.08 and max(ratios) < 0.27
    assert 0.12 < np.median(ratios) < 0.17


def test_body_and_part_stand_out_from_what_surrounds_them() -> None:
    drawing = next(d for d in _sample("base") if len(d.labels) == 1)
    part = drawing.image[drawing.parts > 0].astype(float).mean(1)
    assert np.ptp(part) > 100  # both colors of the glyph are there


def test_prepared_set(tmp_path: Path) -> None:
    told: list[float] = []
    draw_set("novel", 5, 40, 64, out=tmp_path / "set", progress=lambda fraction, what: told.append(fraction))
    assert told[0] == 0.0 and told[-1] == 1.0
    images, masks, instances, parts = (
        np.load(tmp_path / "set" / f"{name}.npy", mmap_mode="r") for name in ("images", "masks", "instances", "parts")
    )
    with np.load(tmp_path / "set" / "records.npz", allow_pickle=False) as file:
        records = dict(file)
    assert images.shape == (5, 64, 64, 3) and masks.shape == instances.shape == parts.shape == (5, 64, 64)
    assert records["image_ids"].tolist() == [f"novel-{index:06d}" for index in range(40, 45)]
    assert records["mask_classes"].tolist() == ["background", *WORLDS["novel"].classes]
    assert records["box_classes"].tolist() == records["image_classes"].tolist() == list(WORLDS["novel"].classes)
    assert records["clusters"].tolist() == [0, 1, 2, 3, 4]
    assert records["sizes_hw"].tolist() == [[64, 64]] * 5
    assert records["mask_paths"].tolist() == [""] * 5
    dtypes = {
        "boxes_xyxy": "float32",
        "boxes_source_xyxy": "float64",
        "box_offsets": "int64",
        "box_labels": "int32",
        "box_flags": "uint8",
        "image_labels": "int32",
        "sizes_hw": "int32",
        "clusters": "int64",
        "mask_lut": "uint8",
    }
    assert {name: str(records[name].dtype) for name in dtypes} == dtypes
    offsets = records["box_offsets"]
    for i in range(5):
        drawing = draw("novel", 40 + i, 64)
        own = slice(offsets[i], offsets[i + 1])
        assert np.array_equal(images[i], drawing.image)
        assert np.array_equal(records["boxes_xyxy"][own], drawing.boxes_xyxy)
        assert np.array_equal(records["boxes_source_xyxy"][own], drawing.boxes_xyxy)
        assert np.array_equal(records["box_labels"][own], drawing.labels)
        assert records["image_labels"][i] == drawing.image_label
        assert np.array_equal(instances[i], drawing.instances) and np.array_equal(parts[i], drawing.parts)
        expected = np.zeros((64, 64), np.uint8)
        for k, label in enumerate(drawing.labels):
            expected[drawing.instances == k + 1] = label + 1
        assert np.array_equal(masks[i], expected)
    assert offsets[-1] == len(records["box_labels"]) == len(records["box_flags"])


def test_equal_sets_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw_set("base", 2, 0, 32, out=tmp_path / name, progress=silent)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_coco_folder_reads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "out"), "--world", "base", "--count", "4", "--first", "10", "--size", "64"]) == 0
    assert "4 images" in capsys.readouterr().out
    coco = COCO(tmp_path / "out" / "annotations" / "instances.json")
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(WORLDS["base"].classes)
    for i, image in enumerate(coco.loadImgs(sorted(coco.getImgIds()))):
        drawing = draw("base", 10 + i, 64)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "images" / image["file_name"])), drawing.image)
        assert image["label"] == WORLDS["base"].classes[drawing.image_label]
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert len(annotations) == len(drawing.labels)
        for k, annotation in enumerate(annotations):
            mask = coco.annToMask(annotation).astype(bool)
            assert np.array_equal(mask, drawing.instances == k + 1)
            assert annotation["area"] == mask.sum() and annotation["iscrowd"] == 0
            x, y, width, height = annotation["bbox"]
            assert [x, y, x + width, y + height] == drawing.boxes_xyxy[k].tolist()
            assert annotation["category_id"] == drawing.labels[k] + 1


def test_coco_run_lengths_by_hand() -> None:
    """Down the columns, zeros first: 0 1 / 1 1 reads 0, 1, 1, 1; a mask that begins with one begins with a run of 0."""
    assert shapes._run_lengths(np.array([[False, True], [True, True]])) == [1, 3]
    assert shapes._run_lengths(np.array([[True, False], [False, False]])) == [0, 1, 3]
    assert shapes._run_lengths(np.zeros((2, 2), bool)) == [4]


def test_faults_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"no world is named 'moon'\. Choose one of: base, novel, .*-gray\."):
        draw("moon", 0, 96)
    with pytest.raises(UsageError, match=r"world 'base' has no image -1\. Indices start at 0\."):
        draw("base", -1, 96)
    with pytest.raises(UsageError, match=r"31 pixels a side are too small .* Ask for 32 or more\."):
        draw("base", 0, 31)
    with pytest.raises(UsageError, match=r"cannot draw 0 images"):
        draw_set("base", 0, 0, 96, out=tmp_path / "set", progress=silent)
    assert not (tmp_path / "set").exists()
    target = tmp_path / "annotations" / "instances.json"
    target.parent.mkdir()
    target.write_text(json.dumps({}))
    assert main([str(tmp_path), "--count", "1"]) == 2
    assert f"error: {target} exists already. Name another folder" in capsys.readouterr().err


@pytest.mark.parametrize("world", ["base", "novel"])
def test_a_gray_world_is_its_twin_but_for_the_colors_of_parts(world: str) -> None:
    """What is drawn where is the same; pixels differ in parts alone, whose colors are gone but for noise."""
    for index in range(6):
        colored, gray = draw(world, index, 96), draw(f"{world}-gray", index, 96)
        assert np.array_equal(colored.instances, gray.instances) and np.array_equal(colored.parts, gray.parts)
        assert np.array_equal(colored.labels, gray.labels)
        away = ndimage.distance_transform_edt(colored.parts == 0)
        assert np.array_equal(colored.image[away > 2], gray.image[away > 2])
        inside = ndimage.distance_transform_edt(colored.parts > 0) > 2
        if inside.sum() > 20:
            spread = [np.ptp(d.image[inside].astype(int), axis=1).mean() for d in (colored, gray)]
            assert spread[1] < 30 < 45 < spread[0]
