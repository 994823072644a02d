"""Where a data set lies on this machine and how it is read: what jobs are told beside their settings."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headstart.data.annotations import Annotations
from headstart.data.summaries import tell, told_of
from headstart.readers.formats import open_dataset


@dataclass(frozen=True)
class DataPlace:
    """Arguments of `open_dataset`. The table's fingerprint is in a job's key, so none of this is."""

    root: str
    format: str | None = None
    read: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> Annotations:
        """The data set's table; its notes are told once, by the process that starts the others. Raises DataError."""
        table = open_dataset(self.root, self.format, **self.read)
        if multiprocessing.parent_process() is None:
            tell(told_of(table))
        return table
