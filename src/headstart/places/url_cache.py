"""What was fetched from URLs, in the cache folder: bytes of files, and what servers said of files and folders.

Bytes are kept by URL and version, so a changed file is another entry. They are bounded by HEADSTART_REMOTE_CACHE_GB:
those not read for the longest time go first. Offline, everything is read from here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

from headstart.places.cache import cache_folder
from headstart.places.limits import limit
from headstart.store.files import ABANDONED, final_name, sweep, temporary_name
from headstart.store.sealing import sha256, sha256_of_text

KEPT_SHARE = 0.9
"""Of the limit: what is left when room is made."""


_INTACT: set[tuple[str, int]] = set()
"""Files that were compared with their digests in this process, by name and inode."""


class Fetched:
    """The part of the cache folder for URLs. A folder that cannot be written to costs time, and is no error."""

    def __init__(self) -> None:
        self.folder = cache_folder() / "remote"
        self._bytes: int | None = None

    def find(self, url: str, version: str, size: int | None) -> Path | None:
        """The file with the bytes of this version; None when it is not here or not whole."""
        path = self._path(url, version)
        with contextlib.suppress(OSError):
            if (size is None or path.stat().st_size == size) and self._is_intact(path):
                os.utime(path)
                return path
        return None

    def _is_intact(self, path: Path) -> bool:
        """Whether a file has the digest that it had when it was fetched; compared once in a process."""
        identity = (str(path), path.stat().st_ino)
        if identity not in _INTACT:
            now = sha256(path)
            try:
                if self.told("sha256", path.name) != now:
                    return False
            except KeyError:  # the table of digests was lost
                self.tell("sha256", path.name, now)
            _INTACT.add(identity)
        return True

    def begin(self, url: str, version: str) -> Path | None:
        """Where to write the bytes; `finish` them. None when nothing can be kept."""
        path = self._path(url, version)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent, older_than=ABANDONED)
            return temporary_name(path)
        return None

    def finish(self, part: Path) -> Path:
        """The file under its name; older ones are deleted where the limit asks for it. Raises OSError."""
        path = part.replace(final_name(part))
        self.tell("sha256", path.name, sha256(path))
        if self._bytes is None:
            self._bytes = sum(size for _, size, _ in self._files())
        else:
            self._bytes += path.stat().st_size
        if self._bytes > limit("HEADSTART_REMOTE_CACHE_GB") * 1e9:
            self._make_room(path)
        return path

    def tell(self, kind: str, url: str, said: Any) -> None:
        """Keep what a server said (JSON) of a file ("info") or a folder ("list"), or the digest of a file that is kept
        ("sha256"), after a digest of its own."""
        text = json.dumps(said)
        with contextlib.suppress(OSError, sqlite3.Error), self._table() as table:
            table.execute("insert or replace into said values (?, ?, ?)", (kind, url, sha256_of_text(text) + text))

    def told(self, kind: str, url: str) -> Any:
        """What `tell` kept; raises KeyError when that is nothing."""
        with contextlib.suppress(OSError, sqlite3.Error), self._table() as table:
            row = table.execute("select what from said where kind = ? and url = ?", (kind, url)).fetchone()
            if row and row[0][:64] == sha256_of_text(row[0][64:]):
                return json.loads(row[0][64:])
        raise KeyError(url)

    @contextlib.contextmanager
    def _table(self) -> Any:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with contextlib.closing(sqlite3.connect(self.folder / "said.sqlite", timeout=60)) as table, table:
                table.execute("pragma synchronous = off")
                table.execute(
                    "create table if not exists said (kind text, url text, what text, primary key (kind, url))"
                )
                yield table
        except sqlite3.DatabaseError as fault:
            if type(fault) is sqlite3.DatabaseError:  # damaged, and not merely locked: it is made again
                (self.folder / "said.sqlite").unlink(missing_ok=True)
            raise

    def _path(self, url: str, version: str) -> Path:
        name = hashlib.sha256(url.encode()).hexdigest()[:32]
        return self.folder / name[:2] / f"{name}-{hashlib.sha256(version.encode()).hexdigest()[:16]}"

    def _files(self) -> list[tuple[float, int, Path]]:
        files = []
        for path in self.folder.glob("??/[!.]*"):
            with contextlib.suppress(OSError):
                facts = path.stat()
                files.append((facts.st_mtime, facts.st_size, path))
        return sorted(files)

    def _make_room(self, newest: Path) -> None:
        files = self._files()
        left, allowed = sum(size for _, size, _ in files), limit("HEADSTART_REMOTE_CACHE_GB") * 1e9
        for _, size, path in files:
            if left <= KEPT_SHARE * allowed:
                break
            if path != newest:
                with contextlib.suppress(OSError):
                    path.unlink()
                    left -= size
        self._bytes = left
