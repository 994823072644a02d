"""The sets of a study as jobs: drawn, split and prepared; data sets are opened once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headstart.config.data import data_name
from headstart.config.sets import ORIGIN_STRIDE, FolderSet, TableSet, WorldSet
from headstart.config.study import Study
from headstart.data.annotations import Annotations
from headstart.data.splits import num_of_role
from headstart.errors import StudyError
from headstart.places.paths import absolute
from headstart.readers.place import DataPlace
from headstart.study.jobs import Job, as_json
from headstart.study.planning.absent import absent
from headstart.study.planning.once import once
from headstart.study.settings import (
    DrawnSplitSettings,
    DrawSettings,
    PrepareSettings,
    SplitSettings,
    ViewSettings,
)

WORLD_PIXELS_PER_SECOND = 96**2 * 500
"""That are drawn in a CPU second."""


@dataclass
class Sets:
    """The sets of one study."""

    study: Study
    base: Path
    """Folder that relative paths in the study are relative to."""
    remembered: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)
    """Jobs that were asked for before."""
    without_data: bool = False
    """Whether data sets that nobody has said the place of are planned with as the study declares them."""
    _annotations: dict[str, Annotations] = field(default_factory=dict)

    def annotations(self, settings: FolderSet | TableSet) -> Annotations:
        """The data set of a set, opened once. Raises StudyError where nobody has said where it is."""
        if named := data_name(settings.path):
            if self.without_data:
                return absent(settings)
            raise StudyError(f"it is not said where {named[0]} is. Give --data {named[0]}=PATH.")
        place = self.place(settings)
        key = json.dumps(as_json(place), sort_keys=True)
        if key not in self._annotations:
            self._annotations[key] = place.open()
        return self._annotations[key]

    def place(self, settings: FolderSet | TableSet) -> DataPlace:
        """Where a set's data are on this machine and how they are read: not part of a key, since the table is."""
        return DataPlace(absolute(settings.path, self.base), settings.format, settings.read)

    @once
    def job(self, name: str, seed: int, *, for_origin: bool = False) -> Job:
        """The job that draws or prepares a set for a seed: folds are the seed's own. for_origin: for a pre-training,
        for which drawn images are the seed's own, too. All else is the same for all seeds."""
        settings = self.study.sets[name]
        if isinstance(settings, WorldSet):
            origin = seed if for_origin else 0
            first = settings.first + ORIGIN_STRIDE * origin
            drawn = DrawSettings(settings.world, settings.count, first, settings.size)
            cost = settings.count * settings.size**2 / WORLD_PIXELS_PER_SECOND
            label = f"draw {name}" + (f" for seed {origin}" if origin else "")
            return Job("draw", drawn, label=label, cost=cost)
        assert isinstance(settings, FolderSet), f"set {name} is not prepared"
        return self._prepare(name, settings, seed if self._is_dealt(settings) else 0)

    def _prepare(self, name: str, settings: FolderSet, seed: int) -> Job:
        annotations, place = self.annotations(settings), self.place(settings)
        count, data = len(annotations), annotations.fingerprint
        roles = SplitSettings(data, settings.task, settings.folds, settings.on_bad_image)
        if settings.per_class:
            roles = DrawnSplitSettings(
                data,
                settings.task,
                0,
                settings.on_bad_image,
                per_class=settings.per_class,
                test_per_class=settings.test_per_class,
                among=settings.among,
            )
        what = "draw images of each class" if settings.per_class else "split the images"
        split = Job("split", roles, {}, place, label=what, cost=count / 100)
        if seed:  # near-duplicates are what they are: they are looked for once
            label = f"{what} for seed {seed}"
            split = Job("split", replace(roles, seed=seed), {"clusters": split}, place, label=label, cost=1)
        wanted = PrepareSettings(
            data=data,
            task=settings.task,
            role="all" if settings.drawn else settings.role,
            fold=None if settings.drawn else settings.fold,
            folds=settings.folds,
            size_hw=settings.size_hw,
            on_bad_image=settings.on_bad_image,
            resize=settings.resize,
        )
        if not settings.drawn:
            return Job("prepare", wanted, {"split": split}, place, label=f"prepare {name}", cost=count / 60)
        # Folds share their pixels: each is a view of one set of all images, whose own split is that of seed 0.
        dealt = split.inputs.get("clusters", split)
        every = Job(
            "prepare",
            wanted,
            {"split": dealt},
            place,
            label=f"prepare all {'folds' if settings.folds else 'draws'}",
            cost=count / 60,
        )
        if settings.role == "all":
            return every
        view = ViewSettings(settings.role, settings.fold or 0)
        label = f"{name}, seed {seed}" if seed else name
        return Job("view", view, {"images": every, "split": split}, place, label=f"choose {label}", cost=1)

    def dealt(self, names: Iterable[str]) -> bool:
        """Whether one of these sets is a fold or a draw, which every seed deals anew."""
        return any(self._is_dealt(self.study.sets[name]) for name in names)

    @staticmethod
    def _is_dealt(settings: WorldSet | FolderSet | TableSet) -> bool:
        return isinstance(settings, FolderSet) and settings.drawn and settings.role != "all"

    def masks(self, name: str) -> DataPlace | None:
        """Where the data set of a prepared set lies now: original masks are read from there."""
        settings = self.study.sets[name]
        return self.place(settings) if isinstance(settings, FolderSet) else None

    def count(self, name: str) -> int:
        """Images of a set, about so many."""
        settings = self.study.sets[name]
        if isinstance(settings, WorldSet):
            return settings.count
        if settings.images or not isinstance(settings, FolderSet) or settings.per_class:
            return settings.images or len(self.annotations(settings))
        return num_of_role(self.annotations(settings), settings.task, settings.role, settings.folds)

    def classes(self, name: str) -> int:
        """Of a data set in a folder, those that its task tells apart; 0 of other sets."""
        settings = self.study.sets[name]
        if not isinstance(settings, FolderSet):
            return 0
        known = self.annotations(settings)
        of = {"detect": known.box_classes, "segment": known.mask_classes, "classify": known.image_classes}
        return len(of[settings.task])

    def pixels(self, name: str) -> float:
        """Pixels of an image of a set, as tasks see it."""
        settings = self.study.sets[name]
        if isinstance(settings, WorldSet):
            return settings.size**2
        return settings.size_hw[0] * settings.size_hw[1] if isinstance(settings, FolderSet) else 0.0
