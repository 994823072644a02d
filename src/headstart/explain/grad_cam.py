"""Which places speak for a class? Grad-CAM (Selvaraju et al., ICCV 2017) of a stage's maps.

Letters: n images, c channels, h x w cells, K classes.

The score of a class is differentiated by the maps; each channel weighs as much as its gradient is on average over the
cells; what the weighted channels add up to is kept where it is above 0. Where the score is linear in maps that were
averaged over their cells, as with a linear probe on the last stage, this is the class activation map of Zhou et al.
(CVPR 2016), above 0, divided by the number of cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from headstart.tasks.frozen.solvers import Linear, Ridge
from headstart.tasks.linear_probes import probe


def grad_cam(maps: Tensor, scores: Callable[[Tensor], Tensor], classes: Tensor) -> Tensor:
    """(n, h, w), at least 0. maps (n, c, h, w) of a stage; scores: from such maps to class scores (n, K), whatever of
    the network comes after them; classes (n,): of which class each image's map is."""
    with torch.enable_grad():
        maps = maps.detach().requires_grad_()
        chosen = scores(maps).gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, maps)
    return (gradient.mean((2, 3), keepdim=True) * maps.detach()).sum(1).clamp(min=0)


@dataclass(frozen=True)
class ClassReader:
    """A linear probe (ridge) on pooled maps, and of each image (n,) the class whose map is asked for; -1: none."""

    linear: Linear
    classes: NDArray[np.int64]

    @classmethod
    def fit(
        cls, pooled: NDArray[np.floating], labels: NDArray[np.integer], classes: NDArray[np.integer], num_classes: int
    ) -> ClassReader | None:
        """On pooled maps (m, c) with their classes (m,), -1 where there is none; None where there are not two."""
        known = np.asarray(labels) >= 0
        x, y = np.asarray(pooled)[known], np.asarray(labels, np.int64)[known]
        if len(np.unique(y)) < 2:
            return None
        strength = probe(x, y, x[:1], num_classes, kind="ridge").strength  # closed form: seconds, not minutes
        return cls(Ridge(x, y, num_classes).fit(strength), np.asarray(classes, np.int64))

    def scores(self, maps: Tensor) -> Tensor:
        """Class scores (n, K) of maps (n, c, h, w)."""
        mean, scale, weight, bias = (
            torch.as_tensor(part, dtype=maps.dtype)
            for part in (self.linear.mean, self.linear.scale, self.linear.weight, self.linear.bias)
        )
        return (maps.mean((2, 3)) - mean) / scale @ weight + bias

    def maps(self, maps: NDArray[np.floating], first: int) -> NDArray[np.float32]:
        """(k, h, w) of the images from `first` on, whose maps (k, c, h, w) these are: Grad-CAM, each as a share of its
        highest; 0 everywhere without a class."""
        classes = torch.from_numpy(self.classes[first : first + len(maps)])
        found = grad_cam(torch.from_numpy(np.array(maps)), self.scores, classes.clamp(min=0))
        found = found / found.amax((1, 2), keepdim=True).clamp(min=1e-30) * (classes >= 0)[:, None, None]
        return found.numpy().astype(np.float32)

    def right(self, pooled: NDArray[np.floating]) -> float:
        """Share of the images with a class that the probe gives that class; nan without any."""
        known = self.classes >= 0
        said = self.linear.predict(pooled[known]).argmax(1)
        return float((said == self.classes[known]).mean()) if known.any() else float("nan")
