"""What kind of detector some weights are of, and whether a recipe builds one that its parts fit. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headstart.recipes.heads import DetectorHead
from headstart.recipes.schema import Recipe, recipe_of
from headstart.weights.starts import StartKind

NECK = ("neck", "levels", "channels", "published")
"""Settings of a head that its neck depends on."""
BODY: Mapping[str, tuple[str, ...]] = {
    "fcos": (*NECK, "tower"),
    "retinanet": (*NECK, "tower"),
    "faster-rcnn": (*NECK, "roi_pool", "decoupled", "reduce"),
}
"""By head, those that the rest of a detector depends on. Sizes of anchors may differ, and one box a class or one for
all: such layers are fresh where their shapes differ."""


@dataclass(frozen=True)
class DetectorFacts:
    """The head of a detector, and the settings of a recipe that builds it."""

    head: str
    settings: Mapping[str, Any]
    classes: tuple[str, ...] = ()
    """Names of the rows of its class layer; () where they are not known."""

    def recipe(self, **training: Any) -> Recipe:
        """A recipe with such a head. training: the settings of the training."""
        idle = {"fpn": set(), "c4": {"published", "levels"}}.get(self.settings["neck"], {"published"})
        head = {name: value for name, value in self.settings.items() if name not in idle}
        return recipe_of({**training, "head": self.head, **head})

    def shown(self, names: tuple[str, ...]) -> str:
        """Some settings as a recipe has them."""
        return ", ".join(f"{name} = {_toml(self.settings[name])}" for name in names if name in self.settings)


def facts_of(recipe: Recipe, classes: tuple[str, ...] = ()) -> DetectorFacts | None:
    """Of the detector that a recipe builds; None where it builds none."""
    if not isinstance(recipe, DetectorHead):
        return None
    own = (*BODY[recipe.head], *(("class_agnostic",) if recipe.head == "faster-rcnn" else ()))
    return DetectorFacts(recipe.head, {name: getattr(recipe, name) for name in own}, classes)


def misfits(facts: DetectorFacts, recipe: Recipe, start: StartKind) -> list[str]:
    """Why a recipe's detector cannot start so from these weights, with what to do; [] where it can."""
    wanted = facts_of(recipe)
    if wanted is None:
        return [f"recipe {recipe.name} has the head {recipe.head!r}, which shares nothing but the backbone"]
    if start == "detector" and facts.head != wanted.head:
        return [
            f"its head is {facts.head}, and recipe {recipe.name} trains {wanted.head}. "
            f'Set head = "{facts.head}" in the recipe, or start = "backbone+neck"'
        ]
    if start == "backbone+neck" and any(s.settings["neck"] in ("c4", "dc5") or _no_neck(s) for s in (facts, wanted)):
        return [
            "a Faster R-CNN without a pyramid has no neck: its heads read the backbone. Start from the backbone, "
            "or from the whole detector"
        ]
    names = BODY[wanted.head] if start == "detector" else NECK
    differing = tuple(n for n in names if n in facts.settings and facts.settings[n] != wanted.settings.get(n))
    if not differing:
        return []
    return [
        f"it has {facts.shown(differing)}, and recipe {recipe.name} has {wanted.shown(differing)}. "
        "Make the recipe's settings those of the weights, or start from the backbone"
    ]


def _no_neck(facts: DetectorFacts) -> bool:
    return facts.head == "faster-rcnn" and facts.settings["neck"] != "fpn"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
