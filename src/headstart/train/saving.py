"""When the state of a training is saved, and by whom."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from headstart.errors import HeadstartError
from headstart.store.files import write_json
from headstart.train.distributed import World
from headstart.train.ends import End
from headstart.train.state import History, WeightAverage, load_state, save_state

SAVE_EVERY_SECONDS = float(os.environ.get("HEADSTART_SAVE_SECONDS", "20"))
"""Between two saved states of a training: what a kill costs at most. 0 saves after every update."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Keeping:
    """States are saved every so many seconds (None: the usual), and after every multiple of so many `updates` (0: by
    time alone); the `last` so many are kept."""

    seconds: float | None = None
    updates: int = 0
    last: int = 1


USUAL = Keeping()


class Saver:
    """The state of one training under `folder`; process 0 writes it. before: the end of a training that this one goes
    on from, where it has no state of its own yet."""

    def __init__(
        self,
        folder: Path,
        keeping: Keeping,
        world: World,
        model: nn.Module,
        *,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage | None,
        key: str = "",
        before: End | None = None,
    ) -> None:
        self.folder, self.keeping, self.world = folder, keeping, world
        self.model, self.optimizer, self.average = model, optimizer, average
        self.key = key
        self.step, self.history = load_state(folder, model, optimizer, average, key=key)
        if before and not self.step:
            self.step, self.history = before.into(model, optimizer, average)
        self.saved, self._at = self.step, time.monotonic()

    def done(self, step: int, names: tuple[str, ...], losses: torch.Tensor) -> None:
        """Take in the losses (len(names),) of the update that ends `step` updates."""
        self.step, self.history = step, History(names, self.history.losses)
        self.history.losses.append(losses)

    def due(self) -> bool:
        """Whether it is time to save."""
        by_updates = self.keeping.updates and self.step % self.keeping.updates == 0
        seconds = SAVE_EVERY_SECONDS if self.keeping.seconds is None else self.keeping.seconds
        return bool(by_updates) or time.monotonic() - self._at > seconds

    def save(self) -> None:
        """Write the state, unless it is written already."""
        if self.world.leads and self.step > self.saved:
            save_state(
                self.folder,
                self.step,
                self.model,
                self.optimizer,
                history=self.history,
                average=self.average,
                last=self.keeping.last,
                key=self.key,
            )
        self.saved, self._at = self.step, time.monotonic()

    def note_images(self, image_ids: list[str]) -> None:
        """List the images of a batch whose loss was not finite, by process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = "not_finite.json" if self.world.size == 1 else f"not_finite-{self.world.rank}.json"
        facts = {"update": self.step + 1, "images": image_ids}
        write_json(self.folder / name, facts)

    def through(self, source: Iterator[Item]) -> Iterator[Item]:
        """What `source` gives; when it fails, the state is saved before the fault goes on its way."""
        while True:
            try:
                item = next(source)
            except StopIteration:
                return
            except (HeadstartError, OSError, KeyboardInterrupt):
                self.save()
                raise
            yield item
