"""What a made-up run says: rankings, findings, weights, the study."""

from __future__ import annotations

from typing import Any

import numpy as np

ARMS = ("boxes", "labels", "random")
IOUS = [0.5 + 0.05 * i for i in range(10)]
TIME_JOB = "time-0000000000000001"
MEANS = {"boxes": (0.655, 0.345, 0.581), "labels": (0.352, 0.046, 0.524), "random": (0.224, 0.05, 0.372)}


def effect_of(effect: float, se: float, seeds: tuple[int, ...]) -> dict[str, Any]:
    p = None if len(seeds) == 1 else float(min(1.0, np.exp(-abs(effect / se))))
    return {
        "effect": effect,
        "lo": effect - 2.2 * se,
        "hi": effect + 2.2 * se,
        "p": p,
        "p_adjusted": None if p is None else min(1.0, 2 * p),
        "df": 4.1,
        "se": se,
        "per_seed": [effect + se * (s - 1) for s in seeds],
    }


def ranking_of(trials: list[dict], task: str, kind: str, metric: str, seeds: tuple[int, ...]) -> dict[str, Any]:
    per = {w: [t["metrics"][metric] for t in trials if t["task"] == task and t["weights"] == w] for w in ARMS}
    order = sorted(ARMS, key=lambda w: -float(np.mean(per[w])))
    best = order[0]
    tied = [w for w in order if np.mean(per[best]) - np.mean(per[w]) < 0.02]
    rows = []
    for w in order:
        m = float(np.mean(per[w]))
        rows.append(
            {
                "weights": w,
                "mean": m,
                "lo": m - 0.021,
                "hi": m + 0.021,
                "per_seed": per[w],
                "not_converged": w == "random" and kind == "detect",
                "unsettled": "random still rises on held-out images" if w == "random" and kind == "detect" else "",
                "at_edge": w == "random" and kind == "segment",
                "behind_at_most": float(np.mean(per[best])) - m + 0.015,
                "lr": [0.001] * len(seeds),
                "cost": {"parameters": 702_344, "gflops": 0.113, "licence": "Apache-2.0", "time": TIME_JOB},
                "to_best": effect_of(m - float(np.mean(per[best])), 0.008, seeds),
                "to_default": None if w == "labels" else effect_of(m - float(np.mean(per["labels"])), 0.008, seeds),
            }
        )
    return {
        "task": task,
        "kind": kind,
        "metric": metric,
        "unit": "points",
        "higher_is_better": True,
        "test_images": 1500,
        "default": "labels",
        "margin": 0.01,
        "best": best,
        "best_set": tied,
        "cheapest_adequate": best if len(tied) == 1 and len(seeds) > 1 else None,
        "cheapest_not_worse": best if len(seeds) > 1 else None,
        "overstated": 0.004 if len(seeds) > 1 else None,
        "ranked": len(seeds) > 1,
        "scope": "this kind of pre-training, on this data",
        "not_ranked": {},
        "rows": rows,
    }


def measure_of(name: str, unit: str, effect: float, se: float, sign: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    found = effect_of(effect, se, seeds)
    return {
        "name": name,
        "unit": unit,
        **{k: found[k] for k in ("effect", "lo", "hi", "p")},
        "p_holm": found["p_adjusted"],
        "per_seed": [],
        "seeds": len(seeds),
        "parts": None,
        "detectable": 3.1 * se,
        "predicted_sign": sign,
        "n_images": 1500,
    }


FINDINGS: tuple[tuple[str, str, str, str, str, float | None, float, int], ...] = (
    (
        "F1a",
        "Boxes serve detection on little data better.",
        "mAP@0.5, boxes - labels",
        "points",
        "supported",
        0.303,
        0.011,
        1,
    ),
    (
        "F1b",
        "The gain is greatest where precise localization counts.",
        "retention: log of mAP@0.7 over mAP@0.5",
        "log ratio",
        "supported",
        1.39,
        0.12,
        1,
    ),
    (
        "F1c",
        "The gain is greater the fewer images there are.",
        "gain by number of images",
        "points",
        "not tested",
        None,
        0.0,
        1,
    ),
    ("F2a", "Boxes serve semantic segmentation better.", "mIoU", "points", "supported", 0.057, 0.012, 1),
    (
        "F2b",
        "Boxes leave features that classify images worse.",
        "top-1 of a linear probe on frozen features",
        "points",
        "supported",
        -0.115,
        0.015,
        -1,
    ),
    (
        "F2",
        "Boxes help semantic segmentation but harm image classification.",
        "all of its parts",
        "",
        "supported",
        None,
        0.0,
        1,
    ),
    (
        "F3",
        "Images that are near in the boxes arm’s features are near in the labels arm’s; the converse does not hold.",
        "imbalance(labels to boxes) - imbalance(boxes to labels)",
        "imbalance",
        "supported",
        0.089,
        0.013,
        1,
    ),
    (
        "F4a",
        "Features of the boxes arm fire over the whole object, those of the labels arm on parts of it.",
        "AUROC of the energy map, inside against outside the objects, less a shuffled-mask control",
        "AUROC",
        "depends on the measure",
        0.142,
        0.02,
        1,
    ),
    (
        "F4b",
        "Several instances of a class cost the boxes arm’s classification more than the labels arm’s.",
        "difference of the probes’ log-losses, regressed on count",
        "nats per instance",
        "contradicted",
        -0.094,
        0.021,
        1,
    ),
    (
        "F4c",
        "Small instances cost the boxes arm’s classification more than the labels arm’s.",
        "difference of the probes’ log-losses, regressed on log area",
        "nats per e-fold of area",
        "not distinguishable",
        -0.021,
        0.034,
        -1,
    ),
)
"""id, claim, measure, unit, verdict, effect, standard error, predicted sign."""


def findings_of(seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    findings = []
    for name, claim, measure, unit, verdict, effect, se, sign in FINDINGS:
        primary = None if effect is None else measure_of(measure, unit, effect, se, sign, seeds)
        found: dict[str, Any] = {
            "id": name,
            "claim": claim,
            "measure": measure,
            "unit": unit,
            "verdict": verdict,
            "primary": primary,
            "why": "the numbers decide it, by the rule that was set beforehand.",
            "alternatives": [],
            "controls": [],
            "beside": [],
            "scope": "for these kinds of pre-training (3 independent pre-trainings each)",
            "origins": 3,
            "tests": 3,
            "halved": {"seeds": 9, "images": None} if name == "F4b" else None,
        }
        if name == "F4a":
            found["alternatives"] = [
                measure_of("AUROC of the mean |activation|", "AUROC", -0.118, 0.02, 1, seeds),
                measure_of("mean AUROC of single channels", "AUROC", 0.031, 0.018, 1, seeds),
                measure_of("share of the object above a quarter of its peak", "points", 0.264, 0.03, 1, seeds),
            ]
            found["beside"] = [measure_of("boxes - random", "AUROC", 0.2, 0.02, 1, seeds) | {"p": None, "p_holm": None}]
        if name == "F3":
            found["controls"] = [measure_of("after PCA to equal dimension", "imbalance", 0.061, 0.012, 1, seeds)]
        findings.append(found)
    return findings


def weights_of(name: str) -> dict[str, Any]:
    lineage = {
        "boxes": ["5,000 drawn images, boxes, 96 px, 16,000 seen"],
        "labels": ["5,000 drawn images, labels, 96 px, 16,000 seen"],
    }
    stages = {s: [6, 0, 0] for s in ("stem", "layer1", "layer2", "layer3", "layer4")} | {"fc": [0, 0, 2]}
    loaded = {"source": "from file", "coverage": 1.0, "stages": stages, "missing": [], "notes": []}
    if name == "random":
        loaded = {"source": "random, seed 0", "coverage": 0.0}
    source = {"pretraining": name} if name in lineage else {"uri": f"random:{name}"}
    return {
        "name": name,
        "default": name == "labels",
        **source,
        "lineage": lineage.get(name, ["random initialization"]),
        "licence": "Apache-2.0",
        "digest": "9c" * 32,
        "load": loaded,
    }


def study_of(seeds: tuple[int, ...]) -> dict[str, Any]:
    recipe = {
        "name": "small-detect",
        "version": 1,
        "updates": 500,
        "batch_size": 16,
        "lr": 0.001,
        "rates": [],
        "backbone_rate": 1.0,
        "flip": True,
        "quarter_turns": True,
        "scale_jitter": 0.0,
        "batch_norm": "train",
        "reestimate_batch_norm": True,
        "trainable": "all",
        "head": "fcos",
        "levels": ["C5"],
    }
    world = {"world": "base", "first": 0, "size": 96}
    return {
        "name": "shapes",
        "title": "Boxes or labels? A drawn world",
        "seeds": list(seeds),
        "backbone": "shapes-resnet",
        "threads": 1,
        "bootstrap": 1000,
        "margin": 0.01,
        "sets": {
            "pretrain": {**world, "count": 5000},
            "novel-train": {**world, "world": "novel", "count": 160},
            "novel-test": {**world, "world": "novel", "first": 160, "count": 1500},
            "base-probe": {**world, "first": 5000, "count": 2000},
            "base-test": {**world, "first": 7000, "count": 1500},
        },
        "pretraining": {
            n: {"images": "pretrain", "supervision": n, "recipe": {"name": f"small-{n}", "training": recipe}}
            for n in ("boxes", "labels")
        },
        "weights": [{"name": w} for w in ARMS],
        "tasks": [
            {
                "name": "detect-novel",
                "kind": "detect",
                "train": ["novel-train"],
                "test": ["novel-test"],
                "limit": 160,
                "recipe": recipe,
            },
            {
                "name": "segment-novel",
                "kind": "segment",
                "train": ["novel-train"],
                "test": ["novel-test"],
                "recipe": recipe | {"name": "small-segment", "head": "pixel", "rates": [3e-4, 1e-3, 3e-3], "lr": None},
            },
            {"name": "probe-base", "kind": "probe", "train": ["base-probe"], "test": ["base-test"], "recipe": None},
        ],
        "explain": {"boxes": "boxes", "labels": "labels", "random": "random", "images": "base-test"},
    }
