"""YAML files of data sets, read as text: nothing in them is executed, or taken for a number, a date or true."""

from __future__ import annotations

from typing import Any

import yaml

from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.folders import read_text


class _Strings(yaml.BaseLoader):
    """Every scalar stays text (a class may be called `no`), and a key that stands twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return mapping


def read_mapping(path: DataPath) -> dict[str, Any]:
    """Keys and values of the file; scalars are text. Raises DataError when it cannot be read, or holds no keys."""
    try:
        value = yaml.load(read_text(path), Loader=_Strings)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as YAML ({reason}). Correct the file.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds no keys. Write lines `KEY: VALUE`.")
    return value
