"""Folders of whole detectors: what is read of them without torch, and what is refused with what to do."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from headstart.config.study import Task
from headstart.errors import StudyError, WeightsError
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.models.whole.families import FAMILIES, UNIT, InputSize, split_whole
from headstart.models.whole.network import module_of
from headstart.recipes.schema import recipe_of
from headstart.study.files import absolute_uri
from headstart.study.planning.whole import recipe_of_candidate, require_backbone
from headstart.weights.cards import resolve, uri_of
from headstart.weights.detectors.whole import input_of, is_whole

HF = {"model_type": "rt_detr_v2", "architectures": ["RTDetrV2ForObjectDetection"]}


def folder(path: Path, config: Any = HF, **files: Any) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    (path / "model.safetensors").write_bytes(b"weights")
    for name, value in files.items():
        (path / f"{name}.json").write_text(json.dumps(value))
    return path


def test_a_folder_is_known_without_torch(tmp_path):
    where = folder(tmp_path / "mine", preprocessor_config={"do_normalize": False, "size": {"height": 96, "width": 96}})
    (where / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A detector\n")
    spec = resolve(uri_of(f"{where}#whole"))
    assert (spec.name, spec.kind, spec.licence) == ("mine-whole", "file", "apache-2.0")
    assert spec.uri == f"file:{where}#whole" and spec.file == str(where / "model.safetensors")
    assert spec.preprocessing == UNIT and spec.backbone == f"{where}/config.json:rt_detr_v2@96"
    assert spec.identity()["backbone"] == "rt_detr_v2@96", "keys hold no folders"
    shutil.copytree(where, tmp_path / "there" / "mine")
    moved = resolve(f"file:{tmp_path}/there/mine#whole")
    assert moved.identity() == spec.identity()
    other = resolve(f"file:{folder(tmp_path / 'other', HF | {'d_model': 128})}#whole")
    assert other.identity()["backbone_digest"] != spec.identity()["backbone_digest"]
    random = resolve(f"random:{where}#whole")
    assert (random.kind, random.file, random.preprocessing) == ("random", None, UNIT)
    again = resolve(f"random:{random.backbone}")
    assert (again.kind, again.backbone, again.backbone_digest) == ("random", random.backbone, random.backbone_digest)


def test_names_hold_from_any_folder(tmp_path):
    assert absolute_uri("file:mine#whole", tmp_path) == f"file:{tmp_path}/mine#whole"
    assert absolute_uri("random:mine#whole", tmp_path) == f"random:{tmp_path}/mine#whole"
    assert uri_of("nowhere#whole") == "nowhere#whole"


@pytest.mark.parametrize(
    ("values", "preprocessing", "size"),
    [
        ({}, IMAGENET, InputSize(800, 1333)),
        ({"do_normalize": False}, UNIT, InputSize(800, 1333)),
        ({"size": {"shortest_edge": 480}}, IMAGENET, InputSize(480, 1333)),
        ({"size": {"shortest_edge": 480, "longest_edge": 640}}, IMAGENET, InputSize(480, 640)),
        ({"size": {"height": 512, "width": 512}}, IMAGENET, InputSize(512)),
        (
            {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "do_rescale": False},
            Preprocessing("rgb", 1.0, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
            InputSize(800, 1333),
        ),
    ],
)
def test_how_images_are_taken(tmp_path, values, preprocessing, size):
    path = tmp_path / "preprocessor_config.json"
    assert input_of(path, FAMILIES["detr"]) == (IMAGENET, InputSize(800, 1333))
    path.write_text(json.dumps(values))
    assert input_of(path, FAMILIES["detr"]) == (preprocessing, size)


def test_how_families_take_images():
    """Golden: of their own image processors in transformers 5.24."""
    found = {name: (family.preprocessing == UNIT, str(family.input)) for name, family in FAMILIES.items()}
    assert found == {
        "rt_detr_v2": (True, "640"),
        "d_fine": (True, "640"),
        "rf_detr": (False, "560"),
        "lw_detr": (False, "640"),
        "deformable_detr": (False, "800-1333"),
        "detr": (False, "800-1333"),
    }


@pytest.mark.parametrize(
    ("size", "image", "times", "step", "expected"),
    [
        (InputSize(640), (300, 500), 1.0, 32, (640, 640)),
        (InputSize(560), (300, 500), 1.1, 56, (616, 616)),
        (InputSize(640), (300, 500), 0.75, 32, (480, 480)),
        (InputSize(800, 1333), (480, 640), 1.0, 32, (800, 1056)),  # 800 x 1066.7
        (InputSize(800, 1333), (480, 1280), 1.0, 32, (512, 1344)),  # 499.9 x 1333
        (InputSize(800, 1333), (480, 640), 0.6, 32, (480, 640)),
    ],
)
def test_sizes_of_inputs(size, image, times, step, expected):
    assert size.of(image, times, step) == expected
    assert InputSize.parse(str(size)) == size


def test_names_of_whole_detectors():
    name = split_whole("/a/config.json:rf_detr@560")
    assert name and (name.config, name.family.words, name.input) == ("/a/config.json", "RF-DETR", InputSize(560))
    assert str(name) == "/a/config.json:rf_detr@560" and name.in_folder() == "config.json:rf_detr@560"
    assert not any(map(is_whole, ("resnet50", "a.py:f", "config.json:resnet@3", "resnet50[norm=group]")))


VIT = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
FAULTS = {
    "not a detector": (
        VIT,
        r"ViTForImageClassification of the kind 'vit', .* Those are: RT-DETRv2 \(rt_detr_v2\), D-FINE",
    ),
    "another part": (HF | {"architectures": ["RTDetrV2Model"]}, "RTDetrV2Model, not RTDetrV2ForObjectDetection"),
    "unknown": ({"model_type": "yolo_world"}, "a network of the kind 'yolo_world', which is no whole detector"),
    "no kind": ({}, "of the kind None"),
    "no JSON": ("{", "cannot be read"),
    "a list": ("[]", "not a table of settings"),
}


@pytest.mark.parametrize("config, said", FAULTS.values(), ids=FAULTS)
def test_what_is_no_whole_detector_is_refused(tmp_path, config, said):
    with pytest.raises(WeightsError, match=said):
        resolve(f"file:{folder(tmp_path, config)}#whole")


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere: no such folder. Give the folder that save_pretrained wrote"):
        resolve(f"file:{tmp_path}/nowhere#whole")
    with pytest.raises(WeightsError, match=r"no config\.json"):
        resolve(f"file:{tmp_path}#whole")
    (tmp_path / "config.json").write_text(json.dumps(HF))
    with pytest.raises(WeightsError, match=r"no model\.safetensors and no model\.safetensors\.index\.json"):
        resolve(f"file:{tmp_path}#whole")
    with pytest.raises(WeightsError, match=r"is a folder of transformers\. Give its model\.safetensors as a backbone"):
        resolve(f"file:{tmp_path}")
    with pytest.raises(WeightsError, match="#whole is of file:FOLDER"):
        resolve("timm:resnet50#whole")
    with pytest.raises(WeightsError, match="not the settings of an image processor"):
        resolve(f"file:{folder(tmp_path / 'p', preprocessor_config={'size': {'height': 1, 'width': 2}})}#whole")


def test_without_transformers_its_extra_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(WeightsError, match=r"transformers, which is not installed: pip install 'headstart\[hf\]'"):
        module_of(FAMILIES["d_fine"])


def test_a_recipe_is_of_whole_detectors_or_of_backbones():
    usual = {"name": "r", "updates": 9, "batch_size": 2, "lr": 1.0}
    sets = {"kind": "detect", "train": ["a"], "test": ["b"]}
    whole = Task(name="t", recipe=recipe_of(usual | {"head": "whole"}), **sets)
    plain = Task(name="t", recipe=recipe_of(usual | {"head": "fcos"}), **sets)
    name = "/a/config.json:d_fine@640"
    assert recipe_of_candidate(plain, "w", "resnet50") == plain.recipe
    assert recipe_of_candidate(whole, "w", name).rate == pytest.approx(2.5e-4)
    with pytest.raises(StudyError, match="trains whole detectors, and w is none"):
        recipe_of_candidate(whole, "w", "resnet50")
    with pytest.raises(StudyError, match="w is a whole detector, which recipe 'r' cannot train"):
        recipe_of_candidate(plain, "w", name)
    with pytest.raises(StudyError, match="compared by detection only"):
        require_backbone("w", name)
