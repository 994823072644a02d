"""A study in miniature: the very same one with small data, a small network and few steps, as a function of it.

Only sizes and steps change: pixels (an eighth), images, the network, widths of heads, batches, epochs and updates.
Rates follow their batch by the recipe's own rule. Public weights have no small kind, so what they stand in for is made
(`Study.stand_ins`). `differences` says all that came out different.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headstart.config.data import data_name
from headstart.config.inference import MaskInference
from headstart.config.pretraining import Pretraining
from headstart.config.sets import FolderSet, TableSet, WorldSet
from headstart.config.study import Study, Task, WeightsEntry
from headstart.errors import UsageError
from headstart.recipes.changes import changed
from headstart.recipes.heads import MasksHead
from headstart.recipes.pretraining import PretrainingRecipe
from headstart.recipes.sampling import ScaledSampling, ScaleSettings
from headstart.recipes.schema import Recipe, recipe_of
from headstart.study.planning.given_data import used_sets
from headstart.world.official.writers import IMAGES

SMALLER = 8
"""Pixels are divided by it."""
SMALL_NETWORK = "shapes-resnet"
LARGE_NETWORKS = ("resnet101", "resnet50")
EPOCHS, LABEL_EPOCHS, UPDATES, BATCH, WARMUP = 1, 6, 16, 4, 4
"""At most so many epochs by boxes and by labels, updates of a task, images of a batch, updates of warm-up."""
CHANNELS, ROIS, PROPOSALS = 32, 32, 48
"""Widths of heads, and what a detector looks at in an image, at most."""
FEW = 12
"""Images that a task with a limit trains on, at least."""
BOOTSTRAP = 100
PER_CLASS = {60: 7, 30: 4, 20: 10, 5: 10}
"""Images a class of a draw, by those of the study."""
PIXELS = ("anchors", "crop", "hi", "limit", "lo", "size", "size_hw", "stride", "value", "window")
UNREAD = (".images", ".megabytes", ".pretraining", ".start", ".uri")


def miniature(study: Study) -> Study:
    """Raises UsageError for weights that nothing is known to stand in for."""
    made = _stand_ins(study)
    used = used_sets(study) | {wanted.images for _, wanted in made.values()}
    return study.model_copy(
        update={
            "name": f"{study.name}-miniature",
            "title": f"{study.title or study.name}, in miniature",
            "bootstrap": min(study.bootstrap, BOOTSTRAP),
            "sets": {name: _small_set(images) for name, images in study.sets.items() if name in used},
            "pretraining": {
                name: _small_pretraining(wanted, made) for name, wanted in (*made.values(), *study.pretraining.items())
            },
            "weights": tuple(_small_weights(entry, made) for entry in study.weights),
            "tasks": tuple(_small_task(task) for task in study.tasks),
            "stand_ins": {},
        }
    )


Made = dict[str, tuple[str, Pretraining]]
"""By the URI of public weights: the name and the pre-training that is made in their place."""


def _stand_ins(study: Study) -> Made:
    public = [w for w in study.weights if w.uri and not w.uri.startswith("random:")]
    uris = [w.uri for w in public] + [wanted.start for wanted in study.pretraining.values()]
    uris += [wanted.start for wanted in study.stand_ins.values()]
    found: Made = {}
    for uri in dict.fromkeys(uri for uri in uris if uri and uri not in study.pretraining):
        if uri not in study.stand_ins:
            raise UsageError(f"{study.name} has no miniature: [stand_ins] does not say what {uri} stands in for.")
        name = next((w.name for w in public if w.uri == uri), f"stand-in-{len(found) + 1}")
        found[uri] = (name, study.stand_ins[uri])
    return found


def _small_set(images: WorldSet | FolderSet | TableSet) -> WorldSet | FolderSet | TableSet:
    if isinstance(images, WorldSet):
        raise UsageError("a study of drawn images is small already: it has no miniature.")
    of = data_name(images.path)
    update: dict[str, Any] = {"images": IMAGES.get(of[0]) if of else None}
    if not isinstance(images, WorldSet) and "classes" in images.read:  # drawn classes have no such ids
        update["read"] = {name: value for name, value in images.read.items() if name != "classes"}
    if isinstance(images, FolderSet):
        update["size_hw"] = tuple(_pixels(side) for side in images.size_hw)
        for name in ("per_class", "test_per_class"):
            update[name] = PER_CLASS.get(getattr(images, name), getattr(images, name))
    return images.model_copy(update=update)


def _small_weights(entry: WeightsEntry, made: Made) -> WeightsEntry:
    update: dict[str, Any] = {"megabytes": None}
    if entry.uri in made:
        update |= {"uri": None, "pretraining": made[entry.uri][0]}
    elif entry.uri:
        update["uri"] = f"random:{_network(entry.uri.removeprefix('random:'))}"
    return entry.model_copy(update=update)


def _small_pretraining(wanted: Pretraining, made: Made) -> Pretraining:
    start = made[wanted.start][0] if wanted.start in made else wanted.start
    return wanted.model_copy(update={"start": start, "recipe": small_recipe(wanted.recipe)})


def _small_task(task: Task) -> Task:
    update: dict[str, Any]
    if task.own_sizes:
        return task.model_copy(update={"own_sizes": small_recipe(task.own_sizes)})
    if task.further:
        update = {"per_class": tuple(sorted({PER_CLASS.get(n, n) for n in task.further.per_class}))}
        return task.model_copy(update={"further": task.further.model_copy(update=update)})
    if task.recipe is None:
        return task
    small = _small_training(task.recipe)
    update = {"recipe": small}
    if task.inference:
        update["inference"] = _small_inference(task.inference)
    for name in ("most_updates", "least_updates"):
        if wanted := getattr(task, name):
            update[name] = small.updates * (wanted // task.recipe.updates)
    if task.limit:
        update["limit"] = max(FEW, task.limit // SMALLER)
    return task.model_copy(update=update)


def _small_training(recipe: Recipe) -> Recipe:
    values = recipe.model_dump(exclude_unset=True)
    batch = min(recipe.batch_size, 4 * BATCH)
    values |= {"updates": min(recipe.updates, UPDATES), "batch_size": batch}
    if recipe.warmup is not None:
        values["warmup"] = min(recipe.warmup, WARMUP)
    if isinstance(recipe, MasksHead) and recipe.crop:
        values["crop"] = _pixels(recipe.crop)
    if hasattr(recipe, "channels"):
        values["channels"] = min(recipe.channels, CHANNELS)
    return recipe_of(values)


def _small_inference(inference: MaskInference) -> MaskInference:
    values = inference.model_dump(exclude_unset=True)
    pixels = ("window", "stride")
    return MaskInference.model_validate(
        {name: -(-value // SMALLER) if name in pixels and value else value for name, value in values.items()}
    )


def small_recipe(recipe: PretrainingRecipe) -> PretrainingRecipe:
    """A pre-training's recipe on images of an eighth of the side, with a small network, for a moment."""
    sampling, training = recipe.sampling, recipe.training
    batch = min(training.batch_size, BATCH if recipe.supervision == "boxes" else 4 * BATCH)
    epochs = min(recipe.epochs, EPOCHS if recipe.supervision == "boxes" else LABEL_EPOCHS)
    changes: dict[str, Any] = {
        "backbone": _network(recipe.backbone),
        "weights": "",
        "epochs": epochs,
        "checkpoint_epochs": epochs,
        "sampling.size": _pixels(sampling.size),
        "training.batch_size": batch,
        "training.warmup": min(training.warmup, WARMUP),
    }
    for name, most in (("channels", CHANNELS), ("rois", ROIS), ("proposals", PROPOSALS)):
        if hasattr(training, name):
            changes[f"training.{name}"] = min(getattr(training, name), most)
    if anchors := getattr(training, "anchors", ()):
        changes["training.anchors"] = [side / SMALLER for side in anchors]
    if recipe.negatives:
        changes["sampling.proposal_epochs"] = 1.0
    if isinstance(sampling, ScaledSampling):
        changes["sampling.scales"] = [_small_scale(scale) for scale in sampling.scales]
    if recipe.inference:
        changes["inference"] = [_small_scale(scale) for scale in recipe.inference]
    return changed(recipe, changes)


def _small_scale(scale: ScaleSettings) -> dict[str, Any]:
    values = scale.model_dump(exclude_unset=True)
    pixels = ("lo", "hi", "limit") if scale.kind == "factor" else ("lo", "hi", "limit", "value")
    return {name: value / SMALLER if name in pixels and value else value for name, value in values.items()}


def _pixels(side: int) -> int:
    """An eighth, up to a multiple of 32."""
    return -(-side // (SMALLER * 32)) * 32


def _network(name: str) -> str:
    base, bracket, options = name.partition("[")
    return (SMALL_NETWORK if base in LARGE_NETWORKS else base) + bracket + options


def differences(study: Study, small: Study) -> list[str]:
    """Lines that say how a miniature differs: each setting with its values before and now, places taken together."""
    new = [name for name in small.pretraining if name not in study.pretraining]
    found: dict[tuple[str, str, str], list[str]] = {}
    eighths: list[str] = []
    for place, was, now in changes_of(study, small):
        where, _, name = place.rpartition(".")
        if name in PIXELS and _is_part(was, now):
            eighths.append(name)
        else:
            found.setdefault((name, _shown(was), _shown(now)), []).append(where)
    pixels = f"pixels, all divided by {SMALLER}: {', '.join(sorted(set(eighths)))} ({len(eighths)} settings)"
    return [
        *(f"{name}: public weights stand in for it; made by {small.pretraining[name].recipe.name}" for name in new),
        *([pixels] if eighths else []),
        *(f"{name}: {was} -> {now}{_at(places)}" for (name, was, now), places in sorted(found.items())),
    ]


def _is_part(was: Any, now: Any) -> bool:
    """Whether one is the other in smaller pixels."""
    before, after = (value if isinstance(value, list) else [value] for value in (was, now))
    numbers = all(isinstance(value, int | float) for value in (*before, *after))
    return numbers and [value * SMALLER for value in after] == before


def changes_of(study: Study, small: Study) -> Iterator[tuple[str, Any, Any]]:
    """(dotted place, value, value in the miniature) of every setting of the study that came out different, but for
    what a plan alone reads, and where trainings start that public weights stand in for."""
    before, now = _settings(study), _settings(small)
    new = tuple(f"pretraining.{name}." for name in small.pretraining if name not in study.pretraining)
    for place in sorted({*before, *now}):
        same = before.get(place) == now.get(place)
        if not same and not place.startswith(new) and not place.endswith(UNREAD):
            yield place, before.get(place), now.get(place)


def _at(places: list[str]) -> str:
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return f" ({', '.join(places[:3])}{more})" if any(places) else ""


def _settings(study: Study) -> dict[str, Any]:
    """Leaves of a study by dotted place: without names, and without what no job reads."""
    values = study.model_dump(mode="json", exclude={"name", "title", "data", "stand_ins", "sources", "published"})
    for group in ("weights", "tasks"):
        values[group] = {entry["name"]: entry for entry in values[group]}
    return dict(_leaves(values, ""))


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{place}.{name}" if place else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for k, inner in enumerate(value):
            yield from _leaves(inner, f"{place}.{k}")
    else:
        yield place, value


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) < 60 else f"{text[:56]} ..."
