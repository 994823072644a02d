"""Finished jobs, one directory each, named by what made them.

A job works in `partial/NAME`. When it is done, `commit` writes `job.json` (what it was) and `digests.json` (size and
SHA-256 of every file), waits until the disk has everything and renames the directory to `store/NAME`. So whatever
stands in `store/` was complete when it was put there. What happened to it afterwards shows in sizes and digests: files
up to `SMALL` bytes are read and compared when a process first looks for their job, larger ones when a job is to read
them; each once in a process.

Where runs share a store (`headstart.store.shared`), jobs are made and kept there, and the run's own `store/` has links.
"""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import StoreError
from headstart.store.files import read_json, sweep, sync, temporary_name, write_json
from headstart.store.leases import Leases
from headstart.store.sealing import DIGESTS, DROPPED, RESUME, changed, dropped, of_other_size, recorded, sealed

SMALL = 64 << 20
"""Bytes: 50 ms to read. Larger files are prepared images and large weights, which no result is read from."""

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
    whole: int
    """Bytes with the files that were dropped."""
    lacks: bool
    """Whether some were."""


class Store:
    """The finished and unfinished jobs of one run directory.

    root: the run directory; `root/store` and `root/partial` are made when first written to. shared: the store that the
    run shares with others; jobs are made there, one at a time by one run, and linked. link: False to look only.
    """

    def __init__(self, root: Path, shared: Path | None = None, *, link: bool = True) -> None:
        self.root = root
        self.home = shared or root
        """Where jobs are made and kept: the shared store, else the run's own directory."""
        self.leases = Leases(self.home / "partial", root) if shared else None
        self._links = link
        self._sound: set[str] = set()
        self._whole: set[str] = set()
        self._lacks_nothing: set[str] = set()
        self._damaged: dict[str, int] = {}
        """The directory's number by name: another run may have put a sound one in its place."""

    def path(self, name: str) -> Path:
        """Where the finished job is, or will be."""
        return self.root / "store" / name

    def find(self, name: str, key: str, whole: bool = False) -> Path | None:
        """The finished job's directory; None when there is none, or when it is damaged.

        key: the job's full key. whole: a job is going to read it: large files are compared with their digests, too, and
        one that lacks files, since they were dropped, is not found.
        A damaged job is named in a warning once, and is not found any more: whoever needs it makes it again.
        """
        path = self.path(name)
        if self.leases is not None and not path.is_dir():
            path = self.home / "store" / name
        if whole and self.lacks(name):
            return None
        if name in (self._whole if whole else self._sound):
            return path
        if not path.is_dir() or self._damaged.get(name) == path.stat().st_ino:
            return None
        smallest, largest = SMALL if name in self._sound else -1, sys.maxsize if whole else SMALL
        damage = next(_damages(path, smallest, largest), None) or _other_key(path, key)
        if damage is None:
            self._sound.add(name)
            if whole:
                self._whole.add(name)
            return self._linked(name) if self.leases is not None and self._links else path
        self._sound.discard(name)
        self._damaged[name] = path.stat().st_ino
        log.warning("store/%s is damaged (%s): it will be made again", name, damage)
        return None

    def lacks(self, name: str) -> bool:
        """Whether files of a finished job were dropped (`headstart.store.dropping`): who reads them makes it again."""
        if name in self._lacks_nothing:
            return False
        path = self.find_any(name)
        if path is None or dropped(path):
            return path is not None
        self._lacks_nothing.add(name)
        return False

    def forget(self, name: str) -> None:
        """What is known of a job may not hold any more."""
        for known in (self._sound, self._whole, self._lacks_nothing):
            known.discard(name)
        self._damaged.pop(name, None)

    def partial(self, name: str) -> Path:
        """Directory that a job works in. It lasts until the job is done: what is inside survives a stop."""
        path = self.home / "partial" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def take(self, name: str) -> bool:
        """Whether the job may be worked at: in a shared store only while no other run does. Until `release`."""
        if self.leases is None or name in self.leases:
            return True
        if not self.leases.take(name):
            return False
        sweep(self.home / "partial" / name)
        return True

    def release(self, name: str) -> None:
        """The job is not worked at any more."""
        if self.leases is not None:
            self.leases.release(name)

    def commit(self, name: str, key: str, info: dict[str, Any]) -> Path:
        """Seal the job's partial directory and put it into the store, replacing a damaged one of that name.

        info: what `job.json` says beside the key (kind, version, settings, input keys, seconds).
        Returns the directory in the store. Raises StoreError when the partial directory does not exist.
        """
        source, target = self.home / "partial" / name, self.home / "store" / name
        if not source.is_dir():
            raise StoreError(f"{source}: missing, so the job cannot be put into the store; run the study again")
        (source / DIGESTS).unlink(missing_ok=True)
        sweep(source)
        write_json(source / "job.json", {**info, "key": key})
        files = [p for p in _files(source) if p.relative_to(source).parts[0] != RESUME]
        digests = {p.relative_to(source).as_posix(): sealed(p) for p in files}
        write_json(source / DIGESTS, digests)
        _tell_of_others(name, recorded(target) or {}, digests)
        for folder in (*(p for p in source.rglob("*") if p.is_dir()), source):
            sync(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        damaged, resume = temporary_name(target), temporary_name(source.with_name(f"{name}.{RESUME}"))
        with suppress(FileNotFoundError):
            target.rename(damaged)
        with suppress(FileNotFoundError):  # as late as may be: a kill before costs no training
            (source / RESUME).rename(resume)
        source.rename(target)
        sync(target.parent)
        sync(source.parent)
        for folder in (damaged, resume):
            shutil.rmtree(folder, ignore_errors=True)
        self._sound.add(name)
        self._whole.add(name)
        self._damaged.pop(name, None)
        self._lacks_nothing.add(name)
        return self._linked(name) if self.leases is not None else target

    def _linked(self, name: str) -> Path:
        """The run's link to a job of the shared store; what stood there and was not sound gives way to it."""
        link, target = self.path(name), (self.home / "store" / name).absolute()
        if (link.is_dir() and not target.is_dir()) or (link.is_symlink() and link.readlink() == target):
            return link
        link.parent.mkdir(parents=True, exist_ok=True)
        part = temporary_name(link)
        if link.is_dir() and not link.is_symlink():
            link.rename(part)
            shutil.rmtree(part)
        with suppress(FileNotFoundError):
            part.unlink()
        part.symlink_to(target, target_is_directory=True)
        part.replace(link)
        return link

    def sweep(self) -> int:
        """Delete what killed processes left half written; for who holds the run's lock. Returns the number of files."""
        return sweep(self.root)

    def verify(self) -> list[Damage]:
        """Read every file of every finished job and compare its digest. Returns what is wrong, in order of name."""
        damages = []
        for path in self._finished():
            damages += [Damage(path.name, what) for what in _damages(path, -1, sys.maxsize)]
        return damages

    def entries(self) -> list[Entry]:
        """The finished jobs, in order of name; a damaged one with what can still be told."""
        return [_entry(path) for path in self._finished()]

    def entry(self, name: str) -> Entry:
        """One finished job, wherever the store has it."""
        return _entry(self.find_any(name) or self.path(name))

    def find_any(self, name: str) -> Path | None:
        """A finished job's directory, whatever it is worth; None where there is none."""
        return next((path for path in (self.path(name), self.home / "store" / name) if path.is_dir()), None)

    def unfinished(self) -> int:
        """Number of jobs that were begun and not finished."""
        return sum(p.is_dir() for p in (self.root / "partial").glob("[!.]*"))

    def size(self) -> int:
        """Bytes of all finished and unfinished jobs."""
        return sum(map(_size, self._finished())) + _size(self.root / "partial")

    def prune(self, keep: Collection[str], older_than: float = 0.0) -> int:
        """Delete what is `superfluous`; of links only these. Returns the bytes freed."""
        freed = 0
        for path in self.superfluous(keep, older_than):
            freed += freed_by(path)
            self.forget(path.name)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return freed

    def superfluous(self, keep: Collection[str], older_than: float = 0.0) -> list[Path]:
        """Directories and links of jobs whose names are not in `keep`; older_than: seconds since they were changed.
        Unfinished ones that some run works at are none."""
        found, working = [], {path.stem for path in (self.root / "partial").glob("*.lease")}
        for folder in (self.root / "store", self.root / "partial"):
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                name = path.name.removesuffix(".lease").removesuffix(".progress")
                young = time.time() - path.lstat().st_mtime < older_than
                if name not in keep and name not in working and not young:
                    found.append(path)
        return found

    def _finished(self) -> list[Path]:
        folder = self.root / "store"
        return (
            sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")) if folder.is_dir() else []
        )


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(p for p in folder.rglob("*") if p.is_file())


def freed_by(path: Path) -> int:
    """Bytes that are free when a directory or a link is deleted."""
    return 0 if path.is_symlink() else _size(path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in _files(path))


def _damages(path: Path, smallest: int, largest: int) -> Iterator[str]:
    """What is wrong with a finished job, as far as its files of `smallest` < bytes <= `largest` tell."""
    digests = recorded(path)
    quick = f"{DIGESTS} is missing or unreadable" if digests is None else of_other_size(path, digests)
    yield from changed(path, digests, smallest, largest) if digests is not None and not quick else filter(None, [quick])


def _tell_of_others(name: str, before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> None:
    """A warning where files that were dropped came out otherwise when they were made again."""
    gone = {file: seal_of["sha256"] for file, seal_of in before.items() if seal_of.get(DROPPED)}
    others = [file for file, sha in gone.items() if now.get(file, {}).get("sha256") != sha]
    if others:
        said = "%s of store/%s came out otherwise than before it was dropped: another machine, or other libraries"
        log.warning(said, ", ".join(others), name)


def _other_key(path: Path, key: str) -> str | None:
    try:
        stored = read_json(path / "job.json")["key"]
    except (StoreError, KeyError, TypeError):
        return "job.json is unreadable"
    return None if stored == key else f"job.json has the key {stored}, not {key}"


def _entry(path: Path) -> Entry:
    try:
        job = read_json(path / "job.json")
    except StoreError:
        job = {}
    kind = path.name.rsplit("-", 1)[0]
    size, digests = _size(path), recorded(path) or {}
    gone = sum(digests[name]["bytes"] for name in dropped(path))
    label, seconds = str(job.get("label", "")), float(job.get("seconds") or 0.0)
    return Entry(path.name, kind, label, seconds, size=size, whole=size + gone, lacks=gone > 0)
