"""Every head trained and asked on a device: on the pretended one with the CPU's bits, on a GPU with numbers near them.

A tensor that stays behind on the CPU is refused, and a device's memory that does not suffice names the settings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.batches.image_sets import ImageSet
from headstart.errors import TrainingError
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.detection import fcos
from headstart.progress import silent
from headstart.recipes.schema import recipe_of
from headstart.tasks.transfer import Start, fit
from headstart.train.memory import memory_for_images
from headstart.world.shapes import draw_set
from support.devices.device_list import HEADS, VARIANTS, trained
from support.devices.pretend_device import PretendTensor, pretended

CPU = torch.device("cpu")


@pytest.fixture
def device():
    with pretended() as device:
        yield device


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    out = tmp_path_factory.mktemp("drawn")
    draw_set("base", 8, 0, 48, out=out, progress=silent)
    return ImageSet.open(out)


CASES = [(head, variant) for head in HEADS for variant in VARIANTS if variant != "sync" or head in ("pixel", "fcos")]


@pytest.mark.parametrize(("head", "variant"), CASES)
def test_every_head_has_the_cpu_s_bits(drawn, tmp_path, device, head, variant):
    there = trained(head, variant, drawn, device, tmp_path / "there")
    here = trained(head, variant, drawn, CPU, tmp_path / "here")
    assert np.array_equal(there.losses, here.losses)
    assert there.tensors.keys() == here.tensors.keys()
    assert all(torch.equal(tensor, here.tensors[name]) for name, tensor in there.tensors.items())
    assert all(np.array_equal(values, here.predictions[name]) for name, values in there.predictions.items())
    assert head == "retinanet" or all(len(values) for values in there.predictions.values())


def test_batches_made_ahead_by_other_processes_change_no_bit(drawn, tmp_path, device):
    ahead = trained("fcos", "plain", drawn, device, tmp_path / "ahead", loaders=2)
    here = trained("fcos", "plain", drawn, CPU, tmp_path / "here")
    assert np.array_equal(ahead.losses, here.losses)


def test_what_company_is_refused(device):
    there = torch.arange(3.0, device=device)
    other = torch.zeros(3, device="pretend:0")
    for mixed in (
        lambda: there + torch.zeros(3),
        lambda: there + other,
        lambda: torch.stack([there.sum(), torch.tensor(1.0)]),
        lambda: torch.zeros(3)[there.long()],
        lambda: torch.nn.functional.l1_loss(there, torch.zeros(3)),
    ):
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            mixed()
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()
    assert (there * torch.tensor(2.0)).tolist() == [0, 2, 4]
    assert there[torch.tensor([2, 0])].tolist() == [2, 0]
    assert there.to("pretend:0").device.index == 0 and isinstance(there, PretendTensor)


def test_a_tensor_left_on_the_cpu_in_a_loss_is_caught(drawn, tmp_path, device, monkeypatch):
    monkeypatch.setattr(fcos, "assign", lambda *args, assign=fcos.assign, **more: _on_cpu(assign(*args, **more)))
    trained("fcos", "plain", drawn, CPU, tmp_path / "here")
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        trained("fcos", "plain", drawn, device, tmp_path / "there")


def _on_cpu(values):
    return tuple(value.cpu() for value in values)


def exhausting(part, backward: bool):
    """Let a layer run out of memory, in its forward or its backward pass."""

    def exhausted(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.\nmore lines")

    part.register_full_backward_hook(exhausted) if backward else part.register_forward_hook(exhausted)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    ("batch_norm", "words"),
    [
        ("train", r"Lower `batch_size` \(now 4\).*`accumulate` \(now 2\) would change what batch norm"),
        ("group", r"Raise `accumulate` \(now 2\).*Or lower `batch_size` \(now 4\)"),
    ],
)
def test_out_of_memory_names_the_setting_to_change(drawn, tmp_path, batch_norm, words, backward):
    start = Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=True)
    exhausting(start.backbone.layer3, backward)
    recipe = recipe_of(
        {
            "name": "test",
            "updates": 1,
            "batch_size": 4,
            "accumulate": 2,
            "lr": 1e-3,
            "head": "linear",
            "batch_norm": batch_norm,
            "reestimate_batch_norm": False,
        }
    )
    with pytest.raises(TrainingError, match=words) as caught:
        fit(start, "classify", drawn, recipe, seed=5, state_dir=tmp_path, progress=silent)
    assert "training on 2 images of 48 x 48 pixels (CUDA out of memory. Tried" in str(caught.value)
    assert "more lines" not in str(caught.value)


def test_out_of_memory_before_training_and_without_it(drawn, tmp_path):
    start = Start(build_backbone("shapes-resnet"), "shapes-resnet", Path(), Preprocessing(), is_random=True)
    exhausting(start.backbone.layer3, backward=False)
    recipe = recipe_of({"name": "test", "updates": 1, "batch_size": 4, "lr": 1e-3, "head": "linear"})
    with pytest.raises(TrainingError, match="batch-norm statistics of 4 images of 48 x 48 pixels"):
        fit(start, "classify", drawn, recipe, seed=5, state_dir=tmp_path, progress=silent)
    with pytest.raises(TrainingError, match=r"features of 64 x 32 pixels.*smaller images, or do"):  # noqa: SIM117
        with memory_for_images("features", (32, 64)):
            raise torch.OutOfMemoryError


@pytest.mark.gpu
@pytest.mark.parametrize(("head", "variant"), CASES)
def test_every_head_on_a_real_gpu(drawn, tmp_path, head, variant):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    torch.backends.cudnn.allow_tf32 = False
    there = trained(head, variant, drawn, torch.device("cuda", 0), tmp_path / "there")
    here = trained(head, variant, drawn, CPU, tmp_path / "here")
    assert np.isfinite(there.losses).all()
    # After the first update rounding may exchange samples, and rates warm up: only the first loss has to be near.
    assert np.allclose(there.losses[0], here.losses[0], rtol=0.05 if variant == "bf16" else 1e-3, atol=1e-3)
