"""What must not happen in silence, or not at all when offline: bytes that come over a network, gigabytes on disk."""

from __future__ import annotations

import os
import sys

OFFLINE_VARIABLES = ("HEADSTART_OFFLINE", "HF_HUB_OFFLINE")


def to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def is_offline(offline: bool = False) -> bool:
    """Whether downloads are forbidden: by the argument, HEADSTART_OFFLINE or HF_HUB_OFFLINE."""
    values = (os.environ.get(name, "").lower() for name in OFFLINE_VARIABLES)
    return offline or any(value in ("1", "on", "yes", "true") for value in values)
