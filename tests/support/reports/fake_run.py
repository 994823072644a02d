"""Makes run directories to render: plausible numbers from a fixed seed. A fixture for the report, nothing more."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from headstart.places.times import Timed
from support.reports.fake_summary import (
    ARMS,
    IOUS,
    MEANS,
    TIME_JOB,
    effect_of,
    findings_of,
    ranking_of,
    study_of,
    weights_of,
)

CLASSES = ("kite", "lantern", "anchor", "bell", "crown", "drum", "feather", "gear", "helm", "iris")
HOSTILE = '<script>alert("x")</script>'
"""mAP at 0.5 and 0.7, mean IoU."""


def write_run(run: Path, seeds: tuple[int, ...] = (0, 1, 2), classes: tuple[str, ...] = CLASSES) -> Path:
    """A study of the drawn world: three arms, three tasks, findings and explanations."""
    rng = np.random.default_rng(7)
    (run / "store").mkdir(parents=True)
    kinds = {"detect-novel": "detect", "segment-novel": "segment", "probe-base": "probe"}
    trials = [_trial(rng, run, w, t, k, s, classes) for t, k in kinds.items() for w in ARMS for s in seeds]
    metrics = {
        "study": "shapes",
        "title": "Boxes or labels? A drawn world",
        "digest": "5f0c" * 16,
        "seeds": list(seeds),
        "bootstrap": 1000,
        "trials": trials,
        "rankings": [
            ranking_of(trials, t, k, m, seeds)
            for t, k, m in (
                ("detect-novel", "detect", "det/voc-area/map@0.5"),
                ("detect-novel", "detect", "det/voc-area/map@0.7"),
                ("segment-novel", "segment", "seg/miou"),
                ("probe-base", "probe", "probe/logistic/top1"),
            )
        ],
        "convergence": [_lengths("detect-novel", "det/voc-area/map@0.5", len(seeds))],
        "findings": findings_of(seeds),
        "weights": [weights_of(w) for w in ARMS],
        "explain": [
            {"kind": k, "seed": s, "dir": f"{k}-{s:016x}"}
            for k in ("neighbors", "activations", "composition")
            for s in seeds
        ],
    }
    timed = Timed("shapes-resnet", "", (96, 96), "cpu", 1, 8, 7, 1.234, 1.2, 1.3)
    _write_json(run / "store" / TIME_JOB / "time.json", asdict(timed))
    for seed in seeds:
        _examples(rng, run, seed, classes)
    _write_json(run / "metrics.json", metrics)
    _write_json(run / "study.json", study_of(seeds))
    _write_json(
        run / "env.json",
        {
            "headstart": "0.1.0",
            "python": "3.11.4",
            "platform": "Linux x86_64, AMD EPYC",
            "threads": 1,
            "packages": {"torch": "2.14.0", "numpy": "2.4.6", "pillow": "13.0.0"},
        },
    )
    return run


def write_comparison(run: Path, name: str = "my data", classes: tuple[str, ...] = ("raccoon",)) -> Path:
    """A comparison on a user's data: one task, one seed, four candidates, no findings, nothing in the store."""
    rng = np.random.default_rng(3)
    run.mkdir(parents=True)
    values = {"coco-detector": 0.712, "imagenet": 0.695, "dino": 0.641, "random": 0.203}
    trials = [
        {
            "weights": w,
            "task": "detect",
            "seed": 0,
            "lr": [0.005, 0.005, 0.0017],
            "edge": w == "random",
            "not_converged": w == "random",
            "train_images": 130,
            "test_images": 66,
            "transfer_keys": ["transfer-00000000000000aa"],
            "evaluate_key": "evaluate-00000000000000aa",
            "metrics": _detection(rng, v, v * 0.55, classes),
        }
        for w, v in values.items()
    ]
    rows = [
        {
            "weights": w,
            "mean": v,
            "lo": v - 0.07,
            "hi": v + 0.07,
            "per_seed": [v],
            "not_converged": w == "random",
            "cost": {"parameters": 25_557_032, "gflops": 4.09, "licence": "BSD-3-Clause"} if w == "imagenet" else {},
            "lr": [0.005],
            "at_edge": w == "random",
            "behind_at_most": 0.712 - v + 0.08,
            "to_best": effect_of(v - 0.712, 0.05, (0,)),
            "to_default": effect_of(v - 0.695, 0.05, (0,)),
        }
        for w, v in values.items()
    ]
    rows[1]["to_default"] = None
    _write_json(
        run / "metrics.json",
        {
            "study": name,
            "title": "",
            "digest": "ab" * 32,
            "seeds": [0],
            "bootstrap": 1000,
            "trials": trials,
            "rankings": [
                {
                    "task": "detect",
                    "kind": "detect",
                    "metric": "det/voc-area/map@0.5",
                    "unit": "points",
                    "higher_is_better": True,
                    "test_images": 66,
                    "default": "imagenet",
                    "margin": 0.01,
                    "best": "coco-detector",
                    "ranked": False,
                    "best_set": list(values),
                    "cheapest_adequate": None,
                    "cheapest_not_worse": None,
                    "overstated": None,
                    "scope": "this trained model only",
                    "rows": rows,
                }
            ],
            "findings": [],
            "explain": [],
            "weights": [weights_of(w) for w in values],
        },
    )
    return run


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, allow_nan=False), encoding="utf-8")


def _detection(rng: np.random.Generator, at5: float, at7: float, classes: tuple[str, ...]) -> dict[str, float | None]:
    pace = np.log(at5 / at7) / 0.2
    maps = [at5 * float(np.exp(-pace * (t - 0.5))) * (1 - ((t - 0.5) / 0.46) ** 4) for t in IOUS]
    found: dict[str, float | None] = {f"det/voc-area/map@{t:.2g}": m for t, m in zip(IOUS, maps, strict=True)}
    found["det/voc-area/map@0.5:0.95"] = float(np.mean(maps))
    for i, name in enumerate(classes):
        found[f"det/voc-area/ap@0.5/{name}"] = None if i == 7 else float(np.clip(at5 + rng.normal(0, 0.09), 0, 1))
    return found


def _trial(
    rng: np.random.Generator, run: Path, weights: str, task: str, kind: str, seed: int, classes: tuple[str, ...]
) -> dict[str, Any]:
    noise = rng.normal(0, 0.008)
    at5, at7, miou = (m + noise for m in MEANS[weights])
    top1 = {"boxes": 0.815, "labels": 0.93, "random": 0.17}[weights] + noise
    metrics = {
        "detect": lambda: _detection(rng, at5, at7, classes),
        "segment": lambda: (
            {"seg/miou": miou}
            | {f"seg/iou/{c}": float(np.clip(miou + rng.normal(0, 0.07), 0, 1)) for c in ("background", *classes)}
        ),
        "probe": lambda: {
            "probe/logistic/top1": top1,
            "probe/ridge/top1": top1 - 0.03,
            "probe/logistic/log_loss": 2.3 * (1 - top1),
        },
    }[kind]()
    key = f"transfer-{('detect', 'segment', 'probe').index(kind)}{ARMS.index(weights)}{seed:014x}"
    if kind != "probe":
        _curve(rng, run / "store" / key, weights, kind)
    return {
        "weights": weights,
        "task": task,
        "seed": seed,
        "lr": [] if kind == "probe" else [0.001],
        "edge": False,
        "metrics": metrics,
        "not_converged": weights == "random" and kind == "detect" and seed != 1,
        "train_images": 160 if kind != "probe" else 2000,
        "test_images": 1500,
        "transfer_keys": [] if kind == "probe" else [key],
        "evaluate_key": f"evaluate-{seed:016x}",
    }


def _lengths(task: str, metric: str, seeds: int) -> dict[str, Any]:
    """Boxes and labels have settled; random weights still rise."""
    ends = {"boxes": (0.58, 0.62, 0.65), "labels": (0.30, 0.33, 0.35), "random": (0.05, 0.12, 0.22)}
    why = "random still rises on held-out images (5.0, 12.0, 22.0 at a third, two thirds and the end)"
    return {
        "task": task,
        "metric": metric,
        "updates": 500,
        "scores": {name: [[value + 0.01 * s for s in range(seeds)] for value in of] for name, of in ends.items()},
        "moving": {"random": why},
        "unsettled": [["boxes", "random", why], ["labels", "random", why]],
    }


def _curve(rng: np.random.Generator, job: Path, weights: str, kind: str) -> None:
    job.mkdir(parents=True, exist_ok=True)
    step = np.arange(0, 500)
    low, pace = {"boxes": (0.62, 60), "labels": (0.85, 90), "random": (1.02, 140)}[weights]
    scale = 1.0 if kind == "detect" else 0.6
    loss = scale * (low + (2.4 - low) * np.exp(-step / pace)) * np.exp(rng.normal(0, 0.08, len(step)))
    np.savez(job / "curve.npz", step=step, loss=loss.astype(np.float32))
    _write_json(job / "job.json", {"kind": "transfer", "seconds": 31.5})


def _drawing(rng: np.random.Generator, size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A colored blob with a disc on noise: (size, size, 3) uint8 and its box."""
    y, x = np.mgrid[:size, :size]
    coarse = rng.uniform(60, 190, (7, 7, 3)).repeat(14, 0).repeat(14, 1)[:size, :size]
    image = 0.6 * coarse + 0.4 * 128 + rng.normal(0, 9, (size, size, 3))
    cx, cy, rx, ry = *rng.uniform(30, 66, 2), *rng.uniform(14, 28, 2)
    body = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
    part = (x - cx) ** 2 + (y - cy) ** 2 < (0.42 * min(rx, ry)) ** 2
    image[body], image[part] = rng.uniform(40, 230, 3), rng.uniform(0, 255, 3)
    box = np.array([cx - rx, cy - ry, cx + rx, cy + ry], np.float32)
    return np.clip(image, 0, 255).astype(np.uint8), box


def _examples(rng: np.random.Generator, run: Path, seed: int, classes: tuple[str, ...]) -> None:
    store, queries, near = run / "store", 6, 5
    for kind in ("neighbors", "activations", "composition"):
        _write_json(store / f"{kind}-{seed:016x}" / "job.json", {"kind": kind, "seconds": 18.2})
        _write_json(
            store / f"{kind}-{seed:016x}" / "metrics.json",
            {"imbalance/boxes_to_labels": 0.123 + seed / 100, "empty": None},
        )
    draw = np.stack([_drawing(rng)[0] for _ in range(queries * (2 * near + 1))])
    names = np.array(classes)
    label = names[rng.integers(0, len(names), queries)]
    close = np.where(
        rng.random((queries, near)) < 0.6, label[:, None], names[rng.integers(0, len(names), (queries, near))]
    )
    np.savez(
        store / f"neighbors-{seed:016x}" / "examples.npz",
        query=draw[:queries],
        near_boxes=draw[queries : queries * (near + 1)].reshape(queries, near, 96, 96, 3),
        near_labels=draw[queries * (near + 1) :].reshape(queries, near, 96, 96, 3),
        query_labels=label,
        near_boxes_labels=np.roll(close, 1, axis=1)[::-1],
        near_labels_labels=close,
    )
    drawn = [_drawing(rng) for _ in range(6)]
    gy, gx = np.mgrid[:12, :12] * 8 + 4
    wide, narrow = [], []
    for _, box in drawn:
        cx, cy, rx, ry = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, (box[2] - box[0]) / 2, (box[3] - box[1]) / 2
        distance = ((gx - cx) / rx) ** 2 + ((gy - cy) / ry) ** 2
        wide.append(np.exp(-distance) + rng.uniform(0, 0.15, (12, 12)))
        narrow.append(np.exp(-distance * 6) + rng.uniform(0, 0.2, (12, 12)))
    np.savez(
        store / f"activations-{seed:016x}" / "examples.npz",
        images=np.stack([d for d, _ in drawn]),
        map_boxes=np.stack(wide).astype(np.float32),
        map_labels=np.stack(narrow).astype(np.float32),
        boxes_xyxy=np.stack([b for _, b in drawn]),
        labels=names[rng.integers(0, len(names), 6)],
    )
    np.savez(store / f"composition-{seed:016x}" / "examples.npz", **_curves(rng))


def _curves(rng: np.random.Generator) -> dict[str, np.ndarray]:
    areas = (0, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, np.inf)
    arrays: dict[str, np.ndarray] = {
        "curve/count/edges": np.array((1, 2, 3, 4, 5, np.inf)),
        "curve/count/n": np.array((600, 375, 255, 165, 105)),
        "curve/area/edges": np.array(areas),
        "curve/area/n": np.array((44, 120, 260, 388, 401, 287, 0, 12)),
    }
    for name, low, high, gap, bins in (("count", 0.86, 0.96, 0.12, 5), ("area", 0.55, 1.0, 0.35, 8)):
        for arm, lost in (("boxes", gap), ("labels", gap / 4)):
            top1 = np.linspace(low, high, bins) - lost * (1 - np.arange(bins) / bins) + rng.normal(0, 0.01, bins)
            top1[arrays[f"curve/{name}/n"] == 0] = np.nan
            arrays[f"curve/{name}/top1_{arm}"] = np.clip(top1, 0, 1)
            arrays[f"curve/{name}/log_loss_{arm}"] = 2.2 * (1 - top1) + 0.05
    for name, lowest, highest in (("count", 0, 3), ("count_free", 0, 3), ("area", -7, -1)):
        x = np.linspace(lowest, highest, 25)
        arrays[f"smooth/{name}/x"] = 2.0**x
        slopes = {"boxes": rng.normal(1, 0.1), "labels": 0.5}
        for whose, slope in (slopes | {"difference": slopes["boxes"] - slopes["labels"]}).items():
            middle = slope * (x - x.mean())
            arrays[f"smooth/{name}/{whose}"] = np.stack([middle, middle - 0.2, middle + 0.2])
    for name in ("mean", "total"):
        n = rng.integers(0, 30, (5, 8))
        n[:, 0] = 0
        arrays |= {f"table/{name}/n": n} | {
            f"table/{name}/{arm}": np.where(n > 0, rng.uniform(size=(5, 8)), np.nan) for arm in ("boxes", "labels")
        }
    return arrays
