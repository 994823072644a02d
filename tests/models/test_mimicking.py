"""Feature mimicking: patches and losses by hand, what gradients reach, and that training lowers it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.detection import mimicking
from headstart.models.detection.mimicking import Mimicking, cut_out, norms_at_rest
from headstart.models.detection.roi_heads import Chosen, with_image
from headstart.models.detection.targets import Targets
from headstart.models.detection.two_stage import TwoStageDetector, TwoStageSettings
from headstart.progress import silent
from headstart.recipes.schema import recipe_of
from headstart.tasks.transfer import Start, fit
from headstart.world.shapes import draw_set

NECKS = {
    "plain": TwoStageSettings("plain", ("C5",), 8, proposals=12, rois=8, mimic=True),
    "fpn": TwoStageSettings("fpn", ("C4", "C5"), 8, proposals=12, rois=8, mimic=True),
    "c4": TwoStageSettings("c4", ("C5",), 8, proposals=12, rois=8, mimic=True),
    "dc5": TwoStageSettings("dc5", ("C5",), 8, proposals=12, rois=8, mimic=True, roi_pool="deform-modulated"),
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def detector(neck: str) -> TwoStageDetector:
    return TwoStageDetector(build_backbone("shapes-resnet"), 3, NECKS[neck], 64)


def truth(count: int, *boxes: list[float]) -> Targets:
    some = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Targets([some] * count, [torch.arange(len(some)) % 3] * count)


def test_a_patch_is_the_image_in_the_box_stretched():
    images = torch.rand(2, 3, 64, 96)
    whole = torch.tensor([[[16.0, 0, 80, 64]], [[0, 0, 32, 64]]])
    patches = cut_out(images, whole)
    assert patches.shape == (2, 3, 64, 64)
    assert torch.allclose(patches[0], images[0, :, :, 16:80], atol=1e-6)  # as large as a patch: as it is
    wide = F.interpolate(images[1:, :, :, :33], (64, 66), mode="bilinear", align_corners=False)
    assert torch.allclose(patches[1, :, :, :63], wide[0, :, :, :63], atol=1e-6)
    assert cut_out(torch.rand(1, 3, 300, 400), whole[:1]).shape[2:] == (224, 224)
    assert torch.isfinite(cut_out(images, torch.zeros(2, 1, 4))).all()


def test_losses_by_hand():
    part = Mimicking(2, 3, 5)
    torch.nn.init.zeros_(part.classes.weight)
    boxes = torch.rand(1, 5, 4)
    chosen = Chosen(boxes, torch.tensor([[0, 2, 3, 1, 3]]), boxes, torch.tensor([[1.0, 1, 1, 0, 0]]))
    features = torch.tensor([[1.0, 0], [0, 2], [5, 5], [7, 7], [7, 7]])
    patches = torch.tensor([[3.0, 0], [1, 1], [9, 9], [9, 9], [9, 9]])  # of the two objects first
    seen: list[int] = []

    def read(images: Tensor) -> Tensor:
        seen.append(len(images))
        return patches

    losses = part.losses(torch.rand(1, 3, 64, 64), chosen, features, truth(1), read=read)
    assert seen == [5]  # whatever the number of objects
    assert losses["mimic"].item() == pytest.approx(0.1 * (0 + (1 - 2**-0.5)) / 2)
    assert losses["mimic_classes"].item() == pytest.approx(0.1 * math.log(3))
    same = part.losses(torch.rand(1, 3, 64, 64), chosen, features, truth(1), read=lambda _: features * 4)
    assert same["mimic"].item() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("neck", NECKS)
def test_an_object_that_fills_the_image_is_its_own_patch(neck: str):
    model = detector(neck)
    with norms_at_rest(model):
        image = torch.rand(1, 3, 64, 64)
        box = torch.tensor([[[0.0, 0, 64, 64]]])
        chosen = Chosen(box, torch.tensor([[1]]), box, torch.ones(1, 1))
        x = model.patch_features(image)
        assert model.mimic is not None
        model.mimic.count = 1
        losses = model.mimic.losses(image, chosen, x, truth(1), read=model.patch_features)
        assert losses["mimic"].item() == pytest.approx(0, abs=1e-6)
        corner = box / 4
        x = model.features(model.head.pool(model.maps(image), torch.tensor([[0.0, 0, 0, 16, 16]])))
        losses = model.mimic.losses(image, chosen._replace(boxes=corner), x, truth(1), read=model.patch_features)
        assert losses["mimic"].item() > 1e-5  # the corner within its image is not the corner alone


@pytest.mark.parametrize("neck", NECKS)
def test_gradients_of_mimicking_reach_the_backbone_and_norms_rest(neck: str):
    model = detector(neck)
    image, some = torch.rand(2, 3, 64, 64), truth(2, [4, 4, 40, 44], [30, 20, 60, 60])
    model.losses(image, some)
    before = {k: v.clone() for k, v in model.named_buffers()}
    losses = model.losses(image, some)
    assert losses["mimic"].item() > 0 and losses["mimic_classes"].item() > 0
    (losses["mimic"] + losses["mimic_classes"]).backward()
    for name in ("conv1", "layer1.0.conv1", "layer4.0.conv2"):
        gradient = model.backbone.get_submodule(name).weight.grad
        assert gradient is not None and float(gradient.abs().sum()) > 0, name
    assert all(m.training for m in model.modules())
    with norms_at_rest(model):
        assert not any(m.training for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d))
        model.patch_features(image)
    after = {k: v.clone() for k, v in model.named_buffers()}
    model.patch_features(image)
    rested = {k: v for k, v in after.items() if k.endswith("num_batches_tracked")}
    assert rested and all(int(v) == int(before[k]) + 1 for k, v in rested.items())  # the images, not the patches
    assert any(int(dict(model.named_buffers())[k]) == int(v) + 1 for k, v in rested.items())


def test_batches_without_objects_have_no_mimic_loss_and_all_gradients():
    model = detector("plain")
    losses = model.losses(torch.rand(2, 3, 64, 64), truth(2))
    assert losses["mimic"].item() == losses["mimic_classes"].item() == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters())  # processes that train together must agree on that


def test_mimicking_is_no_part_of_inference_and_for_two_stages_only():
    model = detector("plain").eval()
    calls: list[int] = []
    model.mimic.register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr]
    model.patch_features = lambda patches: calls.append(2)  # type: ignore[assignment, method-assign, return-value]
    model.detect(torch.rand(1, 3, 64, 64))
    assert not calls
    plain = {"name": "x", "updates": 1, "batch_size": 1, "lr": 1.0}
    with pytest.raises(ValueError, match='head "fcos" has no such setting; head "faster-rcnn" has'):
        recipe_of(dict(**plain, head="fcos", mimic=True))


def mimic_loss(model: TwoStageDetector, images: ImageSet) -> float:
    """Mean over images of 1 - cosine, of the true boxes, in evaluation mode."""
    batch = Batches(images, len(images), 0, False, quarter_turns=False).batch(0)
    pixels, found = Preprocessing().apply(batch.images), []
    assert model.mimic is not None
    for i, boxes in enumerate(batch.boxes_xyxy):
        model.mimic.count = len(boxes)
        chosen = Chosen(boxes[None], batch.box_labels[i][None], boxes[None], torch.ones(1, len(boxes)))
        image = pixels[i : i + 1]
        x = model.features(model.head.pool(model.maps(image), with_image(boxes[None])))
        losses = model.mimic.losses(
            image, chosen, x, Targets([boxes], [batch.box_labels[i]]), read=model.patch_features
        )
        found.append(losses["mimic"].item() / mimicking.WEIGHT)
    return sum(found) / len(found)


@pytest.mark.slow
def test_training_lowers_the_mimic_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Within the training, and against the same training in which it counts nothing."""
    draw_set("base", 8, 0, 64, out=tmp_path, progress=silent)
    images = ImageSet.open(tmp_path)
    recipe = recipe_of(
        {
            "name": "mimic",
            "updates": 30,
            "batch_size": 4,
            "lr": 2e-3,
            "warmup": 5,
            "head": "faster-rcnn",
            "channels": 8,
            "proposals": 20,
            "rois": 8,
            "mimic": True,
        }
    )
    losses = {}
    for weight in (0.1, 0.0):
        monkeypatch.setattr(mimicking, "WEIGHT", weight)
        torch.manual_seed(0)
        start = Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=True)
        state = tmp_path / f"state{weight}"
        state.mkdir()
        model, curve = fit(start, "detect", images, recipe, seed=0, state_dir=state, progress=silent)
        if weight:
            values = curve.values[:, curve.names.index("mimic")]
            assert values[-5:].mean() < 0.5 * values[:5].mean()
        monkeypatch.setattr(mimicking, "WEIGHT", 0.1)
        losses[weight] = mimic_loss(model, images)  # type: ignore[arg-type]
    assert losses[0.1] < 0.7 * losses[0.0], losses
