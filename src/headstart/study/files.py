"""Study files: found, read, and every fault of one named at once with its line."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from headstart.config import axes, data, pretraining, probes, sets, study
from headstart.config.study import Study, builtin_studies_folder
from headstart.errors import StudyError
from headstart.places.paths import absolute
from headstart.recipes.settings import NOT_READ
from headstart.store.files import write_text
from headstart.study.kinds import faults_of_kinds
from headstart.texts import toml_of
from headstart.weights.detectors.whole import MARK, is_whole

NAMED = 50
"""How many faults a message names before it only counts them: each is looked for in the whole text."""


def builtin_studies() -> list[str]:
    """Names of the studies that come with the package."""
    return sorted(p.stem for p in builtin_studies_folder().glob("*.toml"))


def find_study(name: str) -> Path:
    """The file of a built-in study, or the path given. Raises StudyError when there is neither."""
    path = Path(name)
    if path.is_file():
        return path
    if name in builtin_studies():
        return builtin_studies_folder() / f"{name}.toml"
    if path.is_dir() and (path / "study.toml").is_file():
        return path / "study.toml"
    near = difflib.get_close_matches(name, builtin_studies(), 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise StudyError(
        f"{name}: no such study. It is neither a file nor one of the built-in studies: "
        f"{', '.join(builtin_studies())}.{hint}"
    )


def load_study(name: str) -> tuple[Study, Path]:
    """A checked study and the folder that its relative paths are relative to."""
    path = find_study(name)
    try:
        text = path.read_text(encoding="utf-8")
        values = toml_of(text)
    except UnicodeDecodeError as fault:
        raise StudyError(f"{path}: not UTF-8 text ({fault}). A study is a TOML file.") from None
    except ValueError as fault:
        raise StudyError(f"{path}: not valid TOML: {fault}. Mend the file at that place.") from None
    return checked(values, text, path), path.resolve().parent


def checked(values: dict[str, Any], text: str, path: Path) -> Study:
    """Validate; on faults raise one StudyError that lists all of them as `file:line: key: what is wrong`."""
    errors: list[Any] = faults_of_kinds(values)
    try:
        study = Study.model_validate(values, context={"base": path.parent})
    except ValidationError as fault:
        found = fault.errors()
        errors = [e for e in found if not _echo(e, found)] + errors
    if not errors:
        return study
    lines = [_sentence(error, text, path) for error in errors[:NAMED]]
    if len(errors) > NAMED:
        lines.append(f"and {len(errors) - NAMED} more")
    count = f"{len(errors)} faults" if len(errors) > 1 else "1 fault"
    raise StudyError(f"{path}: {count} in the study:\n  " + "\n  ".join(lines))


def _echo(error: Any, errors: list[Any]) -> bool:
    """Whether a list is called too short only because pydantic left out its faulty items."""
    place = error["loc"]
    return error["type"] == "too_short" and any(e["loc"][: len(place)] == place != e["loc"] for e in errors)


def _sentence(error: Any, text: str, path: Path) -> str:
    place = [p for p in error["loc"] if p not in ("WorldSet", "FolderSet", "TableSet", "[key]")]
    dotted = ".".join(str(p) for p in place)
    where = f"{path.name}:{line_of(text, place)}"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), sorted(_known_keys()), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{where}: {dotted}: unknown key{hint}"
    message = error["msg"].removeprefix("Value error, ")
    value = error["input"]
    shown = f" (given: {value!r})" if error["type"] != NOT_READ and isinstance(value, str | int | float | bool) else ""
    return f"{where}: {dotted or 'study'}: {message[0].lower()}{message[1:]}{shown}"


def _known_keys() -> set[str]:
    modules = (axes, sets, data, pretraining, probes, study)
    models = [m for mod in modules for m in vars(mod).values() if isinstance(m, type) and issubclass(m, BaseModel)]
    return {key for model in models for key in model.model_fields}


def line_of(text: str, place: list[str | int]) -> int:
    """Line (1-based) of a key in a TOML text; that of its table where the key itself is missing; else 1.

    place: keys and list indices as pydantic gives them. Values inside inline tables are found at their key's line.
    """
    best = 1
    header: list[str | int] = []
    seen: dict[tuple[str, ...], int] = {}
    key: list[str | int]
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[(\[?)([^\[\]]+)\]\]?\s*(#.*)?$", line):
            name = tuple(_unquoted(part) for part in match[2].split("."))
            header = [*name]
            if match[1]:
                seen[name] = seen.get(name, -1) + 1
                header.append(seen[name])
            elif len(name) > 1 and name[:1] in seen:
                header.insert(1, seen[name[:1]])
            key = header
        elif match := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            key = [*header, *(_unquoted(part) for part in match[1].split("."))]
        else:
            continue
        if key == place:
            return number
        if len(key) < len(place) and key == place[: len(key)] and key:
            best = number
    return best


def _unquoted(part: str) -> str:
    return part.strip().strip("\"'")


def write_study(study: Study, path: Path, comment: str) -> None:
    """Write a study as TOML with a comment at its top, leaving out what has its default value."""
    import tomli_w

    values = study.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    values["seeds"] = list(study.seeds)
    heading = "".join(f"# {line}\n" for line in comment.splitlines())
    write_text(path, heading + "\n" + tomli_w.dumps(values))


def run_directory(source: Path, name: str, out: Path | None) -> Path:
    """Where a study runs: as told; in its own directory when its file is the one of a run; else runs/NAME."""
    run = source.parent
    is_of_run = source.name == "study.toml" and ((run / "study.json").is_file() or (run / "store").is_dir())
    return out or (run if is_of_run else Path("runs") / name)


def resolved(study: Study, base: Path) -> dict[str, Any]:
    """All settings, with every path absolute."""
    values = study.model_dump(mode="json")
    if study.backbone:
        values["backbone"] = _absolute_backbone(study.backbone, base)
    for images in values["sets"].values():
        if "path" in images:
            images["path"] = absolute(images["path"], base)
    for entry in values["weights"]:
        if entry["uri"]:
            entry["uri"] = absolute_uri(entry["uri"], base)
    for wanted in values["pretraining"].values():
        if wanted["start"] and wanted["start"] not in study.pretraining:
            wanted["start"] = absolute_uri(wanted["start"], base)
        if wanted["proposals"]:
            wanted["proposals"] = absolute(wanted["proposals"], base)
    return values


def absolute_uri(uri: str, base: Path) -> str:
    """The same weights, named so that the name holds from any folder."""
    if uri.endswith(".toml"):
        return str((base / uri).resolve())
    scheme, _, rest = uri.partition(":")
    if scheme == "run":
        path, mark, name = rest.partition("#")
        return f"run:{(base / path).resolve()}{mark}{name}"
    if scheme == "file":
        path, _, backbone = rest.rpartition("@")
        if not (path and backbone) or (base / rest).exists():
            return f"file:{(base / rest).resolve()}"
        return f"file:{(base / path).resolve()}@{_absolute_backbone(backbone, base)}"
    return f"random:{_absolute_backbone(rest, base)}" if scheme == "random" and rest else uri


def _absolute_backbone(name: str, base: Path) -> str:
    if name.endswith(MARK) or is_whole(name):
        return str((base / name).resolve())
    path, colon, function = name.rpartition(":")
    return f"{(base / path).resolve()}:{function}" if colon and path.endswith(".py") else name
