"""Headstart's native checkpoint of a backbone: one safetensors file whose header says everything else. Imports no torch
to look at one.

`OUT/backbone.safetensors`, or `OUT` itself where it ends in `.safetensors`. Tensors have the backbone's canonical
names; the header's entry `headstart-checkpoint` is JSON with the fields of `CheckpointFacts`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.texts import json_of

if TYPE_CHECKING:
    from torch import Tensor

KEY = "headstart-checkpoint"
FORMAT = 1
FILE = "backbone.safetensors"
MODEL = "model"
"""Folder beside it in which a pre-training keeps its whole model, with its head."""


@dataclass(frozen=True)
class CheckpointFacts:
    """What a native checkpoint says of itself."""

    name: str
    backbone: str
    preprocessing: dict[str, Any]
    lineage: list[str]
    licence: str
    source: str
    """Where the facts come from."""
    digest: str
    """SHA-256 of names, types, shapes and values of the tensors (`tensor_digest`)."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """The file that was imported: uri, name, SHA-256, layout, how it was read."""
    norm_eps: float = 1e-5
    """Epsilon of the batch norms: the usual one, since others are folded at import."""
    fingerprint: dict[str, list[float]] = field(default_factory=dict)
    format: int = FORMAT


def find(path: Path) -> Path | None:
    """The native checkpoint that a path means: a file, or the one in a folder; None where it is none."""
    file = path / FILE if path.is_dir() else path
    return file if file.suffix == ".safetensors" and file.is_file() and _header(file).get(KEY) else None


def read_facts(path: Path) -> CheckpointFacts:
    """CheckpointFacts of the native checkpoint at `path` (a file). Raises WeightsError where they cannot be read."""
    try:
        facts = CheckpointFacts(**json_of(_header(path)[KEY]))
        if facts.format == FORMAT:
            _require_sound(facts)
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{path}: the header of this checkpoint is damaged or of a newer format ({error}). "
            "Import the original again: headstart weights import FILE OUT."
        ) from error
    if facts.format != FORMAT:
        raise WeightsError(
            f"{path} is of format {facts.format}; this version reads format {FORMAT}. Update Headstart, "
            "or import the original again."
        )
    return facts


def _require_sound(facts: CheckpointFacts) -> None:
    """Raises ValueError, which names the first fact that is not of its kind."""
    words = {name: getattr(facts, name) for name in ("name", "backbone", "licence", "source", "digest")}
    words |= {f"lineage {k}": entry for k, entry in enumerate(facts.lineage)}
    wrong = [name for name, value in words.items() if not isinstance(value, str)]
    if not isinstance(facts.lineage, list) or not isinstance(facts.provenance, dict):
        wrong.append("lineage or provenance")
    elif type(facts.provenance.get("seed", 0)) is not int:
        wrong.append("seed")
    if not _is_number(facts.norm_eps) or facts.norm_eps < 0:
        wrong.append("norm_eps")
    if not isinstance(facts.fingerprint, dict) or not all(map(_is_numbers, facts.fingerprint.values())):
        wrong.append("fingerprint")
    if wrong:
        raise ValueError(f"{wrong[0]} is of another kind")
    Preprocessing.from_json(facts.preprocessing)


def _is_number(value: object) -> bool:
    """A finite one that a float can hold."""
    return type(value) in (int, float) and abs(value) < 1e300  # type: ignore[arg-type]


def _is_numbers(value: object) -> bool:
    """Three, as stages have them."""
    return isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))


def names(path: Path) -> frozenset[str]:
    """Names of the tensors of the checkpoint at `path` (a file)."""
    return frozenset(_whole_header(path)) - {"__metadata__"}


def _header(path: Path) -> dict[str, Any]:
    """The metadata of a safetensors file, {} where there are none."""
    metadata = _whole_header(path).get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else {}


def _whole_header(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(100_000_000, path.stat().st_size):
            return {}
        try:
            header = json_of(stream.read(length))
        except ValueError:
            return {}
    return header if isinstance(header, dict) else {}


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the tensors in the order of their names: each name, type, shape, and its values in C order."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        total.update(json.dumps([name, str(value.dtype).removeprefix("torch."), list(value.shape)]).encode())
        total.update(value.numpy().tobytes())
    return total.hexdigest()


def write(out: Path, tensors: Mapping[str, Tensor], facts: CheckpointFacts) -> Path:
    """Write the checkpoint, whole or not at all; returns the file."""
    from headstart.store.arrays import save_tensors

    file = out if out.suffix == ".safetensors" else out / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(file, tensors, {KEY: json.dumps(asdict(facts), sort_keys=True)})
    return file
