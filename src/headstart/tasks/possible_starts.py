"""Whether the starts of a study can be had: of its tasks, of its pre-trainings, and, once files are there, of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from headstart.config.study import Study, Task, WeightsEntry
from headstart.errors import StudyError, UsageError, WeightsError
from headstart.terminal import tell
from headstart.weights.cards import WeightsSpec
from headstart.weights.detectors.facts import DetectorFacts, facts_of, misfits
from headstart.weights.starts import BEYOND, StartKind


def require_starts(study: Study) -> None:
    """Raises StudyError that names every start that a task's recipe or a pre-training of the study rules out."""
    faults = []
    for entry in _beyond(study):
        made = facts_of(study.pretraining[entry.made_by].recipe.recipe(1)) if entry.made_by else None
        if entry.uri and entry.uri.startswith(("random:", "timm:")):
            what = "random values" if entry.uri.startswith("random:") else "a classifier of timm"
            faults.append(
                f"weights.{entry.name}: start {entry.start!r}, but {entry.uri} is {what}, and has no neck. "
                'Use start = "backbone"'
            )
        elif entry.made_by and made is None:
            faults.append(
                f"weights.{entry.name}: start {entry.start!r}, but the pre-training {entry.made_by!r} trains no "
                'detector, so it has no neck. Use start = "backbone"'
            )
        else:
            faults += [f"weights.{entry.name}: {why}" for why in _faults(study, entry, made)]
    if faults:
        raise StudyError(f"study {study.name}: " + "; ".join(faults))


def check_detectors(study: Study, spec_of: Callable[[WeightsEntry], WeightsSpec], offline: bool) -> None:
    """Read the detectors that given weights start from, once, and say what they are. Raises WeightsError for weights of
    none, and for one that does not fit a task's recipe."""
    from headstart.weights.detectors.reading import read_detector

    for entry in _beyond(study):
        if entry.made_by:
            continue
        given = read_detector(spec_of(entry), offline, tell)
        if faults := list(_faults(study, entry, given.facts)):
            raise WeightsError(f"weights {entry.name}: " + "; ".join(faults))
        settings = given.facts.shown(tuple(given.facts.settings))
        tell(f"{entry.name}: start {entry.start} from {given.source}: {given.facts.head}, {settings}")


def common_detector(candidates: list[tuple[WeightsSpec, StartKind]], offline: bool) -> DetectorFacts:
    """The detector that all candidates of a comparison are trained as. Raises WeightsError where one has no neck,
    UsageError where two are of different detectors."""
    from headstart.weights.detectors.reading import read_detector

    read = {s.uri: read_detector(s, offline, tell).facts for s, start in candidates if start in BEYOND}
    whole = [s.uri for s, start in candidates if start == "detector"]
    chosen = read[whole[0]] if whole else next(iter(read.values()))
    recipe = chosen.recipe(name="compare", updates=1, batch_size=1, lr=1e-3)
    for spec, start in candidates:
        if start in BEYOND and (faults := misfits(read[spec.uri], recipe, start)):
            raise UsageError(
                f"{spec.uri}#{start}: a comparison trains one detector, here a {chosen.head} with "
                f"{chosen.shown(tuple(chosen.settings))}, and these weights do not fit it: {faults[0]}"
            )
    return chosen


def _beyond(study: Study) -> list[WeightsEntry]:
    return [entry for entry in study.weights if entry.start in BEYOND]


def _faults(study: Study, entry: WeightsEntry, facts: DetectorFacts | None) -> Iterator[str]:
    """Why its start does not fit the tasks that it is for. facts: of its detector, None while that is not known."""
    for task in _tasks_of(study, entry):
        assert task.recipe
        own = facts_of(task.recipe)
        if own is None:
            yield (
                f"start {entry.start!r}: task {task.name!r} trains the head {task.recipe.head!r}, which shares nothing "
                "but the backbone with a detector. Name the task's candidates with `only`"
            )
        elif facts is not None:
            yield from (f"start {entry.start!r}: {why}" for why in misfits(facts, task.recipe, entry.start))


def _tasks_of(study: Study, entry: WeightsEntry) -> list[Task]:
    return [task for task in study.tasks if task.recipe and (not task.only or entry.name in task.only)]
