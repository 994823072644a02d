"""Intersection over union of segmentations: of their areas, of their foreground, of their boundaries.

Letters: n images, K classes, B resamples. Class indices are 0..K-1; one value of the target (255) marks pixels that
nobody scores.

**Boundary IoU** (Cheng, Girshick, Dollár, Berg, Kirillov, CVPR 2021, Sec. 4) compares only those pixels of a class that
lie near the edge of its area: true ones near an edge of the truth, predicted ones near an edge of the prediction. Near
means: a pixel outside the area is at most d steps away, diagonal steps included, where d is 2 % of the image's
diagonal, rounded, 1 at least. The image ends at its border: outside it is outside every area. That is the rule of the
authors' code, which erodes the area d times by 3 x 3 pixels. Pixels that nobody scores are taken out of both areas
first, so that an edge towards them is one of the truth and of the prediction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError
from headstart.metrics.averages import mean_of_present


@dataclass(frozen=True, eq=False)
class MeanIoU:
    """IoU of pixels summed over all images, fractions 0..1.

    iou (K,): nan for a class without a true pixel; such a class is left out of `miou`, though pixels wrongly given to
    it still count against the classes that they belong to. pixels (K,) int64: true pixels that are scored. For
    boundary IoU, pixels are those near boundaries.
    """

    iou: NDArray[np.float64]
    miou: float
    pixels: NDArray[np.int64]
    sums: NDArray[np.float64] = field(repr=False)
    """(n, 3, K): right, true and predicted pixels of every image."""

    def iou_replicates(self, weights: ArrayLike) -> NDArray[np.float64]:
        """(B, K) IoU with image i counted weights[b, i] times; nan where no true pixel of the class has weight."""
        rows = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        if rows.shape[1] != len(self.sums):
            raise ValueError(f"weights have shape {rows.shape}; they must be (resamples, {len(self.sums)} images)")
        num_classes = self.sums.shape[2]
        return _iou((rows @ self.sums.reshape(len(self.sums), 3 * num_classes)).reshape(len(rows), 3, num_classes))

    def replicates(self, weights: ArrayLike) -> NDArray[np.float64]:
        """(B,) mean IoU under image weights (B, n); a class without weight is left out of that resample's mean."""
        return mean_of_present(self.iou_replicates(weights))


def confusion(target: ArrayLike, predicted: ArrayLike, num_classes: int, ignore: int = 255) -> NDArray[np.int64]:
    """(K, K) pixel counts of one image, rows: true class, columns: predicted class.

    target, predicted: class indices of equal shape. Pixels whose target is `ignore` are left out, whatever is
    predicted there. Raises DataError for shapes that differ and for class indices outside 0..K-1.
    """
    true, guess = np.asarray(target), np.asarray(predicted)
    if true.shape != guess.shape:
        raise DataError(
            f"the target mask has shape {true.shape}, the predicted mask {guess.shape}; "
            "bring the prediction to the size of the target first"
        )
    scored = true != ignore
    true, guess = true[scored].astype(np.int64), guess[scored].astype(np.int64)
    for what, values in (("target", true), ("predicted", guess)):
        outside = np.unique(values[(values < 0) | (values >= num_classes)])
        if len(outside):
            raise DataError(
                f"the {what} mask holds {outside[:3].tolist()}{', ..' if len(outside) > 3 else ''} where "
                f"class indices 0..{num_classes - 1} are expected ({ignore} in the target: not scored); "
                "map raw mask values to class indices first"
            )
    return np.bincount(true * num_classes + guess, minlength=num_classes**2).reshape(num_classes, num_classes)


def mean_iou(confusions: ArrayLike) -> MeanIoU:
    """Mean IoU of a test set from its images' confusion matrices (n, K, K) (rows: true class)."""
    tables = np.asarray(confusions)
    if tables.ndim != 3 or tables.shape[1] != tables.shape[2]:
        raise ValueError(f"confusions have shape {tables.shape}; they must be (images, classes, classes)")
    sums = np.stack([np.einsum("nkk->nk", tables), tables.sum(2), tables.sum(1)], axis=1)
    return _mean_iou(sums.astype(np.float64))


def foreground_iou(confusions: ArrayLike, background: int = 0) -> MeanIoU:
    """IoU of everything that is not background as one area, whatever its class (K = 1): *where* things are found.

    confusions (n, K, K) as in `mean_iou`; background: its class.
    """
    tables = np.asarray(confusions)
    if tables.ndim != 3 or tables.shape[1] != tables.shape[2] or not 0 <= background < tables.shape[1]:
        raise ValueError(
            f"confusions have shape {tables.shape}, background is {background}; they must be (images, classes, "
            "classes) and one of these classes"
        )
    front = np.delete(np.arange(tables.shape[1]), background)
    of_true, of_predicted = tables[:, front], tables[:, :, front]
    sums = [of_true[:, :, front].sum((1, 2)), of_true.sum((1, 2)), of_predicted.sum((1, 2))]
    return _mean_iou(np.stack(sums, axis=1)[:, :, None].astype(np.float64))


NO_CLASS = -1
"""What stands for pixels that are not scored, and for those beyond the image."""


def boundary_sums(
    target: ArrayLike, predicted: ArrayLike, num_classes: int, ignore: int = 255, *, dilation_ratio: float = 0.02
) -> NDArray[np.int64]:
    """(3, K) boundary pixels of one image: common to both, of the truth, of the prediction.

    target, predicted (h, w): class indices; dilation_ratio: d as a part of the image's diagonal. Raises as `confusion`.
    """
    true, guess = np.asarray(target), np.asarray(predicted)
    confusion(true, guess, num_classes, ignore)  # refuses what are no masks of these classes
    if true.ndim != 2:
        raise ValueError(f"the masks have shape {true.shape}; give one image, (height, width)")
    steps = max(1, round(dilation_ratio * float(np.hypot(*true.shape))))
    scored = true != ignore
    classes = [np.where(scored, mask.astype(np.int32), NO_CLASS) for mask in (true, guess)]
    edges = [_edge(mask, steps) & scored for mask in classes]
    common = edges[0] & edges[1] & (classes[0] == classes[1])
    counted = (classes[0][common], classes[0][edges[0]], classes[1][edges[1]])
    return np.stack([np.bincount(some, minlength=num_classes) for some in counted]).astype(np.int64)


def _edge(mask: NDArray[np.int32], steps: int) -> NDArray[np.bool_]:
    """Where a pixel of another class, or beyond the image, is at most so many steps away, diagonal ones included.

    For all classes at once: a square around a pixel is of one class where its least and its greatest are equal.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    how: Any = {"size": 2 * steps + 1, "mode": "constant", "cval": NO_CLASS}
    return minimum_filter(mask, **how) != maximum_filter(mask, **how)


def boundary_iou(sums: ArrayLike) -> MeanIoU:
    """Boundary IoU of a test set from its images' `boundary_sums` (n, 3, K), summed before dividing."""
    tables = np.asarray(sums)
    if tables.ndim != 3 or tables.shape[1] != 3:
        raise ValueError(f"sums have shape {tables.shape}; they must be (images, 3, classes)")
    return _mean_iou(tables.astype(np.float64))


def _mean_iou(sums: NDArray[np.float64]) -> MeanIoU:
    total = sums.sum(0)
    iou = _iou(total)
    return MeanIoU(iou, float(mean_of_present(iou)), total[1].astype(np.int64), sums)


def _iou(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    right, true, predicted = sums[..., 0, :], sums[..., 1, :], sums[..., 2, :]
    return np.divide(right, true + predicted - right, out=np.full(right.shape, np.nan), where=true > 0)
