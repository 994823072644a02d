"""YAML files of data sets, read as text: nothing in them is executed, or taken for a number, a date or true."""

from __future__ import annotations

from typing import Any

import yaml

from headstart.errors import DataError
from headstart.places.paths import DataPath
from headstart.readers.folders import read_text

MAX_ALIASES = 100
"""References to other parts of a file. A few lines of references to references can stand for billions of entries."""


class _Strings(yaml.BaseLoader):
    """Every scalar stays text (a class may be called `no`), a key that stands twice is refused, and so are references
    to what holds references itself."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            node = super().compose_node(parent, index)
            self.aliases += 1
            if self.aliases > MAX_ALIASES or _holds_twice(node):
                raise yaml.composer.ComposerError(None, None, "too many references to other parts of the file", mark)
            return node
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return mapping

    def construct_document(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            self.leave_out_nulls(node)
        return super().construct_document(node)

    def leave_out_nulls(self, node: yaml.MappingNode) -> None:
        """A key without a value is absent, and so is an entry without one; but a class may be called null."""
        node.value = [(key, value) for key, value in node.value if not _null(value)]
        for key, value in node.value:
            if isinstance(value, yaml.SequenceNode) and key.value != "names":
                value.value = [entry for entry in value.value if not _null(entry)]


def _null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in ("", "~", "null", "Null", "NULL")


def _holds_twice(node: yaml.Node) -> bool:
    """Whether a node holds another one, not a scalar, more than once, or itself: what references make."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, yaml.ScalarNode):
            continue
        if id(one) in seen:
            return True
        seen.add(id(one))
        waiting += [part for pair in one.value for part in pair] if isinstance(one, yaml.MappingNode) else one.value
    return False


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
