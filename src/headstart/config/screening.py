"""Weights of a study that are looked at without any training."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from headstart.config.sets import FolderSet, TableSet, WorldSet
from headstart.recipes.settings import Name, Settings


class Screening(Settings):
    """Scores frozen features of all weights against what is known of some training images (`headstart.screening`)."""

    images: Name
    """A set of a folder: with `role = "trainval"`, of classified images or of boxes."""
    most: int = Field(default=400, ge=20)
    """Images that are looked at, at most."""


def faults_of_screening(screen: Screening | None, sets: Mapping[str, WorldSet | FolderSet | TableSet]) -> list[str]:
    """What is wrong with it; nothing where a study has none."""
    if screen is None:
        return []
    images = sets.get(screen.images)
    if images is None:
        return [f"screen.images: no set named {screen.images!r}"]
    if not isinstance(images, FolderSet) or images.role != "trainval" or images.task == "segment" or images.drawn:
        return ['screen.images: give a set with `path`, `role = "trainval"`, and `task` "detect" or "classify"']
    return []
