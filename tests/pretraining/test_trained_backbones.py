"""A pre-training may change its backbone: the name says so, and what starts from it has the same network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from headstart.config.study import Study
from headstart.errors import WeightsError
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.naming import trained_name
from headstart.pretraining.settings import PretrainPlace, PretrainSettings
from headstart.pretraining.training import pretrain
from headstart.progress import silent
from headstart.recipes.changes import changed
from headstart.recipes.pretraining import load_recipe
from headstart.study.plan import Planner
from headstart.tasks.starts import start_of
from headstart.weights.cards import resolve
from headstart.weights.starts import StartPlace, StartSettings
from headstart.world.shapes import draw_set
from support.features import equal, features

RECIPE = {"name": "dcn", "updates": 1, "batch_size": 1, "lr": 1e-3, "head": "faster-rcnn", "channels": 8}


def test_a_pretraining_may_change_its_backbone(tmp_path: Path) -> None:
    training = {**RECIPE, "neck": "dc5", "deformable": ["C5"], "modulated": False}
    for name in ("name", "updates"):
        training.pop(name)
    dcn = {
        "name": "dcn",
        "version": 1,
        "about": "",
        "source": "",
        "command": "",
        "supervision": "boxes",
        "backbone": "resnet18",
        "epochs": 1,
        "sampling": {"layout": "fixed", "size": 64},
        "training": training,
    }
    study = {
        "name": "s",
        "seeds": [0],
        "backbone": "resnet26",
        "sets": {"base": {"world": "base", "count": 8, "size": 64}, "test": {"world": "novel", "count": 8, "size": 64}},
        "pretraining": {"dcn": {"images": "base", "recipe": dcn}},
        "weights": [{"name": "made", "pretraining": "dcn"}],
        "tasks": [
            {"name": "t", "kind": "detect", "train": ["test"], "test": ["test"], "recipe": {**RECIPE, "name": "plain"}}
        ],
    }
    planner = Planner(Study.model_validate(study), tmp_path)
    name = "resnet26[deformable=C5,modulated=no,output_stride=16]"
    assert planner.origins.backbone("dcn") == name
    assert planner.origins.job("dcn", 0).settings.weights.identity["backbone"] == "resnet26"
    (tmp_path / "my.py").write_text("")
    own_net = Planner(Study.model_validate(study | {"backbone": "my.py:build"}), tmp_path)
    with pytest.raises(WeightsError, match=r"^pretraining\.dcn\.recipe: `deformable` changes the backbone, .*my\.py"):
        own_net.origins.job("dcn", 0)


@pytest.mark.parametrize("batch_norm", ["train", "group"])
def test_a_study_transfers_the_network_that_it_pretrained(tmp_path: Path, batch_norm: str) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir(), (out / "resume").mkdir(parents=True)
    draw_set("base", 4, 0, 48, out=images, progress=silent)
    changes = {
        "epochs": 1,
        "sampling.size": 48,
        "training": {
            "batch_size": 2,
            "lr": 0.1,
            "sentinel": False,  # of two updates, this rate is to be seen in the offsets
            "head": "faster-rcnn",
            "neck": "dc5",
            "deformable": ["C4", "C5"],
            "proposals": 8,
            "rois": 4,
            "batch_norm": batch_norm,
        },
    }
    name = trained_name("shapes-resnet", ("C4", "C5"), True, "dc5", where="", batch_norm=batch_norm)
    assert name == f"shapes-resnet[deformable=C4+C5{',norm=group' if batch_norm == 'group' else ''}]"
    spec = resolve("random:shapes-resnet")
    where = StartPlace(str(tmp_path), spec)
    settings = PretrainSettings(
        changed(load_recipe("shapes-boxes"), changes),
        StartSettings(spec.identity(), seed=0),
        None,
        seed=0,
        threads=1,
        device="cpu",
    )
    pretrain(settings, PretrainPlace("made", "drawings", where), {"images": images}, out, silent)
    stored = load_file(out / "backbone.safetensors")
    offsets = [v for k, v in stored.items() if ".conv2.offset." in k]
    assert len(offsets) == 4 and all(torch.count_nonzero(v) for v in offsets)  # trained, not as they start
    start, found, report = start_of(StartSettings(), StartPlace(str(tmp_path)), out, 0)
    expected = build_backbone(name)
    expected.to(memory_format=torch.channels_last).load_state_dict(stored, strict=False)
    assert start.backbone_name == found.backbone == name and report.coverage == 1.0
    assert equal(features(start.backbone), features(expected))
