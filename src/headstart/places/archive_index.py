"""Indexes of zip and tar files: what is in them and where its bytes lie. Built once, kept in the cache folder.

One row per file and per folder, sorted by folder and then by name, so that a folder's entries are one range. The file
is Arrow, mapped into memory: opening it costs the same whatever the number of rows, and no Python object exists a row.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
import re
import stat
import tarfile
import time
import zipfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from headstart.errors import DataError, StoreError
from headstart.places.arrow import plain
from headstart.places.cache import SETTLED_NS, cache_folder
from headstart.store.batches import load_batch, require_intact, save_batch
from headstart.store.files import ABANDONED, sweep

LAYOUT = b"1"
"""Of index files; raised when they change."""
FOLDER, ENCRYPTED, IN_TAR = -1, -2, -3
"""In the column `method`, beside zip's own numbers: 0 stored, 8 deflated. The bytes of `IN_TAR` lie bare."""
MAC_JUNK = "__MACOSX"
SHOWN = 3
BLOCK = 512


class Member(NamedTuple):
    """A row: `packed` bytes at `offset` (in a zip: of the local header) hold `size` bytes."""

    name: str
    offset: int
    packed: int
    size: int
    crc: int
    method: int


@dataclass
class Found:
    """What a scan found: members by name (of equal names the last, as every unpacker does), and names left out."""

    members: dict[str, Member] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Why -> names."""

    def add(self, raw: str, offset: int, packed: int, size: int, *, crc: int, method: int) -> None:
        name = self.checked(raw)
        if name:
            if name in self.members:
                self.left_out["stand in it again later, and the last one counts"].append(raw)
            self.members[name] = Member(name, offset, packed, size, crc, method)

    def checked(self, raw: str) -> str:
        """The name with forward slashes and no dots; '' for names that are left out, and for the root itself."""
        slashed = raw.replace("\\", "/")
        parts = [part for part in slashed.split("/") if part not in ("", ".")]
        if slashed.startswith("/") or re.match(r"[A-Za-z]:/", slashed):
            self.left_out["have absolute names"].append(raw)
        elif ".." in parts:
            self.left_out["have names that lead out of the archive by '..'"].append(raw)
        elif "\0" in raw or not _encodable(raw):
            self.left_out["have names that are not text"].append(repr(raw))
        elif parts and parts[0] == MAC_JUNK:
            self.left_out["are notes of macOS about the other files"].append(raw)
        else:
            return "/".join(parts)
        return ""

    def notes(self, path: Path) -> list[str]:
        return [
            f"{path}: {len(names)} members {why}; they are left out: {', '.join(names[:SHOWN])}"
            + (", .." if len(names) > SHOWN else "")
            for why, names in self.left_out.items()
        ]


class Index:
    """Rows of one archive."""

    def __init__(self, batch: pa.RecordBatch, notes: tuple[str, ...]) -> None:
        _, offsets, text = batch.column("key").buffers()
        self._batch = batch  # It owns the memory that the views below show.
        self._ends = memoryview(offsets).cast("q")
        self._text = memoryview(text)
        self._columns = [plain(batch.column(name)) for name in ("offset", "packed", "size", "crc", "method")]
        self.notes = notes

    def __len__(self) -> int:
        return self._batch.num_rows

    def __getitem__(self, row: int) -> bytes:
        """Folder and name of a row, a zero byte between them: the order of rows is that of these."""
        return bytes(self._text[self._ends[row] : self._ends[row + 1]])

    def find(self, name: str) -> Member | None:
        """None when there is no such file or folder."""
        folder, _, last = name.rpartition("/")
        key = _key(folder, last)
        row = bisect_left(self, key)
        if row == len(self) or self[row] != key:
            return None
        return Member(name, *(int(column[row]) for column in self._columns))

    def entries(self, folder: str) -> dict[str, bool]:
        """Name -> whether it is a folder."""
        first = bisect_left(self, _key(folder, ""))
        start = len(_key(folder, ""))
        last = bisect_left(self, _key(folder, "")[:-1] + b"\1", lo=first)
        methods = self._columns[4][first:last].tolist()
        names = (self[row][start:].decode() for row in range(first, last))
        return {name: method == FOLDER for name, method in zip(names, methods, strict=True)}


def index_of(path: Path, shown: Path, is_tar: bool) -> Index:
    """The index of the archive at `path`, from the cache where size and time of the archive are the same.

    shown: what messages call it. Raises DataError when it is no such archive, truncated, or holds no file.
    """
    facts = path.stat()
    stamp = json.dumps([facts.st_size, facts.st_mtime_ns]).encode()
    file = cache_folder() / "archives" / (hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:20] + ".arrow")
    with contextlib.suppress(StoreError, KeyError, TypeError, ValueError):
        return _read(file, stamp)
    began = time.time_ns()
    contents = _scan_tar(path, shown) if is_tar else _scan_zip(path, shown)
    notes = contents.notes(shown)
    if not contents.members:
        raise DataError(f"{shown}: there is no file in it. {' '.join(notes) or 'Put the data set into it.'}")
    batch = _batch(_with_folders(contents, shown, notes))
    metadata = {"layout": LAYOUT, "stamp": stamp, "notes": json.dumps(notes)}
    if facts.st_mtime_ns <= began - SETTLED_NS:
        with contextlib.suppress(OSError, StoreError):
            file.parent.mkdir(parents=True, exist_ok=True)
            sweep(file.parent, older_than=ABANDONED)
            save_batch(file, batch.replace_schema_metadata(metadata))
    return Index(batch, tuple(notes))


def _key(folder: str, name: str) -> bytes:
    return f"{folder}\0{name}".encode("utf-8", "surrogatepass")  # Names asked for may be anything.


def _encodable(name: str) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        return bool(name.encode())
    return False


def _with_folders(contents: Found, shown: Path, notes: list[str]) -> list[Member]:
    """All rows, in order: the files, and the folders that their names lie in."""
    folders: set[str] = set()
    for name in contents.members:
        above = name.rpartition("/")[0]
        while above and above not in folders:
            folders.add(above)
            above = above.rpartition("/")[0]
    both = folders & contents.members.keys()
    if both:
        notes.append(f"{shown}: {min(both)} is a file and a folder in it; it is taken as a folder")
    rows = [m for name, m in contents.members.items() if name not in both]
    rows += [Member(name, 0, 0, 0, 0, FOLDER) for name in folders]
    keyed = [(_key(*_split(member.name)), member) for member in rows]
    return [member for _, member in sorted(keyed)]


def _split(name: str) -> tuple[str, str]:
    folder, _, last = name.rpartition("/")
    return folder, last


def _batch(rows: list[Member]) -> pa.RecordBatch:
    columns = {"key": pa.array([_key(*_split(member.name)) for member in rows], pa.large_binary())}
    types = {"offset": np.int64, "packed": np.int64, "size": np.int64, "crc": np.uint32, "method": np.int16}
    for name, kind in types.items():
        columns[name] = pa.array(np.fromiter((getattr(member, name) for member in rows), kind, len(rows)))
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _read(path: Path, stamp: bytes) -> Index:
    """Raises ValueError when the index is of another archive or layout; StoreError or KeyError for none."""
    require_intact(path)
    batch = load_batch(path)
    facts = batch.schema.metadata
    if (facts[b"layout"], facts[b"stamp"]) != (LAYOUT, stamp):
        raise ValueError("made for another archive")
    return Index(batch, tuple(json.loads(facts[b"notes"])))


def _scan_zip(path: Path, shown: Path) -> Found:
    contents = Found()
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if stat.S_ISLNK(info.external_attr >> 16):
                    contents.left_out["are links, which are not followed in zip files"].append(info.filename)
                elif not info.is_dir():
                    method = ENCRYPTED if info.flag_bits & 1 else info.compress_type
                    contents.add(
                        info.filename,
                        info.header_offset,
                        info.compress_size,
                        info.file_size,
                        crc=info.CRC,
                        method=method,
                    )
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise _unreadable(shown, "a zip file", error) from error
    return contents


def _scan_tar(path: Path, shown: Path) -> Found:
    contents = Found()
    links: list[tuple[str, str]] = []
    try:
        with tarfile.open(path, "r:") as archive:
            for info in _members(archive):
                if info.islnk() or info.issym():
                    beside = posixpath.dirname(info.name) if info.issym() else ""
                    links.append((info.name, posixpath.normpath(posixpath.join(beside, info.linkname))))
                elif info.issparse():
                    contents.left_out["are sparse files, which have no bytes in one piece"].append(info.name)
                elif info.isreg():
                    contents.add(info.name, info.offset_data, info.size, info.size, crc=0, method=IN_TAR)
                elif not info.isdir():
                    contents.left_out["are no files"].append(info.name)
            end = archive.offset
        _require_whole(path, contents, end)
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise _unreadable(shown, "a tar file", error) from error
    for name, target in links:
        member = contents.members.get(target)
        if member is None:
            contents.left_out["are links that do not lead to a file of the archive"].append(f"{name} -> {target}")
        else:
            contents.add(name, member.offset, member.packed, member.size, crc=member.crc, method=member.method)
    return contents


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (info := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # Else it keeps an object of each.
        yield info


def _require_whole(path: Path, contents: Found, end: int) -> None:
    """tarfile takes a header that it cannot read for the end; a whole tar file ends with blocks of zeros."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(end)
        mark = file.read(BLOCK)
    cut = [m for m in contents.members.values() if m.offset + m.size > size]
    if cut:
        raise tarfile.ReadError(f"it ends at byte {size:,}, within {cut[0].name}")
    if len(mark) < BLOCK or mark.strip(b"\0"):
        raise tarfile.ReadError(f"no end mark after the {len(contents.members):,} files that can be read")


def _unreadable(shown: Path, what: str, error: Exception) -> DataError:
    return DataError(
        f"{shown}: cannot be read as {what} ({error}). It is truncated or damaged: fetch it again, or pack it again."
    )
