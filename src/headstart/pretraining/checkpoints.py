"""What is done at every checkpoint: evaluation on the validation images, and the best model kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.names import metric
from headstart.pretraining.sources import KINDS, PROTOCOL
from headstart.progress import Progress
from headstart.store.files import read_json, write_json
from headstart.store.sealing import seal_piece, unseal_pieces
from headstart.tasks.table import trained_task

FILE, EARLY = "checkpoints.json", "early.safetensors"


class Checkpoints:
    """The checkpoints of one training under `out`; process 0 writes them.

    `evaluate` gives the scores of the model as it is now; `save` keeps it as the best. A checkpoint that is taken
    again, after a kill, gives the same and replaces what was written of it.
    """

    def __init__(
        self,
        out: Path,
        leads: bool,
        updates: int,
        evaluate: Callable[[], dict[str, float]],
        *,
        save: Callable[[Path], None],
        progress: Progress,
    ) -> None:
        self.out, self.path, self.best = out, out / FILE, out / "best"
        self.leads, self.updates = leads, updates
        self.evaluate, self.save, self.progress = evaluate, save, progress
        self.taken: list[dict[str, Any]] = read_json(self.path) if self.path.is_file() else []

    def take(self, step: int) -> None:
        """Evaluate after `step` updates."""
        scores = self.evaluate()
        if not scores:
            return
        # What a kill left of later checkpoints is no part of this training yet.
        self.taken = [*(t for t in self.taken if t["update"] < step), {"update": step, **scores}]
        if not self.leads:
            return
        name = primary(scores)
        unseal_pieces(self.out)
        if all(scores[name] > t[name] for t in self.taken[:-1]):  # of equal ones the first, as `metrics` has it
            self.save(self.best)
        write_json(self.path, self.taken)
        seal_pieces(self.out)
        self.progress(step / self.updates, f"update {step}: {name} {scores[name]:.3f}")

    def metrics(self) -> dict[str, float]:
        """The last scores and the best ones."""
        if not self.taken:
            return {}
        best = max(self.taken, key=lambda t: t[primary(t)])
        return {
            f"{which}/{k}": float(v) for which, t in (("last", self.taken[-1]), ("best", best)) for k, v in t.items()
        }


def seal_pieces(out: Path) -> None:
    """Write down what is there and not made again after a stop."""
    files = [out / FILE, out / EARLY, *sorted((out / "best").glob("*"))]
    seal_piece(out, *(str(file.relative_to(out)) for file in files if file.is_file()))


def primary(scores: dict[str, Any]) -> str:
    """The score that checkpoints are compared by."""
    ranked = [name for kind in KINDS.values() for name in trained_task(kind).ranked_by(PROTOCOL)]
    names = (*ranked, metric("cls", "map"))  # the last: of several labels an image
    return next(name for name in names if name in scores)
