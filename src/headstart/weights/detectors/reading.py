"""The detector that weights are of, read from a library's file or from a pre-training of our own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from headstart.errors import WeightsError
from headstart.recipes.schema import as_written, recipe_of
from headstart.store.files import read_json
from headstart.weights import containers, downloads, native, wrappers
from headstart.weights.cards import WeightsSpec
from headstart.weights.detectors.facts import facts_of
from headstart.weights.detectors.given import Given
from headstart.weights.detectors.libraries import INSTEAD, layout_of


def read_detector(spec: WeightsSpec, offline: bool, say: downloads.Say) -> Given:
    """Neck and head of the detector that these weights are of. Raises WeightsError where they are of none."""
    if spec.kind in ("random", "timm"):
        what = "random values" if spec.kind == "random" else "a classifier of timm"
        raise WeightsError(f"{spec.uri}: {what}, which have no neck and no head of a detector. {INSTEAD}")
    if spec.kind == "tv":
        path = downloads.torchvision_file(spec, offline, say)
    elif spec.kind == "url":
        path = downloads.url_file(spec, offline, say)
    else:
        path = Path(spec.file or "")
        if (file := native.find(path)) is not None:
            return read_pretrained(file.parent)
    return _of_library(spec, path)


def read_pretrained(folder: Path) -> Given:
    """Neck and head that a pre-training left in `folder`. Raises WeightsError where it has none."""
    model = folder / native.MODEL
    if not (model / "model.json").is_file():
        raise WeightsError(
            f"{folder}: a backbone alone; there is no {native.MODEL}/ beside it, with the head that it was trained "
            f"with. {INSTEAD} Or give the folder in which the pre-training left its results."
        )
    written = read_json(model / "model.json")
    recipe = recipe_of(as_written(written["recipe"]))
    facts = facts_of(recipe, tuple(written["classes"]))
    if facts is None:
        raise WeightsError(f"{folder}: pre-trained as {written['task']}, so there is no neck. {INSTEAD}")
    tensors = load_file(model / "head.safetensors")
    return Given(facts, tensors, f"pre-training, recipe {recipe.name}")


def _of_library(spec: WeightsSpec, path: Path) -> Given:
    contents = containers.read(path, spec.trust_pickle)
    places = wrappers.places(contents.tree)
    variant = spec.variant if len(places) > 1 else ""
    state, _ = wrappers.state_dict(path, contents.tree, spec.checkpoint_key, contents.classes, variant=variant)
    if all(name.startswith("module.") for name in state):  # written by DataParallel
        state = {name.removeprefix("module."): value for name, value in state.items()}
    layout = layout_of(state, path)
    if layout is None:
        raise WeightsError(
            f"{spec.uri}: no neck and no head of a detector that is known (torchvision's, Detectron2's and "
            f"MMDetection's with a pyramid are). {INSTEAD}"
        )
    try:
        return layout.given(state, path, _classes(spec, contents.tree, layout.background_first))
    except KeyError as error:
        raise WeightsError(f"{path}: a {layout.head} of {layout.library} that lacks {error}. {INSTEAD}") from error


def _classes(spec: WeightsSpec, tree: Any, background_first: bool) -> tuple[str, ...]:
    """Names of the classes, where the file or its library says them."""
    if spec.kind == "tv":
        from torchvision import models

        names = models.get_weight(spec.uri.removeprefix("tv:")).meta["categories"]
        return tuple(names[1:] if background_first else names)
    meta = tree.get("meta") if isinstance(tree, Mapping) else None
    if not isinstance(meta, Mapping):
        return ()
    later = meta.get("dataset_meta")  # since version 3
    places = [meta, later] if isinstance(later, Mapping) else [meta]
    told = [place[key] for place in places for key in ("CLASSES", "classes") if key in place]
    return tuple(map(str, next((names for names in told if isinstance(names, list | tuple)), ())))
