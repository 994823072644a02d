"""Changes of what texts stand for: values, tables and lists (JSON, TOML, YAML), and the elements of XML."""

from __future__ import annotations

import json
import math
import re
import tomllib
import xml.etree.ElementTree as ElementTree
from copy import deepcopy
from functools import lru_cache
from random import Random
from typing import Any

import tomli_w
import yaml

from support.fuzz.changes import NUMBERS, WORDS, times

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 255, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 0.5, -0.5, 1.5),
    *(1e308, -1e308, 5e-324, 1e-9, 1e17, math.nan, math.inf, -math.inf, -0.0),
    *("", " ", "\0", "a" * 300, "\ud800", "../../x", "/etc/passwd", "/dev/zero", "1", "1.5", "nan", "\u00e9", "\u202e"),
    *("\x1b[31m", "<b>", "a/b", "a\nb", "random:", "file:", "tv:x", "x.toml", "x.py:f", "\U0001f600"),
    *([], {}, [[]], [None], {"a": 1}, [1, 2, 3, 4], [0] * 1000, [math.nan] * 4, [1e308] * 4, [-1] * 4, ["a"], [{}]),
)
NAMES = ("", "id", "name", "x", "a b", "a.b", "\u00e9", "\0", "__class__", "__metadata__", "image_id", "size", "1")
DEPTHS = (3, 60, 900, 20_000)
DEEP = "@deep@"


def changed(value: Any, draw: Random) -> Any:
    """A copy of the value with a few of its parts changed."""
    root = [deepcopy(value)]
    for _ in range(times(draw)):
        _change_one(root, draw)
    return root[0]


def _change_one(root: list[Any], draw: Random) -> None:
    parts = _parts(root)
    holder, key = draw.choice(parts)
    what, value = draw.randrange(10), holder[key]
    if what < 3:
        holder[key] = deepcopy(draw.choice(ODD))
    elif what == 3 and holder is not root:
        del holder[key]
    elif what == 4:
        other, place = draw.choice(parts)
        holder[key] = deepcopy(other[place])
    elif what == 5 and isinstance(value, int | float) and abs(value) < 1e300:
        holder[key] = draw.choice((-value, value + 1, value - 1, value * 1000, value / 2, str(value), bool(value)))
    elif what == 6:
        holder[key] = draw.choice(([value], {"x": value}, [value, value], DEEP + str(draw.choice(DEPTHS))))
    elif isinstance(holder, list) and holder is not root:
        holder[key:key] = [deepcopy(value) for _ in range(draw.choice((1, 1, 50)))]
    elif isinstance(holder, dict) and what < 9:
        holder[draw.choice((draw.choice(NAMES), f"{key}s", str(key).upper()))] = holder.pop(key)
    elif isinstance(holder, dict):
        holder[draw.choice(NAMES)] = deepcopy(draw.choice(ODD))


def _parts(root: list[Any]) -> list[tuple[Any, Any]]:
    """(holder, key or index) of every value."""
    found: list[tuple[Any, Any]] = [(root, 0)]
    for holder, key in found:
        value = holder[key]
        if isinstance(value, dict):
            found += [(value, name) for name in value]
        elif isinstance(value, list) and len(value) < 100:
            found += [(value, k) for k in range(len(value))]
    return found


def _deepened(text: str, opening: str = "[", closing: str = "]") -> str:
    """Marks of `_change_one` become brackets in brackets, which no writer of trees can write."""

    def brackets(match: re.Match[str]) -> str:
        depth = int(match[1])
        return opening * depth + closing * depth

    return re.sub(f'"{DEEP}([0-9]+)"', brackets, text) if DEEP in text else text


@lru_cache(maxsize=200)
def _json_of(content: bytes) -> Any:
    return json.loads(content)


@lru_cache(maxsize=200)
def _toml_of(content: bytes) -> Any:
    return tomllib.loads(content.decode())


@lru_cache(maxsize=200)
def _yaml_of(content: bytes) -> Any:
    return yaml.safe_load(content)


def of_json(content: bytes, draw: Random) -> bytes:
    """Values of JSON, and now and then a name that stands twice."""
    text = _deepened(json.dumps(changed(_json_of(content), draw)))
    if draw.random() < 0.05 and (names := list(re.finditer(r'"\w+": ', text))):
        one = draw.choice(names)
        text = f"{text[: one.start()]}{one[0]}{draw.choice(('0', 'null', '[]'))}, {text[one.start() :]}"
    return text.encode()


def of_toml(content: bytes, draw: Random) -> bytes:
    """Values of TOML."""
    value = _for_toml(changed(_toml_of(content), draw))
    text = _deepened(tomli_w.dumps(value if isinstance(value, dict) else {"x": value}))
    return text.encode("utf-8", "surrogatepass")


def _for_toml(value: Any) -> Any:
    """Without what TOML cannot say."""
    if isinstance(value, dict):
        return {str(key): _for_toml(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_for_toml(entry) for entry in value]
    return "" if value is None else value


def of_yaml(content: bytes, draw: Random) -> bytes:
    """Values of YAML, in the manner of JSON."""
    return _deepened(json.dumps(changed(_yaml_of(content), draw))).encode()


def of_xml(content: bytes, draw: Random) -> bytes:
    """Elements of XML."""
    root = ElementTree.fromstring(content)
    deep = 0
    for _ in range(times(draw)):
        deep = _change_element(root, draw) or deep
    text = ElementTree.tostring(root, encoding="unicode")
    return _dressed(text.replace(DEEP, "<b>" * deep + "</b>" * deep), draw).encode("utf-8", "surrogatepass")


def _change_element(root: ElementTree.Element, draw: Random) -> int:
    """Change one; gives how deep elements are to stand at the mark, or 0."""
    pairs = [(holder, one) for holder in root.iter() for one in holder]
    if not pairs:
        return 0
    (holder, one), what = draw.choice(pairs), draw.randrange(8)
    if what < 3:
        one.text = draw.choice(NUMBERS if draw.random() < 0.6 else WORDS).replace("\0", "\ufffe").replace("\x1b", "")
    elif what == 3:
        holder.remove(one)
    elif what == 4:
        for _ in range(draw.choice((1, 1, 60))):
            holder.append(deepcopy(one))
    elif what == 5:
        one.tag = draw.choice((*(other.tag for _, other in pairs[:20]), "x", "bndbox", "object", "name"))
    elif what == 6:
        draw.choice(pairs)[1].append(deepcopy(one))
    else:
        one.text = DEEP
        return draw.choice(DEPTHS)
    return 0


def _dressed(text: str, draw: Random) -> str:
    """Now and then with what may stand before the first element, and should not."""
    if draw.random() > 0.1:
        return text
    return (
        draw.choice(
            (
                '<?xml version="1.0" encoding="utf-16"?>',
                '<?xml version="1.0" encoding="no-such"?>',
                '<?xml version="1.0" encoding="utf_7"?>',
                '<?xml version="1.0" encoding="hex"?>',
                '<?xml version="1.0" encoding="idna"?>',
                '<!DOCTYPE a [<!ENTITY x "yyyy"><!ENTITY z "&x;&x;&x;">]>',
                '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
                "<!-- " + "-" * 50,
                "<a>" * 5000,
                "\ufeff",
                "&x;",
            )
        )
        + text
    )
