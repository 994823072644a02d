"""Folds as views: the same images, boxes and masks as the rows of the whole set, and no pixels of their own."""

from pathlib import Path

import numpy as np
import pytest

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.batches.training_part import selected
from headstart.batches.views import FILE, RowsOf
from headstart.errors import StoreError
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.features import pooled_features
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.progress import silent
from headstart.study.runners import images as stages
from headstart.study.settings import DataPlace, PrepareSettings, SplitSettings, ViewSettings
from headstart.world.shapes import draw_set
from support.miniatures import image

ROWS = np.array([5, 0, 3])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`whole`, and beside it `some`, a view of three of its rows."""
    base = tmp_path_factory.mktemp("store")
    draw_set("novel", 8, 0, 48, out=base / "whole", progress=silent)
    ImageSet.open(base / "whole").write_rows(base / "some", base / "whole", ROWS)
    return base


def test_rows_of_an_array_are_its_rows():
    whole = np.arange(24).reshape(6, 4)
    rows = RowsOf(whole, np.array([4, 1, 1]))
    assert (len(rows), rows.shape, rows.ndim, rows.dtype) == (3, (3, 4), 2, whole.dtype)
    assert rows[0].tolist() == whole[4].tolist() and rows[-1].tolist() == whole[1].tolist()
    assert rows[1:].tolist() == whole[[1, 1]].tolist() and rows[np.array([2, 0])].tolist() == whole[[1, 4]].tolist()
    assert np.asarray(rows).tolist() == whole[[4, 1, 1]].tolist()


def test_a_view_holds_what_its_rows_hold(folder: Path) -> None:
    view, rows = ImageSet.open(folder / "some"), selected(ImageSet.open(folder / "whole"), ROWS)
    assert sorted(path.name for path in (folder / "some").iterdir()) == ["records.npz", FILE]
    assert view.image_ids.tolist() == rows.image_ids.tolist() and view.clusters.tolist() == rows.clusters.tolist()
    for k in range(3):
        assert np.array_equal(view.images[k], rows.images[k]) and np.array_equal(view.true_mask(k), rows.true_mask(k))
        assert np.array_equal(view.boxes_of(k).xyxy, rows.boxes_of(k).xyxy)
    a, b = (Batches(of, 4, 1, True, quarter_turns=True).batch(2) for of in (view, rows))
    assert (a.images == b.images).all() and a.masks is not None and b.masks is not None and (a.masks == b.masks).all()
    assert np.array_equal(selected(view, np.array([2])).images[0], rows.images[2])
    backbone = build_backbone("shapes-resnet").eval()
    pooled = [pooled_features(backbone, Preprocessing(), of.images, 2)["C5"] for of in (view, rows)]
    assert np.array_equal(*pooled)


def test_a_view_of_nothing_is_named(folder: Path, tmp_path: Path) -> None:
    ImageSet.open(folder / "whole").write_rows(tmp_path / "some", tmp_path / "lost", ROWS)
    with pytest.raises(StoreError, match="the prepared images cannot be read"):
        ImageSet.open(tmp_path / "some")


def test_folds_of_two_seeds_are_dealt_anew_from_one_set_of_pixels(tmp_path: Path) -> None:
    """18 images of three classes in three folds: every seed tests each image once, in other folds."""
    for k in range(18):
        image(tmp_path / "data" / "abc"[k % 3] / f"{k}.png", k)
    place = DataPlace(str(tmp_path / "data"))
    for name in ("split0", "split1", "all", *(f"test{seed}{fold}" for seed in (0, 1) for fold in range(3))):
        (tmp_path / name).mkdir()
    split = SplitSettings("-", "classify", 3, "error")
    stages.split(split, place, {}, tmp_path / "split0", silent)
    other = SplitSettings("-", "classify", 3, "error", seed=1)
    stages.split(other, place, {"clusters": tmp_path / "split0"}, tmp_path / "split1", silent)
    wanted = PrepareSettings(
        "-", "classify", "all", None, folds=3, size_hw=(16, 16), on_bad_image="error", resize="stretch"
    )
    stages.prepare(wanted, place, {"split": tmp_path / "split0"}, tmp_path / "all", silent)
    whole = ImageSet.open(tmp_path / "all")
    tested: dict[int, list[list[str]]] = {0: [], 1: []}
    for seed, folds in tested.items():
        for fold in range(3):
            inputs = {"images": tmp_path / "all", "split": tmp_path / f"split{seed}"}
            out = tmp_path / f"test{seed}{fold}"
            stages.view(ViewSettings("test", fold), place, inputs, out, silent)
            found = ImageSet.open(out)
            assert np.bincount(found.image_labels).tolist() == [2, 2, 2]
            folds.append(sorted(found.image_ids.tolist()))
        assert sorted(i for fold in folds for i in fold) == sorted(whole.image_ids.tolist())
    assert tested[0] != tested[1]
    clusters = dict(zip(whole.image_ids.tolist(), whole.clusters.tolist(), strict=True))
    view = ImageSet.open(tmp_path / "test10")
    assert [clusters[i] for i in view.image_ids.tolist()] == view.clusters.tolist()  # resamples pair images by these
