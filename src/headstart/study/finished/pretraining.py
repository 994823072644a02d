"""What came of a pre-training, in lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.store.files import read_json
from headstart.store.store import Store
from headstart.study.jobs import Job
from headstart.weights import native


@dataclass(frozen=True, repr=False)
class Pretrained:
    """Where the results are: the run, the job's folder in its store, the backbone's file; the metrics, and the same in
    lines (only of process 0)."""

    out: Path
    folder: Path
    weights: Path
    metrics: dict[str, Any]
    lines: list[str]

    def __repr__(self) -> str:
        return f"<pre-training in {self.out}: use it as {f'run:{self.out}'!r}>"

    def text(self) -> str:
        """As `headstart pretrain` prints it."""
        return "\n".join(self.lines)


def finished(job: Job, store: Store, note: str, *, leads: bool) -> Pretrained:
    """What is there, in lines."""
    folder = store.path(job.name)
    metrics = read_json(folder / "metrics.json")
    file = folder / native.FILE
    if not leads:
        return Pretrained(store.root, folder, file, metrics, lines=[])
    counts = ", ".join(
        f"{value:.1f} {name.removeprefix('train/number_of_').replace('_', ' ')}"
        for name, value in metrics.items()
        if name.startswith("train/number_of_")
    )
    falling = ", still falling" if metrics["train/not_converged"] else ""
    lines = [
        *([f"nothing to do: {note}"] if note else []),
        f"loss: {metrics['train/loss_first']:.3f} at first, {metrics['train/loss_last']:.3f} at last, over "
        f"{metrics['train/updates']:.0f} updates{falling}",
        *([f"an update saw {counts}"] if counts else []),
    ]
    for which, words in (("last", "validation, last"), ("best", "validation, best")):
        scores = {k.partition("/")[2]: v for k, v in metrics.items() if k.startswith(f"{which}/")}
        if scores:
            said = ", ".join(f"{k} {v:.3f}" for k, v in scores.items() if k != "update")
            lines.append(f"{words} (update {scores['update']:.0f}): {said}")
    facts = native.read_facts(file)
    lines += [
        f"weights: {file} ({facts.backbone}); use them as run:{store.root}",
        f"lineage: {', then '.join(facts.lineage)}",
        f"with its head: headstart predict {folder / 'model'} IMAGES",
    ]
    return Pretrained(store.root, folder, file, metrics, lines=lines)
