"""Where the commands of a page are given."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Place:
    """A folder in which commands are given: it is the current one meanwhile.

    run: gives a command there, and fails where it does. need: makes something else first."""

    folder: Path
    run: Callable[[str], None]
    need: Callable[[str], None]

    def __truediv__(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@functools.cache
def example(name: str) -> ModuleType:
    """A module of `examples/`."""
    found = importlib.util.spec_from_file_location(f"{name}_of_examples", ROOT / "examples" / f"{name}.py")
    assert found and found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def changed(text: str, to: dict[str, str]) -> str:
    """A text with other values; each of the former ones has to be there."""
    for before, after in to.items():
        assert before in text, before
        text = text.replace(before, after)
    return text
