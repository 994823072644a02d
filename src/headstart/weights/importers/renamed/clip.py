"""What CLIP's vision transformers have in common in every library: the form of their tokens, and two activations."""

from __future__ import annotations

from typing import Any


def _as_tokens(value: Any) -> Any:
    return value.reshape(1, -1, value.shape[-1])


TOKEN_EDITS = (("cls_token", _as_tokens), ("pos_embed", _as_tokens))
"""For `Family.edits`: the class token and the positions stand there without timm's leading dimensions."""


def token_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """For `Family.shaped`: shapes after `TOKEN_EDITS`."""
    if name == "cls_token":
        return (1, 1, shape[-1])
    return (1, *shape) if name == "pos_embed" and len(shape) == 2 else shape


def by_activation(names: tuple[str, ...], quick: bool) -> str:
    """Of networks that differ in their activation only, the one with quick GELU, or the one with the usual one."""
    return min(names, key=lambda name: (("quickgelu" in name) != quick, len(name), name))
