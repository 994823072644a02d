"""Where in a checkpoint the state dict is: under the usual wrappers, or where the card says. Imports no torch.

Many files hold weights twice: as trained, and averaged over the training (EMA, the teacher of a pair). Averages are
what timm, Ultralytics, D-FINE, BasicSR and DINO load and evaluate; they are taken, and it is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from headstart.errors import WeightsError

Variant = Literal["", "ema", "raw"]

WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "weights", "module", "network", "params", "checkpoint"),
    *("model_state", "current_model_state", "student"),
)
"""Keys under which public checkpoints keep the state dict, in the order in which they are tried."""
AVERAGED = (
    *("state_dict_ema", "ema_state_dict", "model_ema", "model_ema_state_dict", "params_ema", "ema_model", "ema"),
    *("avg_model", "averaged_model", "ema_weights", "teacher"),
)
"""The same for weights averaged over the training."""
DEPTH = 5
"""Most wrappers inside one another."""


@dataclass(frozen=True)
class Place:
    """A state dict in a checkpoint. keys: that lead to it."""

    keys: tuple[str, ...]
    tensors: dict[str, Any]

    @property
    def averaged(self) -> bool:
        return any(key in AVERAGED for key in self.keys)

    def __str__(self) -> str:
        return repr(".".join(self.keys))


def state_dict(
    path: Path,
    tree: Any,
    checkpoint_key: str | None = None,
    classes: tuple[str, ...] = (),
    *,
    variant: Variant = "",
) -> tuple[dict[str, Any], str]:
    """(arrays by name, dotted key inside the file that they were under or "").

    tree: of `containers.look` or `containers.read`. checkpoint_key: the place of the state dict; None tries
    `WRAPPERS` and `AVERAGED`. classes: pickled ones that were not loaded, for the message. variant: which of the two,
    where there are both; "": the averages. Raises WeightsError.
    """
    if checkpoint_key:
        return _at(path, tree, checkpoint_key, classes)
    found = places(tree)
    if not found:
        raise _nothing(path, tree, "", classes)
    place = chosen(path, found, variant)
    return place.tensors, ".".join(place.keys)


def places(tree: Any) -> list[Place]:
    """State dicts under the usual wrappers: at most one as trained and one averaged, in this order."""
    found = _places(tree, (), DEPTH)
    raw, averaged = ([place for place in found if place.averaged is kind] for kind in (False, True))
    if raw and averaged and not _bare(raw[0]) & _bare(averaged[0]):
        return raw[:1]  # of two networks
    return raw[:1] + averaged[:1]


def _bare(place: Place) -> set[str]:
    """Its names without what trainers put before all of them."""
    return {re.sub(r"^((module|_orig_mod|model|ema_model)\.)+", "", name) for name in place.tensors}


def _places(tree: Any, keys: tuple[str, ...], depth: int) -> list[Place]:
    if not isinstance(tree, dict):
        return []
    inside = [
        place
        for key in (WRAPPERS + AVERAGED if depth else ())
        if isinstance(tree.get(key), dict)
        for place in _places(tree[key], (*keys, key), depth - 1)
    ]
    tensors = arrays(tree)
    return inside or ([Place(keys, tensors)] if tensors else [])


def chosen(path: Path, found: list[Place], variant: Variant) -> Place:
    """The one that `variant` means. Raises WeightsError where it is not there."""
    fitting = [place for place in found if not variant or place.averaged == (variant == "ema")]
    if fitting:
        return fitting[-1]
    there = found[0]
    what = "weights as trained" if variant == "raw" else "averaged weights (EMA)"
    raise WeightsError(
        f"{path} holds no {what}: there is one state dict{f', under {there}' if there.keys else ''}. "
        f"Leave #{variant} out."
    )


def said(found: list[Place], taken: str) -> tuple[str, ...]:
    """Which of two state dicts was taken, as a note; () where the file has one."""
    if len(found) < 2:
        return ()
    raw, averaged = found
    if tuple(taken.split(".")) == averaged.keys:
        return (f"averaged weights (EMA) were taken, under {averaged}; #raw takes those as trained, under {raw}",)
    return (f"weights as trained were taken, under {raw}; #ema takes the averaged ones (EMA), under {averaged}",)


def _at(path: Path, tree: Any, checkpoint_key: str, classes: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    for part in checkpoint_key.split("."):
        if not isinstance(tree, dict) or part not in tree:
            raise WeightsError(
                f"{path} has no key {checkpoint_key!r}. Its keys: {_keys(tree)}. Correct `checkpoint_key`."
            )
        tree = tree[part]
    tensors = arrays(tree)
    if not tensors:
        raise _nothing(path, tree, checkpoint_key, classes)
    return tensors, checkpoint_key


def _nothing(path: Path, tree: Any, under: str, classes: tuple[str, ...]) -> WeightsError:
    while isinstance(tree, dict) and (key := next((k for k in WRAPPERS if isinstance(tree.get(k), dict)), None)):
        under, tree = f"{under}.{key}".lstrip("."), tree[key]
    where = f" under {under!r}" if under else ""
    unread = f" Objects of classes that are not loaded: {', '.join(classes[:5])}." if classes else ""
    return WeightsError(
        f"{path} has no tensors by name{where}; it has: {_keys(tree)}.{unread} Name the place of "
        "the state dict by `checkpoint_key` in a weights card."
    )


def arrays(tree: Any) -> dict[str, Any]:
    """Entries of a dictionary that are arrays or tensors; {} for what is none."""
    return {key: value for key, value in tree.items() if is_array(value)} if isinstance(tree, dict) else {}


def is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _keys(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    names = [repr(str(key)) for key in content]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") or "nothing"
