"""Which code of others may run: files that the caller names, and files for which somebody said `--trust-code`.

What one receives (a study, a weights card, the header of a checkpoint, the folder of a model) may name a Python file
that defines a backbone. Such a file runs only when its very bytes are trusted: when the caller names it (`-w
random:mine.py:net`), or under `--trust-code`, which is remembered by digest. Processes that are started inherit it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headstart.errors import HeadstartError, WeightsError
from headstart.places.cache import folder_of_user
from headstart.store.files import write_text
from headstart.terminal import tell

ALL = "HEADSTART_TRUST_CODE"
"""Environment variable: "1" trusts whatever is named."""
SOME = "HEADSTART_TRUSTED_CODE"
"""Digests of what this process trusts, and those that it starts."""


def memory() -> Path | None:
    """The user's own list of trusted files: lines `SHA-256  path`. In `XDG_CONFIG_HOME`, else in `~/.config`; None for
    a user without a home."""
    folder = folder_of_user("XDG_CONFIG_HOME", ".config")
    return folder and folder / "headstart" / "trusted-code.txt"


@contextmanager
def trusting(everything: bool = False, named: Iterable[Path] = ()) -> Iterator[None]:
    """Within it, and in the processes started there, trust all code, or the files that the caller names."""
    before = os.environ.get(ALL)
    for path in named:
        if path.is_file():
            trust(path, path.read_bytes())
    if everything:
        os.environ[ALL] = "1"
    try:
        yield
    finally:
        if everything and before is None:
            del os.environ[ALL]
        elif everything and before is not None:
            os.environ[ALL] = before


def trust(path: Path, source: bytes) -> None:
    """Trust these bytes from now on, and remember it where there is a place to."""
    digest = hashlib.sha256(source).hexdigest()
    if digest in _of_this_process():
        return
    os.environ[SOME] = " ".join([*_of_this_process(), digest])
    file, lines = memory(), _remembered()
    if file and digest not in lines:
        with suppress(OSError, HeadstartError):  # a home that is read-only
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, "".join(f"{line}\n" for line in [*lines.values(), f"{digest}  {path}"]))


def require_trusted(path: Path, source: bytes, name: str) -> None:
    """Say that the code of a file runs now, or refuse it. name: of the backbone that it defines.

    Raises WeightsError where nobody said that these bytes may run.
    """
    digest = hashlib.sha256(source).hexdigest()
    if digest not in _of_this_process():
        if os.environ.get(ALL) != "1" and digest not in _remembered():
            raise WeightsError(
                f"{path}: its code would run, since {name!r} is named as the backbone, and nobody has said that it "
                f"may. Read it; then give --trust-code, which is remembered for these bytes (SHA-256 {digest[:12]}..)."
            )
        trust(path, source)
        tell(f"running the code of {path} (SHA-256 {digest[:12]}.., trusted)")


def _of_this_process() -> list[str]:
    return os.environ.get(SOME, "").split()


def _remembered() -> dict[str, str]:
    """Digest -> its line."""
    file = memory()
    try:
        text = file.read_text(encoding="utf-8") if file else ""
    except (OSError, UnicodeDecodeError):
        return {}
    return {line.split()[0]: line for line in text.splitlines() if line.split()}
