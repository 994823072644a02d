"""How often F3 is found where one network is merely worse than the other, and where it holds more.

    python benchmarks/asymmetry.py [STUDIES] [CELL ...]

A study has three seeds of both arms on 300 images with a class of twelve and five numbers of layout. A network is a
random map of class and layout to channels, with noise of its own, cut at 0. In each cell one arm differs: weaker
signal, more noise, 64 channels of noise more, features of a random network in the place of two fifths of what it
learned; in the last the boxes arm holds class and layout more precisely. For each: how often the asymmetry itself is
significant, then what `findings` says, among which *supported* and *contradicted* are false but in the last.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from headstart.explain.evidence import Measured
from headstart.explain.findings import findings
from headstart.explain.neighbors import measure
from headstart.stats.bootstrap import image_weights

SEEDS, IMAGES, CLASSES, CHANNELS, LAYOUT, RESAMPLES = 3, 300, 12, 32, 5, 100
WORSE: dict[str, dict[str, Any]] = {
    "equal": {},
    "weaker": {"power": 0.6},
    "noisier": {"noise": 1.8},
    "wider": {"wide": 64},
    "trained less": {"early": 0.4},
}
CELLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{f"boxes {name}": (how, {}) for name, how in WORSE.items()},
    **{f"labels {name}": ({}, how) for name, how in WORSE.items() if how},
    "boxes hold more": ({"layout": 1.0, "power": 1.6, "noise": 0.7}, {}),
}


def network(
    rng: np.random.Generator,
    labels: np.ndarray,
    layout_of: np.ndarray,
    *,
    power: float = 1.0,
    layout: float = 0.5,
    noise: float = 1.0,
    wide: int = 0,
    early: float = 0.0,
) -> np.ndarray:
    """Features (n, c) of a network that was made anew."""
    learned = power * rng.normal(size=(CLASSES, CHANNELS))[labels]
    learned = learned + layout * layout_of @ rng.normal(size=(LAYOUT, CHANNELS))
    learned = np.maximum(learned + noise * rng.normal(size=(len(labels), CHANNELS)) + 0.5, 0)
    seen = np.concatenate([0.3 * np.eye(CLASSES)[labels], layout_of, rng.normal(size=(len(labels), 3))], axis=1)
    at_random = np.maximum(seen @ rng.normal(size=(seen.shape[1], CHANNELS)), 0)
    more = np.maximum(rng.normal(size=(len(labels), wide)), 0)
    return np.concatenate([(1 - early) * learned + early * at_random, more], axis=1)


def study(rng: np.random.Generator, boxes: dict[str, Any], labels: dict[str, Any]) -> dict[str, float]:
    """Effect, whether it is significant, and the verdict."""
    classes, layout = rng.integers(0, CLASSES, IMAGES), rng.normal(size=(IMAGES, LAYOUT))
    weights = image_weights(np.arange(IMAGES), RESAMPLES, seed=int(rng.integers(1 << 30)))
    rows = []
    for _ in range(SEEDS):
        arms = [network(rng, classes, layout, **how) for how in (boxes, labels, labels | {"early": 0.5})]
        rows.append(measure(*arms[:2], weights, classes=classes, counts=classes, early=arms[2])[:2])
    values = {name: np.array([v[name] for v, _ in rows]) for name in rows[0][0]}
    drawn = {name: np.stack([r[name] for _, r in rows]) for name in rows[0][1]}
    roles = {"boxes": Measured({}), "labels": Measured({}), "pair": Measured(values, drawn)}
    told = next(f for f in findings(roles, (), SEEDS) if f["id"] == "F3")
    primary = told["primary"]
    assert primary is not None
    beyond = {
        m["name"]: (m["p"] or 0) < 0.05 and (m["effect"] or 0) * (primary["effect"] or 0) > 0 for m in told["controls"]
    }
    found = {"effect": float(primary["effect"] or 0), "significant": float((primary["p"] or 0) < 0.05)}
    found |= {f"beyond {name[:40]}": float(found["significant"] * passed) for name, passed in beyond.items()}
    verdicts = ("supported", "contradicted", "depends on the measure")
    return found | {verdict: float(told["verdict"] == verdict) for verdict in verdicts}


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"{studies} studies a cell")
    for name in sys.argv[2:] or CELLS:
        began, rng = time.perf_counter(), np.random.default_rng(1)
        rows = [study(rng, *CELLS[name]) for _ in range(studies)]
        shown = "; ".join(f"{key} {np.mean([row[key] for row in rows]):+.3f}" for key in rows[0])
        print(f"{name}: {shown} ({time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
