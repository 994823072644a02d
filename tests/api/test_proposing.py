"""`compare` without weights, and with limits: what is proposed, and what is refused before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import headstart
from headstart.api.proposing import Limits, proposed
from headstart.config.study import Study
from headstart.errors import HeadstartError
from headstart.models.backbones.building import build_backbone
from headstart.places.times import LISTED_HW, Timed, keep
from headstart.store.arrays import save_tensors
from headstart.train.devices import ON_CPU
from support.small_studies import CARD


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in folders of classes."""
    folder = tmp_path_factory.mktemp("classes")
    for name, color in (("dark", 40), ("light", 200)):
        (folder / name).mkdir()
        for k in range(12):
            Image.new("RGB", (32, 32), (color, color, 10 * k)).save(folder / name / f"{k}.png")
    return folder


@pytest.fixture
def timed() -> None:
    """As if these had been timed on this machine."""
    one = Timed("resnet50", "", LISTED_HW, "cpu", 1, batch_size=8, runs=7, ms_per_image=180.0, lowest=170, highest=190)
    for backbone, milliseconds in (("resnet50", 180.0), ("resnet18", 60.0)):
        keep(replace(one, backbone=backbone, ms_per_image=milliseconds))


def compared(*args: object, **how: object) -> str:
    """What the error says."""
    with pytest.raises(HeadstartError) as said:
        headstart.compare(*args, device="cpu", offline=True, **how)  # type: ignore[arg-type]
    return str(said.value)


@pytest.mark.usefixtures("timed")
def test_what_is_within_the_milliseconds_is_proposed(capsys) -> None:
    def not_asked(uris: Sequence[str]) -> Study:
        raise AssertionError("hours are not limited")

    limits = Limits(None, 100, None, ON_CPU, None)
    assert proposed(limits, not_asked, quiet=False) == [
        "tv:ResNet18_Weights.IMAGENET1K_V1",
        "random:resnet18",
    ]
    told = capsys.readouterr().err
    assert "no weights named; proposed, all resnet18:" in told and "-w random:resnet18" in told
    how = "an image of 224 x 224 pixels in batches of 8 on the CPU, 1 thread; median of 7"
    assert f"  not resnet50: 180 ms: {how}\n" in told and "resnet34" not in told, "of as many kinds it is the fastest"


@pytest.mark.usefixtures("timed")
def test_nothing_is_within_the_milliseconds(classes: Path) -> None:
    said = compared(classes, max_ms=50, quiet=True)
    assert said.startswith("no public weights are within these limits. Widen them") and "\nresnet18: 60 ms" in said


@pytest.mark.usefixtures("timed")
def test_named_weights_beyond_a_limit(classes: Path) -> None:
    named = ["tv:ResNet50_Weights.IMAGENET1K_V2", "moco-v2-r50-800ep", "random:resnet50"]
    said = compared(classes, named, license="commercial")
    assert said.startswith("--license commercial forbids ") and "(cc-by-nc-4.0). Leave these out" in said
    assert "tv:" not in said and "random:" not in said
    said = compared(classes, named, max_ms=100)
    assert said.startswith("--max-ms 100: resnet50 takes 180 ms: an image of 224 x 224 pixels")
    assert "no weights have the license 'gpl'" in compared(classes, named, license="gpl")


@pytest.mark.slow
def test_hours_are_measured_before_anything_is_trained(classes: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("card.toml").write_text(CARD)
    save_tensors(Path("weights.safetensors"), build_backbone("shapes-resnet", Path()).state_dict(), {})
    said = compared(classes, ["random:shapes-resnet", "card.toml"], seeds=2, budget="quick", max_hours=0, quiet=True)
    assert re.match(r"--max-hours 0: the comparison takes up to about [0-9.e-]+ hours. Allow more", said)
    assert not Path("runs").exists()
