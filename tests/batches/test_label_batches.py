"""Batches of labelled images: a function of (seed, t); random parts as torchvision's; training on them learns."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from headstart.batches.label_batches import TRIES, LabelBatches, LabelImages, random_part, to_square
from headstart.batches.label_source import label_source
from headstart.data.views import as_crops
from headstart.errors import DataError
from headstart.places.images import read_rgb, resize_rgb
from headstart.readers.formats import open_dataset
from support.miniatures import make_class_folders, make_voc
from support.miniatures_coco import an_annotation, an_image, coco_json, make_coco
from support.train_labels_two import color_folders

SIZE = 24


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory):
    return open_dataset(color_folders(tmp_path_factory.mktemp("colors")))


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory):
    """Five images of noise, no two parts of which are alike."""
    root = tmp_path_factory.mktemp("noise")
    make_class_folders(root)
    return open_dataset(root)


def batches(table, rows=None, **changes) -> LabelBatches:
    settings = {"size": SIZE, "batch_size": 4, "seed": 3, "flip": True} | changes
    return LabelBatches(table, range(len(table)) if rows is None else rows, **settings)


def half_lit(path: Path) -> Path:
    """40 x 30 pixels, the right half white."""
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


class TestOrder:
    def test_a_batch_does_not_depend_on_what_was_asked_before(self, noise) -> None:
        first, second = batches(noise), pickle.loads(pickle.dumps(batches(noise)))
        for t in range(7):
            second.batch(t)
        for t in (6, 0, 3):
            a, b = first.batch(t), second.batch(t)
            assert a.image_ids == b.image_ids and torch.equal(a.images, b.images)
            assert torch.equal(a.image_labels, b.image_labels) and torch.equal(a.seeds, b.seeds)
        assert not torch.equal(batches(noise, seed=4).batch(0).images, first.batch(0).images)

    def test_every_image_comes_once_an_epoch(self, folders) -> None:
        source = batches(folders, batch_size=3)
        assert source.count == 15 and source.batch_size == 3
        epochs = [[i for t in range(5 * e, 5 * e + 5) for i in source.batch(t).image_ids] for e in range(2)]
        assert all(sorted(ids) == sorted(folders.image_ids) for ids in epochs) and epochs[0] != epochs[1]

    def test_parts_of_a_batch_are_the_batch(self, noise) -> None:
        source = batches(noise)
        whole, parts = source.batch(5), [source.batch(5, slice(k, k + 2)) for k in (0, 2)]
        assert torch.equal(torch.cat([p.images for p in parts]), whole.images)
        assert torch.equal(torch.cat([p.seeds for p in parts]), whole.seeds)
        assert [i for p in parts for i in p.image_ids] == whole.image_ids
        assert list(source.together(3, 6)) == [range(3, 4), range(4, 5), range(5, 6)]
        assert torch.equal(source.made(range(5, 6), slice(2, 4))[0].images, parts[1].images)
        assert torch.equal(torch.cat([p.image_labels for p in whole.parts(2)]), whole.image_labels)

    def test_only_the_rows_given(self, folders) -> None:
        rows = [i for i, name in enumerate(folders.image_ids) if "/0" in name or "/1" in name]
        source = batches(folders, rows)
        assert source.count == 6 and {i for t in range(3) for i in source.batch(t).image_ids} == set(
            folders.image_ids[rows]
        )


class TestLabels:
    def test_the_label_is_the_color(self, folders) -> None:
        source = batches(folders, batch_size=15)
        assert source.source.classes == ("blue", "lime", "red")
        batch = source.batch(0)
        assert batch.images.shape == (15, 3, SIZE, SIZE) and batch.images.dtype == torch.uint8
        assert batch.label_table is None and batch.image_labels.dtype == torch.int64
        brightest = batch.images.float().mean((2, 3)).argmax(1)
        assert torch.equal(brightest, 2 - batch.image_labels)
        assert len(batch.boxes_xyxy) == 15 and batch.boxes_xyxy[0].shape == (0, 4) and batch.masks is None

    def test_several_labels(self, tmp_path: Path) -> None:
        make_coco(tmp_path)
        table = open_dataset(tmp_path, format="coco")
        batch = batches(table, batch_size=3).batch(0)
        want = {"11": [1, 1], "12": [0, 0], "7": [0, 1]}
        assert batch.label_table is not None and batch.label_table.dtype == torch.int8
        assert batch.label_table.tolist() == [want[i] for i in batch.image_ids]
        assert batch.image_labels.tolist() == [-1, -1, -1]
        assert [p.label_table.tolist() for p in batch.parts(3)] == [[want[i]] for i in batch.image_ids]

    def test_crops(self, tmp_path: Path) -> None:
        """A crop is decoded as such: here the white half of the image, and the black one."""
        half_lit(tmp_path / "train/1.png")
        boxes = [an_annotation(1, 1, [0, 0, 20, 30], 1), an_annotation(2, 1, [20, 0, 20, 30], 3)]
        coco_json(tmp_path / "instances_train.json", [an_image(1, "1.png")], boxes)
        crops = as_crops(open_dataset(tmp_path))
        source = batches(crops, batch_size=2)
        for t in range(3):
            batch = source.batch(t)
            names = [source.source.classes[k] for k in batch.image_labels]
            assert dict(zip(names, batch.images.float().mean((1, 2, 3)).tolist(), strict=True)) == {
                "cat": 0.0,
                "dog": 255.0,
            }


class TestPixels:
    def test_the_whole_image_is_stretched(self, tmp_path: Path) -> None:
        make_voc(tmp_path)
        table = open_dataset(tmp_path, format="voc")
        batch = batches(table, least_area=1.0, flip=False).batch(0)
        for pixels, image_id in zip(batch.images, batch.image_ids, strict=True):
            want = resize_rgb(read_rgb(tmp_path / f"JPEGImages/{image_id}.jpg"), (SIZE, SIZE))
            assert np.abs(pixels.permute(1, 2, 0).numpy().astype(int) - want.astype(int)).max() <= 1

    def test_a_part_of_the_image(self, tmp_path: Path) -> None:
        """Red is the column and green the row, so that pixels tell where they come from."""
        columns, rows = np.meshgrid(np.arange(240, dtype=np.uint8), np.arange(160, dtype=np.uint8))
        for name in ("a/1.png", "b/2.png"):
            (tmp_path / name).parent.mkdir()
            Image.fromarray(np.stack([columns, rows, columns], 2)).save(tmp_path / name)
        source = batches(open_dataset(tmp_path), batch_size=2, size=40, flip=False)
        images = torch.cat([source.batch(t).images for t in range(100)]).float()
        widths, heights = images[:, 0, 0, -1] - images[:, 0, 0, 0], images[:, 1, -1, 0] - images[:, 1, 0, 0]
        widths, heights = widths * 40 / 39, heights * 40 / 39  # between the centers of the first and the last pixel
        area, aspect = widths * heights / (240 * 160), widths / heights
        assert area.min() > 0.075 and area.max() < 1 and 0.3 < area.median() < 0.6
        assert aspect.min() > 0.7 and aspect.max() < 1.4 and area.std() > 0.1
        assert images[:, 0].max() <= 239 and images[:, 0, 0, 0].std() > 20 and images[:, 1, 0, 0].std() > 10

    def test_half_are_mirrored(self, tmp_path: Path) -> None:
        for k in range(2):
            half_lit(tmp_path / f"train/{'ab'[k]}/{k}.png")
        table = open_dataset(tmp_path)

        def lit_right(flip: bool) -> list[bool]:
            source = batches(table, flip=flip, least_area=1.0, batch_size=2)
            images = torch.cat([source.batch(t).images for t in range(100)]).float().mean((1, 2))
            return (images[:, SIZE // 2 :].mean(1) > images[:, : SIZE // 2].mean(1)).tolist()

        assert all(lit_right(False)) and 70 <= sum(lit_right(True)) <= 130

    def test_as_pillow_but_for_rounding(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (61, 47, 3), dtype=np.uint8)
        for size in (9, 33, 80):
            got = to_square(pixels[3:50, 2:40], size).permute(1, 2, 0).numpy()
            assert np.abs(got.astype(int) - resize_rgb(pixels[3:50, 2:40], (size, size)).astype(int)).max() <= 1

    def test_evaluated_on_the_center(self, folders) -> None:
        rows = list(range(len(folders)))[::-1]
        images = LabelImages(batches(folders).source, rows, SIZE)
        assert len(images) == 15 and images.left_out == 0
        pixels = images.pixels(slice(2, 5))
        want = resize_rgb(read_rgb(folders.image_path(rows[2])), (SIZE, SIZE), "crop")
        assert pixels.shape == (3, 3, SIZE, SIZE) and np.array_equal(pixels[0].permute(1, 2, 0).numpy(), want)

    def test_an_image_that_cannot_be_decoded(self, tmp_path: Path) -> None:
        make_class_folders(tmp_path)
        table = open_dataset(tmp_path)
        (tmp_path / "train/tulip/1.jpg").write_bytes(b"no image")
        rows = table.rows_of("train")
        with pytest.raises(DataError, match=r"train/tulip/1\.jpg: cannot be decoded as an image.*Fetch or export"):
            for t in range(3):
                batches(table, rows, batch_size=1).batch(t)

    def test_settings_that_cannot_be(self, folders) -> None:
        with pytest.raises(ValueError, match=r"least_area is 0\.0; it is a share of the image"):
            batches(folders, least_area=0.0)
        assert LabelImages(label_source(folders), [], SIZE).left_out == 0


class TestParts:
    def test_inside_the_image_and_as_large_as_drawn(self) -> None:
        """Half of 100 x 200 pixels at aspect 1: 100 x 100, at the row and column drawn."""
        draws = np.full((TRIES, 4), 0.5)
        draws[0, 0] = (0.5 - 0.08) / 0.92
        assert random_part((100, 200), draws) == (50, 0, 150, 100)
        rng = np.random.default_rng(0)
        for _ in range(200):
            size = (int(rng.integers(1, 60)), int(rng.integers(1, 60)))
            x1, y1, x2, y2 = random_part(size, rng.random((TRIES, 4)), 0.3)
            assert 0 <= x1 < x2 <= size[1] and 0 <= y1 < y2 <= size[0]
            assert random_part(size, rng.random((TRIES, 4)), 1.0) == (0, 0, size[1], size[0])

    @pytest.mark.parametrize(("size", "want"), [((10, 1000), (493, 0, 506, 10)), ((1000, 10), (0, 493, 10, 506))])
    def test_nothing_fits(self, size, want) -> None:
        """The largest centered part of aspect 4/3, or 3/4; torchvision's fallback gives the same."""
        assert random_part(size, np.full((TRIES, 4), 0.99)) == want
        top, left, height, width = RandomResizedCrop.get_params(torch.zeros(3, *size), [0.08, 1], [3 / 4, 4 / 3])
        assert (left, top, left + width, top + height) == want

    @pytest.mark.parametrize("size", [(60, 80), (50, 120), (90, 30)])
    def test_distributed_as_torchvision_draws(self, size) -> None:
        torch.manual_seed(0)
        rng, image = np.random.default_rng(0), torch.zeros(3, *size)
        theirs = np.array([RandomResizedCrop.get_params(image, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(4000)], float)
        ours = np.array([random_part(size, rng.random((TRIES, 4))) for _ in range(4000)], float)
        ours = np.stack([ours[:, 1], ours[:, 0], ours[:, 3] - ours[:, 1], ours[:, 2] - ours[:, 0]], 1)
        for values in (lambda p: p, lambda p: p**2, lambda p: p[:, 2:3] * p[:, 3:]):
            a, b = values(ours), values(theirs)
            noise = np.sqrt((a.var(0) + b.var(0)) / 4000)
            assert (np.abs(a.mean(0) - b.mean(0)) <= 4 * noise).all()


@pytest.mark.parametrize(
    ("size_hw", "part"),
    [
        ((10, 100), (43, 0, 56, 10)),  # 4/3 of the height, in the center
        ((100, 10), (0, 43, 10, 56)),
        ((3, 100), (48, 0, 52, 3)),
    ],
)
def test_the_largest_part_in_the_center_where_none_that_is_drawn_fits(size_hw: tuple[int, int], part: tuple) -> None:
    """Draws of the whole area: a part of such an aspect is higher, or wider, than the image."""
    assert random_part(size_hw, np.full((TRIES, 4), 0.999)) == part


def test_a_part_that_is_drawn_by_hand() -> None:
    """Half of the area, aspect 1 (the middle of the logarithms): 71 x 71 of 100 x 100, placed at 3/4 of the room."""
    draws = np.full((TRIES, 4), 0.5)
    draws[:, 2:] = (0.75, 0.25)
    assert random_part((100, 100), draws, 0.0) == (
        int(0.25 * 30),
        int(0.75 * 30),
        int(0.25 * 30) + 71,
        int(0.75 * 30) + 71,
    )
    assert random_part((100, 50), draws, 1.0) == (0, 0, 50, 100)
