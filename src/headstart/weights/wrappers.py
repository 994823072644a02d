"""Where in a checkpoint the state dict is: under the usual wrappers, or where the card says. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.errors import WeightsError

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which public checkpoints keep the state dict, in the order in which they are tried."""


def state_dict(
    path: Path, tree: Any, checkpoint_key: str | None = None, classes: tuple[str, ...] = ()
) -> tuple[dict[str, Any], str]:
    """(arrays by name, dotted key inside the file that they were under or "").

    tree: of `containers.look` or `containers.read`. checkpoint_key: the place of the state dict; None tries
    `WRAPPERS`. classes: pickled ones that were not loaded, for the message. Raises WeightsError.
    """
    taken: list[str] = []
    if checkpoint_key:
        for part in checkpoint_key.split("."):
            if not isinstance(tree, dict) or part not in tree:
                raise WeightsError(
                    f"{path} has no key {checkpoint_key!r}. Its keys: {_keys(tree)}. Correct `checkpoint_key`."
                )
            tree = tree[part]
            taken.append(part)
    else:
        while (inner := _wrapper(tree)) is not None:
            tree = tree[inner]
            taken.append(inner)
    tensors = arrays(tree)
    if not tensors:
        where = f" under {'.'.join(taken)!r}" if taken else ""
        unread = f" Objects of classes that are not loaded: {', '.join(classes[:5])}." if classes else ""
        raise WeightsError(
            f"{path} has no tensors by name{where}; it has: {_keys(tree)}.{unread} Name the place of "
            "the state dict by `checkpoint_key` in a weights card."
        )
    return tensors, ".".join(taken)


def arrays(tree: Any) -> dict[str, Any]:
    """Entries of a dictionary that are arrays or tensors; {} for what is none."""
    return {key: value for key, value in tree.items() if is_array(value)} if isinstance(tree, dict) else {}


def is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


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
