"""What settings files have in common: frozen, unknown keys refused, names that can be folders.

`Settings` refuses what it does not know. `ReadSettings` refuses more: what stands there and would not be read, be it
another head's or sampling's, or in want of another setting. Both are named with what would be right.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

Supervision = Literal["boxes", "labels"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=60)]
NOT_READ = "not_read"
"""Type of the error of a setting that would not be read."""


class Settings(BaseModel):
    """Frozen; unknown keys are faults, and so are infinite numbers: no setting means one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ReadSettings(Settings):
    """Settings every one of which is read.

    Settings of several kinds have a base class that names the field that says which (`tag`) and holds the kinds by its
    values (`family`); validating by the base class makes the kind that is named. What is written out (`model_dump`)
    leaves out what is not read, so that it can be read again.
    """

    tag: ClassVar[str] = ""
    family: ClassVar[dict[str, type[ReadSettings]]] = {}
    elsewhere: ClassVar[Mapping[str, str]] = {}
    """Settings that stand in another place, and what to do instead."""
    tacit: ClassVar[frozenset[str]] = frozenset()
    """Settings that change no result: not written out while they have their default."""
    later: ClassVar[frozenset[str]] = frozenset()
    """Settings that came later: not written out while they have their default, so that keys of finished jobs stay."""

    @classmethod
    def is_base(cls) -> bool:
        """Whether these are several kinds of settings, not one."""
        return bool(cls.tag) and cls not in cls.family.values()

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Raises TypeError for a base class, which would read nothing of any kind."""
        if cls.is_base():
            raise TypeError(f"{cls.__name__} is one of several kinds: use {cls.__name__}.model_validate")
        return super().__new__(cls)

    def idle(self) -> dict[str, str]:
        """Names of fields that are not read as the others are set, and what they need."""
        return {}

    @model_validator(mode="wrap")
    @classmethod
    def _read_alone(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if cls.is_base():
            return handler(values) if not isinstance(values, Mapping) else _kind_of(cls, values).model_validate(values)
        try:
            settings = handler(values)
        except ValidationError as fault:
            raise _renamed(cls, fault) from None
        idle = settings.idle()
        names = sorted(settings.model_fields_set & set(idle))
        if names := [name for name in names if getattr(settings, name) != ()]:  # an empty list asks for nothing
            raise refusal(cls, {name: (f"not read: {idle[name]}", getattr(settings, name)) for name in names})
        return settings

    @model_serializer(mode="wrap")
    def _without_idle(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        told_by_default = self.tacit | self.later
        kept_back = {*self.idle(), *(n for n in told_by_default if getattr(self, n) == fields[n].default)}
        return {name: value for name, value in handler(self).items() if name not in kept_back}


def faults_of(error: ValidationError) -> list[str]:
    """A line a fault: where it is, and what is wrong."""
    return [
        f"{'.'.join(map(str, e['loc']))}: {message}".removeprefix(": ")
        for e in error.errors()
        if (message := " ".join(str(e["msg"]).removeprefix("Value error, ").split()))
    ]


def refusal(of: type[BaseModel], faults: Mapping[str, tuple[str, Any]]) -> ValidationError:
    """An error that says of each of these fields what is wrong; faults: message and value by name."""
    return ValidationError.from_exception_data(
        of.__name__, [_detail((name,), message, value) for name, (message, value) in faults.items()]
    )


def _kind_of(base: type[ReadSettings], values: Mapping[Any, Any]) -> Any:
    """The class of the kind that `values` name."""
    tag, family = base.tag, base.family
    kinds = " or ".join(f'"{kind}"' for kind in family)
    name = values.get(tag)
    if not isinstance(name, str):
        raise refusal(base, {tag: (f"needed, one of {kinds}", values)})
    if name not in family:
        near = difflib.get_close_matches(name, family, 1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        raise refusal(base, {tag: (f'there is no {tag} "{name}", only {kinds}{hint}', name)})
    return family[name]


def _detail(place: tuple[str | int, ...], message: str, value: Any, kind: Any = NOT_READ) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, "{words}", {"words": message}), loc=place, input=value)


def _renamed(cls: type[ReadSettings], fault: ValidationError) -> ValidationError:
    """The same faults, unknown settings with the nearest right name or where they belong."""
    details = []
    for error in fault.errors():
        place = error["loc"]
        if error["type"] == "extra_forbidden" and len(place) == 1:
            details.append(_detail(place, _unknown(cls, str(place[0])), error["input"]))
        elif error["type"] == "literal_error" and len(place) == 1 and (kinds := _accepting(cls, error)):
            message = f"{error['msg'].replace('Input should', 'it should')}; {error['input']!r} is for {kinds}"
            details.append(_detail(place, message, error["input"]))
        elif error["type"] in (NOT_READ, "value_error"):  # their words are made, and cannot be made again from a type
            message = error["msg"].removeprefix("Value error, ")
            details.append(_detail(place, message, error["input"], error["type"]))
        else:
            details.append(
                InitErrorDetails(type=error["type"], loc=place, input=error["input"], ctx=error.get("ctx", {}))
            )
    return ValidationError.from_exception_data(fault.title, details)


def _unknown(cls: type[ReadSettings], name: str) -> str:
    """What is wrong with a setting that these settings do not have."""
    others = {kind: other for kind, other in cls.family.items() if other is not cls}
    mine = next((f'{cls.tag} "{kind}" has' for kind, other in cls.family.items() if other is cls), "there is")
    told = [base.elsewhere for base in cls.__mro__ if issubclass(base, ReadSettings) and "elsewhere" in vars(base)]
    hint = next((where[name] for where in told if name in where), "")
    if having := [kind for kind, other in others.items() if name in other.model_fields]:
        hint = f"{_named(cls.tag, having)} {'have' if len(having) > 1 else 'has'}" + (f". {hint}" if hint else "")
    if hint:
        return f"{mine} no such setting; {hint}"
    known = {*cls.model_fields, *(field for other in others.values() for field in other.model_fields)}
    near = difflib.get_close_matches(name, sorted(known), 1)
    if not near:
        return f"{mine} no such setting; there are {', '.join(sorted(cls.model_fields))}"
    if near[0] in cls.model_fields:
        return f"{mine} no such setting; did you mean `{near[0]}`?"
    having = [kind for kind, other in others.items() if near[0] in other.model_fields]
    return f"{mine} no such setting; the nearest is `{near[0]}`, of {_named(cls.tag, having)}"


def _accepting(cls: type[ReadSettings], error: Any) -> str:
    """The others of the family that take a value which these settings do not; "" where none does."""
    name, value = error["loc"][0], error["input"]
    fields = {kind: other.model_fields.get(name) for kind, other in cls.family.items() if other is not cls}
    kinds = [kind for kind, field in fields.items() if field and value in get_args(field.annotation)]
    return _named(cls.tag, kinds) if kinds else ""


def _named(tag: str, kinds: list[str]) -> str:
    quoted = [f'"{kind}"' for kind in kinds]
    if len(quoted) == 1:
        return f"{tag} {quoted[0]}"
    return f"{tag}s {', '.join(quoted[:-1])} and {quoted[-1]}"
