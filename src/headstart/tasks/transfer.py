"""From starting weights to a task model: one transfer, and the models that it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from headstart.batches.chips.scales import Scale
from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.batches.windows import WHOLE, Windows
from headstart.errors import WeightsError
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.norms import set_norms
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.whole.detector import WholeDetector
from headstart.models.whole.families import CONFIG, split_whole
from headstart.models.whole.network import Whole
from headstart.processes import asked_to_stop
from headstart.progress import Progress
from headstart.recipes.heads import MasksHead
from headstart.recipes.schema import Recipe, as_written, recipe_of
from headstart.store.arrays import save_arrays
from headstart.store.files import read_json, write_json
from headstart.store.sealing import dropped
from headstart.tasks.copying import BACKBONE_ONLY, Copying, Told, copy_into
from headstart.tasks.table import trained_task
from headstart.tasks.trained import TaskModel
from headstart.train.distributed import ALONE, CPU, World
from headstart.train.ends import End, read_end
from headstart.train.loop import LossCurve, reestimate_batch_norm, refuse_frozen_random, train
from headstart.train.sentinel import Known, look_at_start
from headstart.train.state import History, model_tensors, save_tensors


@dataclass(frozen=True)
class Start:
    """Where a training starts: a backbone with its values, its preprocessing, and whether the values are random."""

    backbone: nn.Module
    backbone_name: str
    base: Path
    preprocessing: Preprocessing
    is_random: bool
    copying: Copying = BACKBONE_ONLY
    """What of a detector is copied beside the backbone."""


def fit(
    start: Start,
    task: str,
    images: ImageSet,
    recipe: Recipe,
    *,
    seed: int,
    state_dir: Path,
    progress: Progress,
    rows: NDArray[np.int64] | None = None,
    at_step: Callable[[nn.Module], dict[int, Callable[[], None]]] | None = None,
    world: World = ALONE,
    workers: int = 0,
    stopped: Callable[[], bool] = asked_to_stop,
    key: str = "",
    before: Path | None = None,
    end: Path | None = None,
    searched: bool = False,
    told: Told | None = None,
) -> tuple[nn.Module, LossCurve]:
    """Train a fresh head, and the backbone with it, on `images`. Heads, order and augmentation depend on `seed` only,
    so that the same seed gives every candidate the same head and the same batches. rows (k,): which images are trained
    on (None: all). before: folder of a finished transfer with the same settings and fewer updates, from whose end this
    one goes on; end: where that of this one is kept. key: see `train`; searched: see `Known`. told: of what was copied
    beside the backbone, before training. Raises WeightsError where the start cannot be had of its weights."""
    trained = trained_task(task)
    size_hw = (int(images.images.shape[1]), int(images.images.shape[2]))
    classes = trained.classes_of(images)
    model = assembled(start, task, recipe, len(classes), size_hw=size_hw, seed=seed)
    copied = copy_into(model, start.copying, classes)
    if told:
        told(copied)
    model.to(world.device)
    batches = Batches(
        images,
        recipe.batch_size,
        seed,
        recipe.flip,
        quarter_turns=recipe.quarter_turns,
        rows=rows,
        windows=_windows(recipe),
    )
    if not before and not isinstance(start.backbone, Whole):  # of one all is loaded, or all is random
        look_at_start(start.backbone, batches, start.preprocessing, recipe)
    if recipe.reestimate_batch_norm and not before:
        reestimate_batch_norm(start.backbone, batches, start.preprocessing, recipe.freeze)
    steps = at_step(model) if at_step else None
    curve = train(
        model,
        trained.losses,
        batches,
        start.preprocessing,
        recipe=recipe,
        state_dir=state_dir,
        progress=progress,
        at_step=steps,
        world=world,
        workers=workers,
        stopped=stopped,
        key=key,
        before=_end_of(before) if before else None,
        end=end,
        known=Known(trained.trains_on, searched),
    )
    return model, curve


def _windows(recipe: Recipe) -> Windows:
    """What of the images is trained on."""
    return Windows(recipe.crop, recipe.scale_jitter) if isinstance(recipe, MasksHead) else WHOLE


def _end_of(folder: Path) -> End:
    """Of a finished transfer: its model, what its optimizer remembers, its losses."""
    with np.load(folder / "curve.npz") as curve:
        columns = {name: curve[name] for name in curve.files if name not in ("step", "loss")}
    losses = torch.from_numpy(np.stack(list(columns.values()), axis=1))
    return read_end(folder, saved_tensors(folder), History(tuple(columns), list(losses)))


def assembled(
    start: Start, task: str, recipe: Recipe, num_classes: int, *, size_hw: tuple[int, int], seed: int, **more: Any
) -> nn.Module:
    """The model of a task as the loop trains it, with a fresh head that depends on `seed` only. more: for `build`."""
    refuse_frozen_random(recipe, start.is_random)
    torch.manual_seed(seed)
    model = set_norms(trained_task(task).build(start.backbone, recipe, num_classes, size_hw, **more), recipe.batch_norm)
    return model.to(memory_format=torch.channels_last)  # 1.5 to 1.8 x as fast on CPU


def save_curve(path: Path, curve: LossCurve) -> None:
    """Losses of every update as npz: step, loss, and one array a name."""
    columns = {name: curve.values[:, k] for k, name in enumerate(curve.names)}
    save_arrays(path, {"step": np.arange(1, len(curve.values) + 1), "loss": curve.total, **columns})


def save_model(out: Path, model: nn.Module, facts: dict[str, Any]) -> None:
    """`backbone.safetensors`, `head.safetensors` and `model.json` under `out`."""
    tensors = model_tensors(model)
    backbone = {k.removeprefix("backbone."): v for k, v in tensors.items() if k.startswith("backbone.")}
    save_tensors(out / "backbone.safetensors", backbone)
    save_tensors(out / "head.safetensors", {k: v for k, v in tensors.items() if not k.startswith("backbone.")})
    write_json(out / "model.json", facts)
    if isinstance(model, WholeDetector):
        write_json(out / CONFIG, model.rest.config.to_dict())


def model_facts(start: Start, task: str, recipe: Recipe, images: ImageSet, *, resize: str) -> dict[str, Any]:
    """What `load_model` needs to build the model again."""
    return {
        "backbone": whole.in_folder() if (whole := split_whole(start.backbone_name)) else start.backbone_name,
        "base": str(start.base),
        "preprocessing": start.preprocessing.to_json(),
        "task": task,
        "recipe": recipe.identity(),
        "classes": list(trained_task(task).classes_of(images)),
        "size_hw": [int(images.images.shape[1]), int(images.images.shape[2])],
        "resize": resize,
    }


def saved_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Values of a model that `save_model` wrote, by name."""
    tensors = {f"backbone.{k}": v for k, v in load_file(folder / "backbone.safetensors").items()}
    return tensors | load_file(folder / "head.safetensors")


def load_model(folder: Path, device: torch.device = CPU) -> TaskModel:
    """A model saved by `save_model`, ready to predict on a device."""
    if (folder / "model" / "model.json").is_file():  # a pre-training keeps it beside the backbone
        folder = folder / "model"
    path = folder / "model.json"
    if not path.is_file():
        raise WeightsError(
            f"{folder}: not a task model (no model.json). Give the folder of a trial's model, "
            "as printed at the end of `headstart compare`."
        )
    if dropped(folder) or dropped(folder.parent):
        raise WeightsError(
            f"{folder}: its weights were dropped when its study was complete, since it is not the best model. To make "
            "them again, with those of the study's other models: headstart run RUN --keep all"
        )
    facts = read_json(path)
    recipe = recipe_of(as_written(facts["recipe"]))
    base = folder if (folder / CONFIG).is_file() else Path(facts["base"])
    backbone = build_backbone(facts["backbone"], base)
    size_hw = (facts["size_hw"][0], facts["size_hw"][1])
    more = {"several": True} if facts.get("several") else {}
    model = trained_task(facts["task"]).build(backbone, recipe, len(facts["classes"]), size_hw, **more)
    model = set_norms(model, recipe.batch_norm)
    tensors = saved_tensors(folder)
    with torch.no_grad():
        for name, tensor in model_tensors(model).items():
            tensor.copy_(tensors[name])
    model.eval().to(device).to(memory_format=torch.channels_last)
    return TaskModel(
        model,
        facts["task"],
        Preprocessing.from_json(facts["preprocessing"]),
        tuple(facts["classes"]),
        size_hw=size_hw,
        resize=facts["resize"],
        scales=tuple(Scale(**scale) for scale in facts.get("scales", ())),
        several=bool(more),
    )
