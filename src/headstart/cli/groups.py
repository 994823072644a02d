"""Options that stand together in several commands: a command takes a group as one argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

from headstart.cli.flags import (
    Address,
    Data,
    DataRoot,
    Device,
    Events,
    Executor,
    Format,
    Keep,
    Miniature,
    Noise,
    Offline,
    OnBadBox,
    OnBadImage,
    OnBadRecord,
    Overwrite,
    Quiet,
    Read,
    SharedStore,
    Tensorboard,
    TrustCode,
    Workers,
)

if TYPE_CHECKING:
    from headstart.readers.options import ReadKeywords


@dataclass(frozen=True, kw_only=True)
class Group:
    """Fields are options: their types say how they are written and what `--help` says of them."""

    def keywords(self) -> dict[str, Any]:
        """The group as keyword arguments of the function that the command is of."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Study(Group):
    """What a study becomes before it is planned."""

    noise: Noise = None
    data: Data = None
    data_root: DataRoot = None
    miniature: Miniature = False

    def keywords(self) -> dict[str, Any]:
        """`data` by name. Raises UsageError for words that are no places."""
        from headstart.study.planning.given_data import assigned

        return super().keywords() | {"data": assigned(self.data) if self.data else None}


@dataclass(frozen=True, kw_only=True)
class Reading(Group):
    """How a data set is read."""

    format: Format = None
    on_bad_box: OnBadBox = "error"
    on_bad_record: OnBadRecord = "error"
    read: Read = None

    def options(self) -> ReadKeywords:
        """Of the reader, where they differ from its defaults. Raises UsageError for words that are none."""
        from headstart.readers.options import assigned

        options = assigned(self.read or [])
        if self.on_bad_box == "skip":
            options.setdefault("on_bad_box", "skip")
        if self.on_bad_record == "skip":
            options.setdefault("on_bad_record", "skip")
        return options

    def keywords(self) -> dict[str, Any]:
        """`read` holds the reader's options."""
        others = {k: v for k, v in super().keywords().items() if k not in ("on_bad_box", "on_bad_record")}
        return others | {"read": self.options()}


@dataclass(frozen=True, kw_only=True)
class ReadingImages(Reading):
    """How a data set and its images are read."""

    on_bad_image: OnBadImage = "error"


@dataclass(frozen=True, kw_only=True)
class Placed(Group):
    """Where networks run."""

    workers: Workers = None
    device: Device = "auto"


@dataclass(frozen=True, kw_only=True)
class Allowed(Group):
    """What may be done, what is shown meanwhile, and a store for it."""

    trust_code: TrustCode = False
    offline: Offline = False
    overwrite: Overwrite = False
    quiet: Quiet = False
    store: SharedStore = None


@dataclass(frozen=True, kw_only=True)
class Dropped(Group):
    """What stays."""

    keep: Keep = None


@dataclass(frozen=True, kw_only=True)
class Executed(Group):
    """Who runs jobs, and who is told."""

    executor: Executor = "local"
    address: Address = None
    events: Events = None
    tensorboard: Tensorboard = False


@dataclass(frozen=True, kw_only=True)
class OneJob(Executed, Allowed):
    """How a study of one job is run."""


@dataclass(frozen=True, kw_only=True)
class Running(Executed, Dropped, Allowed, Placed):
    """How the jobs of a study are run: `headstart.study.executors.options.RunOptions`."""


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer takes it: each option of its groups in the place of the group."""
    signature = inspect.signature(command, eval_str=True)
    groups = {n: p.annotation for n, p in signature.parameters.items() if isinstance(p.annotation, type)}
    groups = {name: group for name, group in groups.items() if issubclass(group, Group)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name not in groups:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        types = get_type_hints(groups[name], include_extras=True)
        for field in fields(groups[name]):
            option = inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default)
            parameters.append(option.replace(annotation=types[field.name]))

    @wraps(command)
    def called(**words: Any) -> None:
        for name, group in groups.items():
            words[name] = group(**{field.name: words.pop(field.name) for field in fields(group)})
        command(**words)

    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return called
