"""Where the thumbnails of a place's images are kept; asked for without importing what makes them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from headstart.places.cache import cache_folder
from headstart.places.paths import Place


def kept_thumbnails(place: Place) -> Path:
    """The file of thumbnails of a place, which need not be there."""
    return cache_folder() / "thumbnails" / (hashlib.sha256(place.address.encode()).hexdigest()[:20] + ".arrow")
