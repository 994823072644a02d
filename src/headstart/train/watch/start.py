"""Whether loaded weights compute, on the images of the training, what their batch norms remember.

`headstart.weights.checks.consistency` asks the same of drawn scenes and warns. Here it is the training's own images
and preprocessing, so that limits are wider: the domain may be another.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.models.backbones.stages import evaluating
from headstart.train.watch.measures import Measure
from headstart.train.watch.network import knows_nothing, of_untouched

SPREAD, MOVED = 0.8, 1.1
"""Three quarters of the norms differ by at most so much from what they remember: logarithm of the deviation, and mean
in deviations. What was measured is in docs/sentinel.md."""
DOUBTFUL = 0.56
"""Part of these limits from which on other preprocessings are tried."""
BETTER = 2.0
"""Times that the norms fit better under another preprocessing than under the one that is named as the cause."""
IMAGES = 16
FAINT = 12.0
"""Deviation of values 0..255, below which images are so pale that they say little of what norms saw."""
SETTLED = 30
"""Updates after which the statistics of a norm, averages over about ten, are of what it sees; 0: it is not known."""


def knows_nothing_at_all(backbone: nn.Module) -> bool:
    """Whether no batch norm remembers anything and all norms are untouched, as random values are."""
    return not _remembering(backbone) and not any(measure.value for measure in of_untouched(backbone))


def _remembering(backbone: nn.Module) -> list[_BatchNorm]:
    """Batch norms whose statistics are of what they saw."""
    norms = [m for m in backbone.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    return [m for m in norms if not knows_nothing(m) and not 0 < int(m.num_batches_tracked or 0) < SETTLED]


@torch.no_grad()
def of_start(backbone: nn.Module, images: Tensor, preprocessing: Preprocessing) -> list[Measure]:
    """images (B, 3, H, W) in 0..255 on the backbone's device. Nothing for weights whose norms know nothing yet."""
    measures = of_untouched(backbone)
    if float(images.float().std()) < FAINT:
        return measures
    found = _deviations(backbone, preprocessing.apply(images))
    if not len(found):
        return measures
    spread, moved = (float(v) for v in np.quantile(found, 0.75, axis=0))
    value = max(spread / SPREAD, moved / MOVED)
    fault, limit, why = "half-loaded backbone", 1.0, ""
    if not value <= DOUBTFUL:
        tried = {words: _deviations(backbone, other.apply(images)) for words, other in _others(preprocessing).items()}
        words, best = min(((k, float(_distance(v))) for k, v in tried.items()), key=lambda item: item[1])
        if best * BETTER < float(_distance(found)):
            fault = "no normalization" if not any(preprocessing.mean) else "another preprocessing"
            why = f"; {words} would fit {float(_distance(found)) / best:.3g} times as well"
            limit = DOUBTFUL
    said = (
        f"a quarter of the batch norms get deviations {np.exp(spread):.2f} times or more off what they remember, means "
        f"{moved:.2f} deviations or more (expected: less than {np.exp(limit * SPREAD):.2f}, {limit * MOVED:.2f}){why}"
    )
    return [*measures, Measure(fault, value, limit, said)]


def _others(preprocessing: Preprocessing) -> dict[str, Preprocessing]:
    """By words: what the weights may have been trained with instead, in the same order of colors."""
    order, means = preprocessing.channel_order, (123.68, 116.78, 103.94)
    turned = slice(None, None, 1 if order == "rgb" else -1)
    return {
        "values in 0..1": Preprocessing(order, 1 / 255, (0.0,) * 3, (1.0,) * 3),
        "values normalized as for ImageNet": Preprocessing(order, 1 / 255, IMAGENET.mean[turned], IMAGENET.std[turned]),  # type: ignore[arg-type]
        "values in 0..255 without their mean": Preprocessing(order, 1.0, means[turned], (1.0,) * 3),  # type: ignore[arg-type]
    }


def _distance(found: np.ndarray) -> np.floating:
    return np.median(found.sum(1))


def _deviations(backbone: nn.Module, inputs: Tensor) -> np.ndarray:
    """(norms, 2): of every norm that remembers something, the median over channels of |log(deviation / remembered)|,
    and the mean over channels of |mean - remembered| / remembered deviation."""
    found: list[Tensor] = []

    def look(norm: _BatchNorm) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            found.append(_of_norm(norm, given[0]))

        return hook

    hooks = [norm.register_forward_pre_hook(look(norm)) for norm in _remembering(backbone)]
    if not hooks:
        return np.zeros((0, 2))
    try:
        with evaluating(backbone):
            backbone(inputs.contiguous(memory_format=torch.channels_last))
    finally:
        for one in hooks:
            one.remove()
    return torch.stack(found).cpu().numpy() if found else np.zeros((0, 2))


def _of_norm(norm: _BatchNorm, given: Tensor) -> Tensor:
    assert norm.running_mean is not None and norm.running_var is not None
    values, remembered = given.float(), norm.running_var.float()
    axes = [axis for axis in range(values.ndim) if axis != 1]
    mean, variance = values.mean(axes), values.var(axes, unbiased=False)
    alive = remembered > 1e-8 * remembered.max()
    least = 1e-3 * remembered.median()
    spread = (0.5 * ((variance + least) / (remembered + least)).log().abs())[alive].median()
    moved = ((mean - norm.running_mean) / (remembered + least).sqrt()).abs()[alive].mean()
    return torch.stack([spread, moved])
