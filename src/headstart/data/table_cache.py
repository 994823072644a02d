"""Tables read once: kept as Arrow files in the cache folder, and made again when a source has changed.

A table's sources are what its reader asked of the data set's place (`places.Watched`): files by size and time, folders
by the time of their last change. Opening a cached table compares those, and once in a process the table's digest; it
reads no annotation.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from headstart.data.annotations import Annotations
from headstart.errors import DataError, StoreError
from headstart.places.cache import SETTLED_NS, cache_folder
from headstart.places.paths import Place, Stamp, Watched
from headstart.store.batches import require_intact
from headstart.store.files import ABANDONED, read_json, sweep, write_json

LAYOUT = 3
"""Of the cached files; raised when they change."""


def cached(
    place: Place, settings: Mapping[str, Any], read: Callable[[Place], Annotations], image_place: Place | None = None
) -> Annotations:
    """The table that `read` gives for this place and these settings (JSON), from the cache where nothing changed.

    `read` gets the place to read from and may raise DataError; nothing is cached then. A cache folder that cannot be
    written to costs time, and is no error. image_place: where the table's images are, if elsewhere.
    """
    key = json.dumps([LAYOUT, place.address, settings], sort_keys=True)
    stem = cache_folder() / "annotations" / hashlib.sha256(key.encode()).hexdigest()[:20]
    table, sources = stem.with_suffix(".arrow"), stem.with_suffix(".sources.json")
    with contextlib.suppress(StoreError, DataError, AttributeError):
        known: dict[str, list[int] | None] = read_json(sources)
        if all(_same(place.stamp(name), stamp) for name, stamp in known.items()):
            require_intact(table)
            return Annotations.read(table, image_place or place)
    watched = Watched(place)
    began = time.time_ns()
    annotations = read(watched)
    annotations.place = image_place or place
    if any(stamp and stamp[1] > began - SETTLED_NS for stamp in watched.seen.values()):
        return annotations
    with contextlib.suppress(OSError, StoreError):
        table.parent.mkdir(parents=True, exist_ok=True)
        sweep(table.parent, older_than=ABANDONED)
        # The table first: sources that were checked must never vouch for an older table.
        sources.unlink(missing_ok=True)
        annotations.write(table)
        write_json(sources, watched.seen, durable=False)
        return Annotations.read(table, image_place or place)
    return annotations


def _same(now: Stamp | None, then: list[int] | None) -> bool:
    return now is then is None or (now is not None and then is not None and list(now) == list(then))
