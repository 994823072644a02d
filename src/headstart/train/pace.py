"""How fast a training goes and how much memory its process has taken, for who watches it. Imports no torch."""

from __future__ import annotations

import re
import resource
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headstart.terminal import bytes_text

if TYPE_CHECKING:
    import torch

_WORDS = re.compile(r"update (\d+)/(\d+), loss (\S+?)(?:, ([\d.]+) images/s)?(?:, [\d.]+ [kMGT]?B)?$")


@dataclass(frozen=True)
class Update:
    """What a training says of itself; `str` makes the words, which go wherever progress is told, and `read` reads
    them."""

    step: int
    """Updates done."""
    updates: int
    """Of all."""
    loss: float
    images_per_second: float | None = None
    """Trained on by all processes together; None where it is not known yet."""
    memory: int = 0
    """Bytes that the process has taken at most; 0 where it is not known."""

    @property
    def fraction(self) -> float:
        """Done of the training, 0..1."""
        return self.step / self.updates

    def __str__(self) -> str:
        words = f"update {self.step}/{self.updates}, loss {self.loss:.3f}"
        if (rate := self.images_per_second) is not None:
            words += f", {rate:.{2 if rate < 10 else 1 if rate < 100 else 0}f} images/s"
        return f"{words}, {bytes_text(self.memory)}" if self.memory else words

    @staticmethod
    def read(words: str) -> Update | None:
        """Of such words, whatever stands in front of them, without the memory; None of others."""
        found = _WORDS.search(words)
        if found is None:
            return None
        rate = float(found[4]) if found[4] else None
        return Update(int(found[1]), int(found[2]), float(found[3]), rate)


class Pace:
    """Of one training, from where it begins or goes on."""

    def __init__(self, updates: int, batch_size: int, device: torch.device) -> None:
        self.updates, self.batch_size, self.device = updates, batch_size, device
        self._step, self._at = 0, 0.0

    def told(self, step: int, loss: float) -> Update:
        """What there is to say after `step` updates. The rate is that since it was asked before: not known at first."""
        now, before = time.monotonic(), self._at
        images = (step - self._step) * self.batch_size
        rate = images / max(now - before, 1e-9) if before else None
        self._step, self._at = step, now
        return Update(step, self.updates, loss, rate, memory=taken(self.device))


def taken(device: torch.device) -> int:
    """Bytes: the most that tensors of this process had on its GPU, or that the process had of the machine's memory."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
