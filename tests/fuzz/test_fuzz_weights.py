"""Checkpoints of all kinds, changed in thousands of ways, end in a message or are read."""

from __future__ import annotations

import json
import math
import pickle
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.weights import containers, native
from headstart.weights.cards import resolve
from headstart.weights.containers import Contents
from headstart.weights.importers import layouts
from support.fuzz.expect import FEW, MANY, sound
from support.fuzz.weights import WEIGHTS

NAMES = [target.name for target in WEIGHTS]


@pytest.mark.parametrize("name", NAMES)
def test_some_changed_checkpoints_end_in_a_message(name: str, tmp_path: Path) -> None:
    assert not sound(name, FEW, tmp_path).findings


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_changed_checkpoints_end_in_a_message(name: str, tmp_path: Path) -> None:
    assert not sound(name, MANY, tmp_path).findings


# What was found.


def safetensors_file(path: Path, header: object, values: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + values)
    return path


SHAPES = {
    "a text among numbers": [2] * 40 + ["2"] + [2] * 40,
    "ten thousand dimensions": [1] * 10_000,
    "a number beyond 64 bits": [2**64],
    "a list": [[1]],
    "true": [True],
    "a fraction": [1.0],
    "a negative one": [-1, -1],
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shapes_that_are_none_are_refused_before_they_are_multiplied(shape: list, tmp_path: Path) -> None:
    """The product of a text and forty numbers is a text of a terabyte."""
    file = safetensors_file(
        tmp_path / "w.safetensors", {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}, bytes(4)
    )
    began = time.process_time()
    with pytest.raises(WeightsError, match=r"cannot be read to its end \(shape "):
        containers.look(file)
    array = {"w": np.ones(3, order="F")}
    raw = pickle.dumps(array, 2)
    assert b"K\x03\x85" in raw
    changed = raw.replace(b"K\x03\x85", b"(" + b"".join(_pushed(n) for n in shape) + b"t", 1)
    (tmp_path / "w.pkl").write_bytes(changed)
    with pytest.raises(WeightsError, match=r"cannot be read to its end"):
        containers.look(tmp_path / "w.pkl")
    assert time.process_time() - began < 5


def _pushed(value: object) -> bytes:
    """Of a pickle that leaves the value on the stack."""
    return pickle.dumps(value, 2)[2:-1]


FACTS = {
    "name": ["kept"],
    "backbone": ["shapes-resnet"],
    "licence": None,
    "source": 3,
    "digest": {},
    "lineage": ["x", 1],
    "provenance": {"seed": "one"},
    "norm_eps": 10**400,
    "fingerprint": {"C2": [1, 2]},
    "preprocessing": {"channel_order": "rgb", "scale": 1.0, "mean": [0, 0, 0]},
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_of_another_kind_in_the_header_of_a_checkpoint(name: str, tmp_path: Path) -> None:
    facts = {
        "name": "kept",
        "backbone": "shapes-resnet",
        "preprocessing": IMAGENET.to_json(),
        "lineage": ["drawn"],
        "licence": "MIT",
        "source": "",
        "digest": "0",
    }
    file = tmp_path / "n.safetensors"
    safetensors_file(file, {"__metadata__": {native.KEY: json.dumps(facts)}})
    assert native.read_facts(file).name == "kept"
    safetensors_file(file, {"__metadata__": {native.KEY: json.dumps(facts | {name: FACTS[name]})}})
    with pytest.raises(WeightsError, match=r"n\.safetensors: the header of this checkpoint is damaged") as caught:
        resolve(f"file:{file}")
    assert (name if name not in ("provenance", "preprocessing") else "") in str(caught.value)


@pytest.mark.parametrize("key", ["headstart", native.KEY])
def test_headers_nested_without_end(key: str, tmp_path: Path) -> None:
    deep = "[" * 20_000 + "]" * 20_000
    file = safetensors_file(tmp_path / "n.safetensors", {"__metadata__": {key: deep}})
    with pytest.raises(WeightsError, match=r"n\.safetensors.*nested more than 64 deep"):
        resolve(f"file:{file}")
    safetensors_file(tmp_path / "n.safetensors", b'{"a": ' + deep.encode() + b"}")
    with pytest.raises(WeightsError, match=r"n\.safetensors"):
        resolve(f"file:{file}")


PREPROCESSING = {
    "no std": {"channel_order": "rgb", "scale": 1.0, "mean": [0, 0, 0]},
    "a text": "rgb",
    "None": None,
    "a mean that is a number": {"channel_order": "rgb", "scale": 1.0, "mean": 0.5, "std": [1, 1, 1]},
    "a mean of four": {"channel_order": "rgb", "scale": 1.0, "mean": [0, 0, 0, 0], "std": [1, 1, 1]},
    "no deviation": {"channel_order": "rgb", "scale": 1.0, "mean": [0, 0, 0], "std": []},
    "an order that is a list": {"channel_order": ["rgb"], "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1]},
    "a scale beyond floats": {"channel_order": "rgb", "scale": 10**400, "mean": [0, 0, 0], "std": [1, 1, 1]},
    "a scale that is a text": {"channel_order": "rgb", "scale": "\0", "mean": [0, 0, 0], "std": [1, 1, 1]},
    "a mean that is no number": {"channel_order": "rgb", "scale": 1.0, "mean": [math.nan, 0, 0], "std": [1, 1, 1]},
    "a deviation without end": {"channel_order": "rgb", "scale": 1.0, "mean": [0, 0, 0], "std": [math.inf, 1, 1]},
}


@pytest.mark.parametrize("value", PREPROCESSING.values(), ids=PREPROCESSING)
def test_a_preprocessing_that_is_none(value: object) -> None:
    with pytest.raises(ValueError, match=r"mean|scale|channel_order"):
        Preprocessing.from_json(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(("at", "value", "said"), [(10, 99, "compression method"), (8, 1, "password"), (16, 7, "CRC")])
def test_values_that_cannot_be_unpacked(at: int, value: int, said: str, tmp_path: Path) -> None:
    """A method of packing that nobody knows, a password, another checksum: each entry's facts at the archive's end."""
    network = torch.nn.Linear(2, 1)  # with a class, so that torch does not read it
    torch.save(network, tmp_path / "w.pth")
    data = bytearray((tmp_path / "w.pth").read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"/data/0"))
    data[entry + at] = value
    (tmp_path / "w.pth").write_bytes(data)
    assert containers.look(tmp_path / "w.pth").tree.keys() == {"weight", "bias"}
    with pytest.raises(WeightsError, match=rf"w\.pth .* cannot be read to its end \(.*{said}"):
        containers.read(tmp_path / "w.pth")


def detectron2(**tensors: torch.Tensor) -> Contents:
    """A ResNet-50 of Detectron2, one value a tensor, with some tensors of their own."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in torchvision.models.resnet50().state_dict().items()}
    state = {
        f"backbone.bottom_up.{detectron2_name(name)}": torch.zeros(()).expand(shape)
        for name, shape in shapes.items()
        if not name.startswith("fc.")
    }
    return layouts.as_contents(Path("w.pth"), {"model": state | tensors})


def detectron2_name(name: str) -> str:
    return f"stem.{_detectron2_part(name)}" if name.startswith(("conv1", "bn1")) else _detectron2_part(name)


def _detectron2_part(name: str) -> str:
    for number in range(1, 5):
        name = name.replace(f"layer{number}.", f"res{number + 1}.")
    for old, new in (("bn1", "conv1.norm"), ("bn2", "conv2.norm"), ("bn3", "conv3.norm")):
        name = name.replace(old, new)
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


ODD = {
    "a deviation of 0": {"pixel_mean": torch.ones(3), "pixel_std": torch.zeros(3)},
    "a deviation that is no number": {"pixel_mean": torch.ones(3), "pixel_std": torch.full((3,), math.nan)},
    "a norm of another width": {"backbone.bottom_up.stem.conv1.norm.weight": torch.ones(5)},
}


@pytest.mark.parametrize("tensors", ODD.values(), ids=ODD)
def test_tensors_that_no_network_has_under_its_names(tensors: dict[str, torch.Tensor]) -> None:
    """What tells the layout's input is computed from values, before any shape is compared."""
    assert layouts.recognize(detectron2()).layout == "detectron2"
    with pytest.raises(WeightsError, match=r"w\.pth: its names are those of a known layout, and its tensors are not"):
        layouts.recognize(detectron2(**tensors))
