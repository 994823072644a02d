"""Study files, recipes and weights cards."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random

from support.fuzz.changes import either, of_bytes, of_lines, of_words
from support.fuzz.target import Case, Target
from support.fuzz.trees import of_toml

TEXTS = either(of_toml, of_toml, of_toml, of_words, of_lines, of_bytes)
STUDY = b"""
name = "small"
title = "Two candidates"
seeds = [0, 1]
bootstrap = 100

[sets]
pretraining = { world = "base", count = 60 }
novel-train = { world = "novel", count = 40 }
novel-test = { world = "novel", count = 40, first = 1000 }
own = { path = "data:lying", task = "detect", role = "train", size_hw = [64, 64], images = 20, read = { shots = 5 } }
own-test = { path = "data:lying", task = "detect", role = "test", size_hw = [64, 64], images = 20 }
lying = { path = "data:lying/images", splits = ["train"], images = 20 }

[data.lying]
what = "Drawn images"
layout = "coco"
get = "example.org"
gigabytes = 0.1

[pretraining.labels]
images = "pretraining"
recipe = "shapes-labels"
early = 0.3
changes = { epochs = 2, "training.precision" = "auto" }

[pretraining.boxes]
images = "pretraining"
recipe = "shapes-boxes"
start = "labels"

[[weights]]
name = "labels"
pretraining = "labels"
default = true

[[weights]]
name = "boxes"
pretraining = "boxes"
start = "detector"
times = 2.0

[[weights]]
name = "random"
uri = "random:shapes-resnet"

[[tasks]]
name = "detect"
kind = "detect"
train = ["novel-train"]
val = ["novel-test"]
test = ["novel-test"]
limit = 16
only = ["labels", "random"]
[tasks.recipe]
name = "searched"
updates = 30
batch_size = 32
rates = [1e-3, 2e-3, 4e-3]
head = "fcos"

[[tasks]]
name = "probe"
kind = "probe"
train = ["novel-train"]
test = ["novel-test"]

[explain]
boxes = "boxes"
labels = "labels"
random = "random"
images = "novel-test"
statistics = "novel-train"
probe = "probe"
"""
CARD = b"""
name = "kept"
backbone = "shapes-resnet"
file = "kept.safetensors"
checkpoint_key = "state_dict"
key_prefix = "module."
norm_eps = 1e-3
lineage = ["ImageNet-1k labels"]
licence = "MIT"
source = "drawn"
variant = ""
first_convolution = "repeat"
ignore = ["fc."]

[preprocessing]
channel_order = "rgb"
scale = 0.00392156862745098 # 1 / 255
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
"""


def _plan(folder: Path, draw: Random) -> None:
    """As `plan` does up to the jobs, and of a tenth to its end, which takes twenty times as long."""
    from headstart import api
    from headstart.study.files import load_study

    load_study(str(folder / "study.toml"))
    if draw.random() < 0.1:
        api.plan_study(folder / "study.toml", folder / "run", device="cpu", tree=draw.random() < 0.2).text()


def _studies(_: Path) -> list[Case]:
    from headstart.config.study import builtin_studies_folder

    changes = {"study.toml": TEXTS}
    shapes = (builtin_studies_folder() / "shapes.toml").read_bytes()
    small = Path(__file__).parents[3] / "examples" / "starts.toml"
    texts = {"small": STUDY, "starts": small.read_bytes(), "small again": STUDY, "shapes": shapes}
    return [Case(name, {"study.toml": text}, changes, _plan) for name, text in texts.items()]


def _recipe(folder: Path, draw: Random) -> None:
    """As `pretrain --recipe FILE --supervision .. --set ..` reads it."""
    from headstart.recipes.changes import changed_recipe

    changes = draw.choice(
        ([], [], ["training.batch_size=8"], ["sampling.size=64", 'training.head="linear"'], ["a.b=[1"])
    )
    asked = draw.choice((None, None, "boxes", "labels"))
    changed_recipe(str(folder / "recipe.toml"), asked, changes).identity()  # type: ignore[arg-type]


def _recipes(_: Path) -> list[Case]:
    from headstart.recipes.pretraining import builtin_names, load_recipe

    assert load_recipe("sniper-coco")
    folder = Path(__file__).parents[3] / "src" / "headstart" / "recipes" / "builtin"
    texts = {name: (folder / f"{name}.toml").read_bytes() for name in builtin_names()}
    return [Case(name, {"recipe.toml": text}, {"recipe.toml": TEXTS}, _recipe) for name, text in texts.items()]


def _card(folder: Path, draw: Random) -> None:
    """As `weights show CARD` does up to the values, and now and then to its end."""
    from headstart import api
    from headstart.weights.cards import resolve

    resolve(str(folder / "card.toml"), folder, offline=True)
    if draw.random() < 0.05:
        api.describe_weights(folder / "card.toml").text()


def _cards(_: Path) -> list[Case]:
    empty = struct.pack("<Q", 2) + b"{}"
    code = b"raise SystemError('this was run')\n"
    files = {"card.toml": CARD, "kept.safetensors": empty, "own.py": code}
    own = CARD.replace(b'"shapes-resnet"', b'"own.py:network"')
    changes = {"card.toml": TEXTS}
    return [Case("built-in", files, changes, _card), Case("own code", {**files, "card.toml": own}, changes, _card)]


SETTINGS = (Target("study", _studies, networks=True), Target("recipe", _recipes), Target("card", _cards, networks=True))
