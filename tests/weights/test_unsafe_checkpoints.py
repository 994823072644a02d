"""Checkpoints that would do something, and broken ones: refused by name, and nothing ran, shown by its effect."""

from __future__ import annotations

import copyreg
import pickle
import random
import shutil
import struct
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from headstart.errors import WeightsError
from headstart.weights import containers
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load
from support.sources import params_file

STATE = {"conv1.weight": torch.arange(12.0).view(3, 4), "steps": torch.tensor(7)}
EVIL = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
def run(*_): Path(__file__).with_name("ran").touch()
class Run:
    def __init__(self, *_): Path(__file__).with_name("ran").touch()
    def __setstate__(self, state): Path(__file__).with_name("ran").touch()
"""


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value.encode())]) + value.encode()  # SHORT_BINUNICODE


def name(module: str, attribute: str) -> bytes:
    return text(module) + text(attribute) + b"\x93"  # STACK_GLOBAL


def call(function: bytes, *args: bytes) -> bytes:
    return function + b"(" + b"".join(args) + b"tR"


def number(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


TOUCH = "open({target!r}, 'w').close()"
PAYLOADS: dict[str, Callable[[str], bytes]] = {
    "os.system": lambda target: call(name("os", "system"), text(f"touch {target}")),
    "posix.system": lambda target: call(b"cposix\nsystem\n", text(f"touch {target}")),
    "subprocess.check_output": lambda target: call(
        name("subprocess", "check_output"), b"]" + text("touch") + b"a" + text(target) + b"a"
    ),
    "subprocess.Popen": lambda target: (
        call(name("operator", "methodcaller"), text("wait"))
        + b"("
        + call(name("subprocess", "Popen"), b"]" + text("touch") + b"a" + text(target) + b"a")
        + b"tR"
    ),
    "builtins.exec": lambda target: call(name("builtins", "exec"), text(TOUCH.format(target=target))),
    "builtins.eval": lambda target: call(name("builtins", "eval"), text(TOUCH.format(target=target))),
    "__builtin__.eval": lambda target: call(b"c__builtin__\neval\n", text(TOUCH.format(target=target))),
    "builtins.open": lambda target: call(name("builtins", "open"), text(target), text("w")),
    "io.FileIO": lambda target: call(name("io", "FileIO"), text(target), text("w")),
    "getattr of a path": lambda target: call(
        call(name("builtins", "getattr"), call(name("pathlib", "PosixPath"), text(target)), text("touch"))
    ),
    "dotted name": lambda target: call(name("pathlib", "Path.touch"), call(name("pathlib", "PosixPath"), text(target))),
    "os.mkdir": lambda target: call(name("os", "mkdir"), text(target)),
    "shutil.copy": lambda target: call(name("shutil", "copy"), text(__file__), text(target)),
    "sqlite3.connect": lambda target: (
        call(name("operator", "methodcaller"), text("execute"), text("create table t(a)"))
        + b"("
        + call(name("sqlite3", "connect"), text(target))
        + b"tR"
    ),
    "functools.partial": lambda target: call(
        call(name("functools", "partial"), name("os", "system"), text(f"touch {target}"))
    ),
    "importlib.import_module": lambda target: call(name("importlib", "import_module"), text("headstart_evil")),
    "__import__": lambda target: call(name("builtins", "__import__"), text("headstart_evil")),
    "runpy.run_module": lambda target: call(name("runpy", "run_module"), text("headstart_evil")),
    "a module's function": lambda target: call(name("headstart_evil", "run")),
    "a module's name": lambda target: name("headstart_evil", "run"),
    "INST": lambda target: b"(" + text(f"touch {target}") + b"ios\nsystem\n",
    "OBJ": lambda target: b"(" + name("os", "system") + text(f"touch {target}") + b"o",
    "a class with arguments": lambda target: call(name("headstart_evil", "Run"), number(1)),
    "NEWOBJ and BUILD": lambda target: name("headstart_evil", "Run") + b")\x81}" + text("a") + number(1) + b"sb",
    "copyreg": lambda target: (
        call(name("copyreg", "__newobj__"), name("headstart_evil", "Run")) + b"}" + text("a") + number(1) + b"sb"
    ),
    "an extension code": lambda target: b"\x82\xf0(" + text(f"touch {target}") + b"tR",
    "torch's storage": lambda target: call(
        name("torch.storage", "_load_from_bytes"), b"B" + struct.pack("<I", len(nested(target))) + nested(target)
    ),
    "pickle.loads": lambda target: call(
        name("pickle", "loads"), b"B" + struct.pack("<I", len(nested(target))) + nested(target)
    ),
    "numpy.savetxt": lambda target: call(name("numpy", "savetxt"), text(target), b"]" + number(1) + b"a"),
    "torch.save": lambda target: call(name("torch", "save"), number(1), text(target)),
}
"""What each pickle puts into the state dict, given a path that must not come to exist."""
NAME_ONLY = "a module's name"
CLASSES_ONLY = (NAME_ONLY, "a class with arguments", "NEWOBJ and BUILD", "copyreg")
"""Objects of unknown classes become stand-ins that do nothing; these files are refused for having no weights."""


def nested(target: str) -> bytes:
    return b"\x80\x04" + call(name("os", "system"), text(f"touch {target}")) + b"."


def program(payload: bytes) -> bytes:
    """A pickle of {"model": {}, "weights": what the payload makes}; only protocol 2 knows Python 2's names."""
    return (
        (b"\x80\x02}" if b"__builtin__" in payload else b"\x80\x04}")
        + text("model")
        + b"}s"
        + text("weights")
        + payload
        + b"s."
    )


def in_archive(path: Path, data: bytes, **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", data)
        for key, value in more.items():
            archive.writestr(f"a/{key}", value)
    return path


def in_old_layout(path: Path, data: bytes) -> Path:
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)
    path.write_bytes(head + data + pickle.dumps([], 2))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "headstart_evil.py").write_text(EVIL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(copyreg._inverted_registry, 0xF0, ("os", "system"))
    return tmp_path


def nothing_ran(folder: Path) -> bool:
    return not (folder / "ran").exists() and "headstart_evil" not in sys.modules


@pytest.mark.parametrize("kind", PAYLOADS)
def test_pickles_that_would_do_something(folder: Path, kind: str) -> None:
    target = folder / "ran"
    data = program(PAYLOADS[kind](str(target)))
    with suppress(Exception):  # the control: Python's own pickle does what the file says, whatever comes after it
        pickle.loads(data)
    assert target.exists()
    shutil.rmtree(target, ignore_errors=True)
    target.unlink(missing_ok=True)
    sys.modules.pop("headstart_evil", None)
    (folder / "a.pkl").write_bytes(data)
    for path in (folder / "a.pkl", in_archive(folder / "a.pt", data), in_old_layout(folder / "old.pt", data)):
        with pytest.raises(WeightsError) as caught:
            load(resolve(f"file:{path}@shapes-resnet"), 0)
        message = str(caught.value)
        if kind in CLASSES_ONLY:
            assert message.startswith(f"{path} has no tensors by name")
            assert kind == NAME_ONLY or "classes that are not loaded: headstart_evil.Run" in message
        else:
            assert message.startswith(f"{path} needs ")
        assert nothing_ran(folder)


def test_the_message_names_what_was_wanted_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(program(PAYLOADS["os.system"]("x")))
    with pytest.raises(WeightsError) as caught:
        containers.look(tmp_path / "a.pkl")
    assert str(caught.value) == (
        f"{tmp_path / 'a.pkl'} needs os.system, a part of Python that weights do not need; loading it could run code, "
        "so nothing of it was loaded. Open it where it was made and save only the tensors: "
        "torch.save(model.state_dict(), 'weights.pth'), or safetensors. If you know who made the file, --trust-pickle "
        "loads it, and runs what it says."
    )
    (tmp_path / "b.pkl").write_bytes(program(call(name("omegaconf.build", "make"), text("x"))))
    with pytest.raises(WeightsError, match=r"b\.pkl needs omegaconf\.build\.make, a function that would have to be"):
        containers.look(tmp_path / "b.pkl")


def test_trust_is_what_it_says(folder: Path) -> None:
    (folder / "a.pkl").write_bytes(program(PAYLOADS["os.system"](str(folder / "ran"))))
    containers.read(folder / "a.pkl", trust_pickle=True)
    assert (folder / "ran").exists()
    torch.save({"model": nn.Linear(2, 3)}, folder / "b.pt")
    assert set(containers.read(folder / "b.pt", trust_pickle=True).tree["model"]) == {"weight", "bias"}
    (folder / "c.pkl").write_bytes(program(call(name("gone_package", "run"))))
    with pytest.raises(WeightsError, match=r"could not be unpickled: ModuleNotFoundError: .* needs the packages"):
        containers.read(folder / "c.pkl", trust_pickle=True)


FORMATS = ("zip", "old", "pickle", "numpy", "safetensors", "MXNet")


def written(path: Path, form: str) -> bytes:
    if form == "safetensors":
        return safetensors.torch.save(STATE)
    if form == "MXNet":
        return params_file(path, STATE).read_bytes()
    if form == "numpy":
        return pickle.dumps({"model": {key: value.numpy() for key, value in STATE.items()}})
    if form == "pickle":
        return pickle.dumps({"model": STATE})
    torch.save({"model": STATE}, path, _use_new_zipfile_serialization=form == "zip")
    return path.read_bytes()


@pytest.mark.parametrize("form", FORMATS)
def test_files_cut_anywhere_are_refused(tmp_path: Path, form: str) -> None:
    whole, path = written(tmp_path / "whole", form), tmp_path / "cut"
    chance = random.Random(form)
    for end in {1, 9, len(whole) - 1, *(chance.randrange(1, len(whole)) for _ in range(20))}:
        path.write_bytes(whole[:end])
        with pytest.raises(WeightsError) as caught:
            containers.read(path)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert "is damaged or cut short" in message or "neither a safetensors file nor" in message


@pytest.mark.parametrize("form", FORMATS)
def test_changed_bytes_give_a_refusal_or_arrays(folder: Path, form: str) -> None:
    """Whatever a byte becomes: a clear refusal or a dictionary, no other error, and nothing ran."""
    whole, path = bytearray(written(folder / "whole", form)), folder / "changed"
    chance = random.Random(form)
    for _ in range(150):
        changed = bytearray(whole)
        for _ in range(chance.choice((1, 2, 8))):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        path.write_bytes(changed)
        try:
            containers.tensors(path, containers.look(path).tree)
        except WeightsError as error:
            assert str(error).startswith(str(path))
    assert nothing_ran(folder)


def tensor(storage: bytes, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    sizes = [b"(" + b"".join(map(number, values)) + b"t" for values in (shape, stride)]
    return call(name("torch._utils", "_rebuild_tensor_v2"), storage, number(offset), *sizes, b"\x89", b"N")


def float_storage(key: str, numel: int) -> bytes:
    return b"(" + text("storage") + name("torch", "FloatStorage") + text(key) + text("cpu") + number(numel) + b"tQ"


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda p: p.write_bytes(b""), r"is empty \(0 bytes\)"),
    "lfs": (lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid x"), "a Git LFS pointer"),
    "html": (lambda p: p.write_bytes(b"<!DOCTYPE html><title>Sign in"), "is a web page, not a checkpoint"),
    "zip bomb": (lambda p: bomb(p), r"would unpack to 300,\d+,\d+: a zip bomb"),
    "another zip": (lambda p: other_zip(p), r"is a zip archive, but not one of torch\.save: .* It holds: readme\.txt"),
    "torchscript": (lambda p: torch.jit.save(torch.jit.script(nn.ReLU()), p), "is a TorchScript archive"),
    "hdf5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64)), r"it is an HDF5 file \(Keras"),
    "text": (lambda p: p.write_text("hello world, no weights here"), r"\(it begins with b'hello wo'\)"),
    "tar": (lambda p: p.write_bytes(bytes(257) + b"ustar" + bytes(250)), "it is a tar archive: unpack it"),
    "shape beyond": (
        lambda p: in_archive(p, program(tensor(float_storage("0", 4), 0, (2, 3), (3, 1))), **{"data/0": bytes(16)}),
        r"needs more than the 4 values that are stored",
    ),
    "offset beyond": (
        lambda p: in_archive(p, program(tensor(float_storage("0", 4), 2, (3,), (1,))), **{"data/0": bytes(16)}),
        "needs more than the 4 values",
    ),
    "expanded": (
        lambda p: in_archive(
            p, program(tensor(float_storage("0", 4), 0, (1 << 20, 1 << 20), (0, 0))), **{"data/0": bytes(16)}
        ),
        "needs more than the 4 values",
    ),
    "negative": (
        lambda p: in_archive(p, program(tensor(float_storage("0", 4), -1, (2,), (1,))), **{"data/0": bytes(16)}),
        r"from -1",
    ),
    "no values": (
        lambda p: in_archive(p, program(tensor(float_storage("0", 4), 0, (4,), (1,)))),
        "the values of storage 0 are missing or cut short",
    ),
    "huge string": (
        lambda p: p.write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x"),
        "1,152,921,504,606,846,976 bytes are announced",
    ),
    "huge array": (lambda p: p.write_bytes(b"\x80\x05\x96" + struct.pack("<Q", 1 << 50)), "bytes are announced"),
    "huge memo": (lambda p: p.write_bytes(b"\x80\x04}r\xff\xff\xff\x7f."), "has no tensors by name"),
    "deep": (lambda p: p.write_bytes(b"\x80\x04" + b"]" * 5000 + b"a" * 4999 + b"."), "nested more than 100 deep"),
    "in itself": (lambda p: p.write_bytes(b"\x80\x04]\x94h\x00a."), "nested more than 100 deep"),
    "objects": (lambda p: p.write_bytes(pickle.dumps({"model": np.array([None, 1])})), r"needs numpy\.dtype\('O"),
    "int in the header": (lambda p: p.write_bytes(struct.pack("<Q", 1 << 40) + b"{}"), "its header has"),
}


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(300_000_000))


def other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", BROKEN)
def test_each_kind_of_broken_file_has_its_own_message(tmp_path: Path, kind: str) -> None:
    write, message = BROKEN[kind]
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(WeightsError, match=message) as caught:
        load(resolve(f"file:{path}@shapes-resnet"), 0)
    assert str(caught.value).startswith(str(path))


def test_unknown_classes_do_not_hinder_what_can_be_read(folder: Path) -> None:
    """A class of a package that is not there, beside tensors: the tensors come, the class is not looked for."""
    data = written(folder / "whole", "pickle")[:-1]
    assert data.startswith(b"\x80\x04\x95")
    (folder / "a.pkl").write_bytes(data + text("meta") + PAYLOADS["NEWOBJ and BUILD"]("") + b"s.")
    contents = containers.read(folder / "a.pkl")
    assert torch.equal(contents.tree["model"]["conv1.weight"], STATE["conv1.weight"])
    assert contents.classes == ("headstart_evil.Run",) and nothing_ran(folder)
