"""Checkpoints: MXNet's .params, safetensors, pickles, and our own."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from random import Random
from typing import Any

from support.fuzz.changes import INTEGERS, Change, either, of_bytes, pieces_changed
from support.fuzz.checkpoints import shown, state
from support.fuzz.pickled import pickles
from support.fuzz.target import Case, Target
from support.fuzz.trees import changed

# MXNet


def _params(_: Path) -> list[Case]:
    cases = []
    for tag in (0xF993FAC9, 0xF993FACA, 0xF993FAC8, None):
        pieces = _params_pieces(tag)
        cases.append(_of_pieces(f"tag {tag and hex(tag)}", "w.params", pieces))
    cases.append(_of_pieces("a sparse array", "w.params", _params_pieces(0xF993FAC9, sparse=True)))
    cases.append(_of_pieces("sniper", "w.params", _params_pieces(0xF993FAC9, sniper=True)))
    return cases


def _params_pieces(tag: int | None, *, sparse: bool = False, sniper: bool = False) -> list[bytes]:
    names = {"arg:conv0_weight": (2, 3, 1, 1), "aux:bn0_moving_var": (2,), "arg:fc1_bias": ()}
    if sniper:
        names |= {f"arg:stage{s}_unit{u}_conv1_weight": (1, 1) for s in (1, 2, 3, 4) for u in (1, 2)}
        names |= {"arg:stage1_unit1_bn1_gamma": (2,), "arg:bn_data_beta": (3,)}
    pieces = [struct.pack("<Q", n) for n in (0x112, 0, len(names) + sparse)]
    for shape in names.values():
        extents = [struct.pack("<q" if tag else "<I", n) for n in shape]
        pieces += [struct.pack("<I", tag)] if tag else []
        pieces += [struct.pack("<i", 0)] if tag in (0xF993FAC9, 0xF993FACA) else []
        size = 1
        for n in shape:
            size *= n
        pieces += [struct.pack("<I", len(shape)), *extents]
        if shape or tag == 0xF993FACA:
            pieces += [struct.pack("<i", n) for n in (1, 0, 0)] + [struct.pack("<f", 0.5) * size]
    if sparse:  # one row of two, its number beside it
        pieces += [struct.pack("<I", 0xF993FAC9), struct.pack("<i", 1), struct.pack("<i", 2), struct.pack("<q", 1)]
        pieces += [struct.pack("<q", 2), struct.pack("<i", 2), struct.pack("<q", 3), struct.pack("<q", 2)]
        pieces += [struct.pack("<i", n) for n in (1, 0, 0, 6, 1)] + [struct.pack("<q", 1), bytes(8), bytes(8)]
    pieces.append(struct.pack("<Q", len(names) + sparse))
    for name in (*names, *(["arg:rows"] * sparse)):
        pieces += [struct.pack("<Q", len(name)), name.encode()]
    return pieces


def _of_pieces(name: str, file: str, pieces: list[bytes]) -> Case:
    def change(_: bytes, draw: Random) -> bytes:
        return b"".join(pieces_changed(pieces, draw))

    return Case(name, {file: b"".join(pieces)}, {file: either(change, change, of_bytes)}, shown(file, "shapes-resnet"))


# safetensors


def _packed(header: bytes, values: bytes, draw: Random | None = None) -> bytes:
    length = len(header)
    if draw and draw.random() < 0.1:
        length = draw.choice((length + 1, length - 1, *INTEGERS)) & (2**64 - 1)
    return struct.pack("<Q", length) + header + values


def _headers_changed(header: dict[str, Any], values: bytes, inner: str = "") -> Change:
    """Values of the JSON header, and of the JSON that its metadata hold under `inner`."""

    def change(_: bytes, draw: Random) -> bytes:
        new = header
        if inner and draw.random() < 0.6:
            facts = changed(json.loads(header["__metadata__"][inner]), draw)
            text = json.dumps(facts).replace('"@deep@20000"', "[" * 20000 + "]" * 20000)
            new = {**header, "__metadata__": {**header["__metadata__"], inner: text}}
        else:
            new = changed(header, draw)
        text = json.dumps(new)
        for depth in (60, 900, 20_000):
            text = text.replace(f'"@deep@{depth}"', "[" * depth + "]" * depth)
        raw = text.encode()
        if draw.random() < 0.1:
            raw = of_bytes(raw, draw)
        return _packed(raw, of_bytes(values, draw) if draw.random() < 0.1 else values, draw)

    return change


def _parts_of(content: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _safetensors(scratch: Path) -> list[Case]:
    from safetensors.torch import save

    plain = save({name: value.contiguous() for name, value in state()["state_dict"].items()}, {"format": "pt"})
    exported = {"format": 1, "to": "timm", "backbone": "resnet18", "lineage": ["x"], "licence": "MIT"}
    exported["preprocessing"] = {"channel_order": "rgb", "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1]}
    ours = save({"c": state()["state_dict"]["conv1.weight"]}, {"headstart": json.dumps(exported)})
    index = {"metadata": {"total_size": 8}, "weight_map": {"conv1.weight": "a.safetensors", "c": "b.safetensors"}}
    whole = json.dumps(index).encode()
    cases = []
    for name, content, inner in (("plain", plain, ""), ("exported", ours, "headstart")):
        change = _headers_changed(*_parts_of(content), inner)
        changes = {"w.safetensors": either(change, change, change, of_bytes)}
        cases.append(Case(name, {"w.safetensors": content}, changes, shown("w.safetensors", "shapes-resnet")))
    from support.fuzz.data import JSON

    parts = {"m.safetensors.index.json": whole, "a.safetensors": plain, "b.safetensors": ours}
    read = shown("m.safetensors.index.json")
    cases.append(Case("in parts", parts, {"m.safetensors.index.json": JSON}, read))
    return cases


def _native(scratch: Path) -> list[Case]:
    """What `weights import` writes of the smallest network."""
    import torch

    from headstart.models.backbones.building import build_backbone
    from headstart.models.backbones.preprocessing import IMAGENET
    from headstart.weights import native
    from headstart.weights.export import canonical_state

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tensors = canonical_state(build_backbone("shapes-resnet"))
    facts = native.CheckpointFacts(
        "kept",
        "shapes-resnet",
        IMAGENET.to_json(),
        ["drawn"],
        licence="MIT",
        source="",
        digest=native.tensor_digest(tensors),
        provenance={"seed": 0, "file": "x.pth"},
        fingerprint={"C2": [0.1, 0.2, 0.3]},
    )
    content = native.write(scratch / "backbone.safetensors", tensors, facts).read_bytes()
    header, values = _parts_of(content)
    few = dict(list(header.items())[:6])  # as above, with fewer bytes to write
    few["__metadata__"] = header["__metadata__"]
    end = max(entry["data_offsets"][1] for name, entry in few.items() if name != "__metadata__")
    keep = {name for name, entry in few.items() if name == "__metadata__" or entry["data_offsets"][1] <= 20_000}
    few = {name: entry for name, entry in few.items() if name in keep}
    end = max((entry["data_offsets"][1] for name, entry in few.items() if name != "__metadata__"), default=0)
    small = _packed(json.dumps(few).encode(), values[:end])
    cases = []
    for name, file, whole in (("few tensors", small, False), ("whole", content, True)):
        head, body = _parts_of(file)
        change = _headers_changed(head, body, native.KEY)
        changes = {"n.safetensors": change if whole else either(change, change, change, of_bytes)}
        cases.append(Case(name, {"n.safetensors": file}, changes, shown("n.safetensors", small=not whole, often=0.15)))
    return [cases[0], cases[0], cases[0], cases[1]]


WEIGHTS = (
    Target("params", _params, networks=True),
    Target("safetensors", _safetensors, networks=True),
    Target("pickle", pickles, networks=True),
    Target("native", _native, networks=True),
)
