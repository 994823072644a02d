"""Pickles in all of torch's layouts, as files and as archives, changed instruction by instruction."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import Any

from support.fuzz.changes import Change, either, of_bytes, pieces_changed
from support.fuzz.checkpoints import HOW_OFTEN, shown, state
from support.fuzz.target import Case

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


def pickles(_: Path) -> list[Case]:
    import numpy
    import torch

    def saved(value: Any) -> bytes:
        sink = io.BytesIO()
        torch.save(value, sink)
        return sink.getvalue()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
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
        ("archive", saved(state())),
        ("archive of a module", saved(module)),
        ("archive of ResNet-18", saved(_resnet18())),
    ):
        change, small = _archive_changed(content), "18" not in name
        read = shown("w.pth", "shapes-resnet", small=small, often=HOW_OFTEN if small else 0.002)
        cases.append(Case(name, {"w.pth": content}, {"w.pth": either(change, change, change, of_bytes)}, read))
    for name, content in (
        ("old layout", _old_layout(state())),
        ("old layout of a module", _old_layout(module)),
        ("arrays", pickle.dumps(detectron, 4)),
        ("arrays, protocol 2", pickle.dumps(detectron, 2)),
        ("plain values", pickle.dumps({"a": [1, 2.5, "x", {1, 2}, (3, b"y")], "b": None}, 5)),
    ):
        change = _old_changed(content) if name.startswith("old") else _program_changed(content)
        read = shown("w.pkl", "shapes-resnet")
        cases.append(Case(name, {"w.pkl": content}, {"w.pkl": either(change, change, change, of_bytes)}, read))
    return cases


def _five(content: bytes) -> tuple[list[bytes], bytes]:
    """(the five pickles of torch.save's layout before 1.6, of which the fourth is the checkpoint, the values)."""
    programs, rest = [], content
    for _ in range(5):
        end = next(at for op, _, at in pickletools.genops(rest) if op.name == "STOP" and at is not None) + 1
        programs.append(rest[:end])
        rest = rest[end:]
    return programs, rest


def _old_layout(value: Any) -> bytes:
    """As torch.save wrote it before 1.6, but with its storages named 0, 1, .. and not by where they were in memory."""
    import torch

    storages: dict[int, tuple[str, Any]] = {}
    classes: set[type] = set()

    class Old(pickle.Pickler):
        def persistent_id(self, part: Any) -> Any:
            if isinstance(part, type) and issubclass(part, torch.nn.Module) and part not in classes:
                classes.add(part)
                return ("module", part, "network.py", "class Network: ..")
            if not isinstance(part, torch.storage.TypedStorage):
                return None
            key = storages.setdefault(part._untyped_storage._cdata, (str(len(storages)), part))[0]
            return ("storage", getattr(torch, part._pickle_storage_type()), key, "cpu", part._size(), None)

    sink = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
        pickle.dump(part, sink, 2)
    Old(sink, 2).dump(value)
    pickle.dump([key for key, _ in storages.values()], sink, 2)
    for _, storage in storages.values():
        sink.write(struct.pack("<q", storage._size()) + bytes(storage._untyped_storage))
    return sink.getvalue()


def _old_changed(content: bytes) -> Change:
    """Each of its parts in turn, the checkpoint mostly."""
    programs, rest = _five(content)
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


def _resnet18() -> dict[str, Any]:
    """Names and shapes of torchvision's ResNet-18; each tensor is one value that strides of 0 repeat."""
    import torch
    import torchvision

    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in torchvision.models.resnet18().state_dict().items()}
    return {name: torch.full((1,) * len(shape), 0.5).expand(shape) for name, shape in shapes.items()}
