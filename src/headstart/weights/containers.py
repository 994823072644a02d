"""Checkpoint files opened without running anything: safetensors, torch.save (both layouts), pickles, MXNet's .params.

`look` gives names and shapes and imports no torch. `read` gives tensors: by `torch.load(weights_only=True)` where
that suffices, else by our own reader (`pickles`), which takes tensors out of whole pickled modules, too.
"""

from __future__ import annotations

import io
import json
import math
import mmap
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from headstart.errors import WeightsError
from headstart.texts import json_of
from headstart.weights import mxnet_params, pickles
from headstart.weights.rebuilding import Refused, storage_facts
from headstart.weights.stored import DTYPES, Budget, Storage, StoredArray, plain, require_extents, require_room

Kind = Literal["safetensors", "torch archive", "pickle", "MXNet parameters"]

MAX_GROWTH = 8
"""Most times that a compressed archive may grow; weights hardly compress."""
MAX_HEADER = 100_000_000
"""Bytes of a safetensors header; the format's own library refuses more."""
_SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True)
class Contents:
    """A checkpoint as dictionaries and lists of arrays and plain values."""

    path: Path
    kind: Kind
    tree: Any
    """Leaves: `StoredArray`, numbers, text, `Stub`."""
    classes: tuple[str, ...] = ()
    """Names of the pickled classes that were not loaded."""
    header: Mapping[str, str] = field(default_factory=dict)
    """Metadata of a safetensors file."""

    def exported(self) -> dict[str, Any] | None:
        """Facts that `headstart.weights.export` wrote into the file, or None."""
        facts = self.tree.get("headstart") if isinstance(self.tree, dict) else None
        if isinstance(text := self.header.get("headstart"), str):
            try:
                facts = json_of(text)
            except ValueError as error:
                raise WeightsError(
                    f"{self.path}: the facts in its header are no JSON: {error}. Export it again."
                ) from error
        return facts if isinstance(facts, dict) and facts.get("format") == 1 else None


def look(path: Path) -> Contents:
    """What the file holds; values stay in it until asked for. Raises WeightsError, whatever the file is."""
    head = _head(path)
    kind = _kind(path, head)
    try:
        if _is_index(path):
            return Contents(path, kind, _shards(path))
        if kind == "safetensors":
            tensors, header = _safetensors(path)
            return Contents(path, kind, tensors, header=header)
        if kind == "torch archive":
            return _archive(path)
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if kind == "MXNet parameters":
            return Contents(path, kind, mxnet_params.read_params(data))
        content, stubs = pickles.read_pickles(data)
        tree = plain(content, Budget(len(data)))
        require_room(tree, len(data))
        return Contents(path, kind, tree, tuple(sorted(stubs)))
    except Refused as error:
        raise WeightsError(_refusal(path, error)) from error
    except WeightsError:
        raise
    except Exception as error:  # whatever a damaged file provokes: key, value, index, zip, unicode errors
        raise _damaged(path, kind, error) from error


def read(path: Path, trust_pickle: bool = False) -> Contents:
    """`look`, with torch tensors. `trust_pickle`: load it with Python's own pickle, which RUNS what the file says.

    Raises WeightsError.
    """
    if trust_pickle and (kind := _kind(path, _head(path))) in ("torch archive", "pickle"):
        return Contents(path, kind, _trusted(path))
    contents = look(path)
    if contents.kind == "torch archive" and not contents.classes:
        import torch

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                whole = torch.load(path, map_location="cpu", weights_only=True)
                return replace(contents, tree=plain(whole, Budget(path.stat().st_size)))
        except Exception:  # types that torch does not list; our reader has already found the file sound
            pass
    return replace(contents, tree=tensors(path, contents.tree))


def tensors(path: Path, tree: Any) -> Any:
    """The tree with `StoredArray`s read into torch tensors; an array that appears twice is read once."""
    done: dict[int, Any] = {}

    def read_all(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: read_all(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [read_all(entry) for entry in value]
        if isinstance(value, StoredArray):
            if id(value) not in done:
                done[id(value)] = value.tensor()
            return done[id(value)]
        return value

    try:
        return read_all(tree)
    except (EOFError, ValueError, OSError) as error:
        raise _damaged(path, "checkpoint", error) from error


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}. Check the path and its permissions.") from error


def _kind(path: Path, head: bytes) -> Kind:
    text = head.lstrip().lower()
    if not head:
        raise WeightsError(f"{path} is empty (0 bytes). Download or copy it again.")
    if text.startswith(b"version https://git-lfs"):
        raise WeightsError(
            f"{path} is a Git LFS pointer, not the weights themselves. Run `git lfs pull` where it came "
            "from, or download the file itself."
        )
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")):
        raise WeightsError(
            f"{path} is a web page, not a checkpoint: the server answered with HTML (a login, a consent "
            "or an error page). Download the file itself."
        )
    if head[8:9] == b"{":
        return "safetensors"
    if _is_index(path):
        return "safetensors"
    if head[:4] == b"PK\x03\x04":
        return "torch archive"
    if head[:8] == mxnet_params.MAGIC:
        return "MXNet parameters"
    if head[:1] == b"\x80" or (head[:1] in (b"(", b"}", b"]", b"c") and not head.isascii()):
        return "pickle"
    raise _foreign(path, head)


def _foreign(path: Path, head: bytes) -> WeightsError:
    known = {
        b"\x89HDF": "an HDF5 file (Keras, MATLAB)",
        b"\x1f\x8b": "a gzip archive",
        b"BZh": "a bzip2 archive",
        b"\x89PNG": "a PNG image",
        b"\xff\xd8": "a JPEG image",
        b"%PDF": "a PDF document",
        b"\x08\x07": "probably an ONNX file",
        b"\x08\x08": "probably an ONNX file",
        b"7z\xbc\xaf": "a 7z archive",
        b"\xfd7zXZ": "an xz archive",
        b"{": "JSON text",
    }
    what = next((name for start, name in known.items() if head.lstrip().startswith(start)), "")
    if head[257:262] == b"ustar":
        what = "a tar archive: unpack it and name the file inside"
    return WeightsError(
        f"{path} is neither a safetensors file nor a torch checkpoint, a pickle or MXNet parameters"
        f"{f': it is {what}' if what else f' (it begins with {head[:8]!r})'}. Give a file made by "
        "torch.save or safetensors."
    )


def _safetensors(path: Path) -> tuple[dict[str, StoredArray], dict[str, str]]:
    with path.open("rb") as stream:
        data = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8 or length > MAX_HEADER:
        raise EOFError(f"its header has {length:,} bytes and the file {len(data):,}")
    tensors, header, places = {}, {}, []
    for name, facts in json.loads(bytes(data[8 : 8 + length]), object_pairs_hook=_once).items():
        if name == "__metadata__":
            header = {str(key): str(value) for key, value in facts.items()}
            continue
        if facts["dtype"] not in _SAFETENSORS:
            raise Refused(f"the tensor {name!r} of type {facts['dtype']}", "a type of numbers that cannot be read")
        begin, end = (8 + length + int(place) for place in facts["data_offsets"])
        raw, dtype = data[begin:end], _SAFETENSORS[facts["dtype"]]
        if len(raw) != end - begin or len(raw) % DTYPES[dtype]:
            raise EOFError(f"the tensor {name!r} ends at byte {end:,} of {len(data):,}")
        tensors[name] = StoredArray(
            Storage(dtype, len(raw) // DTYPES[dtype], partial(bytes, raw)), tuple(facts["shape"])
        )
        require_extents(tensors[name].shape)
        if math.prod(tensors[name].shape) != tensors[name].storage.numel:
            raise ValueError(f"the tensor {name!r} has shape {facts['shape']} and {len(raw):,} bytes")
        tensors[name].check()
        places.append((begin, end, name))
    at = 8 + length
    for begin, end, name in sorted(places):  # as the format's own library wants it: no gap, and no byte twice
        if begin != at:
            raise ValueError(f"the tensor {name!r} begins at byte {begin:,}; the one before it ends at {at:,}")
        at = end
    if at != len(data):
        raise ValueError(f"its tensors end at byte {at:,} of {len(data):,}")
    return tensors, header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises ValueError where a name stands twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name stands twice in its header")
    return value


def parts(path: Path) -> list[Path]:
    """The files beside the index of a checkpoint in parts that hold its tensors; [] for a file that is no index.

    Raises WeightsError for an index that cannot be read.
    """
    return sorted({path.parent / Path(name).name for name in _weight_map(path).values()}) if _is_index(path) else []


def _is_index(path: Path) -> bool:
    return path.name.endswith(".index.json")


def _weight_map(path: Path) -> dict[str, str]:
    """{name of a tensor: name of its file}."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as fault:
        raise WeightsError(f"{path} is no index of a checkpoint in parts: it has no weight_map.") from fault
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise WeightsError(f"{path}: its weight_map does not name the file of each tensor.")
    return names


def _shards(path: Path) -> dict[str, StoredArray]:
    """Tensors of a checkpoint in parts, which the index names. Raises WeightsError where one is not there."""
    names = _weight_map(path)
    found: dict[str, StoredArray] = {}
    for part in parts(path):
        if not part.is_file():
            raise WeightsError(f"{path} names the part {part.name}, which is not beside it. Put all parts there.")
        found |= _safetensors(part)[0]
    if absent := sorted(set(names) - found.keys()):
        raise WeightsError(f"{path} names {absent[0]}, which none of its parts holds. Download them again.")
    return found


def _archive(path: Path) -> Contents:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise EOFError(f"the archive's list of files at its end is missing: {error}") from error
    with archive:
        entries = {info.filename: info for info in archive.infolist()}
        size, full = path.stat().st_size, sum(info.file_size for info in entries.values())
        if full > MAX_GROWTH * size + (1 << 20):
            raise WeightsError(
                f"{path} has {size:,} bytes and would unpack to {full:,}: a zip bomb, or not weights, "
                "which hardly compress. It was not unpacked."
            )
        root = next((name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")), None)
        if root is None and any(name.endswith(".npy") for name in entries):
            raise WeightsError(
                f"{path} is an archive of NumPy arrays (.npz), which has no torch tensors: JAX and Flax write such. "
                "Convert it where it comes from (timm's models can load Google's), and save a state dict."
            )
        if root is None:
            raise WeightsError(
                f"{path} is a zip archive, but not one of torch.save: it has no data.pkl. It holds: "
                f"{', '.join(list(entries)[:5])}{', ..' if len(entries) > 5 else ''}. Unpack it and "
                "name the checkpoint inside."
            )
        if f"{root}constants.pkl" in entries:
            raise WeightsError(
                f"{path} is a TorchScript archive: it holds a program, not only weights. Save its state "
                "dict: torch.save(torch.jit.load(..).state_dict(), 'weights.pth')."
            )
        storages: dict[str, Storage] = {}

        def storage(pid: Any) -> Storage:
            dtype, key, numel = storage_facts(pid)
            if key not in storages:
                info = entries.get(f"{root}data/{key}")
                if info is None or info.file_size < numel * DTYPES[dtype]:
                    raise EOFError(f"the values of storage {key} are missing or cut short")
                storages[key] = Storage(dtype, numel, partial(_entry, path, info))
            return storages[key]

        program = archive.read(f"{root}data.pkl")
        machine = pickles.RestrictedUnpickler(pickles.Bounded(program), storage)
        content = plain(machine.load(), Budget(len(program)))
        require_room(content, full)
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in entries else b"little"
        if order != b"little":
            raise Refused("big-endian values", "written by a machine of the other byte order")
    return Contents(path, "torch archive", content, tuple(sorted(machine.stubs)))


def _entry(path: Path, info: zipfile.ZipInfo) -> bytes:
    """Raises ValueError for whatever zipfile raises: a checksum, a method that it does not know, a password."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(info)
    except Exception as error:
        raise ValueError(f"{info.filename} cannot be unpacked: {error}") from error


def _trusted(path: Path) -> Any:
    import torch

    budget = Budget(path.stat().st_size)
    try:
        if _head(path).startswith((b"PK", pickle.dumps(pickles.TORCH_MAGIC, 2))):
            return plain(_module_to_state(torch.load(path, map_location="cpu", weights_only=False)), budget)
        with path.open("rb") as stream:
            return plain(_module_to_state(pickle.load(io.BytesIO(stream.read()), encoding="latin1")), budget)
    except Exception as error:
        raise WeightsError(
            f"{path} could not be unpickled: {type(error).__name__}: {str(error)[:200]}. Unpickling it "
            "needs the packages that it was written with."
        ) from error


def _module_to_state(value: Any) -> Any:
    import torch

    if isinstance(value, torch.nn.Module):
        return value.state_dict()
    return {key: _module_to_state(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def _refusal(path: Path, error: Refused) -> str:
    return (
        f"{path} needs {error.name}, {error.why}; loading it could run code, so nothing of it was loaded. Open it "
        "where it was made and save only the tensors: torch.save(model.state_dict(), 'weights.pth'), or safetensors. "
        "If you know who made the file, --trust-pickle loads it, and runs what it says."
    )


def _damaged(path: Path, kind: str, error: Exception) -> WeightsError:
    what = {
        "safetensors": "safetensors file",
        "torch archive": "torch checkpoint",
        "pickle": "torch checkpoint or pickle",
        "MXNet parameters": "file of MXNet parameters",
    }.get(kind, kind)
    told = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return WeightsError(
        f"{path} ({path.stat().st_size:,} bytes) is damaged or cut short: it begins like a {what} but "
        f"cannot be read to its end ({told}). Download or copy it again."
    )
