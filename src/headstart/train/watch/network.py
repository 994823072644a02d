"""What the backbone is given and what it computes, in the first update.

Letters: C channels of a map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.backbones.stages import fresh_prefixes
from headstart.train.watch.measures import Measure

DIFFERENT = 0.05
"""Deviations between the mean of a color as the network got it and as the preprocessing makes it."""
UNSCALED = 20.0
"""Root mean square of an input that is not brought near 1, though no mean is subtracted either."""
SOME = 0.1
"""Part of the norms that are as before any training, among trained ones."""
FAR = 1.0
"""Logarithm of how many times the deviation of what frozen fresh norms get is from the 1 that they take it for."""
ALIKE = 1e-4
"""Deviation over images of pooled features, over that of all features."""
FP16_MOST = 65504.0


class Seen:
    """What hooks see in one update: in its first part, the first time that the backbone runs.

    layer: whose outputs are logits of classes. inside: look into the backbone, too; not where it is compiled.
    """

    def __init__(self, model: nn.Module, layer: nn.Module | None, *, inside: bool) -> None:
        self.input: Tensor | None = None
        self.stages: dict[str, tuple[Tensor, ...]] = {}
        """See `summary`."""
        self.spread: dict[str, Tensor] = {}
        """Of each frozen norm that knows nothing: see `spread`."""
        self.outputs = 0
        self._sums: list[Tensor] = []
        self._passes = 0
        backbone: Any = model.backbone
        self._hooks = [layer.register_forward_hook(self._of_layer)] if layer is not None else []
        if inside:
            self._hooks += [
                backbone.register_forward_pre_hook(self._of_given),
                backbone.register_forward_hook(self._of_maps),
            ]
            for name, norm in backbone.named_modules():
                if isinstance(norm, _BatchNorm) and not norm.training and knows_nothing(norm):
                    self._hooks.append(norm.register_forward_pre_hook(partial(self._of_norm, name)))

    def detach(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()

    def probability(self) -> float:
        """Mean over the outputs of the layer."""
        return float(torch.stack(self._sums).sum()) / self.outputs

    def _of_given(self, _: nn.Module, given: tuple[Any, ...]) -> None:
        self._passes += 1
        if self._passes == 1:
            self.input = given[0].detach()

    def _of_maps(self, _: nn.Module, given: Any, maps: Any) -> None:
        if self._passes == 1 and isinstance(maps, dict):
            self.stages = {name: summary(x) for name, x in maps.items() if isinstance(x, Tensor) and x.ndim == 4}

    def _of_norm(self, name: str, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        if self._passes == 1:
            self.spread[name] = spread(given[0])

    def _of_layer(self, _: nn.Module, given: Any, logits: Tensor) -> None:
        if self._passes <= 1:
            self.outputs += logits.numel()
            self._sums.append(logits.detach().float().sigmoid().sum())


def of_input(images: Tensor, given: Tensor, preprocessing: Preprocessing) -> list[Measure]:
    """images (B, 3, H, W) in 0..255, RGB; given: what the backbone got of them, of the same shape."""
    if images.shape != given.shape:
        return []
    got, raw = _colors(given), _colors(images)
    wanted = _declared(raw, preprocessing)
    turned = _declared((raw[0].flip(0), raw[1].flip(0)), preprocessing)
    others = [("BGR for RGB, or RGB for BGR", turned)]
    others += [("no normalization", (raw[0] / most, raw[1] / most)) for most in (1, 255)]
    fault = next((name for name, colors in others if _apart(got, colors) < DIFFERENT), None)
    said = f"the network gets colors of mean {_words(got[0])}; its preprocessing gives {_words(wanted[0])}"
    measures = [Measure(fault or "preprocessing is not applied", _apart(got, wanted), DIFFERENT, said)]
    if preprocessing.scale * 255 / min(preprocessing.std) > 50 and not any(preprocessing.mean):
        size = float(given.float().square().mean().sqrt())
        said = f"the network's input has a root mean square of {size:.3g}; about 1 is expected"
        measures.append(Measure("no normalization", size, UNSCALED, said))
    return measures


def _declared(colors: tuple[Tensor, Tensor], preprocessing: Preprocessing) -> tuple[Tensor, Tensor]:
    """Means and deviations (3,) of the input, by arithmetic, of those of images in 0..255."""
    turn = (lambda x: x.flip(0)) if preprocessing.channel_order == "bgr" else (lambda x: x)
    mean, std = colors[0].new_tensor(preprocessing.mean), colors[0].new_tensor(preprocessing.std)
    return (turn(colors[0]) * preprocessing.scale - mean) / std, turn(colors[1]) * preprocessing.scale / std


def of_stages(seen: Seen, precision: str) -> list[Measure]:
    """Of the outputs of the stages."""
    measures = []
    for name, (deviation, over_images, most) in ((k, tuple(map(float, v))) for k, v in seen.stages.items()):
        if precision == "fp16":
            said = f"features of {name} reach {most:.3g}, of {FP16_MOST:.0f} that half precision holds"
            measures.append(Measure("numbers beyond the precision", most / FP16_MOST, 0.25, said))
        if math.isfinite(deviation):
            part = over_images / deviation if deviation > 0 else 0.0
            said = f"features of {name} are the same for every image ({part:.1g} of their deviation)"
            measures.append(Measure("dead features", ALIKE / max(part, 1e-12), 1.0, said))
    return measures


def of_untouched(backbone: nn.Module) -> list[Measure]:
    """Whether some norms are as before any training, among trained ones."""
    norms = norms_of(backbone)
    names = [name for name, norm in norms if is_untouched(norm)]
    if len(norms) < 2:
        return []
    part = len(names) / len(norms)
    said = f"{len(names)} of {len(norms)} norms are as before any training"
    said += f" (such as {names[0]})" if names else ""
    return [Measure("half-loaded backbone", part if part < 1 else 0.0, SOME, said)]


def of_frozen(seen: Seen) -> list[Measure]:
    """Whether frozen norms that know nothing get something else than they take it for."""
    if not seen.spread:
        return []
    name, far = max(((k, float(v)) for k, v in seen.spread.items()), key=lambda item: item[1])
    said = f"norm {name} is frozen with mean 0 and variance 1, and gets a deviation {_times(far)} times as large"
    return [Measure("frozen random norms", far, FAR, said)]


def norms_of(backbone: nn.Module) -> list[tuple[str, nn.Module]]:
    """Norms with scale and shift that weights have."""
    fresh = fresh_prefixes(backbone)
    kinds = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)
    norms = [(name, part) for name, part in backbone.named_modules() if isinstance(part, kinds)]
    return [
        (n, m) for n, m in norms if m.weight is not None and m.bias is not None and not (fresh and n.startswith(fresh))
    ]


def is_untouched(norm: nn.Module) -> bool:
    """Whether the scale is the same in all channels, exactly (1; in some networks 0 at a block's end), and the shift
    0."""
    weight: Any = norm.weight
    bias: Any = norm.bias
    return bool((weight == weight.flatten()[0]).all()) and not bool(bias.any())


def knows_nothing(norm: _BatchNorm) -> bool:
    """Whether its statistics are those before any training, exactly."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None or not norm.affine:
        return False
    return not bool(mean.any()) and bool((variance == 1).all()) and is_untouched(norm)


@torch.no_grad()
def summary(x: Tensor) -> tuple[Tensor, ...]:
    """Of a map (B, C, h, w): see `Seen.stages`. One image has no deviation over images: that over all then."""
    values = x.detach().float()
    deviation, pooled = values.std(), values.mean((2, 3))
    over_images = pooled.std(0).mean() if len(pooled) > 1 else deviation
    return deviation, over_images, values.abs().amax()


@torch.no_grad()
def spread(x: Tensor) -> Tensor:
    """Median over channels of |log(deviation)|."""
    values = x.detach().float()
    axes = [axis for axis in range(values.ndim) if axis != 1]
    return values.var(axes, unbiased=False).clamp(min=1e-12).log().mul(0.5).abs().median()


def _colors(images: Tensor) -> tuple[Tensor, Tensor]:
    values = images.detach().float()
    return values.mean((0, 2, 3)), values.std((0, 2, 3))


def _apart(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> float:
    """Largest difference of means and of deviations, in deviations of the other."""
    unit = other[1].clamp(min=1e-3)
    return float(torch.cat([(one[0] - other[0]).abs() / unit, (one[1] - other[1]).abs() / unit]).amax())


def _words(values: Sequence[float] | Tensor) -> str:
    return " ".join(f"{float(v):.3g}" for v in values)


def _times(far: float) -> str:
    return f"{torch.tensor(far).exp():.3g} (or one part in so many)"
