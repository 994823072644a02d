"""Studies of the pages, in miniature, and runs of them."""

from __future__ import annotations

import shutil

from support.documents.commands import block_after
from support.documents.place import DOCS, Place, changed

SMALL = """\
name = "small"
seeds = [0]
bootstrap = 100

[sets]
images = { world = "base", count = 16, size = 48 }
train = { world = "novel", count = 24, size = 48 }
test = { world = "novel", count = 16, first = 100, size = 48 }

[pretraining.labels]
images = "images"
recipe = "shapes-labels"
changes = { epochs = 1, sampling.size = 48, training.batch_size = 8 }

[[weights]]
name = "labels"
pretraining = "labels"
default = true

[[weights]]
name = "random"
uri = "random:shapes-resnet"

[[tasks]]
name = "detect"
kind = "detect"
train = ["train"]
test = ["test"]
recipe = { name = "d", updates = 3, batch_size = 8, lr = 4e-3, head = "fcos", channels = 16 }
"""


def small_study(place: Place, name: str) -> None:
    (place / name).write_text(SMALL)


def other_study(place: Place, name: str) -> None:
    (place / name).write_text(SMALL.replace('"small"', '"other"').replace("[0]", "[1]"))


def small_run(place: Place, name: str) -> None:
    """All that it makes is kept."""
    place.need("study.toml")
    place.run(f"run study.toml --out {name} --keep all")


def copied_run(place: Place, name: str) -> None:
    place.need("RUN")
    shutil.copytree(place / "RUN", place / name)


def changed_run(place: Place, name: str) -> None:
    """Its study has another rate now."""
    copied_run(place, name)
    study = place / name / "study.toml"
    study.write_text(changed(study.read_text(), {"4e-3": "2e-3"}))


def shared_store(place: Place, name: str) -> None:
    """No run uses it any more."""
    place.need("study.toml")
    place.run(f"run study.toml --out of-{name} --store {name}")
    shutil.rmtree(place / f"of-{name}")


def copied_store(place: Place, name: str) -> None:
    place.need("STORE")
    shutil.copytree(place / "STORE", place / name)


def run_of_boxes(place: Place, name: str) -> None:
    """With a pre-training `boxes`."""
    (place / "mine.toml").write_text(SMALL.replace("labels", "boxes"))
    place.run(f"run mine.toml --out {name}")


def finished_training(place: Place, name: str) -> None:
    """By the command that the page shows further down."""
    place.need("shapes")
    place.run(f"pretrain shapes --recipe shapes-labels --threads 1 --set epochs=12 --out {name}")


def compared(place: Place, name: str) -> None:
    for needed in ("voc_bccd", "W1"):
        place.need(needed)
    place.run(f"compare voc_bccd --on-bad-box skip -w W1 -w random:shapes-resnet --no-explain --out {name}")


def chain(place: Place, name: str) -> None:
    """As the page has it."""
    place.need("shapes")
    (place / name).write_text(block_after(DOCS / "pretraining.md", 'name = "chain"'))


def whole_study(place: Place, name: str) -> None:
    """As the page has it, with sets, one seed, one rate and three updates."""
    place.need("rtdetr-drawn")
    place.need("dfine-random")
    sets = "".join(
        f'{part} = {{ world = "novel", count = {count}, first = {first}, size = 64 }}\n'
        for part, count, first in (("train", 16, 0), ("val", 8, 20), ("test", 8, 40))
    )
    shown = block_after(DOCS / "whole-detectors.md", "[[weights]]").partition("$ headstart")[0]
    text_of = f'name = "whole"\nseeds = [0]\nbootstrap = 100\n\n[sets]\n{sets}\n{shown}'
    other = {"updates = 60": "updates = 3", "rates = [1.0, 3.0, 10.0]": "lr = 1.0"}
    (place / name).write_text(changed(text_of, other))
