"""Masks from several looks at an image: windows, scales, mirrored."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.config.inference import MaskInference
from headstart.models.backbones.building import build_backbone
from headstart.models.several_looks import SeveralLooks
from headstart.recipes.schema import recipe_of
from headstart.recipes.settings import faults_of
from headstart.tasks.segment import TASK


class WindowMean(nn.Module):
    """Logits of one class: everywhere the mean of what is seen."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3), keepdim=True)


def looked(network: nn.Module, images: Tensor, **inference: object) -> Tensor:
    with torch.no_grad():
        return SeveralLooks(network, MaskInference.model_validate(inference))(images)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    recipe = recipe_of({"name": "s", "updates": 4, "batch_size": 2, "lr": 1e-3, "channels": 8, "head": "deeplab"})
    return TASK.build(build_backbone("resnet18"), recipe, 5, (64, 96)).eval()


@pytest.mark.parametrize("inference", [{}, {"window": 96}, {"window": 500, "stride": 7}])
def test_one_window_of_the_whole_image_is_the_network_itself(network: nn.Module, inference: dict) -> None:
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(looked(network, images, **inference), network(images))


def test_windows_are_averaged_by_how_many_see_a_pixel() -> None:
    """Windows of 4 every 2 pixels in a row of 7: from 0, 2 and 3 on. A pixel's logit is the mean of the windows' means
    that it lies in: of 1.5, 3.5 and 4.5."""
    images = torch.arange(7.0).expand(1, 1, 4, 7)
    found = looked(WindowMean(), images, window=4, stride=2)
    wanted = [1.5, 1.5, (1.5 + 3.5) / 2, (1.5 + 3.5 + 4.5) / 3, (3.5 + 4.5) / 2, (3.5 + 4.5) / 2, 4.5]
    assert found.shape == (1, 1, 4, 7)
    torch.testing.assert_close(found[0, 0], torch.tensor(wanted).expand(4, 7))


def test_windows_in_both_directions_by_hand() -> None:
    """3 x 3 pixels, windows of 2, every pixel: four windows, the middle pixel in all of them."""
    images = torch.arange(9.0).reshape(1, 1, 3, 3)
    found = looked(WindowMean(), images, window=2, stride=1)[0, 0]
    assert found.tolist() == [[2.0, 2.5, 3.0], [3.5, 4.0, 4.5], [5.0, 5.5, 6.0]]


@pytest.mark.parametrize("inference", [{}, {"window": 48}, {"scales": [0.5, 1.0, 1.5]}])
def test_mirrored_looks_make_a_symmetric_answer_of_a_symmetric_image(network: nn.Module, inference: dict) -> None:
    half = torch.randn(1, 3, 64, 48)
    images = torch.cat([half, half.flip(-1)], -1)
    found = looked(network, images, flip=True, **inference)
    torch.testing.assert_close(found, found.flip(-1), rtol=1e-4, atol=1e-5)
    once = looked(network, images, **inference)
    assert not torch.allclose(once, once.flip(-1), rtol=1e-2)


def test_scales_are_enlarged_to_the_image_and_averaged(network: nn.Module) -> None:
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        small = network(F.interpolate(images, size=(32, 48), mode="bilinear", antialias=True))
        both = [F.interpolate(x, size=(64, 96), mode="bilinear") for x in (network(images), small)]
    torch.testing.assert_close(looked(network, images, scales=[1.0, 0.5]), (both[0] + both[1]) / 2)


@pytest.mark.parametrize(
    ("side", "begins"), [(7, [0, 2, 3]), (4, [0]), (3, [0]), (5, [0, 1]), (8, [0, 2, 4]), (6, [0, 2])]
)
def test_where_windows_begin(side: int, begins: list[int]) -> None:
    assert MaskInference(window=4, stride=2).begins(side) == begins
    assert MaskInference(window=4).begins(8) == [0, 2, 4]  # two thirds of it, rounded down


def test_what_looks_cost() -> None:
    assert MaskInference().looks((64, 96)) == 1
    assert MaskInference(flip=True, scales=(0.5, 1.0)).looks((64, 96)) == 2.5
    assert MaskInference(window=32, stride=32).looks((64, 96)) == 1
    assert MaskInference(window=32, stride=16).looks((64, 96)) == 3 * 5 / 6


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"stride": 4}, "stride: not read: it needs `window`"),
        ({"window": 4, "stride": 5}, "`stride` is at most `window`: else pixels between two windows are never seen"),
        ({"scales": [1.0, 1.0]}, "`scales`: one stands twice"),
        ({"flips": True}, "flips: there is no such setting; did you mean `flip`?"),
    ],
)
def test_what_fits_nothing_is_refused(values: dict, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        MaskInference.model_validate(values)
    assert said in "; ".join(faults_of(refused.value))
