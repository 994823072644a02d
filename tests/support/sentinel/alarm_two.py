"""A training in two processes for `test_sentinel`, of which the second gets black images: both are to stop."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from headstart.batches.batch import Batch
from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.train.distributed import joined
from headstart.train.sentinel import Alarm
from support.sentinel import runs

usual = Batches.batch


def black(self: Batches, t: int, part: slice = slice(None)) -> Batch:
    batch = usual(self, t, part)
    return replace(batch, images=torch.zeros_like(batch.images)) if part.start else batch


def main(images: Path, out: Path) -> None:
    torch.set_num_threads(1)
    with joined("cpu") as world, mock.patch.object(Batches, "batch", black):
        try:
            run = runs.Run("linear", ImageSet.open(images), runs.random_backbone(), True)
            run.train(out / f"state{world.rank}", world=world)
        except Alarm as alarm:
            (out / f"alarm{world.rank}.txt").write_text(str(alarm))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
