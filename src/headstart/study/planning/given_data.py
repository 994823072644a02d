"""Where the data sets lie that a study only names: as a user says, by name or below one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from headstart.config.data import data_name
from headstart.config.sets import FolderSet, TableSet
from headstart.config.study import Study
from headstart.errors import StudyError, UsageError


def assigned(words: Sequence[str]) -> dict[str, Path]:
    """Places by name, of words such as "voc=/data/VOCdevkit". Raises UsageError for words that are none."""
    places: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise UsageError(f"--data {word}: write NAME=PATH, such as voc=/data/VOCdevkit.")
        places[name] = Path(path)
    return places


def used_sets(study: Study) -> set[str]:
    """Names of the sets that a run opens: not those that public weights stand in for."""
    used = {name for task in study.tasks for name in (*task.train, *task.val, *task.test)}
    used |= {wanted.images for wanted in study.pretraining.values()}
    used |= {name for why in study.why for name in (why.images, why.statistics)}
    return used | ({study.explain.images, study.explain.statistics} if study.explain else set())


def named(study: Study) -> list[str]:
    """Data sets that a run needs and that have no place yet, in the order of the study."""
    used = [images for name, images in study.sets.items() if name in used_sets(study)]
    paths = [images.path for images in used if isinstance(images, FolderSet | TableSet)]
    wanted = {of[0] for path in paths if (of := data_name(path))}
    return [name for name in study.data if name in wanted]


def with_data(study: Study, places: Mapping[str, Path], root: Path | None, *, all_needed: bool) -> Study:
    """The study with the places of its data sets: those that are said, else the folder of that name below `root`.

    Tasks on optional data that have no place are left out (`tasks_without`). Raises UsageError for a name that the
    study does not have and a place that is not there; StudyError that names all others that have no place, and where
    to get them, where all are needed.
    """
    wanted = named(study)
    for name, path in places.items():
        if name not in study.data:
            raise UsageError(
                f"--data {name}: the study {study.name} names no such data set, only {', '.join(study.data) or 'none'}."
            )
        if not path.exists():
            raise UsageError(f"--data {name}={path}: there is nothing at that place.")
    found = {name: root / name for name in wanted if root and (root / name).exists()} | dict(places)
    study = _without(study, [name for name in wanted if name not in found])
    missing = [name for name in named(study) if name not in found]
    if missing and all_needed:
        lines = [f"  {missing_line(study, name)}" for name in missing]
        raise StudyError(
            f"{study.name}: {len(missing)} of {len(wanted)} data sets have no place:\n"
            + "\n".join(lines)
            + "\nThey are never downloaded. Say where each is with --data NAME=PATH, or where all are, in folders of "
            "these names, with --data-root PATH."
        )
    sets = {name: _placed(images, found) for name, images in study.sets.items()}
    return study.model_copy(update={"sets": sets})


def left_out(declared: Study, placed: Study) -> list[str]:
    """A line for each optional data set whose tasks a placed study does not have."""
    kept = {task.name for task in placed.tasks}
    return [
        f"left out, as no place is given for {name} (--data {name}=PATH): {', '.join(tasks)}"
        for name in declared.data
        if (tasks := tasks_without(declared, name)) and not kept & set(tasks)
    ]


def missing_line(study: Study, name: str) -> str:
    """What a data set is and where it is had from."""
    source = study.data[name]
    licence = f"; {source.licence}" if source.licence else ""
    if without := tasks_without(study, name):
        licence += f"; optional, for {', '.join(without)}"
    return f"{name}: {source.what}; {source.layout}; about {source.gigabytes:g} GB; {source.get}{licence}"


def tasks_without(study: Study, name: str) -> tuple[str, ...]:
    """Names of the tasks that are left out where the data set `name` has no place; none where it is needed."""
    gone = _sets_of(study, name)
    explained = {study.explain.images, study.explain.statistics} if study.explain else set()
    if not study.data[name].optional or gone & (explained | {made.images for made in study.pretraining.values()}):
        return ()
    return tuple(task.name for task in study.tasks if gone & {*task.train, *task.val, *task.test})


def _sets_of(study: Study, name: str) -> set[str]:
    of = {key: data_name(s.path) for key, s in study.sets.items() if isinstance(s, FolderSet | TableSet)}
    return {key for key, place in of.items() if place and place[0] == name}


def _without(study: Study, names: Sequence[str]) -> Study:
    """Without the tasks on those of these data sets that are optional, and without all that speaks of them."""
    tasks = {task for name in names for task in tasks_without(study, name)}
    sets = {key for name in names if tasks_without(study, name) for key in _sets_of(study, name)}
    return study.model_copy(
        update={
            "sets": {key: images for key, images in study.sets.items() if key not in sets},
            "tasks": tuple(task for task in study.tasks if task.name not in tasks),
            "why": tuple(w for w in study.why if w.task not in tasks and not sets & {w.images, w.statistics}),
            "published": tuple(number for number in study.published if number.task not in tasks),
        }
    )


def _placed(images: object, found: Mapping[str, Path]) -> object:
    if not isinstance(images, FolderSet | TableSet):
        return images
    of = data_name(images.path)
    if not of or of[0] not in found:
        return images
    return images.model_copy(update={"path": str((found[of[0]] / of[1]).resolve())})
