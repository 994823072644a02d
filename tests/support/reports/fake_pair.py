"""Adds an explained pair to a made-up run: images, features and scores are drawn, what is made of them is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.explain.contents import bins_of, contents_of, curves, outcomes
from headstart.explain.likeness import likeness
from headstart.explain.similarity import stage_similarity
from headstart.explain.spaces import imbalances
from headstart.metrics.detection_errors import KINDS
from headstart.stats.bootstrap import image_weights, weighted_mean_replicates
from headstart.store.arrays import save_arrays
from headstart.store.files import write_json
from headstart.study.jobs import Job, Pair
from headstart.study.why.told import WRONG, pair_facts
from headstart.study.why.wrong import MEASURES
from support.by_hand.sets import image_set

SIZE_HW = (48, 64)
GRID = (3, 4)
CLASSES = tuple("abcdefghij")


def write_pair(
    run: Path,
    arms: tuple[str, str],
    count: int = 30,
    classes: tuple[str, ...] = CLASSES,
    *,
    photographs: np.ndarray | None = None,
) -> dict[str, Any]:
    """An explained pair of the run's weights on `count` images with boxes, image `i3` without; written into its
    metrics.json and returned. photographs (count, h, w, 3): None for drawn ones."""
    rng = np.random.default_rng(count)
    if photographs is None:
        photographs = _photographs(rng, count)
    h, w = photographs.shape[1:3]
    boxes, labels = [], []
    for k in range(count):
        corners = rng.uniform(0, 0.5, (0 if k == 3 else rng.integers(1, 6), 2)) * (w, h)
        boxes.append([(x, y, x + rng.uniform(4, w / 2), y + rng.uniform(4, h / 2)) for x, y in corners])
        labels.append(rng.integers(0, 3, len(corners)).tolist())
    named = np.array(classes, np.str_)
    images = image_set(count, h, w, images=photographs, boxes=boxes, labels=labels)
    images = replace(images, box_classes=named)
    jobs = {kind: Job(kind.split("_")[0], kind) for kind in ("prepare", "look_a", "look_b", "pair", "contents")}
    pair = Pair(
        "detect-novel", *arms, jobs["prepare"], (jobs["look_a"], jobs["look_b"]), jobs["pair"], jobs["contents"]
    )
    folder = {kind: run / "store" / job.name for kind, job in jobs.items()}
    images.write(folder["prepare"])
    for place in folder.values():
        place.mkdir(parents=True, exist_ok=True)
    weights = image_weights(images.clusters, 50)
    found = likeness(
        rng.normal(size=(count, 5)), rng.normal(size=(count, 7)), weights, contents_of(images, count).label
    )
    save_arrays(folder["pair"] / "neighbors.npz", found.arrays)
    spaces = [[rng.normal(size=(count, c)) for c in widths] for widths in ((4, 5), (6, 7))]
    spaces[1].append(spaces[0][1] * 2 + 1)
    alike = stage_similarity(*spaces)
    similar = {"cka": alike.cka, "procrustes": alike.procrustes, "chance": alike.chance}
    other = {"C4": spaces[1][1], "C5": spaces[0][1] + 0.5 * rng.normal(size=spaces[0][1].shape)}
    chosen, drawn_of_chosen = imbalances(dict(zip(("C4", "C5"), spaces[0], strict=True)), other, weights)
    names = {"stages_a": np.array(["C4", "C5"]), "stages_b": np.array(["C3", "C4", "C5"])}
    save_arrays(folder["pair"] / "stages.npz", similar | names)
    metrics = {jobs["pair"].key: found.metrics | chosen}
    replicates = found.replicates | drawn_of_chosen
    firing = {role: rng.uniform(0, 0.4, count) for role in "ab"}
    for role in "ab":
        name, values = "auroc/standardized", firing[role]
        energy = rng.uniform(0, 9, (count, *GRID)).astype(np.float16)
        maps = {"energy": energy, "grad_cam": energy[::-1] / energy.max()}
        save_arrays(folder[f"look_{role}"] / "energy.npz", maps | {name: values})
        save_arrays(folder[f"look_{role}"] / "replicates.npz", {name: weighted_mean_replicates(values, weights)})
        metrics[jobs[f"look_{role}"].key] = {"look/images": float(count), name: float(values.mean())}
    apart = firing["a"] - firing["b"]
    metrics[jobs["pair"].key]["auroc/standardized/a_less_b"] = float(apart.mean())
    replicates["auroc/standardized/a_less_b"] = weighted_mean_replicates(apart, weights)
    save_arrays(folder["pair"] / "replicates.npz", replicates)
    arrays, scores = _contents(rng, images, count)
    save_arrays(folder["contents"] / "contents.npz", arrays)
    save_arrays(folder["contents"] / WRONG, _errors(rng))
    metrics[jobs["contents"].key] = outcomes(scores["a"], scores["b"])
    for kind in ("pair", "contents"):
        write_json(folder[kind] / "said.json", [f"{{a}} has a sentence of {kind}."])
    facts = pair_facts(pair, lambda job: metrics[job.key], lambda name: run / "store" / name)
    assert facts
    summary = json.loads((run / "metrics.json").read_text())
    write_json(run / "metrics.json", summary | {"pairs": [*summary.get("pairs", []), facts]})
    return facts


def _photographs(rng: np.random.Generator, count: int) -> np.ndarray:
    """Smooth ones: a JPEG file of noise is no guide to its size."""
    coarse = rng.integers(0, 256, (count, 6, 8, 3))
    return coarse.repeat(SIZE_HW[0] // 6, axis=1).repeat(SIZE_HW[1] // 8, axis=2).astype(np.uint8)


def _errors(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of two seeds, by kind; b misses more."""
    names = [(measure, kind, role) for measure in MEASURES for kind in KINDS for role in "ab"]
    lead = {(kind, role): 0.2 * (kind == "missed" and role == "b") for _, kind, role in names}
    return {f"{m}/{k}/{r}": rng.uniform(0.02, 0.03, (2, 41)) + lead[k, r] for m, k, r in names}


def _contents(rng: np.random.Generator, images: Any, count: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    of = contents_of(images, count)
    scores = {role: rng.uniform(size=(2, count)).round(2) for role in "ab"}
    scores["b"][:, :5] = scores["a"][:, :5]  # level
    for role in "ab":
        scores[role][:, of.counts == 0] = np.nan
    arrays = {f"score_{role}": values for role, values in scores.items()}
    arrays |= {"counts": of.counts, "mean_area": of.mean_area, "label": of.label, "classes": np.array(of.classes)}
    for name, (edges, bins) in bins_of(of).items():
        size = len(edges) - 1
        drawn = [rng.uniform(size=(2, size, 1 + 20)) for _ in range(2)]
        arrays |= {f"curve/{name}/{k}": v for k, v in curves(*drawn, np.bincount(bins[bins >= 0])).items()}
        arrays[f"curve/{name}/edges"] = edges
    for role in "ab":
        index = np.sort(rng.integers(0, count, 3 * count)).astype(np.int32)
        corner = rng.integers(0, 500, (len(index), 2))
        found = {"index": index, "boxes": np.hstack([corner, corner + rng.integers(50, 400, (len(index), 2))])}
        found |= {"labels": rng.integers(0, 3, len(index)), "scores": rng.uniform(0.05, 1, len(index))}
        arrays |= {f"found_{role}/{k}": v for k, v in found.items()}
    return arrays, scores
