"""Checkpoints that are small and would come to gigabytes, or to work without end: a message within seconds."""

from __future__ import annotations

import json
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from headstart.errors import WeightsError
from headstart.weights.containers import look, read


def shared_lists(path: Path) -> None:
    """40 lists, each twice in the next."""
    value: list = ["weight"]
    for _ in range(40):
        value = [value, value]
    path.write_bytes(pickle.dumps({"model": value}))


def shared_dictionaries(path: Path) -> None:
    value: dict = {"weight": 1}
    for _ in range(40):
        value = {"a": value, "b": value}
    torch.save(value, path)


def shared_modules(path: Path) -> None:
    """A module that holds itself twice over, forty deep."""
    module = torch.nn.Sequential(torch.nn.Linear(1, 1))
    for _ in range(40):
        module = torch.nn.Sequential(module, module)
    torch.save(module, path)


def keys_of_lists(path: Path) -> None:
    """A tuple as key whose text would be 2^40 words long."""
    path.write_bytes(b"\x80\x02}(" + b"]" + b"".join(_twice(k) for k in range(40)) + b"K\x01u.")


def _twice(k: int) -> bytes:
    """The list on the stack becomes one of it and itself."""
    return b"r" + struct.pack("<I", k) + b"0](j" + struct.pack("<I", k) + b"j" + struct.pack("<I", k) + b"e"


def key_of_tuples(path: Path) -> None:
    """A nested tuple as key, whose hash would take 2^40 steps."""
    parts = b"".join(b"r" + struct.pack("<I", k) + b"j" + struct.pack("<I", k) + b"\x86" for k in range(40))
    path.write_bytes(b"\x80\x02}(" + b")" + parts + b"K\x01u.")


def strides_of_zero(path: Path) -> None:
    """200 tensors of 16 million values each, which are one value."""
    one = torch.ones(1)
    torch.save({f"{k}.weight": one.expand(1 << 24) for k in range(200)}, path)


def many_views(path: Path) -> None:
    """3,000 names for one storage of 4 MB."""
    values = torch.randn(1 << 20)
    torch.save({f"{k}.weight": values.view(1 << 20) for k in range(3000)}, path)


def overlapping_safetensors(path: Path) -> None:
    header = {f"{k}.weight": {"dtype": "F32", "shape": [1 << 20], "data_offsets": [0, 1 << 22]} for k in range(3000)}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(1 << 22))


def packed_zeros(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(1 << 27))


BOMBS: dict[str, Callable[[Path], None]] = {
    f.__name__: f
    for f in (
        shared_lists,
        shared_dictionaries,
        shared_modules,
        strides_of_zero,
        many_views,
        overlapping_safetensors,
        packed_zeros,
    )
}
MEASURED = """\
import resource, sys, time
from headstart.errors import WeightsError
from headstart.weights.containers import look
import numpy
began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    look(__import__("pathlib").Path(sys.argv[1]))
except WeightsError as error:
    print(error)
print(time.process_time() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_not_end_is_refused_at_once(tmp_path: Path, name: str) -> None:
    BOMBS[name](tmp_path / "file.pth")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / "file.pth")], capture_output=True, text=True, timeout=60
    )
    *said, measured = done.stdout.splitlines()
    seconds, gigabytes = map(float, measured.split())
    assert len(said) == 1 and said[0].startswith(str(tmp_path / "file.pth")), done
    assert seconds < 5 and gigabytes < 1, measured


@pytest.mark.parametrize("write", [keys_of_lists, key_of_tuples])
def test_keys_that_hold_themselves_are_shortened(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "file.pkl")
    ((key, value),) = look(tmp_path / "file.pkl").tree.items()
    assert len(key) < 200 and value == 1


def test_what_is_shared_honestly_is_read(tmp_path: Path) -> None:
    """Tied weights, one network in two places, an optimizer that counts its steps."""
    tied = torch.randn(100, 100)
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU())
    value = {
        "state_dict": {f"{k}.weight": tied for k in range(12)},
        "ema": network.state_dict(),
        "model": network.state_dict(),
        "log": list(range(100_000)),
    }
    torch.save(value, tmp_path / "file.pth")
    tree = read(tmp_path / "file.pth").tree
    assert torch.equal(tree["state_dict"]["11.weight"], tied) and len(tree["log"]) == 100_000


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"a": ("F32", [2], [0, 8]), "b": ("F32", [2], [4, 12])}, "'b' begins at byte"),
        ({"a": ("F32", [2], [0, 8]), "b": ("F32", [1], [12, 16])}, "'b' begins at byte"),
        ({"a": ("F32", [2], [0, 8])}, "its tensors end at byte"),
        ({"a": ("F32", [3], [0, 8]), "b": ("F32", [2], [8, 16])}, "'a' has shape"),
    ],
)
def test_offsets_of_safetensors_are_as_the_format_wants_them(tmp_path: Path, header: dict, said: str) -> None:
    facts = {name: dict(zip(("dtype", "shape", "data_offsets"), entry, strict=True)) for name, entry in header.items()}
    text = json.dumps(facts).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(WeightsError, match=said):
        look(tmp_path / "a.safetensors")
    text = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {"dtype": "F32", "shape": [1], '
    text += b'"data_offsets": [0, 4]}}'
    (tmp_path / "b.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(WeightsError, match="a name stands twice"):
        look(tmp_path / "b.safetensors")
