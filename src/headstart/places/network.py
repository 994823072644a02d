"""What must not happen in silence, or not at all when offline: bytes that come over a network, gigabytes on disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

OFFLINE_VARIABLES = ("HEADSTART_OFFLINE", "HF_HUB_OFFLINE")


def is_offline(offline: bool = False) -> bool:
    """Whether downloads are forbidden: by the argument, HEADSTART_OFFLINE or HF_HUB_OFFLINE."""
    values = (os.environ.get(name, "").lower() for name in OFFLINE_VARIABLES)
    return offline or any(value in ("1", "on", "yes", "true") for value in values)


@contextlib.contextmanager
def no_network(offline: bool) -> Iterator[None]:
    """Within it, and in the processes started there, nothing is fetched; `offline` False changes nothing."""
    before = os.environ.get(OFFLINE_VARIABLES[0])
    if offline:
        os.environ[OFFLINE_VARIABLES[0]] = "1"
    try:
        yield
    finally:
        if offline and before is None:
            del os.environ[OFFLINE_VARIABLES[0]]
        elif offline and before is not None:
            os.environ[OFFLINE_VARIABLES[0]] = before
