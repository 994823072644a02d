"""Whether a JSON file is of COCO's form: an object with the lists `images` and `annotations` at its top level."""

from __future__ import annotations

import json
import re
from typing import Any

from headstart.places.paths import DataPath

SMALL = 2 << 20
"""Bytes of a file that is parsed to tell what it is."""
HEAD = 1 << 16
"""Bytes at the beginning of a larger or a damaged file that are looked at."""
LIST = r'"{}"\s*:\s*\[\s*(\{{|\])'
"""A list of objects under a key, or an empty one."""
CHUNK = 1 << 22


def is_like_coco(path: DataPath) -> bool:
    """Also for a damaged file that begins so, and for an export that is null: reading it says what is wrong."""
    return not lacks(path) or (path.name.endswith("_annotations.coco.json") and is_null(path))


def is_null(path: DataPath) -> bool:
    """Whether all that the file says is null."""
    try:
        with path.open() as file:
            return file.read(SMALL).strip() == b"null"
    except OSError:
        return False


def lacks(path: DataPath) -> list[str]:
    """Which of COCO's two lists the file does not have; both for what is no object of JSON."""
    both = ["images", "annotations"]
    try:
        with path.open() as file:
            head = file.read(SMALL + 1)
    except OSError:
        return both
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"{":
        return both
    if len(head) > SMALL:
        return [key for key in both if not _begins(head[:HEAD], key) and not _somewhere(path, key)]
    try:
        whole = json.loads(head.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return [] if any(_begins(head[:HEAD], key) for key in both) else both
    return [key for key in both if not _objects(whole.get(key))]


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)


def _begins(head: bytes, key: str) -> bool:
    return re.search(LIST.format(key).encode(), head) is not None


def _somewhere(path: DataPath, key: str) -> bool:
    """Whether the key with its list stands anywhere in the file; read in pieces that overlap."""
    pattern, kept = re.compile(LIST.format(key).encode()), b""
    with path.open() as file:
        while piece := file.read(CHUNK):
            if pattern.search(kept + piece):
                return True
            kept = piece[-256:]
    return False
