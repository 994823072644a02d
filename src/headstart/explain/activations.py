"""Do features fire over the whole object, or on parts of it? (finding F4a)

Letters: n images, c channels, h x w cells of the last stage's map (C5), H x W pixels, m cells in use, B resamples.

A cell is *inside* when at least half of its area belongs to any instance, *outside* when at most a tenth does; the
cells between are used by neither side. The energy of a cell is the mean over channels of z squared, where z is the
activation standardized per channel with the mean and the deviation over all cells of *other* images. Each image
gives one AUROC: the chance that a cell inside has more energy than one outside. Because objects tend to stand in the
middle and are of many sizes, the AUROC of the same energy against *another* image's mask of about equal size is
taken off (see `shuffled_partners`): 0 then means "knows nothing about where the object is".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from headstart.errors import DataError
from headstart.stats.bootstrap import weighted_mean_replicates

INSIDE_FROM = 0.5
OUTSIDE_TO = 0.1
PEAK_SHARE = 0.25
"""`area`: share of the object's cells whose energy exceeds this share of the object's highest."""
PARTNER_GROUP = 10
"""Images of about equal object size among which masks are exchanged for the control."""
_CHUNK_VALUES = 1 << 21


@dataclass(frozen=True)
class ChannelStatistics:
    """Per-channel mean and standard deviation over all cells of some images, each (c,) float64."""

    mean: np.ndarray
    std: np.ndarray


def channel_statistics(maps: np.ndarray, chunk: int = 256) -> ChannelStatistics:
    """Statistics of maps (n, c, h, w), streamed: memory does not grow with n (maps may be memory-mapped)."""
    count, total, squares = 0, 0.0, 0.0
    for start in range(0, len(maps), chunk):
        part = np.asarray(maps[start : start + chunk], dtype=np.float64)
        count += part.shape[0] * part.shape[2] * part.shape[3]
        total = total + part.sum(axis=(0, 2, 3))
        squares = squares + np.square(part).sum(axis=(0, 2, 3))
    if not count:
        raise DataError("activations: no images to take channel statistics from. Give `statistics` a set with images.")
    mean = np.asarray(total) / count
    return ChannelStatistics(mean, np.sqrt(np.maximum(np.asarray(squares) / count - mean**2, 0.0)))


def box_instances(boxes_xyxy: np.ndarray, box_offsets: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Instance masks (n, H, W) uint8 from boxes, for data without masks: 0 background, 1 inside any box.

    boxes_xyxy (m, 4): pixels, continuous edges; box_offsets (n + 1). A pixel is inside when its center is.
    """
    height, width = size_hw
    masks = np.zeros((len(box_offsets) - 1, height, width), dtype=np.uint8)
    first = np.clip(np.ceil(np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4) - 0.5), 0, [width, height] * 2)
    for image, (start, stop) in enumerate(pairwise(box_offsets)):
        for x1, y1, x2, y2 in first[start:stop].astype(int):
            masks[image, y1:y2, x1:x2] = 1
    return masks


def coverage(instances: np.ndarray, grid_hw: tuple[int, int]) -> np.ndarray:
    """Share of every cell that belongs to any instance: (n, H, W) -> (n, h, w) float32, exact for any H, W, h, w."""
    down = _averaging(instances.shape[1], grid_hw[0])
    across = _averaging(instances.shape[2], grid_hw[1])
    shares = np.empty((len(instances), *grid_hw), dtype=np.float32)
    for start in range(0, len(instances), 256):
        part = (np.asarray(instances[start : start + 256]) > 0).astype(np.float32)
        shares[start : start + 256] = down @ part @ across.T
    return shares


def auroc(scores: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Chance that a cell inside scores more than one outside, a tie counting half. (..., m) each -> (...,) float64.

    Cells in neither mask are left out. NaN where there is no cell inside or none outside. `inside` and `outside`
    broadcast against `scores`. By ranks with ties averaged (Mann and Whitney's U).
    """
    scores = np.where(inside | outside, scores, np.inf)
    order = np.argsort(scores, axis=-1)
    ordered = np.take_along_axis(scores, order, axis=-1)
    place = np.broadcast_to(np.arange(1, scores.shape[-1] + 1, dtype=np.int32), ordered.shape)
    starts = np.ones(ordered.shape, dtype=bool)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    ends = np.ones(ordered.shape, dtype=bool)
    ends[..., :-1] = starts[..., 1:]
    low = np.maximum.accumulate(np.where(starts, place, 0), axis=-1)
    high = np.minimum.accumulate(np.where(ends, place, scores.shape[-1] + 1)[..., ::-1], axis=-1)[..., ::-1]
    in_order = np.take_along_axis(np.broadcast_to(inside, scores.shape), order, axis=-1)
    rank_sum = ((low + high) * in_order).sum(axis=-1, dtype=np.float64) / 2
    n_in = inside.sum(axis=-1, dtype=np.float64)
    n_out = outside.sum(axis=-1, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (rank_sum - n_in * (n_in + 1) / 2) / (n_in * n_out)


def shuffled_partners(inside_cells: np.ndarray, seed: int) -> np.ndarray:
    """For each image another image whose object covers about as many cells; -1 where there is none. (n,) -> (n,).

    Images with a cell inside are sorted by their number of cells inside (equal ones in seeded order) and cut into
    groups of 10 (the last one of up to 19); within a group masks move on by a seeded number of places. So no image
    keeps its own mask and every mask is used once. Two arms that saw the same images get the same partners.
    """
    rng = np.random.default_rng(seed)
    partner = np.full(len(inside_cells), -1, dtype=np.int64)
    shuffled = rng.permutation(np.flatnonzero(inside_cells > 0))
    by_size = shuffled[np.argsort(inside_cells[shuffled], kind="stable")]
    if len(by_size) < 2:
        return partner
    groups = max(1, len(by_size) // PARTNER_GROUP)
    for g in range(groups):
        start = g * PARTNER_GROUP
        members = by_size[start : start + PARTNER_GROUP if g < groups - 1 else len(by_size)]
        partner[members] = np.roll(members, int(rng.integers(1, len(members))))
    return partner


def measure(
    maps: np.ndarray,
    instances: np.ndarray,
    statistics: ChannelStatistics,
    weights: np.ndarray,
    *,
    seed: int = 0,
    examples: int = 12,
) -> tuple[dict[str, float], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Everything that F4a needs from one arm.

    maps (n, c, h, w): C5 of the images; instances (n, H, W): 0 background; statistics: of the same arm on other
    images; weights (B, n). Arms compare at equal input size and equal grid only.
    Metrics, with replicates (B,): `auroc/standardized`, `auroc/raw` (mean of |activation|), `auroc/per_unit` (mean
    over channels of max(a, 1 - a)), each less its shuffled control; `auroc_own/...` and `auroc_shuffled/...` the two
    parts; `area/standardized`. Without replicates: `auroc/n_images`, `auroc/left_out` (no cell inside or none
    outside, in the image or its partner). Names with no image to average are absent.
    Examples: the same names (n,) per image with NaN for images left out; `images` (e,), `energy`, `raw`, `coverage`
    (e, h, w) of the first e images in use.
    """
    per_image, pictures = of_images(maps, instances, statistics, seed=seed)
    n, _, h, w = maps.shape
    usable = np.isfinite(per_image["auroc/standardized"])
    metrics, replicates = {}, {}
    for name, values in per_image.items():
        finite = np.isfinite(values)
        if finite.any():
            metrics[name] = float(values[finite].mean())
            replicates[name] = weighted_mean_replicates(values[finite], weights[:, finite])
    metrics |= {"auroc/n_images": float(usable.sum()), "auroc/left_out": float(n - usable.sum())}
    shown = np.flatnonzero(usable)[:examples]
    arrays = per_image | {name: flat[shown].reshape(-1, h, w) for name, flat in pictures.items()}
    return metrics, replicates, arrays | {"images": shown}


def of_images(
    maps: np.ndarray, instances: np.ndarray, statistics: ChannelStatistics, *, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What `measure` averages, of every image (n,), nan for images left out; and `energy`, `raw`, `coverage` (n, h * w)
    of all. Maps are asked for once, in order, some images at a time, so they may be computed as they are."""
    n, _, h, w = maps.shape
    if len(instances) != n:
        raise DataError(f"activations: {n} maps but {len(instances)} instance masks. Give the same images to both.")
    shares = coverage(instances, (h, w)).reshape(n, h * w)
    inside, outside = shares >= INSIDE_FROM, shares <= OUTSIDE_TO
    partner = shuffled_partners(inside.sum(axis=1), seed)
    per_image, energy, raw = _per_image(maps, statistics, inside, outside, partner=partner)
    usable = np.isfinite(per_image["auroc/standardized"])
    for values in per_image.values():
        values[~usable] = np.nan
    return per_image, {"energy": energy, "raw": raw, "coverage": shares}


def _averaging(pixels: int, cells: int) -> np.ndarray:
    """(cells, pixels) weights of the mean over each cell; a pixel cut by a cell's edge counts in part."""
    edges = np.arange(cells + 1) * (pixels / cells)
    starts = np.arange(pixels)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return (np.maximum(overlap, 0.0) * (cells / pixels)).astype(np.float32)


def _per_image(
    maps: np.ndarray, statistics: ChannelStatistics, inside: np.ndarray, outside: np.ndarray, *, partner: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Per-image numbers (n,), and the energy and raw maps (n, m), in chunks of images."""
    n, c = maps.shape[:2]
    m = inside.shape[1]
    alive = statistics.std > 1e-6 * np.abs(statistics.mean)  # what is left of a constant channel is rounding
    if not alive.any() or not np.isfinite(statistics.std).all():
        raise DataError("activations: every channel is constant or not finite on the statistics images. Check weights.")
    mean = statistics.mean[alive, None].astype(np.float32)
    std = statistics.std[alive, None].astype(np.float32)
    energy, raw = np.empty((n, m), dtype=np.float32), np.empty((n, m), dtype=np.float32)
    own, shuffled = np.full((3, n), np.nan), np.full((3, n), np.nan)
    chunk = max(1, _CHUNK_VALUES // (c * m))
    for start in range(0, n, chunk):
        rows = np.arange(start, min(start + chunk, n))
        values = np.asarray(maps[rows[0] : rows[-1] + 1], dtype=np.float32).reshape(len(rows), c, m)
        if not np.isfinite(values).all():
            raise DataError(f"activations: a map of images {rows[0]} to {rows[-1]} is not finite. Check the weights.")
        energy[rows] = np.square((values[:, alive] - mean) / std).mean(axis=1)
        raw[rows] = np.abs(values).mean(axis=1)
        scores = np.concatenate([energy[rows, None], raw[rows, None], values[:, alive]], axis=1)
        own[:, rows] = _three(auroc(scores, inside[rows, None], outside[rows, None]))
        other = np.maximum(partner[rows], 0)
        shuffled[:, rows] = _three(auroc(scores, inside[other, None], outside[other, None]))
    shuffled[:, partner < 0] = np.nan
    per_image: dict[str, np.ndarray] = {}
    for kind, a, b in zip(("standardized", "raw", "per_unit"), own, shuffled, strict=True):
        per_image |= {f"auroc/{kind}": a - b, f"auroc_own/{kind}": a, f"auroc_shuffled/{kind}": b}
    peak = np.max(energy, axis=1, where=inside, initial=0.0)
    fires = ((energy > PEAK_SHARE * peak[:, None]) & inside).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        per_image["area/standardized"] = np.where(peak > 0, fires / inside.sum(axis=1), np.nan)
    return per_image, energy, raw


def _three(values: np.ndarray) -> np.ndarray:
    """AUROCs (n, 2 + c) of energy, raw and channels -> (3, n): energy, raw, mean over channels of the folded ones."""
    folded = np.maximum(values[:, 2:], 1 - values[:, 2:])
    return np.stack([values[:, 0], values[:, 1], folded.mean(axis=1)])
