"""Commands that are killed or whose files are damaged: small runs of a study and of pre-trainings, and what of their
folders must not depend on it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.store.files import TEMPORARY
from support.drawn_layouts import as_coco, drawn_images
from support.forked import Forks
from support.kill_points import Chosen, Trial, run
from support.small_studies import LABELS_AND_RANDOM, task_text

STUDY = (
    """\
name = "small"
seeds = [0]
backbone = "shapes-resnet"
bootstrap = 100

[sets]
images = { world = "base", count = 8, size = 32 }
test = { world = "base", count = 8, first = 8, size = 32 }

[pretraining.labels]
images = "images"
early = 0.5
recipe = "shapes-labels"
changes = { epochs = 1, sampling.size = 32, training.batch_size = 4 }

"""
    + LABELS_AND_RANDOM
    + task_text(
        "classify", "classify", 'name = "c", updates = 2, batch_size = 4, lr = 1e-3, head = "linear"', train="images"
    )
)

ABOUT = """\
version = 1
about = "Three updates on 48 pixels, evaluated twice"
source = "ours, to be killed"
command = "headstart pretrain DATA"
backbone = "shapes-resnet"
keep = 2
"""
BOXES = """\
name = "boxes"
supervision = "boxes"
epochs = 2
checkpoint_epochs = 1
sampling = { layout = "whole", size = 48, scales = [{ kind = "longest", value = 48 }] }
training = { batch_size = 4, lr = 1e-3, head = "fcos", channels = 8 }
"""
LABELS = """\
name = "labels"
supervision = "labels"
epochs = 2
checkpoint_epochs = 1
sampling = { layout = "crops", size = 48 }
training = { batch_size = 4, lr = 1e-3, head = "linear" }
"""
CHIPS = """\
name = "chips"
supervision = "boxes"
epochs = 0.5
checkpoint_epochs = 0.25
inference = [{ kind = "longest", value = 48 }]
[sampling]
layout = "chips"
size = 48
window = 16
negatives = 1
proposal_epochs = 0.2
scales = [{ kind = "longest", value = 72, hi = 40 }, { kind = "longest", value = 48, lo = 20 }]
[training]
batch_size = 4
lr = 1e-3
head = "faster-rcnn"
channels = 8
anchors = [8, 16, 32, 48]
proposals = 20
rois = 8
"""
FILES = {"small.toml": STUDY, "boxes.toml": ABOUT + BOXES, "labels.toml": ABOUT + LABELS, "chips.toml": ABOUT + CHIPS}
IMAGES = 8
"""Drawn; a quarter of them validates."""


@dataclass(frozen=True)
class Subject:
    """A command, run in a folder of `FILES`: its words, and the folder in it that it writes."""

    name: str
    words: tuple[str, ...]
    out: str = "out"
    environment: tuple[tuple[str, str], ...] = (("HEADSTART_SAVE_SECONDS", "0"), ("OMP_NUM_THREADS", "1"))

    def prepare(self, folder: Path) -> Path:
        """Write what the command reads, the images beside the folder, once for all trials of a module."""
        data = folder.parent / "drawn"
        if self.name != "run" and not data.is_dir():
            as_coco(drawn_images(folder.parent / "drawing", IMAGES), data)
        folder.mkdir(exist_ok=True)
        for name, text in FILES.items():
            (folder / name).write_text(text)
        return folder

    def run(self, folder: Path, at: int | Chosen = 0, forks: Forks | None = None) -> Trial:
        """The command, killed at its `at`-th operation, or with an error there; in a process of its own, or forked."""
        chosen = at if isinstance(at, Chosen) else Chosen(at)
        if forks is not None:
            return forks.run([*self.words], folder / self.out, folder, chosen)
        command = [sys.executable, "-m", "headstart", *self.words]
        return run(command, folder / self.out, folder, chosen, dict(self.environment))

    def forks(self, folder: Path) -> Forks:
        """What starts its trials; the command runs once in that process, before."""
        notes = folder.parent / f"forks-{self.name}"
        notes.mkdir()
        warmed = self.prepare(folder.parent / f"warmed-{self.name}")
        words = [str(warmed / word) if word == self.out or word.endswith(".toml") else word for word in self.words]
        return Forks(notes, [words], dict(self.environment))


def a_pretraining(name: str) -> Subject:
    """`headstart pretrain` with the recipe of that name."""
    flags = ("--loaders", "0", "--threads", "1", "--device", "cpu", "--on-empty-class", "skip")
    return Subject(name, ("pretrain", "../drawn", "-r", f"{name}.toml", "--out", "out", *flags))


SUBJECTS = [
    Subject("run", ("run", "small.toml", "--out", "out", "--workers", "1")),
    *map(a_pretraining, ("boxes", "labels", "chips")),
]

UNSEALED = ("study.toml", "log.txt", ".lock")
"""Files beside the store that nothing vouches for; of study.toml: it is the user's, changing it is no damage."""
TIMED = ("env.json", "report.html", ".lock", "digests.json")
"""Files beside the store that say when and where."""


def results(out: Path) -> dict[str, Any]:
    """All that a run leaves but its logs, by file: its bytes, and of what has times in it the rest."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    return {
        str(p.relative_to(out)): _timeless(p, out) for p in files if p.name != "log.txt" and p.parent != out / "logs"
    }


def _timeless(path: Path, out: Path) -> Any:
    if path.parent == out and path.name in TIMED:
        return None
    if path.name == "time.json":
        return sorted(json.loads(path.read_text()))
    if path.name == "job.json":
        return {**json.loads(path.read_text()), "seconds": None}
    if path.name == "digests.json":
        return {k: v for k, v in json.loads(path.read_text()).items() if k not in ("job.json", "time.json")}
    return path.read_bytes()


def finished(out: Path) -> dict[str, int]:
    """Jobs in the store, each with what changes when it is made again: when its description was written."""
    return {path.name: (path / "job.json").stat().st_mtime_ns for path in (out / "store").glob("[!.]*")}


def strays(out: Path) -> list[Path]:
    """What should not be there when a run has ended."""
    return [
        *(path for path in out.rglob("*") if TEMPORARY.fullmatch(path.name) or path.name.startswith(".tmp")),
        *(out / "partial").glob("*"),
        *(out / "store").glob("*/resume"),
    ]


def victims(out: Path) -> Iterator[Path]:
    """Every file of a finished run that says something."""
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.name not in UNSEALED and path.parent.name != "logs" and path.stat().st_size:
            yield path.relative_to(out)


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Names of files that are not the same in both."""
    return sorted(k for k in {*first, *second} if k not in first or k not in second or first[k] != second[k])


def copy_of(whole: Path, folder: Path) -> Path:
    """A folder with all that is in another, beside it."""
    return Path(shutil.copytree(whole, folder))
