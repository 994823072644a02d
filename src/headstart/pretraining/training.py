"""One pre-training from a recipe: from a data set and starting weights to a backbone with its facts."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from headstart.batches.chips.scales import Scale, scales_of
from headstart.batches.label_batches import LabelBatches
from headstart.data.annotations import Annotations
from headstart.errors import UsageError
from headstart.models.backbones.naming import trained_by
from headstart.models.detection.proposing import ProposalDetector
from headstart.names import metric
from headstart.pretraining import images as data
from headstart.pretraining.proposals import MOST, write_proposals
from headstart.progress import Progress
from headstart.recipes.pretraining import PretrainingOptions, PretrainingRecipe
from headstart.recipes.sampling import ChipSampling, CropSampling, ScaledSampling
from headstart.recipes.schema import Recipe
from headstart.store.files import write_json
from headstart.tasks.table import trained_task
from headstart.tasks.transfer import Start, assembled, save_curve, save_model
from headstart.tasks.whole_images import detect_images, score_images
from headstart.train.distributed import World
from headstart.train.loaders import BatchSource
from headstart.train.loop import LossCurve, reestimate_batch_norm, refuse_frozen_random, train
from headstart.train.saving import Keeping
from headstart.weights import native
from headstart.weights.cards import WeightsSpec, file_digest, resolve
from headstart.weights.checkpoint import load
from headstart.weights.export import canonical_state
from headstart.weights.proof import fingerprint

SAVE_EVERY_SECONDS = 600.0
"""Between two states by time; those by updates come at every checkpoint."""
PROTOCOL = "voc-area"
"""How detections on the validation images are scored."""


@dataclass(frozen=True)
class Request:
    """A recipe with its supervision, and what is asked for; `weights`, `out` and `loaders` are the options' with their
    defaults filled in."""

    recipe: PretrainingRecipe
    options: PretrainingOptions
    weights: str
    out: Path
    loaders: int


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that is known before the first batch."""

    request: Request
    images: data.Images
    spec: WeightsSpec
    batches: BatchSource
    recipe: Recipe
    classes: tuple[str, ...]

    @property
    def task(self) -> str:
        return {"boxes": "detect", "labels": "classify"}[self.request.recipe.supervision]

    @property
    def backbone_name(self) -> str:
        """Of the backbone as it will be trained."""
        return trained_by(self.recipe, self.spec.backbone, "the recipe")

    @property
    def several(self) -> bool:
        """Whether a classifier's images may show several classes."""
        return isinstance(self.batches, LabelBatches) and self.batches.source.several

    def scales(self) -> tuple[Scale, ...]:
        """At which a detector looks at whole images."""
        recipe = self.request.recipe
        first = recipe.sampling.scales[:1] if isinstance(recipe.sampling, ScaledSampling) else ()
        return scales_of(recipe.inference or first)

    def settings(self) -> dict[str, Any]:
        """Everything that the result depends on, but for the number of threads and processes."""
        return {
            "recipe": self.request.recipe.model_dump(mode="json", exclude={"expected"}),
            "proposals": file_digest(self.request.options.proposals) if self.request.options.proposals else "made here",
            "weights": {"uri": self.spec.uri, "digest": self.spec.digest, "backbone": self.spec.backbone},
            "seed": self.request.options.seed,
            "training images": data.facts_of(self.images.train),
            "validation images": data.facts_of(held) if (held := self.images.validation) is not None else None,
            "classes": list(self.classes),
        }

    def key(self) -> str:
        """SHA-256 of the settings: what a state is of."""
        return hashlib.sha256(json.dumps(self.settings(), sort_keys=True).encode()).hexdigest()


def prepared(request: Request, images: data.Images, base: Path, world: World) -> Prepared:
    """Find every fault that can be found before the first batch.

    Raises DataError, WeightsError and UsageError; the chips of the first epoch are laid, under `request.out`.
    """
    recipe = request.recipe
    spec = resolve(request.weights, base, offline=request.options.offline)
    begun = request.out.is_dir() and not (request.out / "metrics.json").is_file()
    chips = request.out / "chips" if begun else None
    batches: BatchSource
    counted: BatchSource
    if recipe.supervision == "boxes":
        proposals = request.options.proposals or _made_proposals(request.out)
        batches = counted = data.chip_batches(images, recipe, request.options.seed, chips, proposals)
        classes = images.classes
    else:
        labelled = data.label_batches(images, recipe, request.options.seed, request.options.on_empty_class)
        batches, classes = labelled, labelled.source.classes
        counted = labelled
        if recipe.budget:  # as many updates as these chips make
            counted = data.chip_batches(
                images, recipe.model_copy(update={"sampling": recipe.budget}), request.options.seed, None
            )
    training = recipe.recipe(data.updates_of(counted, recipe.epochs))
    refuse_frozen_random(training, spec.kind == "random")
    world.slice_of(training.batch_size)
    return Prepared(request, images, spec, batches, training, classes)


def _made_proposals(out: Path) -> Path | None:
    made = out / "proposals.parquet"
    return made if made.is_file() else None


def require_same(out: Path, settings: dict[str, Any]) -> bool:
    """Whether a pre-training with these settings was begun in `out`. Raises UsageError that names what differs."""
    path = out / "settings.json"
    if not path.is_file():
        return False
    before = json.loads(path.read_text(encoding="utf-8"))
    now = json.loads(json.dumps(settings))
    if changes := list(_differences(before, now, "")):
        raise UsageError(
            f"{out} holds a pre-training with other settings, so it cannot go on with these:\n  "
            + "\n  ".join(changes[:12])
            + "\nPut them back, give another --out, or --overwrite to start anew."
        )
    return True


def _differences(before: Any, now: Any, where: str) -> Any:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif before != now:
        short = lambda value: text if len(text := json.dumps(value)) < 80 else text[:76] + " ..."  # noqa: E731
        yield f"{where}: was {short(before)}, is {short(now)}"


def pretrain(
    given: Prepared, world: World, progress: Progress, stopped: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Train, evaluate at every checkpoint, and write into the request's `out`: returns the metrics.

    backbone.safetensors (an own checkpoint: weights for everything), model/ (with its head, for `headstart predict`),
    best/ (the same of the checkpoint that validated best), curve.npz, checkpoints.json, metrics.json. Killed or
    stopped, the same call goes on.
    """
    request, out = given.request, given.request.out
    if request.recipe.negatives and request.options.proposals is None and _made_proposals(out) is None:
        _make_proposals(given, world, lambda f, m: progress(0.2 * f, f"proposals: {m}"), stopped)
        shutil.rmtree(out / "chips", ignore_errors=True)  # laid without negatives
        world.wait()
        batches = data.chip_batches(
            given.images, request.recipe, request.options.seed, out / "chips", _made_proposals(out)
        )
        given = replace(
            given, batches=batches, recipe=request.recipe.recipe(data.updates_of(batches, request.recipe.epochs))
        )
    start = _start(given)
    model = _model(given, start)
    model.to(world.device)
    if given.recipe.reestimate_batch_norm:
        reestimate_batch_norm(start.backbone, given.batches, start.preprocessing)
    checkpoints = _Checkpoints(given, start, model, world, progress)
    every = max(1, round(data.updates_of(given.batches, request.recipe.checkpoint_epochs)))
    steps = [*range(every, given.recipe.updates, every), given.recipe.updates]
    curve = train(
        model,
        trained_task(given.task).losses,
        given.batches,
        start.preprocessing,
        given.recipe,
        out / "state",
        progress,
        {k: partial(checkpoints.take, k) for k in steps},
        world,
        request.loaders,
        stopped,
        Keeping(SAVE_EVERY_SECONDS, every, request.recipe.keep),
        given.key(),
    )
    metrics = _metrics(given, curve, checkpoints.taken)
    if world.leads:
        _write(given, start, model, curve, metrics)
    world.wait()
    return metrics


def _start(given: Prepared) -> Start:
    loaded = load(given.spec, given.request.options.seed, given.request.options.offline)
    return Start(loaded.backbone, given.spec.backbone, Path(), loaded.preprocessing, given.spec.kind == "random")


def _model(given: Prepared, start: Start) -> nn.Module:
    side = data.size_of(given.request.recipe.sampling)
    return assembled(
        start,
        given.task,
        given.recipe,
        len(given.classes),
        (side, side),
        given.request.options.seed,
        **({"several": True} if given.several else {}),
    )


def _make_proposals(given: Prepared, world: World, progress: Progress, stopped: Callable[[], bool]) -> None:
    """Train a proposal network on the positive chips, and write what it proposes on the training images."""
    request, out = given.request, given.request.out
    start = _start(given)
    detector = ProposalDetector(_model(given, start))  # type: ignore[arg-type]
    sampling = request.recipe.sampling
    assert isinstance(sampling, ChipSampling)
    updates = data.updates_of(given.batches, sampling.proposal_epochs)
    recipe = given.recipe.model_copy(update={"updates": updates, "name": f"{given.recipe.name}-proposals"})
    train(
        detector,
        trained_task("detect").losses,
        given.batches,
        start.preprocessing,
        recipe,
        out / "proposal-state",
        lambda f, m: progress(0.6 * f, m),
        None,
        world,
        request.loaders,
        stopped,
        key=given.key(),
    )
    found = detect_images(
        detector,
        start.preprocessing,
        given.images.train,
        given.scales(),
        world,
        MOST,
        lambda f, m: progress(0.6 + 0.4 * f, m),
    )
    if world.leads:
        write_proposals(out / "proposals.parquet", given.images.train, found)
        shutil.rmtree(out / "proposal-state", ignore_errors=True)
    world.wait()


class _Checkpoints:
    """What is done at every checkpoint: evaluation on the validation images, and the best model kept."""

    def __init__(self, given: Prepared, start: Start, model: nn.Module, world: World, progress: Progress) -> None:
        self.given, self.start, self.model, self.world, self.progress = given, start, model, world, progress
        self.path = given.request.out / "checkpoints.json"
        self.taken: list[dict[str, Any]] = json.loads(self.path.read_text()) if self.path.is_file() else []

    def take(self, step: int) -> None:
        """Evaluate after `step` updates."""
        validation = self.given.images.validation
        if validation is None:
            return
        self.model.eval()
        scores = evaluated(self.given, self.model, self.start, validation, self.world, self.progress)
        self.taken = [*(t for t in self.taken if t["update"] != step), {"update": step, **scores}]
        if not self.world.leads:
            return
        name = primary(self.given.task, scores)
        if scores[name] >= max(t[name] for t in self.taken):
            _save(self.given, self.start, self.model, self.given.request.out / "best")
        write_json(self.path, self.taken)
        self.progress(step / self.given.recipe.updates, f"update {step}: {name} {scores[name]:.3f}")


def primary(task: str, scores: dict[str, float]) -> str:
    """The score that checkpoints are compared by."""
    names = (*trained_task(task).ranked_by(PROTOCOL), metric("cls", "map"))  # the last: of several labels an image
    return next(name for name in names if name in scores)


def evaluated(
    given: Prepared, model: nn.Module, start: Start, validation: Annotations, world: World, progress: Progress
) -> dict[str, float]:
    """Scores on the validation images, whole, at the recipe's scales of inference."""
    recipe = given.request.recipe
    if given.task == "classify":
        assert isinstance(given.batches, LabelBatches) and isinstance(recipe.sampling, CropSampling)
        rows = given.images.validation_rows
        return data.score_labels(given.batches, model, start.preprocessing, rows, recipe.sampling, world)
    found = detect_images(model, start.preprocessing, validation, given.scales(), world, progress=progress)
    scores = score_images(validation, found, PROTOCOL)
    return {name: scores[name] for name in trained_task(given.task).ranked_by(PROTOCOL)}


def _metrics(given: Prepared, curve: LossCurve, taken: list[dict[str, Any]]) -> dict[str, Any]:
    tenth = max(1, len(curve.total) // 10)
    counts = {name: float(curve.of(name).mean()) for name in curve.names if name.startswith("number_of_")}
    best = max(taken, key=lambda t: t[primary(given.task, t)]) if taken else {}
    return {
        "updates": given.recipe.updates,
        "images_seen": given.recipe.updates * given.recipe.batch_size,
        "loss_first": float(curve.total[:tenth].mean()),
        "loss_last": float(curve.total[-tenth:].mean()),
        "still_falling": curve.still_falling(),
        "per_update": counts,
        "last": taken[-1] if taken else {},
        "best": best,
    }


def _save(given: Prepared, start: Start, model: nn.Module, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    side = data.size_of(given.request.recipe.sampling)
    save_model(
        out,
        model,
        {
            "backbone": given.spec.backbone,
            "base": "",
            "preprocessing": start.preprocessing.to_json(),
            "task": given.task,
            "recipe": given.recipe.model_dump(mode="json"),
            "classes": list(given.classes),
            "size_hw": [side, side],
            "resize": "stretch",
            "scales": [{k: v for k, v in asdict(s).items() if v != float("inf")} for s in given.scales()],
            "several": given.several,
        },
    )


def _write(given: Prepared, start: Start, model: nn.Module, curve: LossCurve, metrics: dict[str, Any]) -> None:
    out, recipe = given.request.out, given.request.recipe
    _save(given, start, model, out / "model")
    save_curve(out / "curve.npz", curve)
    backbone: Any = model.backbone
    backbone = backbone.cpu().float().eval()
    tensors = canonical_state(backbone)
    table = given.images.train
    facts = native.CheckpointFacts(
        name=f"{recipe.name}-{table.root.name}",
        backbone=given.backbone_name,
        preprocessing=start.preprocessing.to_json(),
        lineage=[*given.spec.lineage, f"{table.root.name} {recipe.supervision}"],
        licence=given.spec.licence,
        source=f"headstart pretrain, recipe {recipe.name} version {recipe.version}, "
        f"{metrics['images_seen']} inputs of {recipe.sampling.size} pixels",
        digest=native.tensor_digest(tensors),
        provenance=given.settings(),
        fingerprint={stage: list(values) for stage, values in fingerprint(backbone, start.preprocessing).items()},
    )
    native.write(out / native.FILE, tensors, facts)
    write_json(out / "metrics.json", metrics)
    for name in ("state", "chips"):
        shutil.rmtree(out / name, ignore_errors=True)
