"""What a run warned of, in its jobs, too: kept among its logs for the report, whichever command said it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from headstart.errors import StoreError
from headstart.store.files import read_json, write_json

FILE = "logs/warnings.json"


def keep_warnings(out: Path, said: Iterable[str]) -> bool:
    """Add what was not warned of before; whether there was any. No file where there never was."""
    before = kept_warnings(out)
    now = list(dict.fromkeys([*before, *said]))
    if now == before:
        return False
    (out / FILE).parent.mkdir(parents=True, exist_ok=True)
    write_json(out / FILE, now)
    return True


def kept_warnings(out: Path) -> list[str]:
    """Each once, in order; none where the file is not there or damaged: it is made again with the next one."""
    try:
        said = read_json(out / FILE)
    except StoreError:
        return []
    return [str(line) for line in said] if isinstance(said, list) else []
