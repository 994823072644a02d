"""FCN and DeepLabV3 on a dilated C5."""

from __future__ import annotations

import pytest
import torch

from headstart.errors import WeightsError
from headstart.models.backbones.building import build_backbone
from headstart.models.dilated_segmentation import DeepLab, Fcn
from headstart.recipes.schema import recipe_of
from headstart.tasks.segment import TASK

PLAIN = {"name": "s", "updates": 4, "batch_size": 2, "lr": 1e-3, "channels": 8}


def built(backbone: str = "resnet18", **settings: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return TASK.build(build_backbone(backbone), recipe_of(PLAIN | settings), 5, (64, 96))


@pytest.mark.parametrize("head", ["fcn", "deeplab"])
def test_logits_are_at_the_stride_of_c4_and_every_part_learns(head: str) -> None:
    model = built(head=head)
    images, masks = torch.randn(2, 3, 64, 96), torch.randint(0, 5, (2, 64, 96))
    assert model(images).shape == (2, 5, 4, 6)
    masks[0, :10] = 255
    model.losses(images, masks)["pixels"].backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    assert model.segment(images, (50, 70)).shape == (2, 50, 70)


def test_one_image_alone_can_be_trained_on() -> None:
    """The mean of an image has no norm, which would have a single value to be made of."""
    model = built(head="deeplab").train()
    assert torch.isfinite(model.losses(torch.randn(1, 3, 64, 64), torch.zeros(1, 64, 64).long())["pixels"])


def test_each_branch_looks_as_far_as_its_rate() -> None:
    """A change of one cell reaches the cells that are a rate away, and through the mean all others equally."""
    model = DeepLab(build_backbone("resnet18"), 3, 4, (1, 2, 3)).eval()
    maps = torch.zeros(1, 512, 9, 9, requires_grad=True)
    for branch, rate in zip(list(model.branches)[1:], (1, 2, 3), strict=True):
        (gradient,) = torch.autograd.grad(branch[0](maps)[0, :, 4, 4].sum(), maps)
        rows = sorted({int(k) for k in gradient.abs().sum((0, 1)).nonzero()[:, 0]})
        assert rows == [4 - rate, 4, 4 + rate]


def test_deformable_stages_are_changed_after_the_dilation() -> None:
    model = built(head="fcn", deformable=("C5",), modulated=False)
    assert isinstance(model, Fcn) and model.backbone.layer4[0].conv2.dilation == 2
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 5, 4, 4)


def test_a_backbone_without_such_a_c5_is_refused() -> None:
    with pytest.raises(WeightsError, match="head 'deeplab': a dilated C5 needs a backbone whose last stage is called"):
        built("convnext_atto", head="deeplab")
