"""How fast trainings and tests run on this machine, measured when a plan is calibrated and kept with the date.

Like times of networks they are no results: no key holds them. They lie in the cache folder, by machine, device, number
of threads and whatever else makes a training fast or slow. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headstart.errors import StoreError
from headstart.places.cache import cache_folder
from headstart.places.times import digest_of, machine
from headstart.store.files import read_json, write_json


@dataclass(frozen=True)
class Speed:
    """Of one kind of training: CPU seconds on the CPU, seconds on another device."""

    update: float
    """Seconds of an update."""
    image: float
    """Seconds of an image in a test."""
    score: float
    """Seconds that an image adds to scores and their resampling; 0 where nothing is scored."""
    measured: str
    """The date, such as 2026-11-30."""


def known(what: Mapping[str, Any]) -> Speed | None:
    """What was measured on this machine of such a training; None before, and of a file that is damaged."""
    with suppress(StoreError, TypeError, KeyError, AttributeError):
        facts = dict(read_json(_path(what)))
        if facts.pop("digest") == digest_of(facts):
            return Speed(**facts["speed"])
    return None


def keep(what: Mapping[str, Any], speed: Speed) -> None:
    """Keep it for this machine. Raises StoreError where the cache folder cannot be written."""
    path = _path(what)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"what": dict(what), "machine": machine(), "speed": asdict(speed)}
    write_json(path, facts | {"digest": digest_of(facts)})


def _path(what: Mapping[str, Any]) -> Path:
    text = json.dumps([what, machine()], sort_keys=True)
    return cache_folder() / "speeds" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
