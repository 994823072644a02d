"""Depthwise convolutions stay in fp32 where a CPU trains the rest in bf16."""

import copy

import pytest
import torch
from torch import nn

from headstart.train.depthwise import keep_depthwise, slow_in_bf16


def depthwise(size: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(8, 8, size, stride, size // 2, groups=8)


@pytest.mark.parametrize(
    ("conv", "slow"),
    [
        (depthwise(3, 2), True),
        (depthwise(5, 1), True),
        (depthwise(7, 2), True),
        (depthwise(3, 1), False),
        (nn.Conv2d(8, 8, 3, 2, 1, groups=4), False),
        (nn.Conv2d(1, 1, 3, 2, 1), False),
    ],
)
def test_which_they_are(conv, slow):
    assert slow_in_bf16(conv) == slow


def test_they_compute_in_fp32_and_their_neighbors_in_bf16():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), depthwise(3, 2), nn.Conv2d(8, 4, 1))
    x = torch.randn(2, 3, 9, 9)
    keep_depthwise(model)
    keep_depthwise(model)  # changes nothing
    seen: dict[int, torch.dtype] = {}
    for k, module in enumerate(model):
        module.register_forward_hook(lambda m, inputs, output, k=k: seen.update({k: inputs[0].dtype}))
    with torch.autocast("cpu", torch.bfloat16):
        y = copy.deepcopy(model)(x)
        inner = model[0](x)
        with torch.autocast("cpu", enabled=False):
            exact = nn.functional.conv2d(inner.float(), model[1].weight, model[1].bias, 2, 1, 1, 8)
        torch.testing.assert_close(model[1](inner).float(), exact, rtol=2**-8, atol=1e-6)  # rounded once
    assert y.dtype == torch.bfloat16
    assert seen == {0: torch.float32, 1: torch.float32, 2: torch.bfloat16}


def test_outside_autocast_nothing_changes():
    model = nn.Sequential(depthwise(5, 1)).double()
    x = torch.randn(1, 8, 6, 6, dtype=torch.float64)
    expected = model(x)
    keep_depthwise(model)
    assert torch.equal(model(x), expected)


def test_an_error_within_leaves_autocast_as_it_was():
    model = nn.Sequential(depthwise(3, 2))
    keep_depthwise(model)
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RuntimeError, match="channels"):
            model(torch.randn(1, 5, 6, 6))
        assert torch.is_autocast_enabled("cpu")
        assert model(torch.randn(1, 8, 6, 6)).dtype == torch.bfloat16
    assert not torch.is_autocast_enabled("cpu")
