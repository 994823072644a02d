"""Stand-ins for data sets that are not there, so that a study can be planned without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from headstart.config.sets import FolderSet, TableSet
from headstart.data.annotations import Annotations


@dataclass(frozen=True)
class AbsentTable:
    """What a planner asks of a table, as the study declares it. Its fingerprint is that of no data."""

    settings: FolderSet | TableSet
    box_classes: tuple[str, ...] = ()
    mask_classes: tuple[str, ...] = ()
    image_classes: tuple[str, ...] = ()
    """Not known."""

    @property
    def fingerprint(self) -> str:
        return f"absent {self.settings.path} {sorted(self.settings.read.items())}"

    @property
    def splits(self) -> NDArray[np.str_]:
        named = self.settings.splits if isinstance(self.settings, TableSet) else ()
        return np.array(named or ("train", "test"))

    def __len__(self) -> int:
        return self.settings.images or 0


def absent(settings: FolderSet | TableSet) -> Annotations:
    """The stand-in where an annotation table is expected."""
    return cast(Annotations, cast(Any, AbsentTable(settings)))
