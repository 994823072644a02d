"""Jobs that explain a pair of candidates: a look at each, the pair, and which images its models get right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.batches.image_sets import ImageSet
from headstart.progress import Progress
from headstart.stats.bootstrap import image_weights, weighted_mean_replicates
from headstart.store.arrays import load_arrays, save_arrays
from headstart.store.files import read_json, write_json
from headstart.study.runners.shared import Inputs, Metrics, last_stage, size_of, with_masks
from headstart.study.runners.training import STATISTICS_BATCH
from headstart.study.settings import ContentsSettings, DataPlace, LookSettings, PairSettings, StartPlace

if TYPE_CHECKING:
    from headstart.explain.firing import Classes

STATISTICS = 500
"""Images, at most, that channels are standardized by."""
BOXES_SHOWN, LEAST_SCORE = 30, 0.05
"""Detections of an image that are kept for the report."""
ERROR_RESAMPLES = 400
"""Of the images, for the spread of what errors come to."""
WRONG = "errors.npz"
"""MEASURE/KIND/ROLE -> (S, 1 + B): of each seed what errors of the kind come to, then its replicates; empty for tasks
that tell no kinds apart."""
Stages = dict[str, np.ndarray]
"""Pooled features of each (n, c)."""
COMPARED = (
    *(f"auroc/{kind}" for kind in ("standardized", "raw", "grad_cam")),
    *(f"{of}/{where}" for of in ("place", "grad_cam") for where in ("pointing", "inside", "center", "spread")),
)
"""What looks measured of every image, whose differences are said where both have the same grid."""
SAID = "said.json"
"""What could not be measured, in sentences; `{a}` and `{b}` stand for the names of the candidates."""


def look(settings: LookSettings, place: StartPlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Pooled features of every stage, and the energy and Grad-CAM of the last one, against objects where they are
    annotated; batch norms re-estimated as a transfer does."""
    from headstart.batches.image_batches import Batches
    from headstart.explain.firing import firing
    from headstart.models.backbones.features import MapsOnDemand
    from headstart.tasks.starts import start_of
    from headstart.train.loop import reestimate_batch_norm
    from headstart.train.memory import memory_for_images

    images, others = ImageSet.open(inputs["images"]), ImageSet.open(inputs["statistics"])
    start, spec, report = start_of(settings.weights, place, inputs.get("weights"), settings.weights.seed or 0)
    write_json(out / "load.json", report.to_json())
    progress(0.02, "batch norms")
    batches = Batches(others, STATISTICS_BATCH, 0, flip=False, quarter_turns=False)
    reestimate_batch_norm(start.backbone, batches, start.preprocessing)
    count = min(len(images), settings.most)
    with memory_for_images("maps of images", size_of(images)):
        maps_of = [
            MapsOnDemand(start.backbone, start.preprocessing, pixels, spec.name)
            for pixels in (images.images[:count], others.images[:STATISTICS])
        ]
        progress(0.1, f"maps of {count} images")
        classes = _classes(images, others, count)
        found = firing(maps_of[0], maps_of[1], images, classes)  # type: ignore[arg-type]
    save_arrays(out / "pooled.npz", maps_of[0].pooled)
    drawn = {"energy": found.energy} | ({} if found.grad_cam is None else {"grad_cam": found.grad_cam})
    save_arrays(out / "energy.npz", {name: m.astype(np.float16) for name, m in drawn.items()} | found.per_image)
    write_json(out / SAID, found.said)
    weights = image_weights(images.clusters[:count], settings.bootstrap)
    metrics: Metrics = {"look/images": float(count)}
    replicates = {}
    for name, values in found.per_image.items():
        if np.isfinite(values).any():
            metrics[name] = float(np.nanmean(values))
            replicates[name] = weighted_mean_replicates(values, weights)
    if classes is not None and found.grad_cam is not None and np.isfinite(found.probe_right):
        known = classes.of_images[classes.of_images >= 0]
        largest = float(np.bincount(known).max() / len(known))
        metrics |= {"grad_cam/probe_right": found.probe_right, "grad_cam/largest_class": largest}
    if found.per_image:
        metrics["auroc/n_images"] = float(np.isfinite(found.per_image["auroc/standardized"]).sum())
    save_arrays(out / "replicates.npz", replicates)
    return metrics


def _classes(images: ImageSet, others: ImageSet, count: int) -> Classes | None:
    """Of the first `count` images and those that channels are standardized by; None where they have other classes."""
    from headstart.explain.contents import contents_of
    from headstart.explain.firing import Classes

    own, of_others = contents_of(images, count), contents_of(others, STATISTICS)
    return Classes(own.label, of_others.label, len(own.classes)) if own.classes == of_others.classes else None


def pair(settings: PairSettings, place: None, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Neighbors of both, how alike their stages are, and how much better the features of `a` tell objects from the rest
    than those of `b`."""
    from headstart.explain.contents import contents_of
    from headstart.explain.likeness import likeness
    from headstart.explain.similarity import stage_similarity
    from headstart.explain.spaces import imbalances

    images = ImageSet.open(inputs["images"])
    features = {role: last_stage(inputs[role]) for role in ("a", "b")}
    count = len(features["a"])
    weights = image_weights(images.clusters[:count], settings.bootstrap)
    progress(0.1, f"neighbors among {count} images")
    found = likeness(features["a"], features["b"], weights, contents_of(images, count).label)
    metrics, replicates = dict(found.metrics), dict(found.replicates)
    of = {role: load_arrays(inputs[role] / "energy.npz") for role in ("a", "b")}
    told = {role: read_json(inputs[role] / SAID) for role in ("a", "b")}
    said = [*found.said, *(s for s in told["a"] if s in told["b"])]
    said += [f"{{{role}}}: {s}" for role, other in (("a", "b"), ("b", "a")) for s in told[role] if s not in told[other]]
    grids = [of[role]["energy"].shape[1:] for role in ("a", "b")]
    if grids[0] == grids[1]:
        for name in COMPARED:
            if name in of["a"] and name in of["b"]:
                difference = of["a"][name] - of["b"][name]
                if np.isfinite(difference).any():
                    metrics[f"{name}/a_less_b"] = float(np.nanmean(difference))
                    replicates[f"{name}/a_less_b"] = weighted_mean_replicates(difference, weights)
    else:
        (h, w), (i, j) = grids
        said.append(
            f"The last stages have other grids ({{a}} {h} x {w} cells, {{b}} {i} x {j}), and what a cell covers "
            "decides how well it tells objects from the rest: the two are not compared by that."
        )
    pooled = [load_arrays(inputs[role] / "pooled.npz") for role in ("a", "b")]
    if [*pooled[0]] != [*pooled[1]] or features["a"].shape[1] != features["b"].shape[1]:
        said.append("The two have different architectures: neighbors and activations are of their last stages alone.")
    progress(0.8, "how alike the stages are")
    alike = stage_similarity([*pooled[0].values()], [*pooled[1].values()])
    for name, values in (("cka", alike.cka), ("procrustes", alike.procrustes), ("procrustes_chance", alike.chance)):
        if np.isfinite(values[-1, -1]):
            metrics[f"{name}/last"] = float(values[-1, -1])
    if found.metrics:
        progress(0.9, "other distances and scalings")
        numbers, drawn = imbalances(*_of_same_stages(*pooled), weights)
        metrics, replicates = metrics | numbers, replicates | drawn
    save_arrays(
        out / "stages.npz",
        {"cka": alike.cka, "procrustes": alike.procrustes, "chance": alike.chance}
        | {f"stages_{role}": np.array([*stages]) for role, stages in zip("ab", pooled, strict=True)},
    )
    save_arrays(out / "replicates.npz", replicates)
    save_arrays(out / "neighbors.npz", found.arrays)
    write_json(out / SAID, list(dict.fromkeys(said)))
    return metrics


def _of_same_stages(a: Stages, b: Stages) -> tuple[Stages, Stages]:
    """Of networks of other architectures the last stage alone, as `last`."""
    return (a, b) if [*a] == [*b] else ({"last": [*a.values()][-1]}, {"last": [*b.values()][-1]})


def contents(
    settings: ContentsSettings, place: DataPlace | None, inputs: Inputs, out: Path, progress: Progress
) -> Metrics:
    """Scores of every image under both candidates' models, by seed; by number and size of objects; kinds of errors."""
    from headstart.explain.contents import RESAMPLES, Answers, bins_of, contents_of, curves, outcomes, strongest
    from headstart.tasks.table import TASKS

    images, task = ImageSet.open(inputs["images"]), TASKS[settings.task]
    of = contents_of(images, settings.most)
    place_of = {str(name): k for k, name in enumerate(images.image_ids[: settings.most])}
    bins = bins_of(of)
    weights = image_weights(images.clusters[: settings.most], ERROR_RESAMPLES)
    arrays = {"counts": of.counts, "mean_area": of.mean_area, "label": of.label, "classes": np.array(of.classes)}
    scores = {role: np.full((len(settings.seeds), len(place_of)), np.nan) for role in ("a", "b")}
    binned: dict[str, list[np.ndarray]] = {f"{name}/{role}": [] for name in bins for role in ("a", "b")}
    wrong: dict[str, list[np.ndarray]] = {}
    for k, seed in enumerate(settings.seeds):
        sets = [with_masks(ImageSet.open(inputs[f"test{seed}_{fold}"]), place) for fold in range(settings.folds)]
        rows = np.array([place_of.get(str(name), -1) for s in sets for name in s.image_ids])
        drawn = weights[:, np.maximum(rows, 0)] * (rows >= 0)
        for j, role in enumerate(("a", "b")):
            progress((2 * k + j) / (2 * len(settings.seeds)), f"seed {seed}")
            said = _predictions(inputs[f"{role}{seed}"])
            answers = Answers(task, said, sets, settings.protocol)
            scores[role][k, rows[rows >= 0]] = answers.of_each()[rows >= 0]
            for name, (edges, of_images) in bins.items():
                of_rows = np.where(rows >= 0, of_images[rows], -1)
                binned[f"{name}/{role}"].append(answers.in_bins(of_rows, len(edges) - 1, drawn[:RESAMPLES]))
            for name, values in answers.errors(np.concatenate([(rows >= 0)[None], drawn]).astype(np.uint16)).items():
                wrong.setdefault(f"{name}/{role}", []).append(values)
            if k == 0 and "boxes_xyxy" in said[0]:
                parts = [strongest(p, s.canvases_hw, BOXES_SHOWN, LEAST_SCORE) for p, s in zip(said, sets, strict=True)]
                starts = np.cumsum([0, *map(len, sets)])
                index = np.concatenate([rows[p["index"] + first] for p, first in zip(parts, starts, strict=False)])
                found = {name: np.concatenate([p[name] for p in parts])[index >= 0] for name in parts[0]}
                arrays |= {f"found_{role}/{n}": v for n, v in (found | {"index": index[index >= 0]}).items()}
    arrays |= {f"score_{role}": values for role, values in scores.items()}
    for name, (edges, of_images) in bins.items():
        counts = np.bincount(of_images[of_images >= 0], minlength=len(edges) - 1)
        pair_of = [np.stack(binned[f"{name}/{role}"]) for role in ("a", "b")]
        drawn_of = curves(pair_of[0], pair_of[1], counts) | {"edges": edges}
        arrays |= {f"curve/{name}/{key}": v for key, v in drawn_of.items()}
    save_arrays(out / "contents.npz", arrays)
    save_arrays(out / WRONG, {name: np.stack(of_seeds) for name, of_seeds in wrong.items()})
    none = "There are no boxes here, so neither the number nor the size of objects is known."
    write_json(out / SAID, [] if (of.counts > 0).any() else [none])
    return outcomes(scores["a"], scores["b"])


def _predictions(folder: Path) -> list[dict[str, np.ndarray]]:
    """Of each fold; of a probe of all folds together."""
    if (folder / "predictions.npz").is_file():
        return [load_arrays(folder / "predictions.npz")]
    count = len(list(folder.glob("predictions*.npz")))
    return [load_arrays(folder / f"predictions{k}.npz") for k in range(count)]
