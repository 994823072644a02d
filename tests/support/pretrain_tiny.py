"""Two small pre-trainings for `test_pretrain`: alone, under torchrun, or killed in the middle."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from headstart import api
from headstart.recipes.pretraining import PretrainingOptions
from support.together import group_threads

CHANGES = ("epochs=4", "training.batch_size=4", "sampling.window=16", "checkpoint_epochs=2")


def options(out: Path, **more: object) -> PretrainingOptions:
    return PretrainingOptions(out=out, seed=1, loaders=0, threads=1, **more)  # type: ignore[arg-type]


def main(data: Path, out: Path, loaders: int, *changes: str) -> None:
    def progress(fraction: float, message: str) -> None:
        print(message, flush=True)

    asked = PretrainingOptions(out=out, seed=1, loaders=loaders, threads=1, device="cpu")
    api.pretrain(data, "shapes-chips", asked, changes=[*CHANGES, *changes], progress=progress)
    assert not group_threads(), f"those of the group are still there: {group_threads()}"


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
