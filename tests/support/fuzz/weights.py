"""Checkpoints: MXNet's .params, safetensors, pickles in all of torch's layouts, and our own."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import Any

from support.fuzz.changes import INTEGERS, Change, either, of_bytes, pieces_changed
from support.fuzz.target import Case, Target
from support.fuzz.trees import changed

_HOW_OFTEN = 0.03
"""Share of what is recognized that is loaded into its network, which takes a tenth of a second."""


def _shown(name: str, backbone: str = "", *, small: bool = True, often: float = _HOW_OFTEN):  # type: ignore[no-untyped-def]
    """As `weights show` does: recognized, now and then loaded. small: its tensors are read in any case."""

    def read(folder: Path, draw: Random) -> None:
        from headstart import api
        from headstart.errors import WeightsError
        from headstart.weights import containers
        from headstart.weights.cards import resolve

        file = folder / name
        if small:
            containers.read(file)
        uri = f"file:{file}"
        if backbone and draw.random() < 0.5:
            uri += f"@{backbone}"
        try:
            resolve(uri, folder, offline=True)
        except WeightsError:
            if not small:
                raise
            return
        if draw.random() < often:
            api.describe_weights(uri).text()

    return read


def _resnet18() -> dict[str, Any]:
    """Names and shapes of torchvision's ResNet-18; each tensor is one value that strides of 0 repeat."""
    import torch
    import torchvision

    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in torchvision.models.resnet18().state_dict().items()}
    return {name: torch.full((1,) * len(shape), 0.5).expand(shape) for name, shape in shapes.items()}


def _state() -> dict[str, Any]:
    """A few tensors of several types."""
    import torch

    values = {
        "conv1.weight": torch.arange(54, dtype=torch.float32).view(2, 3, 3, 3),
        "bn1.weight": torch.ones(2, dtype=torch.float16),
        "bn1.running_mean": torch.zeros(2, dtype=torch.bfloat16),
        "bn1.num_batches_tracked": torch.tensor(3),
        "fc.weight": torch.arange(6, dtype=torch.float64).view(2, 3).t(),
    }
    return {"state_dict": values, "epoch": 3, "arch": "resnet18", "best": 0.5, "args": {"lr": 1e-3, "sizes": [1, 2]}}


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

    return Case(name, {file: b"".join(pieces)}, {file: either(change, change, of_bytes)}, _shown(file, "shapes-resnet"))


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

    plain = save({name: value.contiguous() for name, value in _state()["state_dict"].items()}, {"format": "pt"})
    exported = {"format": 1, "to": "timm", "backbone": "resnet18", "lineage": ["x"], "licence": "MIT"}
    exported["preprocessing"] = {"channel_order": "rgb", "scale": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1]}
    ours = save({"c": _state()["state_dict"]["conv1.weight"]}, {"headstart": json.dumps(exported)})
    index = {"metadata": {"total_size": 8}, "weight_map": {"conv1.weight": "a.safetensors", "c": "b.safetensors"}}
    whole = json.dumps(index).encode()
    cases = []
    for name, content, inner in (("plain", plain, ""), ("exported", ours, "headstart")):
        change = _headers_changed(*_parts_of(content), inner)
        changes = {"w.safetensors": either(change, change, change, of_bytes)}
        cases.append(Case(name, {"w.safetensors": content}, changes, _shown("w.safetensors", "shapes-resnet")))
    from support.fuzz.data import JSON

    parts = {"m.safetensors.index.json": whole, "a.safetensors": plain, "b.safetensors": ours}
    read = _shown("m.safetensors.index.json")
    cases.append(Case("in parts", parts, {"m.safetensors.index.json": JSON}, read))
    return cases


def _native(scratch: Path) -> list[Case]:
    """What `weights import` writes of the smallest network."""
    import torch

    from headstart.models.backbones.building import build_backbone
    from headstart.models.backbones.preprocessing import IMAGENET
    from headstart.weights import native
    from headstart.weights.export import canonical_state

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
        cases.append(Case(name, {"n.safetensors": file}, changes, _shown("n.safetensors", small=not whole, often=0.15)))
    return [cases[0], cases[0], cases[0], cases[1]]


# pickles

GLOBALS = (
    *("torch._utils _rebuild_tensor_v2", "torch FloatStorage", "collections OrderedDict", "os system", "builtins eval"),
    *("torch._utils _rebuild_tensor_v3", "torch._utils _rebuild_parameter", "torch.nn.parameter Parameter"),
    *("numpy dtype", "numpy._core.multiarray _reconstruct", "numpy._core.multiarray scalar", "numpy ndarray"),
    *("numpy._core.numeric _frombuffer", "_codecs encode", "copyreg _reconstructor", "torch.storage _load_from_bytes"),
    *(
        "torch Size",
        "torch device",
        "builtins set",
        "builtins bytearray",
        "argparse Namespace",
        "torch.nn.modules.conv Conv2d",
    ),
    *("torch._tensor _rebuild_from_type_v2", "builtins object", "collections Counter", "torch bfloat16"),
)
INSTRUCTIONS = (
    *(bytes([op]) for op in b"(.012NR}]a)\x85\x86\x87\x88\x89\x81\x92eubtdols\x8f\x90\x91\x93\x94Qi"),
    *(b"c" + name.replace(" ", "\n").encode() + b"\n" for name in GLOBALS),
    *(b"J" + struct.pack("<i", n) for n in (0, -1, 2**31 - 1, 5)),
    *(b"K\x00", b"K\xff", b"M\xff\xff", b"G\x7f\xf0" + bytes(6), b"I5\n", b"L-1L\n", b"F1e308\n", b"Fnan\n"),
    *(b"\x8a\x08" + bytes(7) + b"\x40", b"\x8a\xff" + b"\x7f" * 255, b"\x8b" + struct.pack("<i", 2**31 - 1)),
    *(b"\x8d" + struct.pack("<Q", 2**62), b"\x8e" + struct.pack("<Q", 2**40), b"\x96" + struct.pack("<Q", 2**40)),
    *(b"X" + struct.pack("<I", 2**31), b"\x8c\x01x", b"U\x01x", b"C\x04abcd", b"X\x04\x00\x00\x00\xed\xa0\x80x"),
    *(b"\x95" + struct.pack("<Q", n) for n in (0, 10, 2**62)),
    *(b"j" + struct.pack("<I", 2**31), b"r" + struct.pack("<I", 2**31 - 1), b"h\x00", b"q\x00", b"q\x01", b"h\x01"),
    *(
        b"\x80\x05",
        b"\x80\x02",
        b"\x82\x01",
        b"\x84\xff\xff\xff\x7f",
        b"P7\n",
        b"\x97",
        b"\x98",
        b"V\\ud800\n",
        b"S'a'\n",
    ),
)


def _instructions(program: bytes) -> list[bytes]:
    """The instructions of one pickle, and what follows it."""
    places = [at for _, _, at in pickletools.genops(program) if at is not None]
    end = places[-1] + 1
    ends = [*places[1:], end]
    return [program[a:b] for a, b in zip(places, ends, strict=True)] + ([program[end:]] if program[end:] else [])


def _program_changed(program: bytes) -> Change:
    pieces = _instructions(program)
    known = [*INSTRUCTIONS, *pieces[:200]]

    def change(_: bytes, draw: Random) -> bytes:
        return b"".join(pieces_changed(pieces, draw, known))

    return change


def _zip_of(entries: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return sink.getvalue()


def _archive_changed(content: bytes) -> Change:
    """A sound archive of a changed program, of changed values, or of other names."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    main = next(name for name in entries if name.endswith("/data.pkl"))
    program = _program_changed(entries[main])

    def change(_: bytes, draw: Random) -> bytes:
        new = dict(entries)
        if (what := draw.random()) < 0.8:
            new[main] = program(b"", draw)
        elif what < 0.9:
            name = draw.choice(list(new))
            new[name] = of_bytes(new[name], draw)
        else:
            name = draw.choice(list(new))
            new[draw.choice((f"../{name}", name.upper(), "archive/constants.pkl", "x.npy"))] = new.pop(name)
        return _zip_of(new)

    return change


def _pickles(_: Path) -> list[Case]:
    import numpy
    import torch

    def saved(value: Any, *, zipped: bool) -> bytes:
        sink = io.BytesIO()
        torch.save(value, sink, _use_new_zipfile_serialization=zipped)
        return sink.getvalue()

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    arrays = {
        "conv1_w": numpy.arange(6.0).reshape(2, 3),
        "bn_b": numpy.float32(1),
        "names": ["a"],
        "f": numpy.ones((2, 3), order="F"),
    }
    detectron = {"model": arrays, "__author__": "Detectron2 Model Zoo", "matching_heuristics": True}
    cases = []
    for name, content in (
        ("archive", saved(_state(), zipped=True)),
        ("archive of a module", saved(module, zipped=True)),
        ("archive of ResNet-18", saved(_resnet18(), zipped=True)),
    ):
        change, small = _archive_changed(content), "18" not in name
        read = _shown("w.pth", "shapes-resnet", small=small, often=_HOW_OFTEN if small else 0.002)
        cases.append(Case(name, {"w.pth": content}, {"w.pth": either(change, change, change, of_bytes)}, read))
    for name, content in (
        ("old layout", saved(_state(), zipped=False)),
        ("old layout of a module", saved(module, zipped=False)),
        ("arrays", pickle.dumps(detectron, 4)),
        ("arrays, protocol 2", pickle.dumps(detectron, 2)),
        ("plain values", pickle.dumps({"a": [1, 2.5, "x", {1, 2}, (3, b"y")], "b": None}, 5)),
    ):
        change = _old_changed(content) if name.startswith("old") else _program_changed(content)
        read = _shown("w.pkl", "shapes-resnet")
        cases.append(Case(name, {"w.pkl": content}, {"w.pkl": either(change, change, change, of_bytes)}, read))
    return cases


def _old_changed(content: bytes) -> Change:
    """torch.save's layout before 1.6: five pickles, of which the fourth is the checkpoint, then values."""
    programs, rest = [], content
    for _ in range(5):
        program, rest = _split(rest)
        programs.append(program)
    change_main = _program_changed(programs[3])
    change_keys = _program_changed(programs[4])

    def change(_: bytes, draw: Random) -> bytes:
        new, values = list(programs), rest
        what = draw.random()
        if what < 0.7:
            new[3] = change_main(b"", draw)
        elif what < 0.8:
            new[4] = change_keys(b"", draw)
        elif what < 0.9:
            k = draw.randrange(3)
            new[k] = of_bytes(new[k], draw)
        else:
            values = of_bytes(values, draw)
        return b"".join(new) + values

    return change


def _split(stream: bytes) -> tuple[bytes, bytes]:
    """(the first pickle, all that follows)."""
    end = next(at for op, _, at in pickletools.genops(stream) if op.name == "STOP") + 1
    return stream[:end], stream[end:]


WEIGHTS = (
    Target("params", _params, networks=True),
    Target("safetensors", _safetensors, networks=True),
    Target("pickle", _pickles, networks=True),
    Target("native", _native, networks=True),
)
