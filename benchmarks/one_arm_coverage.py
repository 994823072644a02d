"""One arm alone: how often the 95 % interval of a mean over seeds and images holds the truth, and drawn detectors.

`benchmarks/interval_coverage.py` runs it: `--tables one`. A mean of one value an image (accuracy, say), normal. Grid:
3, 5, 10 seeds; 0 to 90 % of the variance of a value from the seeds themselves; 60 to 5,000 images; of the images'
variance nothing, half or all is interaction (an image that is hard for this seed only). Columns, in percent of studies:

- interval: ours (`headstart.stats.intervals`); lowest: the least of the three interactions, others are at one half;
- both: percentile bootstrap over seeds and images; seeds, images: over one of them alone, as is common;
- width: mean width of ours, divided by that of an interval that knew the true standard error (3.92 of them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from headstart.metrics.average_precision import Detections, Truth, average_precision
from headstart.stats.bootstrap import image_weights
from headstart.stats.intervals import crossed_interval

SEEDS = (3, 5, 10)
SHARES = (0.0, 0.3, 0.6, 0.9)
IMAGES = (60, 500, 5000)
INTERACTIONS = (0.0, 0.5, 1.0)
QUALITIES = np.array([1.0, 1.3])
Study = tuple[np.ndarray, np.ndarray]
"""Values (S,) and replicates (S, B)."""


def tally(studies: Iterator[Study], truth: float, rng: np.random.Generator) -> dict[str, float]:
    """Share of the studies whose interval holds the truth, by kind of interval; mean width of ours; sd of the means."""
    held: dict[str, list[bool]] = {"interval": [], "both": [], "seeds": [], "images": []}
    widths, means = [], []
    for values, draws in studies:
        num_seeds, resamples = draws.shape
        ours = crossed_interval(values, draws)
        held["interval"].append(ours.lo <= truth <= ours.hi)
        picked = rng.integers(num_seeds, size=(num_seeds, resamples))
        drawn = {
            "both": np.take_along_axis(draws, picked, 0).mean(0),
            "seeds": values[picked].mean(0),
            "images": draws.mean(0),
        }
        for name, replicates in drawn.items():
            low, high = np.quantile(replicates, [0.025, 0.975])
            held[name].append(low <= truth <= high)
        widths.append(ours.hi - ours.lo)
        means.append(values.mean())
    known = 2 * 1.959964 * float(np.std(means))
    return {name: float(np.mean(hits)) for name, hits in held.items()} | {"width": float(np.mean(widths)) / known}


def means(num_images: int, resamples: int) -> Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]:
    """Draws (.., 1 + B): the mean of `num_images` normal values of variance `num_images`, and its replicates.

    They are normal as well, with a covariance that the image weights give, so no value of an image need be drawn where
    there are more images than resamples.
    """
    weights = image_weights(np.arange(num_images), resamples)
    rows = np.vstack([np.ones(num_images), weights]) / np.sqrt(num_images)
    factor = rows if num_images <= resamples else np.linalg.cholesky(rows @ rows.T + 1e-12 * np.eye(len(rows)))
    return lambda rng, shape: rng.normal(size=(*shape, factor.shape[1])) @ factor.T


def of_means(
    draw: Callable, num_seeds: int, share: float, interaction: float, studies: int, rng: np.random.Generator
) -> Iterator[Study]:
    """Studies whose seeds' values have variance 1 around a truth of 0."""
    of_images = 1 - share
    for _ in range(studies):
        found = (
            np.sqrt(share) * rng.normal(size=(num_seeds, 1))
            + np.sqrt(of_images * (1 - interaction)) * draw(rng, ())
            + np.sqrt(of_images * interaction) * draw(rng, (num_seeds,))
        )
        yield found[:, 0], found[:, 1:]


def table_of_means(studies: int, resamples: int) -> float:
    """Print the first table; returns the lowest coverage of our intervals."""
    print(
        f"{'seeds':>5s} {'share':>5s} {'images':>6s}  {'interval':>8s} {'lowest':>6s} {'both':>6s} {'seeds':>6s} "
        f"{'images':>6s}  {'width':>5s}"
    )
    lowest = 1.0
    for num_images in IMAGES:
        draw = means(num_images, resamples)
        for num_seeds in SEEDS:
            for share in SHARES:
                rng = np.random.default_rng([num_images, num_seeds, round(10 * share)])
                found = {i: tally(of_means(draw, num_seeds, share, i, studies, rng), 0.0, rng) for i in INTERACTIONS}
                least = min(row["interval"] for row in found.values())
                lowest = min(lowest, least)
                line(num_seeds, f"{share:5.0%}", num_images, found[0.5], f"{100 * least:6.1f} ")
    return lowest


def line(num_seeds: int, share: str, num_images: int, found: dict[str, float], lowest: str = "") -> None:
    print(
        f"{num_seeds:5d} {share} {num_images:6d}  {100 * found['interval']:8.1f} {lowest}{100 * found['both']:6.1f} "
        f"{100 * found['seeds']:6.1f} {100 * found['images']:6.1f}  {found['width']:5.2f}",
        flush=True,
    )


# ---- drawn detectors


def detectors(num_images: int, qualities: np.ndarray, rng: np.random.Generator) -> tuple[Truth, list[Detections]]:
    """A test set of two classes and what one detector of each quality finds: scores of found objects are normal around
    the quality, plus what the image and the image for this detector add; scores of wrong detections around 0."""
    objects, wrong = rng.poisson(1.5, num_images), rng.poisson(2.0, num_images)
    of_object, of_wrong = np.repeat(np.arange(num_images), objects), np.repeat(np.arange(num_images), wrong)
    places = np.arange(len(of_object))[:, None] * np.array([20.0, 0, 20, 0]) + np.array([0.0, 0, 10, 10])
    labels, wrong_labels = rng.integers(2, size=len(of_object)), rng.integers(2, size=len(of_wrong))
    truth = Truth(of_object, places, labels, np.zeros(len(labels), np.uint8), num_images, 2)
    shared, sides = rng.normal(0, 0.5, num_images), []
    for quality in qualities:
        own = shared + rng.normal(0, 0.5, num_images)
        scores = np.concatenate(
            [quality + own[of_object] + rng.normal(size=len(of_object)), rng.normal(size=len(of_wrong))]
        )
        boxes = np.vstack([places, np.tile([0.0, 100, 10, 110], (len(of_wrong), 1))])
        images, classes = np.concatenate([of_object, of_wrong]), np.concatenate([labels, wrong_labels])
        sides.append(Detections(images, boxes, classes, scores))
    return truth, sides


def single_map(num_images: int, quality: float, rng: np.random.Generator) -> float:
    """mAP of one detector on a test set of its own."""
    truth, sides = detectors(num_images, np.array([quality]), rng)
    return float(average_precision(truth, sides[0], "voc-area", (0.5,)).map[0])
