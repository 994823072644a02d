"""How a process is asked to stop, and ends with the one that started it. Imports nothing slow."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

PR_SET_PDEATHSIG = 1
_stop, _looked = threading.Event(), threading.Event()


def ask_to_stop() -> None:
    """Let what runs in this process save its state and end when it can."""
    _stop.set()


def asked_to_stop() -> bool:
    """Whether that was asked; long work looks after every step."""
    _looked.set()
    return _stop.is_set()


def was_looked_for() -> bool:
    """Whether the work of this process ever looks: what does not has to be ended otherwise."""
    return _looked.is_set()


def forget_stop() -> None:
    """Before new work in a process that was asked to stop the former."""
    _stop.clear()
    _looked.clear()


def die_with_parent(parent: int) -> None:
    """Leave Ctrl-C to the process `parent`, which started this one, and let the system end this one with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked to be told
            os._exit(1)
