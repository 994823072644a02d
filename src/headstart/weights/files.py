"""Checkpoint files as dictionaries of tensors. Nothing from a pickle is ever executed."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from headstart.errors import WeightsError

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which public checkpoints keep the state dict, in the order in which they are tried."""


def read_state(path: Path, checkpoint_key: str | None = None) -> tuple[dict[str, Tensor], str]:
    """(tensors by name, dotted key inside the file that they were under or "").

    Formats: safetensors, and what torch.save wrote as tensors in plain containers. `checkpoint_key` names the place of
    the state dict ("state_dict"); None tries the usual wrappers. Raises WeightsError.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}. Check the path and its permissions.") from error
    _refuse_non_checkpoints(path, head)
    content = _safetensors(path) if head[8:9] == b"{" else _torch(path, looks_right=head[:1] in (b"P", b"\x80"))
    return _unwrap(path, content, checkpoint_key)


def _refuse_non_checkpoints(path: Path, head: bytes) -> None:
    text = head.lstrip().lower()
    if not head:
        raise WeightsError(f"{path} is empty (0 bytes). Download or copy it again.")
    if text.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the weights themselves. Run `git lfs pull` where it came "
                           "from, or download the file itself.")  # fmt: skip
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<script")):
        raise WeightsError(f"{path} is a web page, not a checkpoint: the server answered with HTML (a login, a consent "
                           "or an error page). Download the file itself.")  # fmt: skip


def _safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise _damaged(path, "safetensors file", error) from error


def _torch(path: Path, looks_right: bool) -> Any:
    """`looks_right`: the first byte is that of a zip archive or a pickle, the two containers of torch.save."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of other pickle protocols, then refuses them
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file provokes: struct, zip, pickle and value errors
        if not looks_right:
            raise _foreign(path, error) from error
        if isinstance(error, pickle.UnpicklingError) and ("GLOBAL" in str(error) or "Unsupported" in str(error)):
            raise WeightsError(
                f"{path} holds Python objects besides tensors, and loading them could run code "
                f"({_refused(error)}). Open it where it was made and save only the tensors: "
                "torch.save(model.state_dict(), 'weights.pth'), or safetensors."
            ) from error
        raise _damaged(path, "torch checkpoint", error) from error


def _refused(error: Exception) -> str:
    named = re.search(r"GLOBAL (\S+)", str(error))
    return f"it names {named[1]}" if named else "it was not written by torch.save"


def _damaged(path: Path, what: str, error: Exception) -> WeightsError:
    return WeightsError(f"{path} ({path.stat().st_size:,} bytes) is damaged or cut short: it begins like a {what} but "
                        f"cannot be read to its end ({_first_line(error)}). Download or copy it again.")  # fmt: skip


def _foreign(path: Path, error: Exception) -> WeightsError:
    return WeightsError(f"{path} is neither a safetensors file nor a torch checkpoint ({_first_line(error)}). "
                        "Give a file made by torch.save or safetensors.")  # fmt: skip


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _unwrap(path: Path, content: Any, checkpoint_key: str | None) -> tuple[dict[str, Tensor], str]:
    taken: list[str] = []
    if checkpoint_key:
        for part in checkpoint_key.split("."):
            if not isinstance(content, dict) or part not in content:
                raise WeightsError(f"{path} has no key {checkpoint_key!r}. Its keys: {_keys(content)}. "
                                   "Correct `checkpoint_key`.")  # fmt: skip
            content = content[part]
            taken.append(part)
    else:
        while (inner := _wrapper(content)) is not None:
            content = content[inner]
            taken.append(inner)
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        where = f" under {'.'.join(taken)!r}" if taken else ""
        raise WeightsError(f"{path} has no tensors by name{where}; it has: {_keys(content)}. Name the place of the "
                           "state dict by `checkpoint_key` in a weights card.")  # fmt: skip
    return tensors, ".".join(taken)


def _wrapper(content: Any) -> str | None:
    """Wrapper key that holds a dictionary, where `content` itself is no state dict."""
    if not isinstance(content, dict):
        return None
    return next((key for key in WRAPPERS if isinstance(content.get(key), dict)), None)


def _keys(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    names = [repr(str(key)) for key in content]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"
