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

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.weights import containers, native
from headstart.weights.cards import resolve
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
