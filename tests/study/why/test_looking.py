"""The jobs that compare two looks: what they say where networks differ, and how folds come together by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headstart.batches.image_sets import ImageSet
from headstart.progress import silent
from headstart.store.arrays import load_arrays, save_arrays
from headstart.study.runners.looking import contents, pair
from headstart.study.settings import ContentsSettings, PairSettings
from support.by_hand.sets import image_set

COUNT = 24
BOXES = [[(0, 0, 10, 10)] * (1 + k % 3) for k in range(COUNT)]


def look(folder: Path, channels: int, grid: tuple[int, int], stage: str = "C5") -> Path:
    """What a look leaves: of images whose features are their own number, and noise."""
    folder.mkdir()
    rng = np.random.default_rng(channels)
    features = rng.normal(size=(COUNT, channels)) + np.arange(COUNT)[:, None]
    save_arrays(folder / "pooled.npz", {stage: features.astype(np.float32)})
    auroc = np.linspace(0, 0.4, COUNT) + channels / 100
    energy = np.ones((COUNT, *grid), np.float16)
    save_arrays(folder / "energy.npz", {"energy": energy, "auroc/standardized": auroc, "auroc/raw": auroc})
    (folder / "said.json").write_text(
        json.dumps(["Something of both looks.", *([] if channels == 6 else ["One thing."])])
    )
    return folder


def paired(tmp_path: Path, b: Path) -> tuple[dict[str, float], list[str], dict[str, np.ndarray]]:
    image_set(COUNT, 20, 20, boxes=BOXES).write(tmp_path / "images")
    (tmp_path / "out").mkdir()
    inputs = {"images": tmp_path / "images", "a": look(tmp_path / "a", 6, (3, 4)), "b": b}
    metrics = pair(PairSettings(60, 1), None, inputs, tmp_path / "out", silent)
    said = json.loads((tmp_path / "out" / "said.json").read_text())
    return metrics, said, load_arrays(tmp_path / "out" / "replicates.npz")


def test_networks_of_one_architecture(tmp_path: Path) -> None:
    metrics, said, drawn = paired(tmp_path, look(tmp_path / "b", 6, (3, 4)))
    assert metrics["auroc/standardized/a_less_b"] == 0 and len(drawn["auroc/raw/a_less_b"]) == 60
    assert metrics["imbalance/a_to_b"] == pytest.approx(2 / COUNT)
    assert metrics["cka/last"] == pytest.approx(1) and metrics["procrustes/last"] == pytest.approx(1)
    assert 0 < metrics["procrustes_chance/last"] < 1
    assert metrics["hubness/never/a"] == metrics["hubness/never/b"] < 1
    stages = load_arrays(tmp_path / "out" / "stages.npz")
    assert stages["stages_a"].tolist() == stages["stages_b"].tolist() == ["C5"] and stages["cka"].shape == (1, 1)
    assert said == ["Whether neighbors share a class cannot be said: all have one class.", "Something of both looks."]


def test_networks_of_two_architectures(tmp_path: Path) -> None:
    metrics, said, drawn = paired(tmp_path, look(tmp_path / "b", 9, (6, 8), "stage4"))
    assert not [name for name in [*metrics, *drawn] if name.startswith("auroc")]
    assert metrics["imbalance/a_to_b"] < 0.9
    assert 0.5 < metrics["cka/last"] < 1  # both are the image's number and noise
    assert said[-3:] == [
        "{b}: One thing.",
        "The last stages have other grids ({a} 3 x 4 cells, {b} 6 x 8), and what a cell covers decides how well it "
        "tells objects from the rest: the two are not compared by that.",
        "The two have different architectures: neighbors and activations are of their last stages alone.",
    ]


def predicted(images: ImageSet, right: float) -> dict[str, np.ndarray]:
    """The first box of the first share `right` of the images, by their names, and a wrong one in the others."""
    number = np.array([int(str(name)[1:]) for name in images.image_ids])
    boxes = np.array([images.boxes_of(k).source_xyxy[0] for k in range(len(images))], np.float32)
    boxes[number >= right * COUNT] += 200
    columns = {"image_index": np.arange(len(images)), "boxes_xyxy": boxes, "labels": np.zeros(len(images), int)}
    return columns | {"scores": np.full(len(images), 0.9, np.float32)}


def test_folds_of_every_seed_come_together_by_the_names_of_images(tmp_path: Path) -> None:
    """Seeds deal other folds; every image is tested once by each."""
    whole = image_set(COUNT, 20, 20, boxes=BOXES)
    whole.write(tmp_path / "images")
    inputs = {"images": tmp_path / "images"}
    for seed in (0, 1):
        order = np.random.default_rng(seed).permutation(COUNT)
        for fold, rows in enumerate((np.sort(order[:10]), np.sort(order[10:]))):
            folder = tmp_path / f"view-{seed}{fold}"
            whole.write_rows(folder, tmp_path / "images", rows)
            inputs[f"test{seed}_{fold}"] = folder
            for role, right in (("a", 0.75), ("b", 0.25)):
                of = tmp_path / f"{role}{seed}"
                of.mkdir(exist_ok=True)
                save_arrays(of / f"predictions{fold}.npz", predicted(ImageSet.open(folder), right))
                inputs[f"{role}{seed}"] = of
    (tmp_path / "out").mkdir()
    settings = ContentsSettings("detect", "voc-area", (0, 1), folds=2, most=2000, threads=1)
    metrics = contents(settings, None, inputs, tmp_path / "out", silent)
    of = load_arrays(tmp_path / "out" / "contents.npz")
    assert metrics["images/scored"] == COUNT and metrics["images/ahead_b"] == 0
    assert metrics["images/ahead_a"] == COUNT / 2, "the images from a quarter on to three quarters"
    objects = np.array([len(own) for own in BOXES])
    # One of the image's objects is found, and nothing else said: AP is the recall, 1 / objects.
    for role, right in (("a", 18), ("b", 6)):
        expected = np.where(np.arange(COUNT) < right, 1 / objects, 0)
        np.testing.assert_allclose(of[f"score_{role}"], np.stack([expected, expected]))
    assert of["curve/count/n"].tolist() == [8, 8, 8] and of["curve/count/edges"].tolist() == [1, 2, 3, np.inf]
    assert (of["curve/count/a"] > of["curve/count/b"]).all()
    wrong = load_arrays(tmp_path / "out" / "errors.npz")
    assert wrong["errors/background/a"].shape == (2, 401)
    # Boxes that were moved lie where nothing is: a quarter of a's, three quarters of b's, one an image.
    for role, right in (("a", 18), ("b", 6)):
        np.testing.assert_allclose(wrong[f"errors/background/{role}"][:, 0], (COUNT - right) / objects.sum(), rtol=0.25)
    assert sorted(of["found_a/index"].tolist()) == list(range(COUNT)), "of the first seed, over its folds"
    assert json.loads((tmp_path / "out" / "said.json").read_text()) == []
