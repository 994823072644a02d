"""Mean intersection over union of segmentations, from one confusion matrix per image.

Letters: n images, K classes, B resamples. Class indices are 0..K-1; one value of the target (255) marks pixels that
nobody scores.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.errors import DataError
from headstart.metrics.averages import mean_of_present


@dataclass(frozen=True, eq=False)
class MeanIoU:
    """IoU of pixels summed over all images, fractions 0..1.

    iou (K,): nan for a class without a true pixel; such a class is left out of `miou`, though pixels wrongly given to
    it still count against the classes that they belong to. pixels (K,) int64: true pixels that are scored.
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
    true, given = np.asarray(target), np.asarray(predicted)
    if true.shape != given.shape:
        raise DataError(f"the target mask has shape {true.shape}, the predicted mask {given.shape}; "
                        "bring the prediction to the size of the target first")  # fmt: skip
    scored = true != ignore
    true, given = true[scored].astype(np.int64), given[scored].astype(np.int64)
    for what, values in (("target", true), ("predicted", given)):
        outside = np.unique(values[(values < 0) | (values >= num_classes)])
        if len(outside):
            raise DataError(f"the {what} mask holds {outside[:3].tolist()}{', ..' if len(outside) > 3 else ''} where "
                            f"class indices 0..{num_classes - 1} are expected ({ignore} in the target: not scored); "
                            "map raw mask values to class indices first")  # fmt: skip
    return np.bincount(true * num_classes + given, minlength=num_classes**2).reshape(num_classes, num_classes)


def mean_iou(confusions: ArrayLike) -> MeanIoU:
    """Mean IoU of a test set from its images' confusion matrices (n, K, K) (rows: true class)."""
    tables = np.asarray(confusions)
    if tables.ndim != 3 or tables.shape[1] != tables.shape[2]:
        raise ValueError(f"confusions have shape {tables.shape}; they must be (images, classes, classes)")
    sums = np.stack([np.einsum("nkk->nk", tables), tables.sum(2), tables.sum(1)], axis=1).astype(np.float64)
    total = sums.sum(0)
    iou = _iou(total)
    return MeanIoU(iou, float(mean_of_present(iou)), total[1].astype(np.int64), sums)


def _iou(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    right, true, predicted = sums[..., 0, :], sums[..., 1, :], sums[..., 2, :]
    return np.divide(right, true + predicted - right, out=np.full(right.shape, np.nan), where=true > 0)
