"""Numbers of several files of detections as one: means over the trainings that made them, crossed intervals.

Letters: S, R seeds of the two sets, B resamples of the images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.evaluation.scoring import Scored
from headstart.names import is_of_class
from headstart.stats.arms import Arms
from headstart.stats.intervals import Interval, crossed_interval


def mean_metrics(seeds: Sequence[Scored]) -> dict[str, float]:
    """Means over the seeds; nan where one of them has no value."""
    if len(seeds) == 1:
        return dict(seeds[0].metrics)
    return {name: float(np.mean([seed.metrics[name] for seed in seeds])) for name in seeds[0].metrics}


def intervals_of(seeds: Sequence[Scored]) -> dict[str, Interval]:
    """Of every mean over classes: over images for one seed, crossed over seeds and images for several."""
    return {
        name: crossed_interval([s.metrics[name] for s in seeds], [s.replicates[name] for s in seeds])
        for name in seeds[0].replicates
    }


def differences_of(first: Sequence[Scored], second: Sequence[Scored]) -> dict[str, Interval]:
    """First minus second of every mean over classes. One file each: paired, image by image. Several: the images are
    paired, the seeds are not. Without resamples the difference alone."""
    return {name: _difference(name, first, second) for name in first[0].metrics if not is_of_class(name)}


def _difference(name: str, first: Sequence[Scored], second: Sequence[Scored]) -> Interval:
    values = [[s.metrics[name] for s in side] for side in (first, second)]
    if name not in first[0].replicates:
        effect = float(np.mean(values[0]) - np.mean(values[1]))
        return Interval(effect, math.nan, math.nan, None, math.nan, math.nan, (effect,))
    draws = [np.stack([s.replicates[name] for s in side]) for side in (first, second)]
    names = "first", "second"
    return Arms(dict(zip(names, values, strict=True)), dict(zip(names, draws, strict=True))).difference(*names)
