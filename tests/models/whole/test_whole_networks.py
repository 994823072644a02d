"""Networks of transformers as whole detectors: what is counted on from it, and that every tensor is accounted for."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from headstart.errors import WeightsError
from headstart.models.detection.targets import Targets
from headstart.models.whole.augmenting import Changes
from headstart.models.whole.detector import WholeDetector
from headstart.models.whole.families import FAMILIES, PRIOR_LOGIT, Family, InputSize
from headstart.models.whole.network import Whole, counted, module_of
from headstart.recipes.schema import recipe_of
from headstart.tasks.copying import copy_into
from headstart.tasks.starts import start_of
from headstart.tasks.transfer import assembled, load_model, model_facts, save_model
from headstart.weights.cards import resolve
from headstart.weights.starts import CopySettings, StartPlace, StartSettings
from support.whole.small import published, small_folder, small_network

pytest.importorskip("transformers")
GOLDEN = {
    # tensors, those of other shapes for another number of classes, bias of fresh classes for 5 classes
    "rt_detr_v2": (818, 27, -math.log(5)),
    "d_fine": (1245, 27, -math.log(5)),
    "rf_detr": (499, 28, -math.log(99)),
    "lw_detr": (423, 28, -math.log(99)),
    "deformable_detr": (585, 12, None),
    "detr": (530, 2, None),
}
"""Of transformers 5.24, by the configurations that its families have by default. None: linear layers as torch begins
them, about 0."""
RECIPE: dict[str, Any] = {"name": "r", "updates": 2, "batch_size": 2, "lr": 1.0, "head": "whole"}


def classes_of(network: Any, family: Family) -> dict[str, Tensor]:
    beginnings = tuple(name for name, _ in family.classes)
    return {name: value for name, value in network.state_dict().items() if name.startswith(beginnings)}


def test_what_transformers_has_is_what_it_had():
    """Numbers of tensors, which are of classes, what classes begin with: an upstream change is seen here."""
    for name, (tensors, reshaped, _) in GOLDEN.items():
        family = FAMILIES[name]
        kind = getattr(module_of(family), f"{family.network}ForObjectDetection")
        with torch.device("meta"):
            many, few = (kind(published(name)(num_labels=k)).state_dict() for k in (80, 3))
        differing = {n for n in many if many[n].shape != few[n].shape}
        assert (len(many), len(differing), many.keys() == few.keys()) == (tensors, reshaped, True), name
        with torch.device("meta"):
            assert differing == set(classes_of(kind(published(name)(num_labels=3)), family)), name


@pytest.mark.parametrize("name", FAMILIES)
def test_images_reach_the_end_of_a_fresh_backbone_and_all_of_it_trains(name: str):
    """transformers begins D-FINE's convolutions so small that frozen norms end at 1e-12, and freezes its own ResNets in
    DETR and Deformable DETR: random values found the same in all images, and no backbone of these two was trained."""
    network = small_network(name)
    backbone = network.get_submodule(FAMILIES[name].inner).eval()
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    last = [module for module in backbone.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)][-1]
    seen: list[Tensor] = []
    last.register_forward_hook(lambda module, taken, given: seen.append(given))
    with torch.no_grad():
        backbone(torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert seen[0].std(0).mean() > 0.01


@pytest.mark.slow
def test_classes_begin_in_transformers_as_they_did():
    """With other priors than ours, which is why ours are set."""
    for name, (_, _, bias) in GOLDEN.items():
        biases = [v for n, v in classes_of(small_network(name), FAMILIES[name]).items() if n.endswith("bias")]
        if bias is None:
            assert float(torch.cat(biases).abs().max()) < 0.3, name
        else:
            assert all(torch.allclose(v, torch.full_like(v, bias), atol=1e-4) for v in biases), name


def begun(folder: Path, seed: int = 0) -> Any:
    spec = resolve(f"file:{folder}#whole")
    place = StartPlace("", spec, True)
    return start_of(StartSettings(spec.identity()), place, None, seed, copied=CopySettings("detector"))


SOME = ("rt_detr_v2", "rf_detr")
"""Families that the slow suite trains; the nightly one all."""
QUICK = ("rt_detr_v2", "detr")
"""Families that the short suite loads."""


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in FAMILIES])
def test_every_tensor_is_copied_or_fresh(name, tmp_path):
    """Of each family: all but the class layers bit by bit; these at the prior .01 (a softmax at 0), the same for the
    same seed."""
    family = FAMILIES[name]
    folder = small_folder(tmp_path / name, name)
    old = small_network(name).state_dict()
    start, spec, report = begun(folder)
    assert report.coverage == 1 and not report.missing and not report.left_over
    assert (spec.preprocessing, spec.licence) == (family.preprocessing, "not stated")
    model = assembled(start, "detect", recipe_of(RECIPE), 2, size_hw=(64, 96), seed=5)
    proof = copy_into(model, start.copying, ("ring", "blob"))
    now, fresh = counted(model), 0
    for own, value in now.items():
        place = own.removeprefix("rest.")
        theirs = f"{family.inner}.{own.removeprefix('backbone.')}" if own.startswith("backbone.") else place
        if place.startswith(tuple(n for n, _ in family.classes)):
            fresh += 1
            if own.endswith("bias"):
                assert torch.allclose(value, torch.full_like(value, 0.0 if family.softmax else PRIOR_LOGIT)), own
        else:
            assert torch.equal(value, old[theirs]), own
    assert fresh > 0 and proof.keys == len(now) == sum(map(sum, proof.parts.values()))
    assert proof.parts["classes"] == (0, 0, fresh) and not proof.fresh
    assert proof.parts["backbone"][2] == proof.parts["head"][2] == 0
    again = assembled(begun(folder, seed=9)[0], "detect", recipe_of(RECIPE), 2, size_hw=(64, 96), seed=5)
    layer = f"rest.{family.classes[0][0]}"
    same = [torch.equal(v, again.state_dict()[k]) for k, v in model.state_dict().items() if k.startswith(layer)]
    assert same and all(same)


@pytest.mark.slow
def test_a_file_of_another_network_is_refused(tmp_path):
    """Whatever its `config.json` says, every tensor has to be there, in its shape, and be a number."""
    folder = small_folder(tmp_path, "detr")
    told = json.loads((folder / "config.json").read_text())
    for change, said in (
        (
            {"decoder_layers": 3},
            r"lacks \d+ tensors \(model\.decoder\.layers\.2\..*json beside it describes",
        ),
        ({"num_queries": 21}, r"has 1 of another shape \(model\.query_position_embeddings\.weight\)"),
        ({"activation_function": "none such"}, "no DETR can be built of this configuration"),
        ({"d_model": "wide"}, "a configuration that no DETR can have"),
    ):
        (folder / "config.json").write_text(json.dumps(told | change))
        with pytest.raises(WeightsError, match=said):
            begun(folder)
    (folder / "config.json").write_text(json.dumps(told))
    values = load_file(folder / "model.safetensors")
    values["class_labels_classifier.bias"][0] = float("nan")
    save_file(values, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"class_labels_classifier\.bias holds NaN"):
        begun(folder)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(WeightsError, match="cannot be read as a DETR"):
        begun(folder)


TRUTH = Targets(
    [torch.tensor([[10.0, 10, 30, 40]]), torch.zeros(0, 4)],
    [torch.tensor([1]), torch.zeros(0, dtype=torch.long)],
    seeds=torch.tensor([3, 2**61]),
)


LATER = [pytest.param(n, marks=pytest.mark.slow if n in SOME else pytest.mark.nightly) for n in FAMILIES]


@pytest.mark.parametrize("name", LATER)
def test_losses_repeat_and_reach_every_parameter(name, tmp_path):
    """What is drawn follows from the images' numbers; torch's own generator is left as it was."""
    network = small_network(name, dropout=0.1)
    whole = Whole(network.config, FAMILIES[name], InputSize(64))
    model = WholeDetector(whole, 3, Changes(0.5, 0.8, 0.5, scales=(1.0, 1.5)))
    images = torch.rand(2, 3, 48, 80)
    before = torch.get_rng_state()
    first, second = (model.losses(images, TRUTH)["detection"] for _ in range(2))
    assert torch.equal(first, second) and torch.equal(before, torch.get_rng_state())
    first.backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == (["backbone.embeddings.mask_token"] if name == "rf_detr" else [])
    changed = Targets(TRUTH.boxes_xyxy, TRUTH.labels, seeds=torch.tensor([4, 5]))
    assert not torch.equal(first, model.losses(images, changed)["detection"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rt_detr_v2", "detr"])
def test_detections_are_those_of_transformers_own_processors(name):
    from transformers import DetrImageProcessor, RTDetrImageProcessor

    network = small_network(name)
    model = WholeDetector(Whole(network.config, FAMILIES[name], InputSize(64)), 3).eval()
    images = torch.rand(2, 3, 64, 96)
    found = model.detect(images)
    with torch.no_grad():
        out = model.rest(
            pixel_values=torch.nn.functional.interpolate(images, (64, 64), mode="bilinear", antialias=True)
        )
    processor = (DetrImageProcessor if name == "detr" else RTDetrImageProcessor)()
    theirs = processor.post_process_object_detection(out, threshold=0.0, target_sizes=[(64, 96)] * 2)
    for ours, other in zip(found, theirs, strict=True):
        scores, _ = other["scores"].sort(descending=True, stable=True)
        count = min(len(scores), len(ours.scores))  # as many as there are queries; ours go on
        assert count == 20 and torch.allclose(ours.scores[:count], scores[:count])
        for score, label, box in zip(ours.scores[:count], ours.labels, ours.boxes_xyxy, strict=False):
            alike = (other["scores"] - score).abs() < 1e-6  # equal scores have no order
            boxes = torch.minimum(other["boxes"][alike].clamp(min=0), torch.tensor([96.0, 64, 96, 64]))
            near = (boxes - box).abs().amax(1) < 1e-3
            assert bool((near & (other["labels"][alike] == label)).any())


@pytest.mark.slow
def test_a_saved_model_needs_nothing_but_its_folder(tmp_path):
    folder = small_folder(tmp_path / "weights", "rt_detr_v2", side=96)
    start, _, _ = begun(folder)
    recipe = recipe_of(RECIPE)
    model = assembled(start, "detect", recipe, 2, size_hw=(64, 96), seed=5)
    copy_into(model, start.copying, ("a", "b"))
    images = as_set((64, 96), ("a", "b"))
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", model, model_facts(start, "detect", recipe, images, resize="stretch"))
    (folder / "config.json").unlink()
    loaded = load_model(tmp_path / "model")
    assert loaded.classes == ("a", "b")
    pixels = torch.rand(2, 3, 64, 96)
    ours, theirs = model.eval().detect(pixels), loaded.model.detect(pixels)
    assert all(torch.equal(a.scores, b.scores) for a, b in zip(ours, theirs, strict=True))


def as_set(size_hw, classes):
    from types import SimpleNamespace

    import numpy as np

    return SimpleNamespace(images=np.zeros((1, *size_hw, 3), np.uint8), box_classes=np.array(classes))
