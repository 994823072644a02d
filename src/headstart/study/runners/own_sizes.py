"""Jobs of tasks on images at their own sizes: the training, which is that of a pre-training, and the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headstart.errors import DataError
from headstart.pretraining.settings import PretrainPlace, PretrainSettings
from headstart.progress import Progress
from headstart.readers.place import DataPlace
from headstart.stats.bootstrap import image_weights
from headstart.store.arrays import save_arrays
from headstart.store.files import write_json
from headstart.study.runners.shared import Inputs, Metrics, resume_folder
from headstart.study.settings import WholeTestSettings


def finetune(
    settings: PretrainSettings, place: PretrainPlace, inputs: Inputs, out: Path, progress: Progress
) -> Metrics:
    """One task model; see `headstart.pretraining.training.pretrain`. No image is held out: its loss alone says whether
    it has converged."""
    from headstart.models.backbones.building import backbone_cost
    from headstart.pretraining import training
    from headstart.pretraining.images import chosen_rows
    from headstart.tasks.starts import start_of

    assert settings.table and place.data
    resume_folder(out)
    metrics = training.pretrain(settings, place, inputs, out, progress)
    start, _, report = start_of(settings.weights, place.start, inputs.get("weights"), settings.seed)
    write_json(out / "load.json", report.to_json())
    side = settings.recipe.sampling.size
    parameters, gflops = backbone_cost(start.backbone, (side, side))
    rows, _ = chosen_rows(place.data.open(), settings.recipe.supervision, settings.table.splits, "")
    facts = {"cost/parameters": float(parameters), "cost/gflops": gflops, "train/images": float(len(rows))}
    return metrics | facts | {"train/held_out_images": 0.0}


def whole_test(settings: WholeTestSettings, place: DataPlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Average precision on whole images at the scales of the model's recipe, with replicates over the images."""
    from headstart.data.classes import with_classes
    from headstart.data.sizes import with_sizes
    from headstart.metrics.average_precision import COCO_THRESHOLDS, Detections
    from headstart.tasks.detection_scores import score_detections
    from headstart.tasks.transfer import load_model
    from headstart.tasks.truth import truth_of
    from headstart.tasks.whole_images import detect_images
    from headstart.train.distributed import assigned_world

    trained, table = load_model(inputs["model0"], assigned_world().device), place.open()
    rows = np.flatnonzero(np.isin(table.splits, settings.splits) & table.boxes_known)
    if not len(rows):
        raise DataError(f"{table.root}: no image of {', '.join(settings.splits)} has boxes to test on.")
    images = with_sizes(table.select(rows))
    if images.box_classes != trained.classes:
        images = with_classes(images, trained.classes)
    found = detect_images(trained.model, trained.preprocessing, images, trained.scales, progress=progress)
    scored = score_detections(
        truth_of(images),
        Detections(**found),  # type: ignore[arg-type]
        settings.protocol,
        trained.classes,
        iou_thresholds=COCO_THRESHOLDS,
        image_weights=image_weights(np.arange(len(images)), settings.bootstrap),
        per_class_at=(0.5,),
    )
    save_arrays(out / "replicates.npz", scored.replicates)
    save_arrays(out / "predictions0.npz", found, compressed=True)
    return scored.metrics | {"test/images": float(len(images))}
