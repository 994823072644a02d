"""Zip and tar files as places: members are read where they lie, by number of byte, and nothing is unpacked.

A tar file that is compressed as a whole (.tar.gz) has no such access: it is decompressed once into the cache folder.
One file descriptor serves all threads and forked processes; other processes open their own.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from headstart.errors import DataError
from headstart.places.archive_index import ENCRYPTED, FOLDER, IN_TAR, Index, Member, index_of
from headstart.places.cache import cache_folder
from headstart.places.kinds import is_archive
from headstart.places.limits import too_large
from headstart.places.paths import DataPath, Place, Stamp
from headstart.store.files import ABANDONED, sweep, sync, temporary_name
from headstart.store.sealing import sha256
from headstart.terminal import tell

STORED, DEFLATED = 0, 8
METHODS = {9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "xz"}
LOCAL_HEADER, SLACK = 30, 64
"""Bytes of a zip's local header before its name; room for extra fields, so that one read fetches all."""
OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".tbz2": bz2.open,
    ".xz": lzma.open,
    ".txz": lzma.open,
}
COPY_BYTES = 1 << 20


class Archive(Place):
    """Files in a zip or tar file. Opening it reads its index; see `headstart.places.archive_index`."""

    def __init__(self, root: str, path: Path | None = None) -> None:
        """root: as messages call it. path: where it is, absolute; None: at `root`. Raises DataError."""
        self.root = root
        self._path = (path or Path(root)).absolute()
        is_tar = not root.lower().endswith(".zip")
        plain = _decompressed(self._path, root) if is_tar and not root.lower().endswith(".tar") else self._path
        self._descriptor = os.open(plain, os.O_RDONLY)
        self._index: Index = index_of(plain, Path(root), is_tar)

    def __reduce__(self) -> tuple[Any, ...]:
        return Archive, (self.root, self._path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Archive) and other._path == self._path

    def __hash__(self) -> int:
        return hash(self._path)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._descriptor)

    @property
    def address(self) -> str:
        return str(self._path)

    @property
    def notes(self) -> tuple[str, ...]:
        return self._index.notes

    def source(self, name: str) -> str:
        return ""

    def entries(self, folder: str) -> dict[str, bool]:
        return self._index.entries(folder)

    def kind(self, name: str) -> str:
        member = self._index.find(name) if name else None
        return "folder" if not name or (member and member.method == FOLDER) else "file" if member else ""

    def stamp(self, name: str) -> Stamp | None:
        """Times are the archive's. Of the root: its size, as it lies there now."""
        try:
            facts = self._path.stat()
        except FileNotFoundError:
            return None
        if not name:
            return facts.st_size, facts.st_mtime_ns
        member = self._index.find(name)
        return (member.size, facts.st_mtime_ns) if member else None

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError; DataError for a member that is damaged, encrypted, of an unknown packing, or larger
        than the limits of `headstart.places.limits`."""
        member = self._member(name)
        if member.method == IN_TAR:
            return self._bytes(member, member.offset, member.size)
        packed = self._packed(member)
        if member.method == STORED:
            content = bytes(packed)
        else:
            try:
                inflate = zlib.decompressobj(-15)
                # One more byte than promised, so that a member that lies about its size is found out.
                content = inflate.decompress(packed, member.size + 1)
            except zlib.error as error:
                raise self._damaged(member, str(error)) from error
        if len(content) != member.size or zlib.crc32(content) != member.crc:
            raise self._damaged(member, "its checksum or its size does not fit")
        return content

    def open(self, name: str) -> BinaryIO:
        """Members that are not packed are read piece by piece, and without their checksum."""
        member = self._member(name)
        if member.method == IN_TAR:
            return io.BufferedReader(_Piece(self, member.offset, member.size))
        if member.method == STORED:
            return io.BufferedReader(_Piece(self, self._start(member), member.size))
        return io.BytesIO(self.read(name))

    def _member(self, name: str) -> Member:
        member = self._index.find(name)
        if member is None or member.method == FOLDER:
            raise FileNotFoundError(2, "no such file in the archive", self.where(name))
        if member.method == ENCRYPTED:
            raise DataError(
                f"{self.where(name)}: is encrypted. Unpack {self.root} with its password, and name the folder."
            )
        if member.method not in (STORED, DEFLATED, IN_TAR):
            method = METHODS.get(member.method, f"method {member.method}")
            raise DataError(
                f"{self.where(name)}: is packed by {method}, which cannot be read. Unpack {self.root}, and "
                "pack it again with `zip -r`, or name the folder."
            )
        if why := too_large(member.packed, member.size):
            raise DataError(f"{self.where(name)}: {why}")
        return member

    def _packed(self, member: Member) -> memoryview:
        """The packed bytes, by one read: the local header repeats the name and has extra fields of its own length."""
        guess = LOCAL_HEADER + len(member.name.encode()) + SLACK + member.packed
        block = os.pread(self._descriptor, guess, member.offset)
        start = self._header_bytes(member, block)
        if len(block) < start + member.packed:
            block = self._bytes(member, member.offset, start + member.packed)
        return memoryview(block)[start : start + member.packed]

    def _start(self, member: Member) -> int:
        return member.offset + self._header_bytes(member, os.pread(self._descriptor, LOCAL_HEADER, member.offset))

    def _header_bytes(self, member: Member, block: bytes) -> int:
        if len(block) < LOCAL_HEADER or block[:4] != b"PK\3\4":
            raise self._damaged(member, "there is no member where the list of members says")
        name, extra = struct.unpack_from("<HH", block, 26)
        return LOCAL_HEADER + int(name) + int(extra)

    def _bytes(self, member: Member, offset: int, count: int) -> bytes:
        """Exactly `count` bytes; one read of the system gives at most 2 GB."""
        parts: list[bytes] = []
        while count > 0:
            part = os.pread(self._descriptor, count, offset)
            if not part:
                raise self._damaged(member, "the archive ends before it does")
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _damaged(self, member: Member, why: str) -> DataError:
        return DataError(
            f"{self.where(member.name)}: is damaged in its archive ({why}). Fetch {self.root} again, or pack it again."
        )


class _Piece(io.RawIOBase):
    """`size` bytes of an archive from `start`, as a file."""

    def __init__(self, archive: Archive, start: int, size: int) -> None:
        self._archive = archive  # Keeps the descriptor open.
        self._start, self._size, self._at = start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("cannot seek before the start")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._size - self._at))
        part = os.pread(self._archive._descriptor, wanted, self._start + self._at)
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


_INTACT: set[str] = set()
"""Decompressed archives that were compared with their digests, or written, in this process."""


def open_archive(path: Path) -> DataPath:
    """The root of the archive at `path`, or what `path` names in it (`x.zip/inner/folder`). Raises DataError."""
    for archive in (path, *path.parents):
        if is_archive(archive.name) and archive.is_file():
            inside = DataPath(Archive(str(archive)), path.relative_to(archive).as_posix().removeprefix("."))
            if inside.exists():
                return inside
            top = [entry.name for entry, _ in DataPath(inside.place).iterdir()]
            raise DataError(
                f"{path}: the archive {archive} has no such file or folder. At its top are: {', '.join(top[:10])}."
            )
    raise DataError(f"{path}: does not exist. Check the path and name the folder of the data set.")


def _decompressed(path: Path, shown: str) -> Path:
    """The plain tar file in a compressed one, in the cache folder; made when there is none of this size and time that
    is as it was written: its name ends in its digest, which is compared once in a process."""
    facts = path.stat()
    named = hashlib.sha256(str(path).encode()).hexdigest()[:20]
    begins = f"{named}-{facts.st_size}-{facts.st_mtime_ns}"
    target = cache_folder() / "archives" / f"{begins}.tar"
    for kept in target.parent.glob(f"{begins}-*.tar"):
        if str(kept) in _INTACT or sha256(kept) == kept.stem.rpartition("-")[2]:
            _INTACT.add(str(kept))
            return kept
    tell(f"{shown}: a tar file compressed as a whole has no random access; decompressing it once to {target}")
    part = temporary_name(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent, older_than=ABANDONED)
        for old in target.parent.glob(f"{named}-*.tar"):
            old.unlink()
        with OPENERS[path.suffix.lower()](path) as source, part.open("wb") as sink:
            while block := source.read(COPY_BYTES):
                sink.write(block)
                if why := too_large(facts.st_size, sink.tell(), whole=True):
                    raise DataError(f"{shown}: {why}")
        sync(part)
        target = part.replace(target.with_name(f"{begins}-{sha256(part)}.tar"))
        _INTACT.add(str(target))
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        free = shutil.disk_usage(target.parent).free if target.parent.is_dir() else 0
        raise DataError(
            f"{shown}: cannot be decompressed to {target} ({error}; {free / 1e9:.1f} GB are free). It "
            "may be truncated: fetch it again; or unpack it, and name the folder."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return target
