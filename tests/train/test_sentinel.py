"""The sentinel: every seeded fault is stopped in the first updates and named; the same bits with and without it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headstart.batches.batch import Batch
from headstart.batches.image_sets import ImageSet
from headstart.errors import Interrupted
from headstart.models.backbones.preprocessing import IMAGENET
from headstart.models.detection.fcos import FcosDetector
from headstart.models.detection.targets import POSITIVES
from headstart.study.jobs import as_json
from headstart.train import saving
from headstart.train.forward import NotFinite
from headstart.train.sentinel import Alarm, Known, look_at_start, window_of
from headstart.train.state import model_tensors
from headstart.train.watch import heads, truth
from support.sentinel import runs
from support.together import run_two


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return runs.drawn(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def trained(images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    return runs.trained_backbone(images, tmp_path_factory.mktemp("trained"))


def test_one_update_in_a_hundred_is_watched_and_five_at_least() -> None:
    assert [window_of(updates) for updates in (3, 500, 501, 1500, 90_000)] == [5, 5, 6, 15, 900]


@pytest.mark.parametrize("name", runs.FAULTS)
def test_a_fault_is_named(images: ImageSet, trained: nn.Module, tmp_path: Path, name: str) -> None:
    fault, run = runs.faults(images, trained)[name]
    if fault == "numbers beyond the precision":  # what cannot be gone on from either way
        with pytest.raises(NotFinite, match=f"Likely cause: {fault}.*half precision holds"):
            run.train(tmp_path / "run")
        return
    with pytest.raises(Alarm) as alarm:
        run.train(tmp_path / "run")
    said = str(alarm.value)
    assert alarm.value.measure.fault == fault and f"Likely cause: {fault}" in said
    assert "sentinel = false" in said and ("before the first update" in said or str(tmp_path / "run") in said)


class Glaring:
    """Batches of the images, some of which are of noise from black to white."""

    batch_size = 16

    def __init__(self, images: ImageSet, glaring: set[int]) -> None:
        self.count, self.images, self.glaring, self.asked = len(images), images, glaring, list[int]()

    def batch(self, t: int, part: slice) -> Batch:
        self.asked.append(t)
        shape = self.images.images[part].shape
        noise = 255 * np.random.default_rng(t).integers(0, 2, shape, dtype=np.uint8)
        pixels = torch.from_numpy(noise if t in self.glaring else np.array(self.images.images[part]))
        none = torch.full((len(pixels),), -1)
        return Batch(pixels.permute(0, 3, 1, 2), [], [], none, None, [""] * len(pixels))


@pytest.mark.parametrize(
    ("glaring", "asked", "alarm"),
    [(set(), 1, False), ({0}, 5, False), ({0, 1}, 5, False), ({0, 1, 4}, 5, True), ({1, 2, 3, 4}, 1, False)],
)
def test_some_odd_images_are_no_fault_of_the_weights(
    images: ImageSet, trained: nn.Module, glaring: set[int], asked: int, alarm: bool
) -> None:
    source, recipe = Glaring(images, glaring), runs.Run("linear", images, trained, False).recipe()
    with pytest.raises(Alarm, match="batch norms get deviations") if alarm else nullcontext():
        look_at_start(trained, source, IMAGENET, recipe)  # type: ignore[arg-type]
    assert len(source.asked) == asked


@pytest.mark.parametrize("head", runs.HEADS)
def test_no_bit_depends_on_it(images: ImageSet, trained: nn.Module, tmp_path: Path, head: str) -> None:
    loaded = head in ("linear", "fcos")
    backbone = trained if loaded else runs.random_backbone()
    short = {"updates": 2, "warmup": 1, "batch_size": 4, "accumulate": 2 if loaded else 1}
    ends = []
    for sentinel in (True, False):
        run = runs.Run(head, images, backbone, not loaded, changes=short | {"sentinel": sentinel})
        model, curve = run.train(tmp_path / str(sentinel))
        ends.append((curve.values, model_tensors(model), torch.get_rng_state()))
    assert np.array_equal(ends[0][0], ends[1][0]) and torch.equal(ends[0][2], ends[1][2])
    assert all(torch.equal(tensor, ends[1][1][name]) for name, tensor in ends[0][1].items())


def test_it_is_in_no_key_and_in_no_file_unless_it_is_off(images: ImageSet) -> None:
    recipe = runs.Run("linear", images, nn.Identity(), True).recipe()
    off = recipe.model_copy(update={"sentinel": False})
    assert as_json(recipe) == as_json(off) and "sentinel" not in recipe.model_dump()
    assert off.model_dump()["sentinel"] is False


def test_a_stopped_training_goes_on_without_it_from_its_state(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rate that is far too high is seen after an update; the state of that update is kept, and gone on from."""
    monkeypatch.setattr(saving, "SAVE_EVERY_SECONDS", 0.0)
    run = runs.Run("linear", images, runs.random_backbone(), True, changes={"lr": 0.3, "updates": 5, "warmup": 2})
    for update in (1, 2):  # the same command again goes on from the state, and comes to the same end
        said = rf"update {update} of 5: .*learning rate too high.*the state of {update} updates is kept in"
        with pytest.raises(Alarm, match=said):
            run.train(tmp_path / "run")
    off = replace(run, changes=run.changes | {"sentinel": False})
    _, gone_on = off.train(tmp_path / "run")
    _, whole = off.train(tmp_path / "whole")
    assert np.array_equal(gone_on.values, whole.values) and len(whole.values) == 5


def test_a_rate_that_is_tried_among_others_may_be_too_high(images: ImageSet, tmp_path: Path) -> None:
    run = runs.Run("linear", images, runs.random_backbone(), True, changes={"lr": 0.3})
    with pytest.raises(Interrupted):
        run.train(tmp_path / "run", searched=True)


def test_images_in_the_order_of_their_classes_are_noticed(images: ImageSet, tmp_path: Path) -> None:
    images = replace(images, image_labels=(np.arange(len(images)) % 2).astype(np.int32))
    with runs.sorted_by_class(images), pytest.raises(Alarm, match=r"only one class.*they are not shuffled"):
        runs.Run("linear", images, runs.random_backbone(), True).train(tmp_path / "run")


def test_losses_that_are_expected_are_those_of_the_head(images: ImageSet) -> None:
    """By hand: with p = .01 a negative costs .75 * .01^2 * -log .99 and a positive .25 * .99^2 * -log .01."""
    negative, positive = 0.75 * 1e-4 * -np.log(0.99), 0.25 * 0.99**2 * -np.log(0.01)
    assert heads.focal(1000, 10) == pytest.approx((990 * negative + 10 * positive) / 10)
    assert heads.focal(1000, 0) == pytest.approx(1000 * negative)
    run = runs.Run("fcos", images, runs.random_backbone(), True)
    torch.manual_seed(0)
    model = FcosDetector(run.backbone, 12, ("C5",), 16)
    expected = heads.expected_losses(model, None, {POSITIVES: 10.0}, 1000, parts=1)  # type: ignore[arg-type]
    assert expected["classes"] == pytest.approx(4 * heads.focal(1000, 10))
    assert expected["centerness"] == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("boxes", "bad"),
    [
        ([[1, 2, 8, 9]], []),
        ([[0, 0, 20, 10]], []),  # all of the image
        ([[0, 0, 20.3, 10.1]], []),  # what is rounded
        ([[5, 5, 3, 9]], ["boxes are x, y, width, height"]),
        ([[0.1, 0.2, 0.5, 0.9]], ["boxes are fractions of the image"]),
        ([[5, 5, 30, 9]], ["boxes are not in their images"]),
        ([[5, 5, 5, 9]], ["boxes are not in their images"]),
        ([], []),
    ],
)
def test_boxes_by_hand(boxes: list[list[float]], bad: list[str]) -> None:
    """In an image of 10 x 20."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    measures = truth.of_boxes(array, np.full((len(array), 2), (10, 20)), "")
    assert [m.fault for m in measures if m.bad] == bad


def test_few_images_and_padding_are_no_fault() -> None:
    black = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    assert not any(m.bad for m in truth.of_images(black)), "one black image may be"
    padded = torch.cat([black, black])
    padded[:, :, 4:] = torch.tensor(truth.PADDING).view(1, 3, 1, 1)
    assert [m.fault for m in truth.of_images(padded) if m.bad] == ["images are constant"]
    padded[:, :, 0, 0] = 9
    assert not any(m.bad for m in truth.of_images(padded))
    assert not any(m.bad for m in truth.of_targets("boxes", 9.0, 0.0)), "nine boxes may suit no anchor"
    assert [m.fault for m in truth.of_targets("boxes", 10.0, 0.0) if m.bad] == ["nothing to learn from"]


@pytest.mark.slow
def test_what_one_of_two_processes_sees_stops_both(tmp_path: Path) -> None:
    runs.drawn(tmp_path / "drawn")
    run_two(Path(runs.__file__).with_name("alarm_two.py"), tmp_path / "drawn", tmp_path)
    said = [(tmp_path / f"alarm{rank}.txt").read_text() for rank in (0, 1)]
    assert all("update 0 of 500" in words and "4 of 4 images have one color" in words for words in said)


def test_a_task_whose_truth_is_not_known_is_not_judged_by_it(images: ImageSet, tmp_path: Path) -> None:
    assert Known().reads is None
    assert truth.of_batch(_batch(images), None, 3)[-1].fault == "images are in 0..1"
    assert "class ids are out of range" in {m.fault for m in truth.of_batch(_batch(images), "labels", 3)}


def _batch(images: ImageSet):
    from headstart.batches.image_batches import Batches

    return Batches(images, 4, 0, False, quarter_turns=False).batch(0)
