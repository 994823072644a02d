"""Proof that weights were loaded as they were meant: what the norms hold, a fingerprint, and the order of colors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.backbones.stages import evaluating
from headstart.weights.photographs import photographs

FINGERPRINT_SIDE = 224
"""Pixels: a multiple of 32, of 16 and of 14, so that every usual backbone takes it."""
FINGERPRINT_TOLERANCE = 1e-3
"""Largest difference of two fingerprints of the same weights, as a fraction of the stage's root mean square."""

CAST = 0.03
"""Red above blue, of 1, from which on a mean color counts as that of photographs: ImageNet's is 0.08, COCO's 0.06."""
BLACK = 0.02
"""Brightness, of 1, below which no images are that a network learned from."""
SURE = 3.0
"""Standard errors by which red and blue must differ."""


@dataclass(frozen=True)
class Norms:
    """Batch norms with running statistics."""

    count: int
    channels: int
    zero_variance: int
    """Channels that were never active in training."""
    smallest_variance: float | None
    """Above zero; None without norms."""


def batch_norms(backbone: nn.Module) -> Norms:
    """What the running statistics of the batch norms hold."""
    variances = [norm.running_var for norm in backbone.modules() if isinstance(norm, _BatchNorm)]
    values = torch.cat([v.flatten().cpu().double() for v in variances if v is not None] or [torch.zeros(0)])
    positive = values[values > 0]
    return Norms(
        len(variances), values.numel(), int((values == 0).sum()), float(positive.min()) if positive.numel() else None
    )


Fingerprint = dict[str, tuple[float, float, float]]


def fingerprint(backbone: nn.Module, preprocessing: Preprocessing) -> Fingerprint:
    """Of every stage's map of a fixed image, in evaluation mode: mean, root mean square, and the mean product with
    cos(1.7 channel + 0.9 row + 0.3 column), which changes when channels or places are exchanged.

    Equal weights agree to `FINGERPRINT_TOLERANCE` times the root mean square on any machine with float32 arithmetic.
    Stages with parameters that no weights have are left out.
    """
    height, width = input_side(backbone) or (FINGERPRINT_SIDE, FINGERPRINT_SIDE)
    drawn = photographs(1, max(height, width))[:, :height, :width]
    image = torch.from_numpy(drawn.copy()).permute(0, 3, 1, 2).to(next(backbone.parameters()).device)
    with evaluating(backbone):
        maps = backbone(preprocessing.apply(image))
    fresh = getattr(backbone, "fresh_stages", ())
    return {name: _numbers(values[0].cpu().double()) for name, values in maps.items() if name not in fresh}


def input_side(backbone: nn.Module) -> tuple[int, int] | None:
    """(H, W) of the only images that the network takes, or None where it takes others, too."""
    size: tuple[int, int] | None = getattr(backbone, "only_size", None)
    return size


def same_fingerprint(a: Fingerprint, b: Fingerprint) -> bool:
    """Whether two fingerprints are of the same weights, in the same network, with the same preprocessing."""
    return a.keys() == b.keys() and all(
        abs(x - y) <= FINGERPRINT_TOLERANCE * max(a[stage][1], b[stage][1])
        for stage in a
        for x, y in zip(a[stage], b[stage], strict=True)
    )


def _numbers(values: Tensor) -> tuple[float, float, float]:
    c, y, x = (torch.arange(n, dtype=torch.float64) for n in values.shape)
    wave = torch.cos(1.7 * c[:, None, None] + 0.9 * y[:, None] + 0.3 * x)
    return float(values.mean()), float(values.square().mean().sqrt()), float((values * wave).mean())


@dataclass(frozen=True)
class ColorOrder:
    """Which order of colors the statistics of the first batch norm fit."""

    declared: Literal["rgb", "bgr"]
    verdict: Literal["agrees", "contradicts", "impossible", "undecided"]
    """impossible: no images have the remembered color; scale or means are declared wrongly."""
    why: str
    remembered_rgb: tuple[float, float, float] | None = None
    """Mean color of the training images, 0..1, if the declared preprocessing is right. None: not remembered."""
    red_minus_blue_error: float | None = None
    """Standard error of the difference between its red and blue."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if self.remembered_rgb is None:
            return f"{self.declared}, not tested: {self.why}"
        color = " ".join(f"{name} {value:.2f}" for name, value in zip(_RGB, self.remembered_rgb, strict=True))
        return f"{self.declared}; {self.why} (mean color of its training images: {color})"


_RGB = ("red", "green", "blue")


def color_order(backbone: nn.Module, preprocessing: Preprocessing) -> ColorOrder:
    """Read the mean color of the training images off the first batch norm, and judge it as that of photographs.

    In front of that norm there is a convolution, so the means that the norm remembers are a linear function of the
    mean color of its input: three unknowns, as many equations as there are channels. Photographs are warmer than gray
    on average (ImageNet: red .485, green .456, blue .406), so a color whose blue is above its red speaks for the other
    order. Where the declared means have that cast themselves, and the norm saw them subtracted, every order of them
    fits: then only a contradiction between means and order can be found. Nothing is decided without batch norm.
    """
    declared = preprocessing.channel_order
    remembered = _remembered(backbone)
    if remembered is None:
        return ColorOrder(declared, "undecided", "the first norm keeps no means of a linear function of the image")
    inputs, covariance = remembered
    std, mean, unit = np.array(preprocessing.std), np.array(preprocessing.mean), preprocessing.scale * 255
    flip = slice(None, None, 1 if declared == "rgb" else -1)
    rgb = ((inputs * std + mean) / unit)[flip]
    others = ((inputs[::-1] * std + mean) / unit)[flip]  # red and blue exchanged together with their means
    contrast = np.array([1.0, 0.0, -1.0]) * std / unit
    error = float(np.sqrt(contrast @ covariance @ contrast))
    verdict, why = _judge(declared, rgb, others, error)
    return ColorOrder(declared, verdict, why, (float(rgb[0]), float(rgb[1]), float(rgb[2])), error)


def _judge(
    declared: str, rgb: np.ndarray, others: np.ndarray, error: float
) -> tuple[Literal["agrees", "contradicts", "impossible", "undecided"], str]:
    other = "bgr" if declared == "rgb" else "rgb"
    slack = SURE * error + CAST
    if rgb.min() < -slack or rgb.max() > 1 + slack or rgb.mean() < BLACK:
        return "impossible", "no images have the mean color that the first norm remembers: scale or means are wrong"
    cast, exchanged, least = rgb[0] - rgb[2], others[0] - others[2], max(CAST, SURE * error)
    if cast <= -least:
        return "contradicts", f"photographs fit {other} better"
    if cast < least:
        return "undecided", "a mean color that fits both orders"
    if exchanged >= CAST:
        return "undecided", f"the means belong to it, but {other} with exchanged means would fit as well"
    return "agrees", "photographs fit it"


class _Seen(Exception):
    """Ends a forward pass at the first norm."""


def _remembered(backbone: nn.Module) -> tuple[np.ndarray, np.ndarray] | None:
    """(mean of the network's input by channel, its covariance) by weighted least squares from the running means of
    the norm that is called first; None if it is no batch norm, remembers nothing, or sees no linear function.
    """
    first: list[tuple[nn.Module, Tensor]] = []

    def stop(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        first.append((norm, inputs[0]))
        raise _Seen

    kinds = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
    hooks = [part.register_forward_pre_hook(stop) for part in backbone.modules() if isinstance(part, kinds)]
    # Nothing, red alone, green alone, blue alone, all three.
    flat = torch.zeros(5, 3, *(input_side(backbone) or (64, 64)), device=next(backbone.parameters()).device)
    flat[1, 0] = flat[2, 1] = flat[3, 2] = flat[4] = 1.0
    try:
        with evaluating(backbone):
            backbone(flat)
    except _Seen:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    if not first or not isinstance(first[0][0], nn.BatchNorm2d | nn.SyncBatchNorm):
        return None
    norm, seen = first[0]
    remembered, spread = norm.running_mean, norm.running_var
    if not isinstance(remembered, Tensor) or not isinstance(spread, Tensor) or not torch.count_nonzero(remembered):
        return None
    nothing, *single, together = seen.cpu().double().mean(dim=(2, 3)).numpy()
    slopes = np.stack([response - nothing for response in single], axis=1)  # (channels, 3)
    if not np.allclose(slopes.sum(axis=1), together - nothing, rtol=1e-3, atol=1e-3 * np.abs(slopes).max()):
        return None
    variance = spread.cpu().double().numpy()
    alive = variance > 1e-6 * variance.max()
    weights = 1 / np.sqrt(variance[alive])
    slopes, means = slopes[alive] * weights[:, None], (remembered.cpu().double().numpy() - nothing)[alive] * weights
    if len(means) < 3 or np.linalg.cond(slopes) > 1e4:
        return None
    inputs, *_ = np.linalg.lstsq(slopes, means)
    scatter = np.square(means - slopes @ inputs).sum() / max(1, len(means) - 3)
    return inputs, np.linalg.inv(slopes.T @ slopes) * scatter
