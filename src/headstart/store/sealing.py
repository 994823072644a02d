"""Sizes and SHA-256 of files, written down beside them, and what they say of the files later."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from headstart.errors import StoreError
from headstart.store.files import read_json, sync, temporary_name, write_json

DIGESTS = "digests.json"
RESUME = "resume"
"""Folder inside a partial directory for what a job needs to go on after a stop; dropped when it is committed."""
PIECES = "pieces.json"
DROPPED = "dropped"
"""Said of a file that was deleted on purpose (`headstart.store.dropping`): its digest stays, it is no damage."""

log = logging.getLogger(__name__)


def sealed(path: Path) -> dict[str, Any]:
    """Size and digest of a file, once the disk has it."""
    sync(path)
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def sha256(path: Path) -> str:
    """64 hex digits of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """The same of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def seal(folder: Path, names: Iterable[str], record: str = DIGESTS) -> None:
    """Write down these files of a folder, beside what was written down before; nothing where it says so already."""
    before = recorded(folder, record) or {}
    there = {name: seal_of for name, seal_of in before.items() if (folder / name).is_file()}
    now = there | {name: sealed(folder / name) for name in names if (folder / name).is_file()}
    if now != before:
        write_json(folder / record, now)


def recorded(folder: Path, record: str = DIGESTS) -> dict[str, dict[str, Any]] | None:
    """What was written down of a folder's files; None where that is missing or damaged."""
    try:
        digests = read_json(folder / record)
        own = digests.pop(DIGESTS, None)
        if (own["sha256"] if own else "") != _of_dropped(digests):
            return None
        return digests if all(isinstance(s["bytes"], int) and len(s["sha256"]) for s in digests.values()) else None
    except (StoreError, AttributeError, KeyError, TypeError):
        return None


def record_dropped(folder: Path, digests: dict[str, dict[str, Any]]) -> None:
    """Write down what a folder's files are, with a digest of what is said of dropped ones: no file is left to show that
    it has changed."""
    gone = _of_dropped(digests)
    write_json(folder / DIGESTS, digests | ({DIGESTS: {"bytes": 0, "sha256": gone}} if gone else {}))


def _of_dropped(digests: dict[str, dict[str, Any]]) -> str:
    gone = {name: seal_of for name, seal_of in digests.items() if seal_of.get(DROPPED)}
    return sha256_of_text(json.dumps(gone, sort_keys=True)) if gone else ""


def of_other_size(folder: Path, digests: dict[str, dict[str, Any]]) -> str | None:
    """The first fault that shows without reading the files."""
    for name, seal_of in digests.items():
        file = folder / name
        if not file.is_file():
            if seal_of.get(DROPPED):
                continue
            return f"{name} is missing"
        if file.stat().st_size != seal_of["bytes"]:
            return f"{name} has {file.stat().st_size} bytes, not {seal_of['bytes']}"
    return None


def changed(folder: Path, digests: dict[str, dict[str, Any]], smallest: int, largest: int) -> Iterator[str]:
    """Files of `smallest` < bytes <= `largest` whose bytes are not those that were sealed."""
    for name, seal_of in digests.items():
        if seal_of.get(DROPPED) and not (folder / name).is_file():
            continue
        if smallest < seal_of["bytes"] <= largest and sha256(folder / name) != seal_of["sha256"]:
            yield f"{name} has changed since it was written"


def dropped(folder: Path) -> list[str]:
    """Files of a finished job that were deleted on purpose and are not there."""
    digests = recorded(folder) or {}
    return [name for name, seal_of in digests.items() if seal_of.get(DROPPED) and not (folder / name).is_file()]


def damage(folder: Path, record: str = DIGESTS) -> str | None:
    """The first thing that is wrong with the files of a folder, by what was written down of them; all are read."""
    digests = recorded(folder, record)
    if digests is None:
        return f"{Path(record).name} is missing or unreadable"
    return of_other_size(folder, digests) or next(changed(folder, digests, -1, sys.maxsize), None)


def discard_damaged(folder: Path, names: Iterable[str]) -> None:
    """Delete those of the files that are not as they were written down, each named in a warning, so that they are made
    again; all of them where what was written down is damaged itself. What was never written down is left alone."""
    if not (folder / DIGESTS).exists():
        return
    digests = recorded(folder)
    if digests is None:
        log.warning("%s is damaged: what it was of is made again", folder / DIGESTS)
        (folder / DIGESTS).unlink()
    for name in names:
        file = folder / name
        if file.is_file() and (digests is None or (name in digests and sealed(file) != digests[name])):
            log.warning("%s is damaged: it is made again", file)
            file.unlink()


def seal_piece(out: Path, *names: str) -> None:
    """Write down files of a job under way that are not made again after a stop; out: its partial directory."""
    (out / RESUME).mkdir(exist_ok=True)
    seal(out, names, f"{RESUME}/{PIECES}")


def unseal_pieces(out: Path) -> None:
    """Before pieces are written anew: a stop in the middle must not take the new ones for damaged old ones. The job
    makes them again then, since its state is older."""
    (out / RESUME / PIECES).unlink(missing_ok=True)


def begin_anew_if_damaged(out: Path) -> None:
    """Throw away what a job under way has made when one of its pieces is not as it was written down, with a warning:
    the job then makes all of them again. At once: a kill must not leave a damaged piece without its digest."""
    record = f"{RESUME}/{PIECES}"
    if (out / record).exists() and (fault := damage(out, record)):
        log.warning("%s is damaged (%s): the job begins anew", out, fault)
        damaged = temporary_name(out)
        out.rename(damaged)
        out.mkdir()
        shutil.rmtree(damaged)
