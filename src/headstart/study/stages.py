"""What each kind of job does: thin functions between the store and the library.

Every runner takes (settings, local, inputs, out, progress), writes its files into `out` and returns flat metrics. They
run in worker processes; what imports torch is imported inside them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.config import FolderSet, Recipe
from headstart.data.prepared import PreparedSet
from headstart.errors import TrainingError
from headstart.stats.bootstrap import image_weights
from headstart.store.store import RESUME

if TYPE_CHECKING:
    from headstart.explain.composition import Composition

Progress = Callable[[float, str], None]
Inputs = dict[str, Path]
Metrics = dict[str, float]


def draw(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """A slice of the embedded world as a prepared set."""
    from headstart.data.shapes import draw_set

    draw_set(settings["world"], settings["count"], settings["first"], settings["size"], out, progress)
    return {"images": settings["count"]}


def split(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Which images train, validate and test, in each fold; near-duplicates and the source's groups share a cluster."""
    from headstart.data.duplicates import near_duplicate_clusters, with_groups
    from headstart.data.formats import open_dataset
    from headstart.data.splits import assign

    annotations = open_dataset(local["root"], local["format"], **local["read"])
    every = np.arange(len(annotations))
    show = lambda done, count: progress(0.9 * done / count, f"image {done}/{count}")  # noqa: E731
    clusters = near_duplicate_clusters(annotations, every, settings["on_bad_image"], show)
    clusters = with_groups(annotations, every, clusters)
    roles = assign(annotations, settings["task"], settings["folds"], clusters)
    arrays = {
        f"{role}{k}": getattr(fold, role) for k, fold in enumerate(roles.folds) for role in ("train", "val", "test")
    }
    _save_arrays(out / "roles.npz", {"clusters": clusters, **arrays})
    left_out = [f"left out: {fault}" for fault in annotations.left_out]
    (out / "notes.json").write_text(json.dumps([*annotations.notes, *left_out, *roles.notes], indent=1))
    return {name: float(len(indices)) for name, indices in arrays.items()}


def prepare(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Images of one role, decoded and brought to one size once for all trials; any beginning of them is stratified."""
    from headstart.data.formats import open_dataset
    from headstart.data.prepared import prepare as prepare_set
    from headstart.data.subsets import nested_order

    wanted = FolderSet.model_validate({k: v for k, v in settings.items() if k != "data"} | {"path": local["root"]})
    annotations = open_dataset(local["root"], local["format"], **local["read"])
    with np.load(inputs["split"] / "roles.npz") as roles:
        parts = ("train", "val") if wanted.role == "trainval" else (wanted.role,)
        indices, clusters = np.concatenate([roles[f"{p}{wanted.fold or 0}"] for p in parts]), roles["clusters"]
    indices = indices[nested_order(annotations.select(indices), wanted.task)]
    prepare_set(annotations, indices, clusters[indices], wanted.task, wanted.size_hw, wanted.resize, out, progress,
                wanted.on_bad_image)  # fmt: skip
    return {"images": float(len(indices))}


def pretrain(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """One origin: a backbone trained from random weights by boxes or by image labels."""
    import torch

    from headstart.models.backbones import Preprocessing, build_backbone
    from headstart.tasks.transfer import Start, fit, save_curve
    from headstart.train.state import model_tensors, save_tensors

    images = PreparedSet.open(inputs["images"])
    recipe = Recipe.model_validate(settings["recipe"] | {"lr": settings["lr"]})
    torch.manual_seed(settings["seed"])
    backbone = build_backbone(local["backbone"], Path(local["base"]))
    start = Start(backbone, local["backbone"], Path(local["base"]), Preprocessing(), is_random=True)

    def at_step(model: Any) -> dict[int, Callable[[], None]]:
        if not settings["early"]:
            return {}
        step = max(1, round(settings["early"] * recipe.updates))
        return {step: lambda: save_tensors(out / "early.safetensors", model_tensors(model.backbone))}

    task = {"boxes": "detect", "labels": "classify"}[settings["supervision"]]
    model, curve = fit(
        start, task, images, recipe, settings["lr"], settings["seed"], _resume(out), progress, at_step=at_step
    )
    save_tensors(out / "backbone.safetensors", model_tensors(model.backbone))  # type: ignore[arg-type]
    save_curve(out / "curve.npz", curve)
    return _curve_metrics(curve)


def transfer(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Train one task model, and score it on validation images where there are some."""
    from headstart.models.backbones import backbone_cost
    from headstart.tasks.transfer import TASKS, fit, model_facts, save_curve, save_model

    images = PreparedSet.open(inputs["train"])
    recipe = Recipe.model_validate(settings["recipe"] | {"lr": settings["lr"]})
    start, load_report = _start(settings["weights"], local, inputs.get("weights"), settings["seed"])
    (out / "load.json").write_text(json.dumps(load_report, indent=1, sort_keys=True))
    size_hw = (int(images.images.shape[1]), int(images.images.shape[2]))
    parameters, gflops = backbone_cost(start.backbone, size_hw)
    try:
        model, curve = fit(
            start, settings["task"], images, recipe, settings["lr"], settings["seed"], _resume(out),
            lambda f, m: progress(0.9 * f, m), settings["limit"],
        )  # fmt: skip
    except TrainingError:
        if "val" not in inputs:
            raise
        return {"train/diverged": 1.0}  # a rate of the search that is too high: it has no score, others have
    metrics = _curve_metrics(curve) | {"cost/parameters": float(parameters), "cost/gflops": gflops}
    metrics["train/images"] = float(min(len(images), settings["limit"] or len(images)))
    if "val" in inputs:
        held_out = _with_masks(PreparedSet.open(inputs["val"]), local)
        kind = TASKS[settings["task"]]
        found = kind.predict(model, start.preprocessing, held_out, lambda f, m: progress(0.9 + 0.1 * f, m))
        scores, _ = kind.score([found], [held_out], None, settings["protocol"])
        metrics |= {f"val/{name}": value for name, value in scores.items()}
    save_model(out, model, model_facts(start, settings["task"], recipe, images, settings["resize"]))
    save_curve(out / "curve.npz", curve)
    _save_cost(out, model.backbone, size_hw)
    return metrics


def evaluate(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Test metrics of one trial over all its folds, with bootstrap replicates over the test images."""
    from headstart.tasks.transfer import TASKS, load_model

    kind = TASKS[settings["task"]]
    folds = sum(name.startswith("model") for name in inputs)
    for k in range(folds):
        if not (inputs[f"model{k}"] / "model.json").is_file():
            raise TrainingError(
                "the training diverged at the rate that was best on validation; lower the rates searched"
            )
    sets = [_with_masks(PreparedSet.open(inputs[f"test{k}"]), local) for k in range(folds)]
    predictions = []
    for k, images in enumerate(sets):
        trained = load_model(inputs[f"model{k}"])
        part = (k / folds, 0.8 / folds)
        predictions.append(
            kind.predict(
                trained.model, trained.preprocessing, images, lambda f, m, p=part: progress(0.8 * p[0] + p[1] * f, m)
            )
        )
    weights = image_weights(np.concatenate([s.clusters for s in sets]), settings["bootstrap"])
    progress(0.85, f"{settings['bootstrap']} resamples of the test images")
    metrics, replicates = kind.score(predictions, sets, weights, settings["protocol"])
    _save_arrays(out / "replicates.npz", replicates)
    for k, found in enumerate(predictions):
        _save_arrays(out / f"predictions{k}.npz", found)
    count = sum(len(s) for s in sets)
    shutil.copyfile(inputs["model0"] / "cost.json", out / "cost.json")
    return metrics | {"test/images": float(count)}


def features(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Pooled outputs of every stage for every image of a set."""
    from headstart.models.backbones import backbone_cost
    from headstart.models.features import pooled_features

    images = PreparedSet.open(inputs["images"])
    weights = settings["weights"]
    start, load_report = _start(weights, local, inputs.get("weights"), weights.get("seed", 0))
    (out / "load.json").write_text(json.dumps(load_report, indent=1, sort_keys=True))
    pooled = pooled_features(
        start.backbone, start.preprocessing, images.images, progress=lambda f: progress(f, f"{f:.0%} of the images")
    )
    _save_arrays(out / "pooled.npz", pooled)
    size_hw = (int(images.images.shape[1]), int(images.images.shape[2]))
    _save_cost(out, start.backbone, size_hw)
    parameters, gflops = backbone_cost(start.backbone, size_hw)
    return {"cost/parameters": float(parameters), "cost/gflops": gflops}


def probe(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Linear probes on the pooled last stage: logistic (primary) and ridge."""
    from headstart.tasks.probes import ProbeFold, measure

    folds, clusters, count, num_classes = [], [], 0, 0
    for k in range(sum(name.startswith("train_images") for name in inputs)):
        images = PreparedSet.open(inputs[f"train_images{k}"])
        tested = PreparedSet.open(inputs[f"test_images{k}"])
        count, num_classes = min(len(images), settings["limit"] or len(images)), len(images.image_classes)
        train_x, test_x = _last_stage(inputs[f"train{k}"])[:count], _last_stage(inputs[f"test{k}"])
        labels, alike = images.image_labels[:count], images.clusters[:count]
        folds.append(ProbeFold(train_x, labels, test_x, tested.image_labels, alike))
        clusters.append(tested.clusters)
    weights = image_weights(np.concatenate(clusters), settings["bootstrap"])
    metrics, replicates, predictions = measure(folds, num_classes, weights, settings["seed"])
    _save_arrays(out / "replicates.npz", replicates)
    _save_arrays(out / "predictions.npz", predictions)
    shutil.copyfile(inputs["test0"] / "cost.json", out / "cost.json")
    return metrics | {"train/images": float(count), "test/images": float(len(predictions["label"]))}


def neighbors(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """F3 and the pictures of neighbors for the report."""
    from headstart.explain.neighbors import measure

    images = PreparedSet.open(inputs["images"])
    arms = {role: _last_stage(inputs[role]) for role in ("boxes", "labels", "random", "early") if role in inputs}
    weights = image_weights(images.clusters, settings["bootstrap"])
    metrics, replicates, found = measure(
        arms["boxes"], arms["labels"], weights, random=arms.get("random"), early=arms.get("early"),
        classes=images.image_labels, counts=main_class(images).counts,
    )  # fmt: skip
    _save_arrays(out / "replicates.npz", replicates)
    names = np.array([str(images.image_classes[k]) for k in images.image_labels])
    queries, near = found["queries"], {role: found[f"nearest/{role}"] for role in ("boxes", "labels")}
    np.savez(
        out / "examples.npz", query=images.images[queries], query_labels=names[queries],
        near_boxes=images.images[near["boxes"]], near_boxes_labels=names[near["boxes"]],
        near_labels=images.images[near["labels"]], near_labels_labels=names[near["labels"]],
    )  # fmt: skip
    return metrics


def activations(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """F4a for every arm, names prefixed by the role, and maps for the report."""
    from headstart.explain.activations import box_instances, channel_statistics, measure
    from headstart.models.features import stage_maps

    images, others = PreparedSet.open(inputs["images"]), PreparedSet.open(inputs["statistics"])
    size_hw = (int(images.images.shape[1]), int(images.images.shape[2]))
    instances = images.instances
    if instances is None:
        instances = box_instances(images.boxes_xyxy, images.box_offsets, size_hw)
    resampled = image_weights(images.clusters, settings["bootstrap"])
    metrics: Metrics = {}
    replicates: dict[str, np.ndarray] = {}
    maps: dict[str, np.ndarray] = {}
    shown = np.zeros(0, np.int64)
    for k, (role, weights) in enumerate(settings["weights"].items()):
        progress(k / len(settings["weights"]), f"maps of {role}")
        start, _ = _start(weights, local[role], inputs.get(f"weights_{role}"), settings["seed"])
        last = start.backbone.stages[-1].name
        maps_of = {
            name: stage_maps(start.backbone, start.preprocessing, s.images, (last,))[last]
            for name, s in (("statistics", others), ("images", images))
        }
        found, drawn, examples = measure(
            maps_of["images"], np.asarray(instances), channel_statistics(maps_of["statistics"]), resampled, examples=8
        )
        metrics |= {f"{role}/{name}": value for name, value in found.items()}
        replicates |= {f"{role}/{name}": values for name, values in drawn.items()}
        maps[role], shown = examples["energy"], examples["images"]
    _save_arrays(out / "replicates.npz", replicates)
    firsts = images.box_offsets[shown]
    pictures: dict[str, np.ndarray] = {f"map_{role}": m.astype(np.float32) for role, m in maps.items()}
    pictures |= {"images": images.images[shown], "boxes_xyxy": images.boxes_xyxy[firsts]}
    pictures["labels"] = np.array([str(images.box_classes[k]) for k in images.box_labels[firsts]])
    _save_arrays(out / "examples.npz", pictures)
    return metrics


def composition(settings: dict[str, Any], local: dict, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """F4b and F4c from the log-loss of two probes on the same images."""
    from headstart.explain.composition import measure

    images = PreparedSet.open(inputs["images"])
    losses, correct = {}, {}
    for role in ("boxes", "labels"):
        with np.load(inputs[role] / "predictions.npz") as found:
            losses[role], correct[role] = found["log_loss"], found["correct"]
    weights = image_weights(images.clusters, settings["bootstrap"])
    metrics, replicates, examples = measure(losses, correct, images.image_labels, main_class(images), weights)
    _save_arrays(out / "replicates.npz", replicates)
    _save_arrays(out / "examples.npz", examples)
    return metrics


def main_class(images: PreparedSet) -> Composition:
    """Number and size of the objects of each image's own class; by visible pixels where masks exist, else by boxes."""
    from headstart.explain.composition import main_class_composition, visible_areas

    height, width = images.images.shape[1:3]
    boxes = images.boxes_xyxy.astype(np.float64)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (height * width)
    if images.instances is not None:
        areas = visible_areas(images.instances, images.box_offsets)
    return main_class_composition(images.image_labels, images.box_labels, images.box_offsets, areas)


def _resume(out: Path) -> Path:
    """Where the training state lies while a job runs; the store throws it away when the job is done."""
    folder = out / RESUME
    folder.mkdir(exist_ok=True)
    return folder


def _with_masks(images: PreparedSet, local: dict) -> PreparedSet:
    """Original masks are looked for in the data set where it lies now: it may have been moved since."""
    if "root" not in local or not any(images.mask_paths):
        return images
    from headstart.data.formats import image_place

    return replace(images, mask_place=image_place(local["root"], local["read"].get("images")))


def _save_cost(out: Path, backbone: Any, size_hw: tuple[int, int]) -> None:
    """Time is kept apart from the metrics, which are equal in equal runs."""
    from headstart.models.backbones import backbone_milliseconds

    (out / "cost.json").write_text(json.dumps({"ms_per_image": backbone_milliseconds(backbone, size_hw)}))


def _save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy types the keywords as its own option


def _last_stage(folder: Path) -> np.ndarray:
    with np.load(folder / "pooled.npz") as pooled:
        return pooled[pooled.files[-1]]


def _curve_metrics(curve: Any) -> Metrics:
    tenth = max(1, len(curve.total) // 10)
    return {
        "train/loss_first": float(curve.total[:tenth].mean()),
        "train/loss_last": float(curve.total[-tenth:].mean()),
        "train/not_converged": float(curve.still_falling()),
    }


def _made_here(backbone: Any, tensors: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The load report of a backbone that this study pre-trained: every tensor was asked for by name."""
    from headstart.models.preprocessing import IMAGENET
    from headstart.weights.load_report import LoadReport, StageLoad, proved

    counts: dict[str, int] = {}
    for name in tensors:
        if not name.endswith("num_batches_tracked"):
            part = name.split(".")[0]
            stage = "stem" if part in ("conv1", "bn1") else part
            counts[stage] = counts.get(stage, 0) + 1
    stages = {stage: StageLoad(matched=count) for stage, count in counts.items()}
    report = LoadReport(source, "pre-trained by this study", stages, 1.0)
    return proved(report, backbone, IMAGENET, test_colors=False).to_json()


def _start(weights: dict[str, Any], local: dict, made: Path | None, seed: int) -> tuple[Any, dict[str, Any]]:
    """The backbone that a job starts from, and the report of how it was loaded."""
    import torch
    from safetensors.torch import load_file

    from headstart.models.backbones import Preprocessing, build_backbone
    from headstart.tasks.transfer import Start
    from headstart.train.state import model_tensors
    from headstart.weights.cards import WeightsSpec
    from headstart.weights.checkpoint import load

    base = Path(local["base"])
    if made is None:
        spec = WeightsSpec.from_json(local["spec"])
        loaded = load(spec, seed, local["offline"])
        loaded.backbone.to(memory_format=torch.channels_last)
        start = Start(loaded.backbone, spec.backbone, base, loaded.preprocessing, spec.kind == "random")
        return start, loaded.report.to_json()
    backbone = build_backbone(local["backbone"], base).to(memory_format=torch.channels_last)
    tensors, stored = model_tensors(backbone), load_file(made / f"{weights['pretrained']}.safetensors")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(stored[name])
    return Start(backbone, local["backbone"], base, Preprocessing(), is_random=False), _made_here(
        backbone, tensors, weights["pretrained"]
    )


RUNNERS = {
    "draw": draw,
    "split": split,
    "prepare": prepare,
    "pretrain": pretrain,
    "transfer": transfer,
    "evaluate": evaluate,
    "features": features,
    "probe": probe,
    "neighbors": neighbors,
    "activations": activations,
    "composition": composition,
}
