"""What would change an answer: more seeds, more test images. From the parts of the variance of one difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from headstart.stats.arms import Arms
from headstart.stats.intervals import finite
from headstart.stats.parts import Parts
from headstart.stats.power import detectable, images_for, seeds_for

ALPHA = 0.05


def change(
    values: Mapping[str, np.ndarray], replicates: Mapping[str, np.ndarray], ranked: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The best arm of a ranking against the one that comes next; None where nothing is ranked or the variance of their
    difference is not known.

    values: name -> (S,); replicates: name -> (S, B). `detectable`: the difference that 8 of 10 such studies find,
    with the correction for as many comparisons as there are other arms; `twice_seeds`, `twice_images`, `twice_both`:
    with twice as many; `seeds`, `images`: how many seeds, and how many times the images, find a difference as large as
    the one measured, None where no number tried does. `share`: of the variance that the images have, the seeds, and
    what images do to single seeds, which both seeds and images make smaller.
    """
    rows = [row for row in ranked["rows"] if row["weights"] != ranked["best"] and finite(row["mean"]) is not None]
    if not ranked["ranked"] or not rows:
        return None
    rival = max(rows, key=lambda row: row["mean"])["weights"]
    found = Arms(values, replicates).error({ranked["best"]: 1, rival: -1})
    if found is None:
        return None
    parts, alpha = found[1], ALPHA / len(rows)
    now = finite(detectable(parts, alpha))
    if now is None or parts.total == 0:
        return None
    effect = float(np.mean(values[ranked["best"]]) - np.mean(values[rival]))
    twice = parts.with_seeds(2 * parts.num_seeds)
    return {
        "rival": rival,
        "effect": effect,
        "detectable": now,
        "twice_seeds": finite(detectable(twice, alpha)),
        "twice_images": finite(detectable(parts.with_images(2), alpha)),
        "twice_both": finite(detectable(twice.with_images(2), alpha)),
        "seeds": seeds_for(effect, parts, alpha) if effect > 0 else None,
        "images": images_for(effect, parts, alpha) if effect > 0 else None,
        "share": _shares(parts),
    }


def _shares(parts: Parts) -> dict[str, float]:
    """Of the variance."""
    return {
        "images": parts.images / parts.total,
        "seeds": parts.seeds / parts.num_seeds / parts.total,
        "both": parts.both / parts.num_seeds / parts.total,
    }
