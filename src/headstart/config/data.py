"""Data sets that a study names without saying where they lie, and what is known of its settings and results.

A set of images has the path `data:NAME` then, or `data:NAME/FOLDER`; whoever runs the study says where NAME is
(`headstart.study.planning.given_data`).
"""

from __future__ import annotations

from pydantic import Field

from headstart.recipes.settings import Name, Settings

MARK = "data:"
"""What such a path begins with."""


class DataSource(Settings):
    """A public data set that a run needs."""

    what: str
    """One line."""
    layout: str
    """What lies in its folder, as it is published."""
    get: str
    """Where it is had from."""
    gigabytes: float = Field(gt=0)
    """On the disk, unpacked, about."""
    licence: str = ""
    """Where something is to be said of it."""
    optional: bool = False
    """Where no place is given, tasks on it are left out; but what pre-trainings or findings rest on is needed."""


class Origin(Settings):
    """Where a setting's value is from."""

    setting: str
    """The setting in words, with its value."""
    source: str
    """A file of public code, a paper, or "ours"."""


class Published(Settings):
    """A published number that a result of the study stands beside; never mixed with it."""

    task: Name
    weights: Name
    metric: str
    """As in `headstart.names`."""
    value: float = Field(ge=0, le=1)
    """A fraction."""
    source: str

    def words(self) -> str:
        """In one line."""
        said = f"{self.task} from {self.weights}, {self.metric} {100 * self.value:.1f}"
        return f"published: {said} ({self.source})"


def data_name(path: str) -> tuple[str, str] | None:
    """(name, what follows it) of a path that begins with `data:`; None for other paths."""
    if not path.startswith(MARK):
        return None
    name, _, rest = path.removeprefix(MARK).partition("/")
    return name, rest
