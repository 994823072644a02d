"""A thousand paired resamples of a VOC-sized evaluation: seconds, and how little each costs beside matching again.

    python benchmarks/bootstrap.py [--images N] [--resamples N] [--repeats N]

4,952 images, 20 classes, 15k true boxes, 400k detections, IoU 0.5 and 0.7, every protocol; two sets of detections under
the same image weights, so that differences are paired. The second set is the first with noise in its scores. Columns:
evaluate: wall seconds of matching and AP of one set; resample: of the 1,000 replicates of one set; pair: of both sets
and the interval of their difference, with drawing the image weights; CPU s: of the pair. The last line compares one
replicate with evaluating the resampled images anew. Fastest of the repeats; compilation is not counted.

Goal: 1,000 paired resamples at two IoUs in at most 10 s on two cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from average_precision import made

from headstart.metrics.average_precision import PROTOCOLS, Detections, Truth, average_precision
from headstart.stats.arms import Arms
from headstart.stats.bootstrap import image_weights

IOUS = (0.5, 0.7)


def fastest(repeats: int, run: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest of the runs."""
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(times)


def repeated(truth: Truth, found: Detections, weights: np.ndarray) -> tuple[Truth, Detections]:
    """The test set with image i there weights[i] times, copies being neighbors."""
    first = np.concatenate([[0], np.cumsum(weights.astype(np.int64))])

    def copies(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.repeat(np.arange(len(images)), weights[images])
        begins = np.concatenate([[0], np.cumsum(weights[images].astype(np.int64))])[:-1]
        return rows, first[images[rows]] + np.arange(len(rows)) - begins[rows]

    (t, ti), (d, di) = copies(truth.image_index), copies(found.image_index)
    return (
        Truth(ti, truth.boxes_xyxy[t], truth.labels[t], truth.flags[t], int(first[-1]), truth.num_classes),
        Detections(di, found.boxes_xyxy[d], found.labels[d], found.scores[d]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=None)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    case = made("voc", given.images)
    num_images = int(case["num_images"])
    flags = np.zeros(len(case["true_labels"]), np.uint8)
    truth = Truth.from_xywh(
        case["true_images"],
        case["true_boxes"],
        case["true_labels"],
        flags,
        num_images=num_images,
        num_classes=int(case["num_classes"]),
    )
    found = Detections.from_xywh(case["images"], case["boxes"], case["labels"], case["scores"])
    noise = np.random.default_rng(1).normal(0, 0.1, len(found.scores))
    other = replace(found, scores=np.clip(found.scores + noise, 0, None))
    print(
        f"{num_images:,} images, {len(truth.labels):,} boxes, {len(found.scores):,} detections, IoU 0.5 and 0.7, "
        f"{given.resamples:,} resamples"
    )
    print(f"{'protocol':12s} {'evaluate':>9s} {'resample':>9s} {'pair':>9s} {'CPU s':>9s}  difference in points at 0.5")
    for protocol in PROTOCOLS:
        results = [average_precision(truth, side, protocol, IOUS) for side in (found, other)]  # type: ignore[arg-type]
        results[0].replicates(np.ones((1, num_images)))
        weights = image_weights(np.arange(num_images), given.resamples)

        def pair() -> object:
            drawn = image_weights(np.arange(num_images), given.resamples)
            a, b = (average_precision(truth, s, protocol, IOUS) for s in (found, other))  # noqa: B023
            draws = {"a": a.replicates(drawn)[None, :, 0], "b": b.replicates(drawn)[None, :, 0]}
            return Arms({"a": a.map[:1], "b": b.map[:1]}, draws).difference("a", "b")

        evaluation = fastest(given.repeats, lambda: average_precision(truth, found, protocol, IOUS))[0]  # noqa: B023
        resampling = fastest(given.repeats, lambda: results[0].replicates(weights))[0]  # noqa: B023
        both = fastest(given.repeats, pair)
        gap = pair()
        print(
            f"{protocol:12s} {evaluation:9.3f} {resampling:9.2f} {both[0]:9.2f} {both[1]:9.2f}  "
            f"{100 * gap.effect:.2f} [{100 * gap.lo:.2f}, {100 * gap.hi:.2f}]"
        )  # type: ignore[attr-defined]
    result = average_precision(truth, found, "voc-area", IOUS)
    again = average_precision(*repeated(truth, found, weights[0]), "voc-area", IOUS)
    apart = float(np.nanmax(np.abs(result.ap_replicates(weights[:1])[0] - again.ap)))
    print(f"one replicate against the same images evaluated anew: greatest difference of an AP {apart:.1e}")


if __name__ == "__main__":
    main()
