"""Open Images: the class hierarchy, for truth, verified labels and detections. The protocol is `openimages`.

Letters: n images, m true boxes, d detections, K classes.

The evaluation of the Open Images Challenge (storage.googleapis.com/openimages/web/evaluation.html; its code is
`OpenImagesChallengeEvaluator` in the TensorFlow Object Detection API) goes like this:

- **Verified labels.** In an image only those classes are scored that people verified there, as present or as absent, or
  that have a box there. Detections of other classes are left out; those of a class that is absent are wrong.
- **Hierarchy.** A box of a class is one of every class above it, too, and so is the label "present"; "absent" holds for
  every class below. `expanded` does this to a truth as the data set publishes it, with the leaf-most labels only.
  Detections are taken as they are: a model is asked to give the classes above its own. `expanded_detections` does that
  for a model that does not.
- **Group-of boxes.** A box around a group counts as one object. Detections that are not right for a single object,
  and of whose area at least the threshold's share lies in the group-of box, find it: the surest is right, the others
  are ignored; if there is none the box is missed. The older "V2" metric ignores all of them and does not count the
  box: `replace(PROTOCOLS["openimages"], crowd="region")`.
- IoU of at least 0.5, AP as the area under the envelope, classes with a box that counts averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headstart.metrics.boxes import Detections, Truth, Verified

Parents = Mapping[int, Sequence[int]] | ArrayLike
"""The classes right above each class, by its index (a class may have several); or (K,) one each, -1 for none."""


def lineage(parents: Parents, num_classes: int) -> NDArray[np.bool_]:
    """(K, K) whether class j is class i or one of those above it.

    Raises ValueError for indices outside 0..K-1 and for a class above itself, naming it.
    """
    above = [set[int]() for _ in range(num_classes)]
    if isinstance(parents, Mapping):
        pairs = [(int(child), int(p)) for child, its_parents in parents.items() for p in its_parents]
    else:
        column = np.asarray(parents)
        if column.shape != (num_classes,):
            raise ValueError(f"parents has shape {column.shape}; give one for each of {num_classes} classes, or a dict")
        pairs = [(child, int(p)) for child, p in enumerate(column) if p >= 0]
    for child, parent in pairs:
        if not (0 <= child < num_classes and 0 <= parent < num_classes):
            raise ValueError(f"class {parent} is given as above class {child}; classes are 0..{num_classes - 1}")
        above[child].add(parent)
    out = np.eye(num_classes, dtype=np.bool_)
    for start in range(num_classes):
        waiting = list(above[start])
        while waiting:
            k = waiting.pop()
            if k == start:
                raise ValueError(f"class {start} lies above itself; parents must not form a circle")
            if not out[start, k]:
                out[start, k] = True
                waiting += above[k]
    return out


def expanded(truth: Truth, parents: Parents) -> Truth:
    """The truth with every box and every present label given to all classes above its own, absent ones to all below."""
    up = lineage(parents, truth.num_classes)
    rows, labels = spread(truth.labels, up)
    verified = truth.verified
    if verified is not None:
        present_offsets, present = _spread_labels(verified.present_offsets, verified.present, up)
        absent_offsets, absent = _spread_labels(verified.absent_offsets, verified.absent, up.T)
        verified = Verified(present_offsets, present, absent_offsets, absent)
    return truth.take(rows, labels=labels, verified=verified)


def expanded_detections(detections: Detections, parents: Parents, num_classes: int) -> Detections:
    """The detections with a copy, of equal score, for every class above their own. Not for a model that gives those
    itself: each would be there twice, and the second is wrong."""
    rows, labels = spread(detections.labels, lineage(parents, num_classes))
    return detections.take(rows, labels=labels)


def spread(labels: NDArray[np.int64], related: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows repeated once for every class related to their label, and that class."""
    counts, classes = related.sum(1), np.nonzero(related)[1]
    begins = np.cumsum(counts) - counts
    rows = np.repeat(np.arange(len(labels)), counts[labels])
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts[labels]) - counts[labels], counts[labels])
    return rows, classes[begins[labels[rows]] + within]


def _spread_labels(
    offsets: NDArray[np.int64], labels: NDArray[np.int64], related: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets and labels of the images' label lists, each label replaced by the classes related to it."""
    rows, carried = spread(labels, related)
    images = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return np.searchsorted(images[rows], np.arange(len(offsets))), carried
