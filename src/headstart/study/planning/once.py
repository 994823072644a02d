"""What a planner is asked again and again: the jobs of a study do not depend on which of them are finished."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from headstart.config.study import Task, WeightsEntry


class Remembers(Protocol):
    """Who has a place to keep answers in."""

    remembered: dict[tuple[Any, ...], Any]


S = TypeVar("S", bound=Remembers)
P = ParamSpec("P")
T = TypeVar("T")


def once(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """A method whose answer depends on its arguments alone, computed once for each of them.

    Parts of a study (weights, tasks) are told apart by their names, which are unique in it; jobs by themselves.
    """

    @wraps(method)
    def remembering(self: S, *values: P.args, **named: P.kwargs) -> T:
        key = (method.__name__, *map(_name_of, values), *((name, _name_of(v)) for name, v in sorted(named.items())))
        if key not in self.remembered:
            self.remembered[key] = method(self, *values, **named)
        answer: T = self.remembered[key]
        return answer

    return remembering


def _name_of(value: Any) -> Any:
    return value.name if isinstance(value, Task | WeightsEntry) else value
