"""What one receives runs no code, unless somebody says that it may: proved by effect."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from headstart import api
from headstart.errors import HeadstartError
from headstart.models.backbones.building import build_backbone
from headstart.places import trust
from headstart.progress import silent
from headstart.recipes.pretraining import PretrainingOptions
from headstart.weights import native
from headstart.world.shapes import write_coco
from support.small_studies import task_text

CODE = """\
from pathlib import Path

from headstart.models.backbones.building import build_backbone

with Path(__file__).with_name("ran").open("a") as ran:
    ran.write("1")


def build():
    return build_backbone("shapes-resnet")
"""
CARD = """\
name = "received"
backbone = "net.py:build"
file = "weights.safetensors"
lineage = ["nothing"]
licence = "none"

[preprocessing]
channel_order = "rgb"
scale = 1.0
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
"""
STUDY = """\
name = "received"
seeds = [0]
bootstrap = 100

[sets]
images = { world = "base", count = 8, size = 32 }
test = { world = "base", count = 8, first = 8, size = 32 }

[[weights]]
name = "one"
uri = "random:net.py:build"
default = true

""" + task_text(
    "classify", "classify", 'name = "c", updates = 2, batch_size = 4, lr = 1e-3, head = "linear"', train="images"
)


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of code, and a card, a checkpoint, a study and a recipe that name it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(CODE)
    torch.manual_seed(0)
    backbone = build_backbone("shapes-resnet")
    with torch.no_grad():
        backbone(torch.randn(4, 3, 96, 96))
    tensors = {k: v for k, v in backbone.state_dict().items() if "num_batches" not in k}
    save_file(tensors, tmp_path / "weights.safetensors")
    (tmp_path / "card.toml").write_text(CARD)
    (tmp_path / "study.toml").write_text(STUDY)
    preprocessing = {"channel_order": "rgb", "scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}
    name = f"{tmp_path / 'net.py'}:build"
    facts = native.CheckpointFacts(
        "net", name, preprocessing, [], licence="", source="", digest=native.tensor_digest(tensors)
    )
    native.write(tmp_path / "native", tensors, facts)
    write_coco("base", 12, 0, 48, out=tmp_path / "shapes", progress=silent)
    return tmp_path


def runs(folder: Path) -> int:
    """How often the code ran."""
    return len((folder / "ran").read_text()) if (folder / "ran").exists() else 0


def model_of(folder: Path) -> Path:
    """The folder of a model that names the code, as one receives it."""
    options = PretrainingOptions("random:net.py:build", folder / "made", loaders=0, threads=1, on_empty_class="skip")
    made = api.pretrain("shapes", "shapes-boxes", options, changes=["epochs=1"], quiet=True)
    shutil.move(made.folder / "model", folder / "model")
    (folder / "ran").unlink()
    Path(trust.memory()).unlink()
    os.environ.pop(trust.SOME)
    return folder / "model"


RECEIVED: dict[str, Callable[..., Any]] = {
    "show a card": lambda **more: api.describe_weights("card.toml", **more),
    "verify a card": lambda **more: api.verify_weights("card.toml", **more),
    "load a card": lambda **more: api.load_backbone("card.toml", **more),
    "import a card": lambda **more: api.import_weights("card.toml", "imported", **more),
    "show a checkpoint": lambda **more: api.describe_weights("native", **more),
    "verify a checkpoint": lambda **more: api.verify_weights("native", **more),
    "export a checkpoint": lambda **more: api.export_weights("native", "a.pth", "torchvision", **more),
    "pretrain from a card": lambda **more: api.pretrain(
        "shapes",
        "shapes-boxes",
        PretrainingOptions("card.toml", Path("out"), loaders=0, threads=1, on_empty_class="skip", **more),
        changes=["epochs=1"],
        quiet=True,
    ),
}


@pytest.mark.parametrize("what", RECEIVED)
def test_code_that_is_received_does_not_run(received: Path, what: str) -> None:
    with pytest.raises(HeadstartError, match=r"net\.py: its code would run, since .*net\.py:build.* --trust-code"):
        RECEIVED[what]()
    assert runs(received) == 0


def test_it_runs_once_somebody_says_so_and_that_is_remembered(
    received: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.load_backbone("card.toml", trust_code=True).backbone
    assert runs(received) > 0 and f"running the code of {received / 'net.py'}" in capsys.readouterr().err
    monkeypatch.delenv(trust.SOME)  # another process
    assert api.load_backbone("card.toml").backbone
    (received / "net.py").write_text(CODE + "# changed\n")
    with pytest.raises(HeadstartError, match="its code would run"):
        api.load_backbone("card.toml")
    assert trust.ALL not in os.environ


@pytest.mark.parametrize("uri", ["random:net.py:build", "file:weights.safetensors@net.py:build"])
def test_code_that_the_caller_names_runs(received: Path, uri: str) -> None:
    assert api.load_backbone(uri).backbone and runs(received) > 0


def test_a_model_that_is_received_does_not_run(received: Path) -> None:
    model = model_of(received)
    Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(received / "a.png")
    assert json.loads((model / "model.json").read_text())["backbone"].endswith("net.py:build")
    for use in (lambda: api.predict(model, received / "a.png"), lambda: api.load_model(model)):
        with pytest.raises(HeadstartError, match="its code would run"):
            use()
    assert runs(received) == 0
    assert api.predict(model, received / "a.png", trust_code=True).count == 1 and runs(received) > 0


@pytest.mark.slow
def test_a_study_that_is_received_does_not_run(received: Path) -> None:
    command = [sys.executable, "-m", "headstart", "run", "study.toml", "--quiet", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, runs(received)) == (2, 0), done.stderr
    assert "net.py: its code would run" in done.stderr and "Traceback" not in done.stderr
    assert not (received / "runs/received/store").exists(), "it is known before the first job"
    done = subprocess.run([*command, "--trust-code"], capture_output=True, text=True)
    assert done.returncode == 0 and runs(received) > 0, done.stderr


def test_without_a_home_it_is_not_remembered(received: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(received / "net.py"))  # no folder: nothing can be made in it
    assert api.load_backbone("card.toml", trust_code=True).backbone
    monkeypatch.delenv(trust.SOME)
    with pytest.raises(HeadstartError, match="its code would run"):
        api.load_backbone("card.toml")
