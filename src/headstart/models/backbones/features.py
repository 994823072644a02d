"""Features of images: what a backbone's stages give for uint8 batches, without gradients, in evaluation mode.

Letters: n images, c channels, h and w cells of a stage, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.backbones.stages import evaluating

MAPS_AT_A_TIME = 16
"""Images whose maps are computed together where they are computed on demand."""


def pooled_features(
    backbone: nn.Module,
    preprocessing: Preprocessing,
    images: np.ndarray,
    batch_size: int = 64,
    *,
    progress: Callable[[float], None] | None = None,
) -> dict[str, np.ndarray]:
    """Each stage averaged over its cells: images (n, H, W, 3) uint8 RGB -> {stage name: (n, c) float32}.

    Runs on the device of the backbone's parameters. `progress` is called with the fraction done after each batch.
    """
    parts: dict[str, list[np.ndarray]] = {stage.name: [] for stage in _stages(backbone)}
    for maps in _batches(backbone, preprocessing, images, batch_size, progress=progress):
        for name, rows in parts.items():
            rows.append(maps[name].mean(dim=(2, 3)).cpu().numpy())
    return {name: np.concatenate(rows) if rows else _none(backbone, name) for name, rows in parts.items()}


def stage_maps(
    backbone: nn.Module,
    preprocessing: Preprocessing,
    images: np.ndarray,
    stages: Sequence[str] = ("C5",),
    *,
    batch_size: int = 64,
    dtype: type[np.floating] = np.float32,
    progress: Callable[[float], None] | None = None,
) -> dict[str, np.ndarray]:
    """Maps of the named stages: images (n, H, W, 3) uint8 RGB -> {stage name: (n, c, h, w) of `dtype`}.

    Raises ValueError for a stage that the backbone does not have.
    """
    known = [stage.name for stage in _stages(backbone)]
    if unknown := sorted(set(stages) - set(known)):
        raise ValueError(f"the backbone has no stage {', '.join(unknown)}; it has {', '.join(known)}")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in stages}
    for maps in _batches(backbone, preprocessing, images, batch_size, progress=progress):
        for name, rows in parts.items():
            rows.append(maps[name].cpu().numpy().astype(dtype))
    return {
        name: np.concatenate(rows) if rows else _none(backbone, name)[:, :, None, None].astype(dtype)
        for name, rows in parts.items()
    }


class MapsOnDemand:
    """Maps of the last stage (n, c, h, w) that are computed when some images are asked for, as `maps[first:stop]`:
    those of a large set need not lie in memory. What went by is kept, pooled over cells, in `pooled`.

    Raises WeightsError, naming the first such stage, where an output is not finite.
    """

    def __init__(self, backbone: nn.Module, preprocessing: Preprocessing, images: np.ndarray, name: str) -> None:
        self._backbone, self._preprocessing, self._images, self._name = backbone, preprocessing, images, name
        self.pooled: dict[str, np.ndarray] = {}
        first = next(_batches(backbone, preprocessing, images[:1], 1, progress=None))
        self.shape = (len(images), *first[_stages(backbone)[-1].name].shape[1:])

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, rows: slice) -> np.ndarray:
        """(k, c, h, w) float32."""
        stages = [stage.name for stage in _stages(self._backbone)]
        parts = []
        images = np.asarray(self._images[rows])
        place = rows.start or 0
        for maps in _batches(self._backbone, self._preprocessing, images, MAPS_AT_A_TIME, progress=None):
            for stage in stages:
                pooled = maps[stage].mean(dim=(2, 3)).cpu().numpy()
                self._require_finite(stage, pooled, place)
                self.pooled.setdefault(stage, np.zeros((len(self), pooled.shape[1]), np.float32))
                self.pooled[stage][place : place + len(pooled)] = pooled
            parts.append(maps[stages[-1]].cpu().numpy())
            place += len(pooled)
        return np.concatenate(parts)

    def _require_finite(self, stage: str, pooled: np.ndarray, place: int) -> None:
        bad = np.flatnonzero(~np.isfinite(pooled).all(axis=1))
        if len(bad):
            raise WeightsError(
                f"{self._name}: the outputs of stage {stage} are not finite (first for image {place + bad[0]}), so "
                "nothing can be said of them. Check these weights (`headstart weights verify`) and their preprocessing."
            )


def _batches(
    backbone: nn.Module,
    preprocessing: Preprocessing,
    images: np.ndarray,
    batch_size: int,
    *,
    progress: Callable[[float], None] | None,
) -> Iterator[dict[str, Tensor]]:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images are {images.dtype} of shape {images.shape}; expected uint8 (n, H, W, 3) in RGB")
    device = next(backbone.parameters()).device
    for first in range(0, len(images), batch_size):
        # A copy: slices of a read-only memory map must not become tensors.
        batch = torch.from_numpy(np.array(images[first : first + batch_size])).to(device).permute(0, 3, 1, 2)
        with evaluating(backbone):
            maps = backbone(preprocessing.apply(batch).contiguous())
        yield maps
        if progress is not None:
            progress(min(1.0, (first + batch_size) / len(images)))


def _stages(backbone: nn.Module) -> tuple:
    stages: tuple = backbone.stages  # type: ignore[assignment]
    return stages


def _none(backbone: nn.Module, name: str) -> np.ndarray:
    channels = next(stage.channels for stage in _stages(backbone) if stage.name == name)
    return np.zeros((0, channels), np.float32)
