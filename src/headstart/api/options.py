"""Keyword arguments that several functions share, each declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict, TypeVar

from headstart.readers.options import ReadKeywords
from headstart.study.executors.options import RunKeywords, RunOptions

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How a data set is read."""

    format: str | None = None
    """Of the data; None: it is recognized."""
    read: ReadKeywords | None = None
    """Options of the reader, as in `open_dataset`."""
    on_bad_image: Literal["error", "skip"] = "error"
    """An image that cannot be decoded is an error, or left out and listed."""

    def keywords(self) -> dict[str, Any]:
        """As arguments of a function that takes the same."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def settings(self) -> dict[str, Any]:
        """As fields of `headstart.config.sets.FolderSet`."""
        return {"format": self.format, "read": dict(self.read or {}), "on_bad_image": self.on_bad_image}


class DataKeywords(TypedDict, total=False):
    """The fields of `DataOptions` as keyword arguments, for type checkers."""

    format: str | None
    read: ReadKeywords | None
    on_bad_image: Literal["error", "skip"]


@dataclass(frozen=True, kw_only=True)
class DataRunOptions(RunOptions, DataOptions):
    """How a data set is read, and how the study of it is run."""


class DataRunKeywords(DataKeywords, RunKeywords, total=False):
    """The fields of `DataRunOptions` as keyword arguments, for type checkers."""


def spelled(options: type) -> Callable[[Function], Function]:
    """Let `help()` and `inspect.signature` show the keywords of a function's `**` one by one, with their defaults: the
    fields of `options`, a dataclass."""
    keywords = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(options)
    ]

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        function.__signature__ = signature.replace(parameters=[*named, *keywords])  # type: ignore[attr-defined]
        return function

    return decorate
