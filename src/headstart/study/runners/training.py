"""Jobs that train and test: transfer, evaluation, features, probes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headstart.batches.image_sets import ImageSet
from headstart.batches.training_part import seed_order, selected, training_part
from headstart.errors import TrainingError
from headstart.names import ceiling
from headstart.progress import Progress
from headstart.stats.bootstrap import image_weights
from headstart.store.arrays import load_arrays, save_arrays
from headstart.store.files import read_json, write_json
from headstart.study.runners.shared import (
    Inputs,
    Metrics,
    curve_metrics,
    resume_folder,
    size_of,
    with_masks,
)
from headstart.study.settings import (
    DataPlace,
    EvaluateSettings,
    FeaturesSettings,
    ProbeSettings,
    StartPlace,
    TransferPlace,
    TransferSettings,
)
from headstart.train.devices import seat

if TYPE_CHECKING:
    from headstart.tasks.frozen.further import Stages

STATISTICS_BATCH = 32
"""Images of a batch that batch-norm statistics of frozen features are estimated from."""


def transfer(
    settings: TransferSettings, place: TransferPlace, inputs: Inputs, out: Path, progress: Progress
) -> Metrics:
    """Train one task model on the images of its seed, and score it on held-out ones: the task's validation images, or
    images of the training set that it does not train on. With an input `before` it goes on from the end of that
    transfer, which had half as many updates."""
    from headstart.models.backbones.building import backbone_cost
    from headstart.tasks.held_out import HeldOut
    from headstart.tasks.starts import start_of
    from headstart.tasks.table import trained_task
    from headstart.tasks.transfer import fit, model_facts, save_curve, save_model
    from headstart.train.distributed import assigned_world
    from headstart.train.forward import NotFinite

    images = ImageSet.open(inputs["train"])
    recipe = settings.recipe
    made, copied = inputs.get("weights"), settings.copied
    start, _, report = start_of(settings.weights, place.start, made, settings.seed, copied=copied)
    size_hw = size_of(images)
    parameters, gflops = backbone_cost(start.backbone, size_hw)
    task, resume = trained_task(settings.task), resume_folder(out)
    part = training_part(images, task.target, settings.seed, settings.limit, hold_out="val" not in inputs)
    if "val" in inputs:
        tried = with_masks(ImageSet.open(inputs["val"]), place.data)
    else:
        tried = with_masks(selected(images, part.held_out), place.data)
    held_out = HeldOut(task, tried, start.preprocessing, protocol=settings.protocol, folder=resume)
    before = inputs.get("before")
    if before:
        held_out.carry(read_json(before / "metrics.json"))
    try:
        model, curve = fit(
            start,
            settings.task,
            images,
            recipe,
            seed=settings.seed,
            state_dir=resume,
            progress=lambda f, m: progress(0.9 * f, m),
            rows=part.train,
            at_step=partial(held_out.steps, updates=recipe.updates),
            key=out.name,
            searched="val" in inputs,
            world=assigned_world(),
            workers=seat().loaders,
            before=before,
            end=out,
            told=lambda proof: write_json(out / "load.json", report.to_json() | {"start": proof.to_json()}),
        )
    except NotFinite:
        if "val" not in inputs:
            raise
        return {"train/diverged": 1.0}  # a rate of the search that is too high: it has no score, others have
    metrics = curve_metrics(curve) | {"cost/parameters": float(parameters), "cost/gflops": gflops}
    metrics |= {"train/images": float(len(part.train)), "train/held_out_images": float(len(tried))}
    metrics |= held_out.metrics(model, lambda f, m: progress(0.9 + 0.1 * f, m))
    save_model(out, model, model_facts(start, settings.task, recipe, images, resize=settings.resize))
    save_curve(out / "curve.npz", curve)
    return metrics


def evaluate(
    settings: EvaluateSettings, place: DataPlace | None, inputs: Inputs, out: Path, progress: Progress
) -> Metrics:
    """Test metrics of one trial, means over its folds, with bootstrap replicates over the test images."""
    from headstart.models.several_looks import SeveralLooks
    from headstart.tasks.folds import score_folds
    from headstart.tasks.table import trained_task
    from headstart.tasks.transfer import load_model
    from headstart.train.distributed import assigned_world
    from headstart.train.memory import memory_for_images

    task = trained_task(settings.task)
    folds = sum(name.startswith("model") for name in inputs)
    for k in range(folds):
        if not (inputs[f"model{k}"] / "model.json").is_file():
            raise TrainingError(
                "the training diverged at the rate that was best on validation; lower the rates searched"
            )
    sets = [with_masks(ImageSet.open(inputs[f"test{k}"]), place) for k in range(folds)]
    predictions, reachable = [], []
    for k, images in enumerate(sets):
        trained = load_model(inputs[f"model{k}"], assigned_world().device)
        show = partial(_of_fold, progress, k, folds)
        with memory_for_images("predictions on images", size_of(images)):
            model = SeveralLooks(trained.model, settings.inference) if settings.inference else trained.model
            predictions.append(task.predict(model, trained.preprocessing, images, show))
            reachable.append(task.reachable(trained.model, trained.preprocessing, images))
    weights = image_weights(np.concatenate([s.clusters for s in sets]), settings.bootstrap)
    progress(0.85, f"{settings.bootstrap} resamples of the test images")
    metrics, replicates = score_folds(task, predictions, sets, weights, protocol=settings.protocol)
    save_arrays(out / "replicates.npz", replicates)
    for k, of_fold in enumerate(predictions):
        save_arrays(out / f"predictions{k}.npz", of_fold, compressed=True)  # a third of the bytes
    if all(reachable):
        best, _ = score_folds(task, reachable, sets, weights[:1], protocol=settings.protocol)
        metrics |= {ceiling(name): best[name] for name in task.ranked_by(settings.protocol)}
    count = sum(len(s) for s in sets)
    return metrics | {"test/images": float(count)}


def _of_fold(progress: Progress, fold: int, folds: int, fraction: float, message: str) -> None:
    progress(0.8 * (fold + fraction) / folds, message)


def _of_images(progress: Progress, fraction: float) -> None:
    progress(fraction, f"{fraction:.0%} of the images")


def features(settings: FeaturesSettings, place: StartPlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Pooled outputs of every stage for every image of a set, batch norms re-estimated as a transfer does: on images of
    the set that is trained on."""
    from headstart.batches.image_batches import Batches
    from headstart.models.backbones.building import backbone_cost
    from headstart.models.backbones.features import pooled_features
    from headstart.tasks.starts import start_of
    from headstart.train.loop import reestimate_batch_norm
    from headstart.train.memory import memory_for_images

    images = ImageSet.open(inputs["images"])
    weights = settings.weights
    start, _, report = start_of(weights, place, inputs.get("weights"), weights.seed or 0)
    write_json(out / "load.json", report.to_json())
    size_hw, show = size_of(images), partial(_of_images, progress)
    trained_on = ImageSet.open(inputs["statistics"])
    batches = Batches(trained_on, STATISTICS_BATCH, 0, flip=False, quarter_turns=False)
    reestimate_batch_norm(start.backbone, batches, start.preprocessing)
    with memory_for_images("features of images", size_hw):
        pooled = pooled_features(start.backbone, start.preprocessing, images.images, progress=show)
    save_arrays(out / "pooled.npz", pooled)
    parameters, gflops = backbone_cost(start.backbone, size_hw)
    return {"cost/parameters": float(parameters), "cost/gflops": gflops}


def probe(settings: ProbeSettings, place: None, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Probes on the pooled last stage, logistic (primary) and ridge; and others, where they are asked for."""
    from headstart.tasks.frozen.further import further
    from headstart.tasks.linear_probes import measure

    count = sum(name.startswith("train_images") for name in inputs)
    folds = [_stages(settings, inputs, k) for k in range(count)]
    tested = [ImageSet.open(inputs[f"test_images{k}"]) for k in range(count)]
    num_classes = len(tested[0].image_classes)
    weights = image_weights(np.concatenate([images.clusters for images in tested]), settings.bootstrap)
    metrics, replicates, predictions = measure([s.fold for s in folds], num_classes, weights, settings.seed)
    if settings.further:
        more = further(settings.further, folds, num_classes, weights, seed=settings.seed, progress=progress)
        metrics, replicates = metrics | more[0], replicates | more[1]
    save_arrays(out / "replicates.npz", replicates)
    save_arrays(out / "predictions.npz", predictions)
    trained_on = float(len(folds[-1].fold.train_y))
    return metrics | {"train/images": trained_on, "test/images": float(len(predictions["label"]))}


def _stages(settings: ProbeSettings, inputs: Inputs, fold: int) -> Stages:
    """Features and labels of a fold; the order is the seed's."""
    from headstart.tasks.frozen.further import Stages
    from headstart.tasks.linear_probes import ProbeFold

    images, tested = (ImageSet.open(inputs[f"{role}_images{fold}"]) for role in ("train", "test"))
    rows = training_part(images, "classify", settings.seed, settings.limit, hold_out=False).train
    order = seed_order(images, "classify", settings.seed)
    train, test = (load_arrays(inputs[f"{role}{fold}"] / "pooled.npz") for role in ("train", "test"))
    if not (settings.further and settings.further.stages):  # ten folds of all stages are gigabytes
        train, test = dict([[*train.items()][-1]]), dict([[*test.items()][-1]])
    train = {stage: x[rows] for stage, x in train.items()}
    (_, train_x), (_, test_x) = [*train.items()][-1], [*test.items()][-1]
    labels = ProbeFold(train_x, images.image_labels[rows], test_x, tested.image_labels, clusters=images.clusters[rows])
    return Stages(labels, train, test, np.searchsorted(rows, order[np.isin(order, rows)]))
