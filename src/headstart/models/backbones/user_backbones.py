"""Backbones from a user's own file: `path/to/file.py:function`. The function takes nothing and returns the backbone."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headstart.errors import WeightsError
from headstart.models.backbones.stages import Stage, evaluating
from headstart.places.trust import require_trusted


def split_user_backbone(name: str) -> tuple[str, str] | None:
    """(path, function) of `path/to/file.py:function`, or None for a name that is no file's."""
    path, colon, function = name.rpartition(":")
    return (path, function) if colon and path.endswith(".py") else None


def load_user_backbone(path: Path, function: str) -> nn.Module:
    """What `function()` of the user's file returns, checked on one black image.

    Raises WeightsError, also where nobody said that the file's code may run (`headstart.places.trust`).
    """
    where = f"{path}:{function}"
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file. A backbone of your own is named path/to/file.py:function.")
    source = path.read_bytes()
    require_trusted(path, source, where)
    build = getattr(_import(path, source), function, None)
    if not callable(build):
        raise WeightsError(f"{path} defines no function {function!r}. Check the name after the colon.")
    try:
        backbone = build()
    except Exception as error:
        raise WeightsError(
            f"{where} failed: {type(error).__name__}: {error}{_line_in(path, error)}. "
            "The function takes no arguments and returns the backbone."
        ) from error
    _check(backbone, where)
    return backbone


def _import(path: Path, source: bytes) -> Any:
    """The user's file as a module. Its folder is not put on the path: the file's digest must cover its code."""
    digest = hashlib.sha256(source).hexdigest()[:12]
    name = f"headstart_user_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # these bytes, whatever is in the file by now
    except Exception as error:
        del sys.modules[name]
        raise WeightsError(
            f"{path} cannot be imported: {type(error).__name__}: {error}{_line_in(path, error)}. "
            "Fix the file; it may import installed packages, but no file beside it."
        ) from error
    return module


def _line_in(path: Path, error: BaseException) -> str:
    """' (line N)' of the last frame of `error` that lies in the file, '' where none does."""
    if isinstance(error, SyntaxError):
        return f" (line {error.lineno})"
    lines, trace = [], error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f" (line {lines[-1]})" if lines else ""


def _check(backbone: Any, where: str) -> None:
    """Raise WeightsError unless the user's backbone keeps the contract; makes plain tuples in `stages` into Stages."""
    if not isinstance(backbone, nn.Module):
        raise WeightsError(f"{where} returned {type(backbone).__name__}; it must return a torch.nn.Module.")
    try:
        stages = tuple(
            Stage(str(name), int(channels), int(stride)) for name, channels, stride in getattr(backbone, "stages", ())
        )
    except (TypeError, ValueError):
        stages = ()
    if not stages:
        raise WeightsError(
            f"{where}: the backbone has no usable attribute `stages`. Set it to a tuple of "
            "headstart.models.backbones.stages.Stage(name, channels, stride), finest first."
        )
    backbone.stages = stages  # type: ignore[assignment]
    with evaluating(backbone):
        try:
            maps = backbone(torch.zeros(1, 3, 224, 224))
        except Exception as error:
            raise WeightsError(
                f"{where}: forward of a (1, 3, 224, 224) batch failed: {type(error).__name__}: {error}"
                f"{_line_in(Path(where.rpartition(':')[0]), error)}."
            ) from error
    if not isinstance(maps, dict) or set(maps) != {stage.name for stage in stages}:
        got = f"the keys {sorted(map(str, maps))}" if isinstance(maps, dict) else type(maps).__name__
        raise WeightsError(
            f"{where}: forward returned {got}; it must return a dict with the stages' names as keys: "
            f"{[stage.name for stage in stages]}."
        )
    for stage in stages:
        shape, side = tuple(maps[stage.name].shape), 224 / stage.stride
        if len(shape) != 4 or shape[1] != stage.channels or max(abs(n - side) for n in shape[2:]) > 1:
            raise WeightsError(
                f"{where}: stage {stage.name} says {stage.channels} channels at stride {stage.stride}, "
                f"but a 224x224 image gave shape {shape}. Correct `stages`."
            )
