"""A job on a node that does not see its run: what it reads is fetched, what it makes is sent to the command's node.

What was fetched stays on the node for the run's other jobs, in `nodes/` of its cache folder. While a training works,
its states are sent, too, so that a lost node costs little; how far it is and the wish to stop go the same way.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headstart.batches.views import view_of
from headstart.errors import HeadstartError, StoreError
from headstart.places.cache import cache_folder
from headstart.processes import ask_to_stop
from headstart.store.files import ABANDONED, UNWRITABLE, sweep, temporary_name, unwritable
from headstart.store.sealing import DIGESTS, recorded
from headstart.study.executors.keeper import BLOCK, files_of
from headstart.study.executors.worker import JobOrder, JobReport, execute, note_path
from headstart.study.jobs import SAVES_STATE

LOOK_SECONDS = 1.0
"""Between two messages of a job that works."""
SEND_SECONDS = float(os.environ.get("HEADSTART_SEND_SECONDS", "60"))
"""Between two sendings of what a training has saved: what a lost node costs at most."""

ROOM = "What it fetches is in its cache folder; HEADSTART_CACHE, where Ray is started on it, names another one."


@dataclass(frozen=True)
class Far:
    """One node's side of a run. folder: the node's own, for this run."""

    ray: Any
    keeper: Any
    folder: Path

    def ask(self, method: str, *arguments: Any) -> Any:
        """What the keeper answers. Raises what it raised."""
        return self.answer(self.send(method, *arguments))

    def send(self, method: str, *arguments: Any) -> Any:
        """Ask without waiting."""
        return getattr(self.keeper, method).remote(*arguments)

    def answer(self, asked: Any) -> Any:
        """Of something that was asked."""
        try:
            return self.ray.get(asked)
        except self.ray.exceptions.RayTaskError as fault:
            raise fault.cause if isinstance(fault.cause, Exception) else fault from None

    def work(self, order: JobOrder, stop: Path) -> JobReport:
        """Do one job. stop: the file that asks it to, on the command's node."""
        began = time.perf_counter()
        try:
            sweep(self.folder, ABANDONED)
            out = self.folder / "partial" / order.out.name
            with _emptied(out), _emptied(self.folder / "logs" / order.out.name) as logs:
                inputs = {role: self.job(path) for role, path in order.inputs.items()}
                for name in self.ask("sizes", order.out):
                    self.file(order.out / name, out / name)
                here = replace(order, inputs=inputs, out=out, log=logs / "said.txt")
                with _Telling(self, order, out, stop) as telling:
                    report = execute(here)
                telling.send_all()
                if here.log.is_file():
                    self.ask("log", order.log, here.log.read_bytes())
                if str(self.folder) in report.message:  # of a file that is only there, as on a full disk
                    return replace(report, message=f"node {platform.node()}: {report.message} {ROOM}")
                return report
        except (HeadstartError, OSError, self.ray.exceptions.RayError) as fault:
            said = str(fault)
            if isinstance(fault, OSError) and fault.errno in UNWRITABLE:
                said = f"{unwritable(Path(fault.filename or self.folder), fault)} {ROOM}"
            return JobReport(time.perf_counter() - began, f"node {platform.node()}: {said}", traceback.format_exc())

    def job(self, there: Path) -> Path:
        """A finished job, fetched once by all workers of the node, and what it is a view of."""
        target = self.folder / "store" / there.name
        with _alone(target):
            if not target.is_dir():
                part = temporary_name(target)
                with _emptied(part):
                    self._fetch(there, part)
                    part.rename(target)
        if view := view_of(target):
            self.job(there.with_name(view[0].name))
        return target

    def _fetch(self, there: Path, part: Path) -> None:
        for name in (DIGESTS, "job.json"):
            self.file(there / name, part / name)
        digests = recorded(part)
        if digests is None:
            raise StoreError(f"{there / DIGESTS}: it has changed on its way to node {platform.node()}")
        for name, seal_of in digests.items():
            if self.file(there / name, part / name) != seal_of["sha256"]:
                raise StoreError(f"{there / name}: it has changed on its way to node {platform.node()}")

    def file(self, there: Path, part: Path) -> str:
        """Fetch a file; its SHA-256. The next block is on its way while one is written."""
        part.parent.mkdir(parents=True, exist_ok=True)
        digest, offset = hashlib.sha256(), 0
        coming = self.send("read", there, 0)
        with part.open("wb") as file:
            while block := self.answer(coming):
                offset += len(block)
                coming = self.send("read", there, offset)
                digest.update(block)
                file.write(block)
        return digest.hexdigest()

    def send_file(self, path: Path, part: Path) -> str:
        """Send a file to `part` on the command's node; its SHA-256."""
        digest, offset = hashlib.sha256(), 0
        going = self.send("write", part, 0, b"")
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
                self.answer(going)
                going = self.send("write", part, offset, block)
                offset += len(block)
        self.answer(going)
        return digest.hexdigest()


class _Telling:
    """While a job works: passes on its progress, looks whether it is asked to stop, and sends what it has saved."""

    def __init__(self, far: Far, order: JobOrder, out: Path, stop: Path) -> None:
        self.far, self.order, self.out, self.stop = far, order, out, stop
        self._sent: dict[str, tuple[int, ...]] = {name: _version(out / name) for name in _names(out)}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> _Telling:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._ended.set()
        self._thread.join()

    def _tell(self) -> None:
        note, sent = json.dumps([0.0, f"on {platform.node()}"]), time.monotonic()
        while True:
            with suppress(Exception):  # what lasts is told when the job has ended
                if self.far.ask("tell", self.order.out, note, self.stop):
                    ask_to_stop()
                if self.order.kind in SAVES_STATE and time.monotonic() - sent > SEND_SECONDS:
                    self.send_all()
                    sent = time.monotonic()
            if self._ended.wait(LOOK_SECONDS):
                return
            with suppress(OSError):
                note = note_path(self.out).read_text(encoding="utf-8")

    def send_all(self) -> None:
        """Send what has changed since it was sent last: of one moment, by a second name for each file, since ours are
        replaced and never written in place while a training works."""
        moment = self.out.with_name(f"{self.out.name}.moment")
        with _emptied(moment):
            versions = self._linked(moment)
            news = [name for name, version in versions.items() if self._sent.get(name) != version]
            if not news and versions.keys() == self._sent.keys():
                return
            part = self.far.ask("begin", self.order.out)
            sent = {name: self.far.send_file(moment / name, part / name) for name in news}
            self.far.ask("settle", self.order.out, part, sent, list(versions))
            self._sent = versions

    def _linked(self, moment: Path) -> dict[str, tuple[int, ...]]:
        while True:
            with suppress(FileNotFoundError):  # replaced in between: once more
                versions = {name: _version(self.out / name) for name in _names(self.out)}
                for name in versions:
                    (moment / name).parent.mkdir(parents=True, exist_ok=True)
                    (moment / name).unlink(missing_ok=True)
                    os.link(self.out / name, moment / name)
                if versions == {name: _version(self.out / name) for name in _names(self.out)}:
                    return versions


def _names(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in files_of(folder)]


def _version(path: Path) -> tuple[int, ...]:
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """A folder of its own, and nothing of it afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Only one process of this node at a time has this path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def node_folder(word: str, node: str) -> Path:
    """Where a node keeps what a run needs there. word: of the run; node: Ray's id of it."""
    return cache_folder() / "nodes" / f"{word[:16]}-{node[:16]}"


def leave(word: str, node: str) -> None:
    """The run is over: delete what was fetched for it, and what runs that ended without it left a day ago."""
    shutil.rmtree(node_folder(word, node), ignore_errors=True)
    for folder in (cache_folder() / "nodes").glob("*"):
        if time.time() - folder.stat().st_mtime > ABANDONED:
            shutil.rmtree(folder, ignore_errors=True)
