"""Miniature source models for tests of importers: written here, in the layouts of other projects, random weights."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn

from headstart.weights import proof
from headstart.weights.cards import WeightsSpec, resolve
from headstart.weights.checkpoint import Loaded, LoadReport, load
from headstart.weights.checks import consistency

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def photo(side: int = 64) -> Tensor:
    """(1, 3, side, side) uint8: structure at several scales, more red than blue."""
    generator = torch.Generator().manual_seed(2)
    image = (
        sum(
            nn.functional.interpolate(torch.rand(1, 3, n, n, generator=generator), (side, side), mode="bilinear")
            for n in (2, 8, side)
        )
        / 3
    )
    tint = torch.tensor([1.0, 0.9, 0.75]).view(1, 3, 1, 1)
    return (255 * image * tint).round().to(torch.uint8)


def rgb_normalized(image: Tensor) -> Tensor:
    """torchvision's and timm's usual input."""
    return (image.float() / 255 - MEAN) / STD


def bgr_255(image: Tensor) -> Tensor:
    """Caffe's: blue first, ImageNet's mean taken off, no division."""
    return image.flip(1).float() - torch.tensor([103.53, 116.28, 123.675]).view(1, 3, 1, 1)


def randomized(model: nn.Module, wide_input: bool = False, seed: int = 5) -> nn.Module:
    """Random statistics for the norms, small variances among them, that keep activations near 1. Evaluation mode.

    wide_input: the first convolution is scaled for values of 0..255, as training would.
    """
    generator = torch.Generator().manual_seed(seed)
    for norm in model.modules():
        if getattr(norm, "running_var", None) is not None:
            shape = norm.running_var.shape
            norm.running_var.data = 1e-6 + 2 * torch.rand(shape, generator=generator) ** 4
            norm.weight.data = norm.running_var.sqrt() * (0.4 + 0.4 * torch.rand(shape, generator=generator))
            norm.running_mean.data, norm.bias.data = 0.1 * torch.randn(2, *shape, generator=generator)
    if wide_input:
        next(m for m in model.modules() if isinstance(m, nn.Conv2d)).weight.data /= 57
    return model.eval()


def seeded() -> None:
    """Before a model is made, so that a test's weights do not depend on the tests before it."""
    torch.manual_seed(11)


def load_quickly(spec: WeightsSpec, seed: int = 0) -> Loaded:
    """Images of 64 pixels for the report's fingerprint, which these tests do not read: a third of their time."""
    with patch.object(proof, "FINGERPRINT_SIDE", 64), patch.object(consistency, "IMAGES", 1):
        return load(spec, seed)


def imported(path: Path) -> tuple[WeightsSpec, Loaded]:
    """What `file:PATH` gives."""
    spec = resolve(f"file:{path}")
    assert spec.layout
    return spec, load_quickly(spec)


def assert_same_stages(path: Path, expected: Mapping[str, Tensor], side: int = 64) -> tuple[WeightsSpec, LoadReport]:
    """The imported backbone gives these stages for `photo`, each within 1e-5 of its largest value."""
    spec, loaded = imported(path)
    assert loaded.report.coverage == 1.0 and not loaded.report.missing
    with torch.no_grad():
        got = loaded.backbone.eval()(loaded.preprocessing.apply(photo(side)))
    for name, values in expected.items():
        values = values.detach()
        scale = float(values.abs().max())
        assert got[name].shape == values.shape, name
        assert 1e-3 < scale < 1e6, f"{name}: a comparison of nothing"
        assert float((got[name] - values).abs().max()) < 1e-5 * scale, name
    return spec, loaded.report


class FrozenNorm(nn.Module):
    """Norm with fixed statistics (Detectron2's FrozenBatchNorm2d: epsilon 1e-5)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        shape = (1, -1, 1, 1)
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        return x * scale.view(shape) + (self.bias - self.running_mean * scale).view(shape)


class NormedConv(nn.Conv2d):
    """A convolution that has its norm inside, as Detectron2's."""

    def __init__(self, channels_in: int, channels: int, size: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(channels_in, channels, size, stride, dilation * (size // 2), dilation, bias=False)
        self.norm = FrozenNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))


class Detectron2Block(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int, in_1x1: bool, dilation: int = 1) -> None:
        super().__init__()
        width = channels // 4
        first, second = (stride, 1) if in_1x1 else (1, stride)
        self.shortcut = NormedConv(channels_in, channels, 1, stride) if channels_in != channels else None
        self.conv1 = NormedConv(channels_in, width, 1, first)
        self.conv2 = NormedConv(width, width, 3, second, dilation)
        self.conv3 = NormedConv(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return torch.relu(self.conv3(out) + (x if self.shortcut is None else self.shortcut(x)))


class Detectron2ResNet(nn.Module):
    """`stem.conv1`, `res2`..`res5`; two blocks a stage, so that it is timm's resnet26."""

    def __init__(self, in_1x1: bool, dilated: bool = False) -> None:
        super().__init__()
        self.stem = nn.Module()
        self.stem.conv1 = NormedConv(3, 64, 7, 2)
        before = 64
        for number, channels in ((2, 256), (3, 512), (4, 1024), (5, 2048)):
            stride = 1 if number == 2 or (dilated and number == 5) else 2
            dilation = 2 if dilated and number == 5 else 1
            blocks = [
                Detectron2Block(before, channels, stride, in_1x1, dilation),
                Detectron2Block(channels, channels, 1, in_1x1, dilation),
            ]
            self.add_module(f"res{number}", nn.Sequential(*blocks))
            before = channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = torch.max_pool2d(torch.relu(self.stem.conv1(x)), 3, 2, 1)
        maps = {}
        for number in (2, 3, 4, 5):
            x = self.get_submodule(f"res{number}")(x)
            maps[f"C{number}"] = x
        return maps


class OpenMMLabBlock(nn.Module):
    def __init__(
        self, channels_in: int, channels: int, stride: int, caffe: bool, avg_down: bool, dilation: int
    ) -> None:
        super().__init__()
        width = channels // 4
        first, second = (stride, 1) if caffe else (1, stride)
        self.conv1, self.bn1 = nn.Conv2d(channels_in, width, 1, first, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.downsample = None
        if channels_in != channels:
            pool = [nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)] if avg_down else []
            conv = nn.Conv2d(channels_in, channels, 1, 1 if avg_down else stride, bias=False)
            self.downsample = nn.Sequential(*pool, conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(out)))))
        return torch.relu(out + (x if self.downsample is None else self.downsample(x)))


class OpenMMLabResNet(nn.Module):
    """`conv1`/`bn1` or a deep `stem`, `layer1`..`layer4`; `depths` blocks a stage."""

    def __init__(
        self,
        caffe: bool = False,
        deep_stem: bool = False,
        avg_down: bool = False,
        dilations: tuple[int, ...] = (1, 1, 1, 1),
        contract: bool = False,
        depths: tuple[int, ...] = (2, 2, 2, 2),
    ) -> None:
        super().__init__()
        if deep_stem:
            convs = [(3, 32, 2), (32, 32, 1), (32, 64, 1)]
            self.stem = nn.Sequential(
                *(
                    part
                    for a, b, s in convs
                    for part in (nn.Conv2d(a, b, 3, s, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
                )
            )
        else:
            self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        before = 64
        for i, (depth, dilation) in enumerate(zip(depths, dilations, strict=True)):
            channels, stride = 256 * 2**i, 1 if i == 0 or dilation > 1 else 2
            first = dilation // 2 if contract and dilation > 1 else dilation
            blocks = [OpenMMLabBlock(before, channels, stride, caffe, avg_down, first)]
            blocks += [OpenMMLabBlock(channels, channels, 1, caffe, avg_down, dilation) for _ in range(depth - 1)]
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
            before = channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stem(x) if hasattr(self, "stem") else torch.relu(self.bn1(self.conv1(x)))
        x, maps = torch.max_pool2d(x, 3, 2, 1), {}
        for i in range(4):
            x = self.get_submodule(f"layer{i + 1}")(x)
            maps[f"C{i + 2}"] = x
        return maps


def under(prefix: str, model: nn.Module) -> dict[str, Tensor]:
    """Its state dict with a prefix."""
    return {f"{prefix}{name}": value for name, value in model.state_dict().items()}


def stages_of(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Stages of a ResNet of torchvision or timm: outputs of layer1 to layer4."""
    maps: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(f"layer{i}").register_forward_hook(
            lambda _, __, out, name=f"C{i + 1}": maps.__setitem__(name, out.clone())
        )
        for i in range(1, 5)
    ]
    with torch.no_grad():
        model(inputs)
    for hook in hooks:
        hook.remove()
    return maps


def params_file(path: Path, arrays: dict[str, Tensor], tag: int | None = 0xF993FAC9) -> Path:
    """As MXNet's NDArray::Save writes it; tag None: the layout before tags."""
    codes = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6}
    data = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for value in arrays.values():
        values = value.numpy()
        if tag is None:
            data.append(struct.pack(f"<I{values.ndim}I", values.ndim, *values.shape))
        else:
            kind = struct.pack("<i", 0) if tag != 0xF993FAC8 else b""
            data.append(struct.pack("<I", tag) + kind + struct.pack(f"<I{values.ndim}q", values.ndim, *values.shape))
        data.append(struct.pack("<iii", 1, 0, codes[str(values.dtype)]) + values.tobytes())
    data.append(struct.pack("<Q", len(arrays)))
    data += [struct.pack("<Q", len(name)) + name.encode() for name in arrays]
    path.write_bytes(b"".join(data))
    return path
