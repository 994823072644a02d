"""What several runners need: where a training goes on, its start, arrays and costs written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from headstart.batches.image_sets import ImageSet
from headstart.store.arrays import load_arrays
from headstart.store.files import write_json
from headstart.store.sealing import RESUME
from headstart.study.settings import DataPlace, StartPlace, StartSettings

Inputs = dict[str, Path]
Metrics = dict[str, float]


def resume_folder(out: Path) -> Path:
    """Where the training state lies while a job runs; the store throws it away when the job is done."""
    folder = out / RESUME
    folder.mkdir(exist_ok=True)
    return folder


def with_masks(images: ImageSet, place: DataPlace | None) -> ImageSet:
    """Original masks are looked for in the data set where it lies now: it may have been moved since."""
    if place is None or not any(images.mask_paths):
        return images
    from headstart.readers.formats import image_place

    return replace(images, mask_place=image_place(place.root, place.read.get("images")))


def size_of(images: ImageSet) -> tuple[int, int]:
    """Height and width of the images of a set, pixels."""
    return int(images.images.shape[1]), int(images.images.shape[2])


def save_cost(out: Path, backbone: Any, size_hw: tuple[int, int]) -> None:
    """Time is kept apart from the metrics, which are equal in equal runs."""
    from headstart.models.backbones.building import backbone_milliseconds

    write_json(out / "cost.json", {"ms_per_image": backbone_milliseconds(backbone, size_hw)})


def last_stage(folder: Path) -> np.ndarray:
    return [*load_arrays(folder / "pooled.npz").values()][-1]


def curve_metrics(curve: Any) -> Metrics:
    tenth = max(1, len(curve.total) // 10)
    return {
        "train/loss_first": float(curve.total[:tenth].mean()),
        "train/loss_last": float(curve.total[-tenth:].mean()),
        "train/not_converged": float(curve.still_falling()),
    }


def made_here(backbone: Any, tensors: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The load report of a backbone that this study pre-trained: every tensor was asked for by name."""
    from headstart.models.backbones.preprocessing import IMAGENET
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


def start_of(weights: StartSettings, place: StartPlace, made: Path | None, seed: int) -> tuple[Any, dict[str, Any]]:
    """The backbone that a job starts from, on the device of this worker, and the report of how it was loaded."""
    import torch
    from safetensors.torch import load_file

    from headstart.models.backbones.building import build_backbone
    from headstart.models.backbones.preprocessing import Preprocessing
    from headstart.tasks.transfer import Start
    from headstart.train.distributed import assigned_world
    from headstart.train.state import model_tensors
    from headstart.weights.checkpoint import load

    base, device = Path(place.base), assigned_world().device
    if made is None:
        spec = place.spec
        assert spec
        loaded = load(spec, seed, place.offline)
        loaded.backbone.to(device).to(memory_format=torch.channels_last)
        start = Start(loaded.backbone, spec.backbone, base, loaded.preprocessing, spec.kind == "random")
        return start, loaded.report.to_json()
    backbone = build_backbone(place.backbone, base).to(memory_format=torch.channels_last)
    tensors, stored = model_tensors(backbone), load_file(made / f"{weights.part}.safetensors")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(stored[name])
    report = made_here(backbone, tensors, weights.part)
    return Start(backbone.to(device), place.backbone, base, Preprocessing(), is_random=False), report
