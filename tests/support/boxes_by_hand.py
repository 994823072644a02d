"""True boxes and detections written as rows, and drawn at random."""

from __future__ import annotations

import numpy as np

from headstart.metrics.average_precision import DIFFICULT, Detections, Truth

TWO_TRUTHS = [(0, 0, 0, 0, 0, 10, 10), (0, 0, 0, 50, 50, 60, 60)]
HIT_MISS_HIT = [(0, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.8, 90, 90, 99, 99), (0, 0, 0.7, 50, 50, 60, 60)]


def truth_of(rows, num_images=1, num_classes=1):
    """Rows (image, label, flags, x1, y1, x2, y2)."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    whole = table[:, :3].astype(np.int64)
    return Truth(whole[:, 0], table[:, 3:], whole[:, 1], whole[:, 2].astype(np.uint8), num_images, num_classes)


def detections_of(rows):
    """Rows (image, label, score, x1, y1, x2, y2)."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    return Detections(table[:, 0].astype(np.int64), table[:, 3:], table[:, 1].astype(np.int64), table[:, 2])


def random_case(rng, protocol_flags=(0, 0, DIFFICULT), grid=4.0, ties=True):
    """Up to 6 images and 3 classes, boxes near each other on a grid (exact arithmetic, many equal IoUs and scores)."""
    n, k, m, d = rng.integers(1, 7), rng.integers(1, 4), rng.integers(0, 16), rng.integers(0, 40)

    def boxes(count):
        corner = rng.integers(0, 10, (count, 2))
        return np.hstack([corner, corner + rng.integers(1, 9, (count, 2))]) / grid * 4

    true, found = boxes(m), boxes(d)
    if m and d:  # half of the detections start from a true box
        near = rng.random(d) < 0.5
        moved = true[rng.integers(m, size=d)] + rng.integers(0, 2, (d, 4)) / grid
        found[near] = moved[near]
    scores = rng.integers(0, 8, d) / 8 if ties else rng.permutation(d) / 64
    truth = Truth(
        rng.integers(n, size=m),
        true,
        rng.integers(k, size=m),
        rng.choice(protocol_flags, size=m).astype(np.uint8),
        int(n),
        int(k),
    )
    return truth, Detections(rng.integers(n, size=d), found, rng.integers(k, size=d), scores)
