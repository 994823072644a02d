"""Arrow record batches as files of our own caches: an Arrow IPC file, then the SHA-256 of it in 40 bytes.

Mapped into memory, so that opening one reads no rows. A bit that has changed would be another table in silence; so who
opens a file first in a process compares the digest, which reads the file once (1.4 GB/s), without mapping it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pyarrow as pa

from headstart.errors import StoreError
from headstart.store.files import replacing

MARK = b"\nSHA256\n"
TAIL = len(MARK) + hashlib.sha256().digest_size
BLOCK = 1 << 20

_intact: set[tuple[str, int, int, int]] = set()


def save_batch(path: Path, batch: pa.RecordBatch, durable: bool = False) -> None:
    """Write one record batch. Raises StoreError where it cannot be written."""
    with replacing(path, durable) as part:
        with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        digest = _digest(part, part.stat().st_size)
        with part.open("ab") as file:
            file.write(MARK + digest)


def load_batch(path: Path) -> pa.RecordBatch:
    """The batch, mapped into memory. Raises StoreError for what `save_batch` did not write; reads no rows."""
    try:
        with pa.memory_map(str(path)) as mapped:
            whole = mapped.read_buffer()
        if whole.size < TAIL or whole.slice(whole.size - TAIL, len(MARK)).to_pybytes() != MARK:
            raise StoreError(f"{path}: cut short, or of another version. Delete it; it is made again.")
        with pa.ipc.open_file(pa.BufferReader(whole.slice(0, whole.size - TAIL))) as reader:
            return reader.get_batch(0)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: unreadable ({error}). Delete it; it is made again.") from error


def require_intact(path: Path) -> None:
    """Compare the file with its digest, once in a process. Raises StoreError where it has changed or is none."""
    try:
        facts = path.stat()
        identity = (os.fspath(path), facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if identity in _intact:
            return
        with path.open("rb") as file:
            file.seek(max(0, facts.st_size - TAIL))
            tail = file.read()
        if tail != MARK + _digest(path, facts.st_size - TAIL):
            raise StoreError(f"{path}: it has changed since it was written. Delete it; it is made again.")
    except OSError as error:
        raise StoreError(f"{path}: unreadable ({error}). Delete it; it is made again.") from error
    _intact.add(identity)


def _digest(path: Path, size: int) -> bytes:
    """SHA-256 of the first `size` bytes, read and not mapped: mapped pages would count as this process's memory."""
    total = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while size > 0 and (block := file.read(min(BLOCK, size))):
            total.update(block)
            size -= len(block)
    return total.digest()
