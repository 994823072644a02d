"""Files of finished jobs that nobody needs any more, deleted on purpose.

It is written down in the job's `digests.json` before the first file goes: a file that is said to be dropped is no
damage when it is missing, a kill in between leaves a job that is either whole or said to lack something, and the digest
stays, by which the file is known again when it is made anew. Whoever has a job read such files makes it again first
(`Store.lacks`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from headstart.store.files import sweep, sync
from headstart.store.sealing import DROPPED, record_dropped, recorded
from headstart.store.store import Store


def drop(store: Store, name: str, files: Iterable[str], needed: Callable[[], bool] = lambda: False) -> int:
    """Delete these files of a finished job; returns the bytes that are free then.

    needed: asked once it is written down, before anything is deleted: whether somebody has come to need the job. Who
    comes later reads that it lacks them. Nothing is done where another run works at the job, or where it is not kept
    here. Raises StoreError where the folder cannot be written to.
    """
    folder = store.home / "store" / name
    if not folder.is_dir():  # a run's own job, made before it shared a store
        folder = store.path(name)
    digests = recorded(folder)
    there = [file for file in files if (folder / file).is_file() and digests and file in digests]
    if digests is None or not there or not store.take(name):
        return 0
    try:
        sweep(folder)
        marked = {f: seal_of | ({DROPPED: True} if f in there else {}) for f, seal_of in digests.items()}
        if marked != digests:
            record_dropped(folder, marked)
        if needed():
            record_dropped(folder, digests)
            return 0
        store.forget(name)
        return sum(_deleted(folder / file) for file in there)
    finally:
        sync(folder)
        store.release(name)


def _deleted(path: Path) -> int:
    size = path.stat().st_size
    path.unlink()
    return size
