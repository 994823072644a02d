"""Where caches are, and when a source is too fresh to be cached."""

from __future__ import annotations

import os
from pathlib import Path

SETTLED_NS = 1_000_000_000
"""A source that changed within so many ns before it was read might change again under the same time: not cached."""


def cache_folder() -> Path:
    """`HEADSTART_CACHE`, else `headstart` in `XDG_CACHE_HOME`, else in `~/.cache`.

    Where that cannot be written, as in a container whose user has no home, a folder of this user's own among the
    temporary ones.
    """
    if folder := os.environ.get("HEADSTART_CACHE"):
        return Path(folder)
    usual = folder_of_user("XDG_CACHE_HOME", ".cache")
    if usual is not None and _can_be_written(usual):
        return usual / "headstart"
    return _private_folder()


def folder_of_user(variable: str, name: str) -> Path | None:
    """The folder that an environment variable names, else `name` in the home; None for a user without a home."""
    if folder := os.environ.get(variable):
        return Path(folder)
    try:
        return Path.home() / name
    except RuntimeError:  # no HOME, and no entry in the list of users
        return None


def keep_kernels() -> None:
    """Say to numba where to keep what it compiles, where it could not do so beside our modules."""
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(Path(__file__).parents[1], os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = str(cache_folder() / "numba")


def _can_be_written(folder: Path) -> bool:
    """Whether the folder can be written, or made and then written."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _private_folder() -> Path:
    """Of this user alone: what others could put there would be read as ours. One anew where its name is taken."""
    import tempfile  # of use here alone, and `import headstart` is to cost nothing

    folder = Path(tempfile.gettempdir()) / f"headstart-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if facts.st_uid == os.getuid() and not facts.st_mode & 0o022 and not folder.is_symlink():
            return folder
    except OSError:
        pass
    made = Path(tempfile.mkdtemp(prefix="headstart-"))
    os.environ["HEADSTART_CACHE"] = str(made)  # of this process and those that it starts
    return made
