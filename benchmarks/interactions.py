"""How often F4b and F4c are found where there is nothing, and where there is something.

    python benchmarks/interactions.py [STUDIES] [CELL ...]

A study has three seeds of both arms, 1,500 images to probe on and 1,500 to test on. Images have a class of twelve, one
to five instances and a size, as in the drawn world. Two kinds of worlds:

- *log-odds*: right or wrong is drawn from log-odds that are linear in the count and the log of the area; the boxes arm
  lacks a constant of them. Its control is the labels arm lacking as much.
- *features*: the class is a direction in 24 channels, whose strength grows with the area and falls with the count, in
  noise; the probes are fitted on such features, and the control is the product's own: probes on fewer images.

For each cell: how often the measure of before (differences of log-losses, regressed) is significant, how often the
slopes of the log-odds differ (primary, unadjusted), and what `findings` says in the end, among which *supported* and
*contradicted* are false where there is no interaction.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from headstart.explain.composition import Composition, measure
from headstart.explain.evidence import Measured
from headstart.explain.findings import findings
from headstart.explain.least_squares import coefficients
from headstart.explain.matching import Answers, share_right, weakened
from headstart.metrics.accuracy import log_losses
from headstart.stats.bootstrap import image_weights
from headstart.stats.intervals import crossed_interval
from headstart.tasks.linear_probes import probe

SEEDS, IMAGES, CLASSES, RESAMPLES, CHANNELS = 3, 1500, 12, 100, 24
STRENGTH = 0.03
"""Of the probes' regularization: fixed, for time."""


@dataclass(frozen=True)
class Cell:
    """How the boxes arm differs. count, area: true interactions, in log-odds or in the strength of the features."""

    kind: str
    less: float = 0.0
    power: float = 1.0
    noise: float = 1.0
    wide: int = 0
    early: float = 0.0
    count: float = 0.0
    area: float = 0.0


CELLS = {
    "equal": Cell("log-odds"),
    "half a logit weaker": Cell("log-odds", less=0.5),
    "one logit weaker": Cell("log-odds", less=1.0),
    "interactions of .3 logits": Cell("log-odds", count=-0.3, area=0.3),
    "the same, half a logit weaker": Cell("log-odds", less=0.5, count=-0.3, area=0.3),
    "features: equal": Cell("features"),
    "features: weaker signal": Cell("features", power=0.8),
    "features: noisier": Cell("features", noise=1.4),
    "features: wider": Cell("features", wide=96),
    "features: trained less": Cell("features", early=0.4),
    "features: interactions": Cell("features", power=0.9, count=-0.06, area=0.12),
}


@dataclass(frozen=True)
class Images:
    """What is in n images."""

    classes: np.ndarray
    counts: np.ndarray
    mean: np.ndarray
    total: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Images:
        counts = 1.0 + rng.choice(5, IMAGES, p=[0.4, 0.25, 0.17, 0.11, 0.07])
        side = np.exp(rng.uniform(np.log(0.15), np.log(0.6), IMAGES))
        total = np.minimum(side**2 * (0.5 + 0.5 * counts) * 0.6, 0.9)
        return cls(rng.integers(0, CLASSES, IMAGES), counts, total / counts, total)


def by_log_odds(rng: np.random.Generator, cell: Cell) -> tuple[Images, list[dict[str, list[Answers]]]]:
    """Ladders of each arm for every seed; the difficulty of an image is partly common to all."""
    images = Images.drawn(rng)
    of_class, common = rng.normal(0, 0.5, CLASSES)[images.classes], rng.normal(0, 1, IMAGES)
    base = 3.6 + of_class + common - 0.2 * (images.counts - 2) + 0.8 * np.log(images.total / 0.15)
    own = cell.count * (images.counts - 2) + cell.area * np.log(images.mean / 0.08)

    def answered(odds: np.ndarray, count: int) -> Answers:
        p = expit(odds + rng.normal(0, 0.5, IMAGES))
        return Answers(rng.random(IMAGES) < p, -np.log(p), count)

    seeds = []
    for _ in range(SEEDS):
        boxes, labels = rng.normal(0, 0.1, 2)
        poorer = [answered(base + labels - k * max(cell.less, 0.25), IMAGES >> k) for k in range(5)]
        seeds.append({"boxes": [answered(base + own + boxes - cell.less, IMAGES)], "labels": poorer})
    for ladders in seeds:  # by chance the boxes arm may be right more often
        boxes, labels = ladders["boxes"][0], ladders["labels"][0]
        if share_right(boxes) > share_right(labels):
            ladders["boxes"] += [answered(base + own - 0.25 * k, IMAGES >> k) for k in range(1, 5)]
    return images, seeds


def by_features(rng: np.random.Generator, cell: Cell) -> tuple[Images, list[dict[str, list[Answers]]]]:
    """The same from probes on features."""
    train, test = Images.drawn(rng), Images.drawn(rng)
    directions = 0.72 * rng.normal(size=(CLASSES, CHANNELS))
    layout = rng.normal(size=(3, CHANNELS))
    common = {id(images): rng.normal(size=(IMAGES, CHANNELS)) for images in (train, test)}

    def features(images: Images, of: Cell) -> np.ndarray:
        strength = np.exp((0.25 + of.area) * np.log(images.total / 0.15) + (of.count - 0.06) * (images.counts - 2))
        noise = 0.7 * (common[id(images)] + rng.normal(size=(IMAGES, CHANNELS)))
        found = of.power * strength[:, None] * directions[images.classes] + of.noise * noise
        seen = np.column_stack([images.counts / 1.2, np.log(images.mean) / 0.9, rng.normal(size=IMAGES)])
        found = (1 - of.early) * found + of.early * 1.5 * np.tanh(seen @ layout)
        return np.concatenate([found, rng.normal(size=(IMAGES, of.wide))], axis=1)

    def ladder(of: Cell) -> tuple[Answers, Callable[[int], Answers]]:
        x, y = features(train, of), features(test, of)

        def fit(count: int) -> Answers:
            fitted = probe(x[:count], train.classes[:count], y, CLASSES, strengths=(STRENGTH,))
            right = fitted.logits.argmax(axis=1) == test.classes
            return Answers(right, log_losses(fitted.logits, test.classes), count)

        return fit(IMAGES), fit

    seeds = []
    for _ in range(SEEDS):
        both = {"boxes": ladder(cell), "labels": ladder(Cell("features"))}
        target = min(share_right(full) for full, _ in both.values())
        seeds.append({arm: weakened(full, target, CLASSES, fit) for arm, (full, fit) in both.items()})
    return test, seeds


def before(images: Images, ladders: list[dict[str, list[Answers]]], weights: np.ndarray) -> list[bool]:
    """Whether differences of log-losses, regressed on count and log of mean area, are significant."""
    x = np.column_stack([images.counts, np.log(images.mean)])
    points, drawn = [], []
    for of_seed in ladders:
        d = of_seed["boxes"][0].log_loss - of_seed["labels"][0].log_loss
        points.append(coefficients(d, images.classes, x, np.ones((1, IMAGES)))[0])
        drawn.append(coefficients(d, images.classes, x, weights))
    values, replicates = np.stack(points), np.stack(drawn)
    intervals = [crossed_interval(values[:, k], replicates[:, :, k]) for k in range(2)]
    return [interval.p is not None and interval.p < 0.05 for interval in intervals]


def study(rng: np.random.Generator, cell: Cell) -> dict[str, list[float]]:
    """For F4b and F4c: significant before, primary significant, supported, contradicted, effects, shares right."""
    images, ladders = (by_features if cell.kind == "features" else by_log_odds)(rng, cell)
    weights = image_weights(np.arange(IMAGES), RESAMPLES, seed=int(rng.integers(1 << 30)))
    composition = Composition(images.counts, images.mean, images.total)
    rows = [measure(of_seed, images.classes, composition, weights=weights)[:2] for of_seed in ladders]
    roles = {}
    for arm in ("boxes", "labels"):
        names = [n for n in rows[0][0] if n.startswith(f"{arm}/") and all(n in values for values, _ in rows)]
        values = {n.removeprefix(f"{arm}/"): np.array([v[n] for v, _ in rows]) for n in names}
        drawn = {n.removeprefix(f"{arm}/"): np.stack([r[n] for _, r in rows]) for n in names if n in rows[0][1]}
        roles[arm] = Measured(values, drawn)
    judged = {f["id"]: f for f in findings(roles, (), SEEDS)}
    found: dict[str, list[float]] = {"before": [float(b) for b in before(images, ladders, weights)]}
    told = [judged[name] for name in ("F4b", "F4c")]
    primaries = [f["primary"] for f in told]
    found["primary"] = [float(m is not None and (m["p"] or 0) < 0.05) for m in primaries]
    found["supported"] = [float(f["verdict"] == "supported") for f in told]
    found["contradicted"] = [float(f["verdict"] == "contradicted") for f in told]
    found["effect"] = [np.nan if m is None or m["effect"] is None else m["effect"] for m in primaries]
    found["right"] = [float(roles[arm].values["odds/top1"].mean()) for arm in ("boxes", "labels")]
    return found


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"{studies} studies a cell; two numbers: F4b, F4c")
    for name in sys.argv[2:] or CELLS:
        began, rng = time.perf_counter(), np.random.default_rng(1)
        rows = [study(rng, CELLS[name]) for _ in range(studies)]
        means = {key: np.nanmean([row[key] for row in rows], axis=0) for key in rows[0]}
        shown = "; ".join(f"{key} {a:+.3f} {b:+.3f}" for key, (a, b) in means.items())
        print(f"{name}: {shown} ({time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
