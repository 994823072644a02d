"""Finished jobs, one directory each, named by what made them.

A job works in `partial/NAME`. When it is done, `commit` writes `job.json` (what it was) and `digests.json` (size and
SHA-256 of every file), waits until the disk has everything and renames the directory to `store/NAME`. So whatever
stands in `store/` was complete when it was put there; what happened to it afterwards shows in sizes and digests.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import StoreError
from headstart.store.files import read_json, sync_folder, write_json

DIGESTS = "digests.json"
RESUME = "resume"
"""Folder inside a partial directory for what a job needs to go on after a stop; dropped when it is committed."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Damage:
    """Something wrong with a finished job."""

    name: str
    """Directory inside `store/`."""
    what: str
    """Which file, and what is wrong with it."""


@dataclass(frozen=True)
class Entry:
    """A finished job as `store ls` shows it."""

    name: str
    kind: str
    label: str
    seconds: float
    """How long the job ran."""
    size: int
    """Bytes on disk."""


class Store:
    """The finished and unfinished jobs of one run directory.

    root: the run directory; `root/store` and `root/partial` are made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sound: set[str] = set()
        self._named: set[str] = set()

    def path(self, name: str) -> Path:
        """Where the finished job is, or will be."""
        return self.root / "store" / name

    def find(self, name: str, key: str) -> Path | None:
        """The finished job's directory; None when there is none, or when it is damaged.

        key: the job's full key. Files are checked by presence and size, once per Store; `verify` reads them.
        A damaged job is named in a warning once and made again by whoever needs it.
        """
        path = self.path(name)
        if name in self._sound:
            return path
        if not path.is_dir():
            return None
        damage = _quick_damage(path) or _other_key(path, key)
        if damage is None:
            self._sound.add(name)
            return path
        if name not in self._named:
            self._named.add(name)
            log.warning("store/%s is damaged (%s): it will be made again", name, damage)
        return None

    def partial(self, name: str) -> Path:
        """Directory that a job works in. It lasts until the job is done: what is inside survives a stop."""
        path = self.root / "partial" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def commit(self, name: str, key: str, info: dict[str, Any]) -> Path:
        """Seal the job's partial directory and put it into the store, replacing a damaged one of that name.

        info: what `job.json` says beside the key (kind, version, settings, input keys, seconds).
        Returns the directory in the store. Raises StoreError when the partial directory does not exist.
        """
        source, target = self.root / "partial" / name, self.path(name)
        if not source.is_dir():
            raise StoreError(f"{source}: missing, so the job cannot be put into the store; run the study again")
        shutil.rmtree(source / RESUME, ignore_errors=True)
        for left_over in (source / DIGESTS, *source.rglob(".*.tmp")):
            left_over.unlink(missing_ok=True)
        write_json(source / "job.json", {**info, "key": key})
        write_json(source / DIGESTS, {str(p.relative_to(source)): _seal(p) for p in _files(source)})
        for folder in (*(p for p in source.rglob("*") if p.is_dir()), source):
            sync_folder(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        source.rename(target)
        sync_folder(target.parent)
        sync_folder(source.parent)
        self._sound.add(name)
        return target

    def verify(self) -> list[Damage]:
        """Read every file of every finished job and compare its digest. Returns what is wrong, in order of name."""
        found = []
        for path in self._finished():
            quick = _quick_damage(path)
            whats = [quick] if quick else _digest_damage(path)
            found += [Damage(path.name, what) for what in whats]
        return found

    def entries(self) -> list[Entry]:
        """The finished jobs, in order of name; a damaged one with what can still be told."""
        return [_entry(path) for path in self._finished()]

    def unfinished(self) -> int:
        """Number of jobs that were begun and not finished."""
        folder = self.root / "partial"
        return sum(p.is_dir() for p in folder.iterdir()) if folder.is_dir() else 0

    def size(self) -> int:
        """Bytes of all finished and unfinished jobs."""
        return _size(self.root / "store") + _size(self.root / "partial")

    def prune(self, keep: Collection[str]) -> int:
        """Delete finished and unfinished jobs whose names are not in `keep`. Returns the bytes freed."""
        freed = 0
        for folder in (self.root / "store", self.root / "partial"):
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                if path.name not in keep:
                    freed += _size(path)
                    self._sound.discard(path.name)
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        return freed

    def _finished(self) -> list[Path]:
        folder = self.root / "store"
        return sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(p for p in folder.rglob("*") if p.is_file())


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in _files(path))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _quick_damage(path: Path) -> str | None:
    """The first fault that shows without reading the files' content."""
    try:
        digests: dict[str, dict[str, Any]] = read_json(path / DIGESTS)
        for name, sealed in digests.items():
            file = path / name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != sealed["bytes"]:
                return f"{name} has {file.stat().st_size} bytes, not {sealed['bytes']}"
    except (StoreError, AttributeError, KeyError, TypeError):
        return f"{DIGESTS} is missing or unreadable"
    return None


def _other_key(path: Path, key: str) -> str | None:
    try:
        found = read_json(path / "job.json")["key"]
    except (StoreError, KeyError, TypeError):
        return "job.json is unreadable"
    return None if found == key else f"job.json has the key {found}, not {key}"


def _digest_damage(path: Path) -> list[str]:
    digests = read_json(path / DIGESTS)
    return [
        f"{name} has changed since it was written"
        for name, sealed in digests.items()
        if _sha256(path / name) != sealed["sha256"]
    ]


def _entry(path: Path) -> Entry:
    try:
        job = read_json(path / "job.json")
    except StoreError:
        job = {}
    kind = path.name.rsplit("-", 1)[0]
    return Entry(path.name, kind, str(job.get("label", "")), float(job.get("seconds") or 0.0), _size(path))
