"""The files of a run for nodes of a cluster that do not see them: read and written on the command's own node.

One actor of Ray for a run. Files travel as blocks by Ray's object store, so that none has to fit into memory. What is
sent to it lies beside the job's files until all of it is there and its digests hold, and then takes their place.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from headstart.errors import StoreError
from headstart.store.files import TEMPORARY, append_bytes, unwritable, write_text
from headstart.store.sealing import sha256
from headstart.study.executors.worker import note_path

BLOCK = 8 << 20
"""Bytes that travel at once; two of a file are on their way."""
SENT = ".sent-"


class Sight:
    """Whether a process sees the run directory: a file there, and what it says."""

    def __init__(self, folder: Path) -> None:
        self.path, self.word = folder / f".sight-{uuid.uuid4().hex}.{os.getpid()}.tmp", uuid.uuid4().hex
        """Named as what a killed process leaves, so that it is swept then."""

    def show(self) -> None:
        """Write the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, self.word, durable=False)

    def hide(self) -> None:
        """Delete it."""
        self.path.unlink(missing_ok=True)

    @property
    def here(self) -> bool:
        """Whether it is seen where this is asked."""
        try:
            return self.path.read_text(encoding="utf-8") == self.word
        except OSError:
            return False


class Keeper:
    """Reads and writes for others. Its methods are called by the names that the command knows its files by."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._nodes: set[str] = set()

    def come(self, node: str) -> bool:
        """A node that does not see the run says so; whether it is seen here."""
        self._nodes.add(node)
        return self._sight.here

    def nodes(self) -> list[str]:
        """Ids of those that came."""
        return sorted(self._nodes)

    def sizes(self, folder: Path) -> dict[str, int]:
        """Bytes of the files below a folder, by their names there."""
        return {str(path.relative_to(folder)): path.stat().st_size for path in files_of(folder)}

    def read(self, path: Path, offset: int) -> bytes:
        """A block of a file; none at its end."""
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(BLOCK)

    def begin(self, out: Path) -> Path:
        """Where what is sent to a job's folder lies at first. What a lost node sent before is thrown away."""
        for before in out.glob(f"{SENT}*"):
            shutil.rmtree(before, ignore_errors=True)
        part = out / f"{SENT}{uuid.uuid4().hex}.{os.getpid()}.tmp"
        part.mkdir()
        return part

    def write(self, part: Path, offset: int, block: bytes) -> None:
        """A block of a file that is sent. Raises StoreError where it cannot be written."""
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                written = 0
                while written < len(block):
                    written += os.pwrite(handle, memoryview(block)[written:], offset + written)
            finally:
                os.close(handle)
        except OSError as fault:
            raise unwritable(part, fault, len(block)) from fault

    def settle(self, out: Path, part: Path, sent: Mapping[str, str], names: list[str]) -> None:
        """All of it is there: `sent` files (SHA-256 by name) take their places, and of the others only `names` stay.

        Raises StoreError where one is not as it was sent, and nothing has changed then.
        """
        for name, digest in sent.items():
            if sha256(part / name) != digest:
                raise StoreError(f"{out / name}: it has changed on its way from a node; run the same command again")
        for name in sent:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).replace(out / name)
        for path in files_of(out):
            if str(path.relative_to(out)) not in names:
                path.unlink()
        shutil.rmtree(part, ignore_errors=True)

    def tell(self, out: Path, note: str, stop: Path) -> bool:
        """Pass on how far a job is; whether it is asked to stop."""
        with suppress(StoreError):  # a full disk is told by the job itself
            if note:
                write_text(note_path(out), note, durable=False)
        return stop.exists()

    def log(self, path: Path, said: bytes) -> None:
        """Add what a job printed to its log."""
        path.parent.mkdir(parents=True, exist_ok=True)
        append_bytes(path, said)


def files_of(folder: Path) -> list[Path]:
    """The files below a folder, but for what is being written."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder.is_dir() else []
    return [p for p in paths if not any(TEMPORARY.fullmatch(part) for part in p.relative_to(folder).parts)]
