"""How long networks take on this machine: measured once for an architecture, size, device and number of threads.

Times are no results: no key, no `metrics.json` holds them. What was measured stays in the cache folder, so that every
study on this machine, and `weights list`, show one number for one network. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from headstart.errors import StoreError
from headstart.places.cache import cache_folder
from headstart.store.files import read_json, write_json

LISTED_HW = (224, 224)
"""Size at which `weights list` shows times, the one that published costs are for; pixels, height and width."""


@dataclass(frozen=True)
class Timed:
    """A network in evaluation. device: "cpu", or a GPU's name. threads: of the CPU.

    ms_per_image: an image's share of a batch of `batch_size`, median over `runs`; lowest and highest of them.
    """

    backbone: str
    backbone_digest: str
    """Of a user's own code; "" for all others, whose name says all."""
    size_hw: tuple[int, int]
    device: str
    threads: int
    batch_size: int = 0
    runs: int = 0
    ms_per_image: float = 0.0
    lowest: float = 0.0
    highest: float = 0.0

    @property
    def milliseconds(self) -> str:
        """Of an image, three digits of it."""
        return f"{self.ms_per_image:.0f}" if self.ms_per_image >= 100 else f"{self.ms_per_image:.3g}"

    def words(self) -> str:
        """How it was measured, such as "96 x 96 pixels in batches of 8 on the CPU, 1 thread; median of 7"."""
        height, width = self.size_hw
        where = f"the CPU, {self.threads} thread{'s' * (self.threads > 1)}" if self.device == "cpu" else self.device
        return f"{width} x {height} pixels in batches of {self.batch_size} on {where}; median of {self.runs}"


def known(asked: Timed) -> Timed | None:
    """What was measured here of the same network, size, device and threads; None before."""
    return read_time(_path(asked))


def keep(timed: Timed) -> None:
    """Keep it for this machine, where the cache folder can be written."""
    path = _path(timed)
    with suppress(OSError, StoreError):
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = asdict(timed) | {"machine": machine()}
        write_json(path, facts | {"digest": digest_of(facts)}, durable=False)


def read_time(path: Path) -> Timed | None:
    """What a file of times says; None for a file that is not there, damaged, or of other fields."""
    with suppress(StoreError, TypeError, KeyError, AttributeError):
        facts = dict(read_json(path))
        digest = facts.pop("digest", None)  # none in the store of a run, which has digests of its files
        if digest is not None and digest != digest_of(facts):
            return None
        facts.pop("machine", None)
        timed = Timed(**facts | {"size_hw": tuple(facts["size_hw"])})
        return timed if timed.ms_per_image > 0 else None
    return None


def listed() -> dict[str, Timed]:
    """Times at `LISTED_HW` by backbone, all of one device and number of threads: that of which most are known here."""
    found = [
        timed
        for path in sorted(_folder().glob("*.json"))
        if (timed := read_time(path)) and timed.size_hw == LISTED_HW and path == _path(timed)
    ]
    places = [(timed.device, timed.threads) for timed in found]
    most = max(sorted(set(places)), key=places.count, default=None)
    return {timed.backbone: timed for timed in found if (timed.device, timed.threads) == most}


def _folder() -> Path:
    return cache_folder() / "times"


def digest_of(facts: dict[str, Any]) -> str:
    """By which a kept file is known to be as it was written."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _path(asked: Timed) -> Path:
    facts = asdict(replace(asked, batch_size=0, runs=0, ms_per_image=0.0, lowest=0.0, highest=0.0))
    text = json.dumps(facts | {"machine": machine()}, sort_keys=True)
    return _folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def machine() -> str:
    """What else times depend on: a cache folder may serve several machines."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    return f"{processor}, torch {version('torch')}"
