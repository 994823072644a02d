"""`headstart pretrain`: a study of one pre-training, run in this process, in the same store and by the same rules."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.config.pretraining import Pretraining
from headstart.config.sets import TableSet
from headstart.config.study import Study
from headstart.errors import StoreError, StudyError, UsageError
from headstart.places.paths import absolute
from headstart.recipes.pretraining import PretrainingOptions, PretrainingRecipe
from headstart.recipes.sampling import ChipSampling
from headstart.store.files import read_json, write_json
from headstart.store.lock import RunLock
from headstart.store.sealing import damage, discard_damaged, recorded, seal
from headstart.store.store import Store
from headstart.study.environment import environment
from headstart.study.executors.local import Event
from headstart.study.jobs import Expansion, Job
from headstart.study.plan import Planner
from headstart.study.run import (
    RESULTS,
    check_weights,
    empty_run,
    holds_json,
    lookup,
    resolved,
    run_settings,
    settle,
    write_results,
    written_settings,
)
from headstart.train.devices import Seat, chosen_devices, take_seat, usual_loaders
from headstart.weights import native
from headstart.weights.cards import uri_of

IMAGES = "images"
"""Name of the set in such a study."""


@dataclass(frozen=True, repr=False)
class Pretrained:
    """Where the results are: the run, the job's folder in its store, the backbone's file; the metrics, and the same in
    lines (only of process 0)."""

    out: Path
    folder: Path
    weights: Path
    metrics: dict[str, Any]
    lines: list[str]

    def __repr__(self) -> str:
        return f"<pre-training in {self.out}: use it as {f'run:{self.out}'!r}>"

    def text(self) -> str:
        """As `headstart pretrain` prints it."""
        return "\n".join(self.lines)


def study_of(data: str, recipe: PretrainingRecipe, options: PretrainingOptions) -> Study:
    """The study that this pre-training is."""
    read = {key: value for key, value in (options.read or {}).items() if value is not None}
    images = TableSet(path=absolute(data, Path.cwd()), splits=options.split, format=options.format, read=read)
    wanted = Pretraining(
        images=IMAGES,
        recipe=recipe,
        start=uri_of(options.weights) if options.weights else "",
        validation=options.val,
        proposals=str(options.proposals) if options.proposals else "",
        on_empty_class=options.on_empty_class,
        early=None,
        noise=options.noise or 0.0,
        loaders=options.loaders,
        processes=options.processes or max(1, len(chosen_devices(options.device).names)),
    )
    name = f"pretrain-{recipe.name}" + (f"-noise-{options.noise:g}" if options.noise else "")
    threads = options.threads or usual_threads()
    return Study(
        name=name, seeds=(options.seed,), threads=threads, sets={IMAGES: images}, pretraining={recipe.name: wanted}
    )


def usual_threads() -> int:
    """The CPUs that each process on this machine has to itself."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cpus // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def run_pretraining(
    data: str, recipe: PretrainingRecipe, options: PretrainingOptions, on_event: Callable[[Event], None]
) -> Pretrained:
    """Pre-train, or go on with it. Raises HeadstartErrors before the first batch wherever possible."""
    import torch

    from headstart.places.network import no_network
    from headstart.study.executors.here import run_here
    from headstart.train.distributed import joined

    study = study_of(data, recipe, options)
    torch.set_num_threads(study.threads)
    with no_network(options.offline), joined(options.device) as world:
        on_event = on_event if world.leads else _silent
        devices, wanted = chosen_devices(options.device), study.pretraining[recipe.name]
        loaders = usual_loaders(max(world.size, wanted.processes)) if options.loaders is None else options.loaders
        take_seat(Seat(str(world.device), loaders))
        planner = Planner(study, Path.cwd(), options.offline, devices.kind)
        name = Path(study.sets[IMAGES].path).name or "data"  # type: ignore[union-attr]
        out = options.out or Path("runs") / f"{study.name}-{recipe.supervision}-{name}"
        planner.origins.devices = devices.names
        job = planner.origins.job(recipe.name, options.seed)
        if options.dry_run:
            lines = planned_lines(planner, job, recipe, out, processes=world.size) if world.leads else []
            return Pretrained(out, out, out, {}, lines=lines)
        store = Store(out)
        done = world.leads and not options.overwrite and is_done(planner, job, store)
        if world.gather(done)[0]:
            return finished(planner, job, store, "it was finished before", leads=world.leads)
        with RunLock(out) if world.leads else nullcontext():
            if world.leads:
                require_same(study, out, options.overwrite)
                if options.overwrite:
                    empty_run(out, Path())
                store.sweep()
                discard_damaged(out, RESULTS)
                if written_settings(out) not in (None, resolved(study, Path.cwd())):
                    (out / "study.toml").unlink()  # not a user's: written by this command with what may change
                settle(study, Path(), Path.cwd(), out)
                expansion = planner.expand(lookup(store))
                check_weights(planner, expansion)
                if expansion.ready or not (out / "env.json").is_file():
                    write_json(out / "env.json", environment(study, None, devices))
            world.wait()

            def expand() -> Expansion:
                return planner.expand(lookup(store if world.leads else Store(out)))

            run_here(expand, store, on_event, world)
            if world.leads:
                from headstart.study.results import Results

                write_results(out, Results(planner, store, expand()).summary())
                seal(out, RESULTS)
            return finished(planner, job, store, "", leads=world.leads)


def _silent(event: Event) -> None:
    """Only process 0 tells."""


def is_done(planner: Planner, job: Job, store: Store) -> bool:
    """Whether the job is there: in another study's run that is all, in one of this command its results, too."""
    try:
        name = read_json(store.root / "study.json").get("name")
    except (StoreError, AttributeError):
        name = None  # missing or damaged: such a folder is read, and mended, as one of this command
    if name not in (None, planner.study.name):
        return store.find(job.name, job.key) is not None
    return is_whole(planner, store, resolved(planner.study, Path.cwd()))


def is_whole(planner: Planner, store: Store, settings: dict[str, Any]) -> bool:
    """Whether nothing is left to do: every job is there and sound, and so are the settings and the results beside
    them, which a kill right after the last job leaves out."""
    sealed_files = recorded(store.root) or {}
    if not all(name in sealed_files for name in RESULTS) or damage(store.root):
        return False
    if not holds_json(store.root / "study.json", settings) or written_settings(store.root) is None:
        return False
    expansion = planner.expand(lookup(store))
    return expansion.complete and all(store.find(job.name, job.key) for job in expansion.known)


def require_same(study: Study, out: Path, overwrite: bool) -> None:
    """Raises UsageError that names what differs where `out` holds a pre-training with other settings, StudyError where
    it holds something else."""
    settled = out / "study.json"
    if not settled.is_file():
        if out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()):
            raise StudyError(
                f"{out}: not empty and not a run. Give a new folder with --out, or empty this one yourself."
            )
        return
    if overwrite or not _begun(out):
        return
    now = resolved(study, Path.cwd())
    before = run_settings(out, now)
    if before.get("name") != now["name"]:
        raise StudyError(
            f"{out}: holds a different study (name {before.get('name')!r}), and nothing in it has these settings. "
            "Give another folder with --out, or pass --overwrite to delete its results and start anew."
        )
    changes = [line for line in _differences(before, now, "") if not line.startswith(LOOSE)]
    if changes:
        raise UsageError(
            f"{out} holds a pre-training with other settings, so it cannot go on with these:\n  "
            + "\n  ".join(changes[:12])
            + "\nPut them back, give another --out, or --overwrite to start anew."
        )


def _begun(out: Path) -> bool:
    """Whether a job of the run in `out` was finished, or has a state to go on from."""
    return any((out / "store").glob("*")) or any((out / "partial").glob("*/resume/state*"))


LOOSE = ("loaders:", "processes:", "expected.", "training.sentinel:")
"""Settings that may change between one start and the next, and what follows from the others."""


def _differences(before: Any, now: Any, where: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif before != now:
        _, in_recipe, rest = where.partition(".recipe.")
        name = rest if in_recipe else where.rpartition(".")[2] if where.startswith("pretraining.") else where
        yield f"{name}: was {_short(before)}, is {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else text[:76] + " ..."


def planned_lines(planner: Planner, job: Job, recipe: PretrainingRecipe, out: Path, *, processes: int) -> list[str]:
    """What would be done; lays the chips of the first epoch, trains nothing."""
    from headstart.batches.chips.batches import ChipBatches
    from headstart.pretraining.images import chosen_images, updates_in
    from headstart.pretraining.sources import source_of
    from headstart.progress import silent

    more: list[str] = []
    wanted, data = planner.study.pretraining[recipe.name], planner.study.sets[IMAGES]
    assert isinstance(data, TableSet)
    if recipe.sampling.layout == "fixed":
        table = planner.sets.annotations(data)
        images = chosen_images(
            table,
            recipe.supervision,
            data.splits,
            wanted.validation,
            on_empty_class=wanted.on_empty_class,
            progress=silent,
        )
        classes: tuple[str, ...] = images.classes or table.image_classes
        updates = updates_in(len(images.train) / recipe.training.batch_size, recipe.epochs)
    else:
        source = source_of(job.settings, job.place, {}, None, progress=silent)
        assert source.images
        images, classes, updates = source.images, source.classes, source.updates
        if isinstance(source.batches, ChipBatches):
            more.append(f"inputs of the first epoch: {source.batches.summary()}")
            if isinstance(recipe.sampling, ChipSampling) and recipe.sampling.negatives:
                made = f"made first, in {recipe.sampling.proposal_epochs:g} epochs"
                more.append(f"proposals: {job.place.proposals or made}")
    held = f"{len(images.validation)} to evaluate on" if images.validation is not None else "none to evaluate on"
    count = max(processes, job.place.processes)
    start = planner.origins.start_uri(recipe.name)
    return [
        f"recipe: {recipe.name} version {recipe.version}, by {recipe.supervision}: {recipe.about}",
        f"data: {data.path.removeprefix(f'{Path.cwd()}/')}, {len(images.train)} images, {len(classes)} classes; {held}",
        f"start: {planner.origins.spec(start).name}; backbone {planner.origins.backbone(recipe.name)}",
        f"training: {updates} updates of {recipe.training.batch_size} in {count} process"
        f"{'es' if count > 1 else ''}; {recipe.epochs:g} epochs",
        *more,
        f"written to: {out}",
        f"numbers from: {recipe.source}",
        f"expected: {recipe.expected.words()}",
    ]


def finished(planner: Planner, job: Job, store: Store, note: str, *, leads: bool) -> Pretrained:
    """What is there, in lines."""
    folder = store.path(job.name)
    metrics = read_json(folder / "metrics.json")
    file = folder / native.FILE
    if not leads:
        return Pretrained(store.root, folder, file, metrics, lines=[])
    counts = ", ".join(
        f"{value:.1f} {name.removeprefix('train/number_of_').replace('_', ' ')}"
        for name, value in metrics.items()
        if name.startswith("train/number_of_")
    )
    falling = ", still falling" if metrics["train/not_converged"] else ""
    lines = [
        *([f"nothing to do: {note}"] if note else []),
        f"loss: {metrics['train/loss_first']:.3f} at first, {metrics['train/loss_last']:.3f} at last, over "
        f"{metrics['train/updates']:.0f} updates{falling}",
        *([f"an update saw {counts}"] if counts else []),
    ]
    for which, words in (("last", "validation, last"), ("best", "validation, best")):
        scores = {k.partition("/")[2]: v for k, v in metrics.items() if k.startswith(f"{which}/")}
        if scores:
            said = ", ".join(f"{k} {v:.3f}" for k, v in scores.items() if k != "update")
            lines.append(f"{words} (update {scores['update']:.0f}): {said}")
    facts = native.read_facts(file)
    lines += [
        f"weights: {file} ({facts.backbone}); use them as run:{store.root}",
        f"lineage: {', then '.join(facts.lineage)}",
        f"with its head: headstart predict {folder / 'model'} IMAGES",
    ]
    return Pretrained(store.root, folder, file, metrics, lines=lines)
