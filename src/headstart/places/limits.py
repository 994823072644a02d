"""Limits against files that would fill memory or disk. Each is an environment variable, named in the message."""

from __future__ import annotations

import os

from headstart.errors import UsageError

LIMITS = {
    "HEADSTART_MAX_IMAGE_MEGAPIXELS": 179.0,
    "HEADSTART_MAX_MEMBER_GB": 8.0,
    "HEADSTART_MAX_RATIO": 200.0,
    "HEADSTART_REMOTE_CACHE_GB": 20.0,
}
"""Pixels of an image (Pillow's own limit); bytes of one archive member, and how many times larger than its packed bytes
it may be (asked above 64 MB only: a flat mask packs a thousandfold); disk for bytes fetched from URLs."""
RATIO_FROM_BYTES = 64_000_000


def limit(name: str) -> float:
    """The value of a key of `LIMITS`. Raises UsageError when the environment holds no positive number."""
    text = os.environ.get(name)
    if not text:
        return LIMITS[name]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise UsageError(f"{name}={text!r} is not a positive number. Set it to one, or unset it ({LIMITS[name]:g}).")
    return value


def too_large(packed: int, size: int, whole: bool = False) -> str:
    """Why `size` bytes that come out of `packed` are refused, with advice; "" when they are not. whole: of an archive
    as a whole, for which the ratio alone counts."""
    if size > limit("HEADSTART_MAX_MEMBER_GB") * 1e9 and not whole:
        name = "HEADSTART_MAX_MEMBER_GB"
    elif size > RATIO_FROM_BYTES and size > limit("HEADSTART_MAX_RATIO") * packed:
        name = "HEADSTART_MAX_RATIO"
    else:
        return ""
    return (
        f"{size / 1e6:,.0f} MB come out of {packed / 1e6:,.3g} MB, more than {name} = {limit(name):g} allows. "
        f"If you trust it, set {name} higher."
    )
