"""`headstart pretrain`: a study of one pre-training, run in this process, in the same store and by the same rules."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.config.pretraining import Pretraining
from headstart.config.sets import TableSet
from headstart.config.study import Study
from headstart.errors import StoreError, StudyError, TrainingError, UsageError
from headstart.places.paths import absolute
from headstart.processes import keep_freed_memory
from headstart.recipes.pretraining import PretrainingOptions, PretrainingRecipe
from headstart.store.files import read_json, write_json
from headstart.store.lock import RunLock
from headstart.store.sealing import damage, discard_damaged, recorded, seal
from headstart.store.shared import close_store, open_store
from headstart.store.store import Store
from headstart.study.environment import environment
from headstart.study.executors.curves import with_curves
from headstart.study.executors.local import Event
from headstart.study.files import resolved
from headstart.study.finished.pretraining import Pretrained, finished
from headstart.study.jobs import Expansion, Job
from headstart.study.plan import Planner
from headstart.study.planning.pretraining import planned_lines
from headstart.study.run import (
    RESULTS,
    check_weights,
    empty_run,
    holds_json,
    lookup,
    run,
    run_settings,
    settle,
    shared_store,
    write_results,
    written_settings,
)
from headstart.train.devices import Seat, chosen_devices, take_seat, usual_loaders
from headstart.weights.cards import uri_of

if TYPE_CHECKING:
    from headstart.train.distributed import World

IMAGES = "images"
"""Name of the set in such a study."""


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
        processes=options.processes or _processes(options),
    )
    name = f"pretrain-{recipe.name}" + (f"-noise-{options.noise:g}" if options.noise else "")
    threads = options.threads or usual_threads()
    return Study(
        name=name, seeds=(options.seed,), threads=threads, sets={IMAGES: images}, pretraining={recipe.name: wanted}
    )


def _processes(options: PretrainingOptions) -> int:
    """One a GPU of this machine; on a cluster a job has one GPU."""
    return 1 if options.executor == "ray" else max(1, len(chosen_devices(options.device).names))


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
    from headstart.train.distributed import joined

    study = study_of(data, recipe, options)
    out = run_directory(study, recipe, options)
    if options.executor == "local" and options.address:
        raise UsageError("--address goes with --executor ray")
    on_event = with_curves(on_event, out, options.tensorboard and not options.dry_run)
    with no_network(options.offline):
        if options.executor != "local" and not options.dry_run:
            return _on_cluster(study, recipe, options, out, on_event=on_event)
        torch.set_num_threads(study.threads)
        keep_freed_memory()
        with joined(options.device) as world:
            told = on_event if world.leads else _silent
            return _here(study, recipe, options, out, on_event=told, world=world)


def run_directory(study: Study, recipe: PretrainingRecipe, options: PretrainingOptions) -> Path:
    """Where the study of such a pre-training is run."""
    name = Path(study.sets[IMAGES].path).name or "data"  # type: ignore[union-attr]
    return options.out or Path("runs") / f"{study.name}-{recipe.supervision}-{name}"


def _here(
    study: Study,
    recipe: PretrainingRecipe,
    options: PretrainingOptions,
    out: Path,
    *,
    on_event: Callable[[Event], None],
    world: World,
) -> Pretrained:
    """In this process, and those of torchrun."""
    from headstart.study.executors.here import run_here

    devices, wanted = chosen_devices(options.device), study.pretraining[recipe.name]
    loaders = usual_loaders(max(world.size, wanted.processes)) if options.loaders is None else options.loaders
    take_seat(Seat(str(world.device), loaders))
    planner = Planner(study, Path.cwd(), options.offline, devices.kind)
    planner.origins.devices = devices.names
    job = planner.origins.job(recipe.name, options.seed)
    if options.dry_run:
        lines = planned_lines(planner, job, recipe, out, processes=world.size) if world.leads else []
        return Pretrained(out, out, out, {}, lines=lines)
    shared = shared_store(study, Path.cwd(), out, _path(options.store))
    store = Store(out, shared, link=False)
    done = world.leads and not options.overwrite and is_done(planner, job, store)
    if world.gather(done)[0]:
        return finished(job, store, "it was finished before", leads=world.leads)
    with RunLock(out) if world.leads else nullcontext():
        if world.leads:
            _begin(study, out, options)
            store = open_store(out, shared)
            store.sweep()
            discard_damaged(out, RESULTS)
            settle(study, Path(), Path.cwd(), out)
            expansion = planner.expand(lookup(store))
            check_weights(planner, expansion)
            if expansion.ready or not (out / "env.json").is_file():
                write_json(out / "env.json", environment(study, None, devices))
        world.wait()

        def expand() -> Expansion:
            return planner.expand(lookup(store if world.leads else Store(out, shared, link=False)))

        try:
            made = run_here(expand, store, on_event, world)
        finally:
            if world.leads:
                close_store(store)
        if world.leads:
            from headstart.study.results import Results

            write_results(out, Results(planner, store, expand()).summary())
            seal(out, RESULTS)
        note = "another run of the store has finished it" if shared and not made else ""
        return finished(job, store, note, leads=world.leads)


def _on_cluster(
    study: Study,
    recipe: PretrainingRecipe,
    options: PretrainingOptions,
    out: Path,
    *,
    on_event: Callable[[Event], None],
) -> Pretrained:
    """As any study on a Ray cluster."""
    from headstart.study.executors.cluster import placed

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("--executor ray: torchrun has started processes already. Leave one of the two out.")
    wanted = study.pretraining[recipe.name]
    with placed(
        options.executor, options.address, options.device, threads=study.threads, workers=1, processes=wanted.processes
    ) as place:
        cluster, devices = place
        _begin(study, out, options, empty=False)
        result = run(
            study,
            Path(),
            Path.cwd(),
            out,
            on_event=on_event,
            offline=options.offline,
            overwrite=options.overwrite,
            devices=devices,
            shared=_path(options.store),
            cluster=cluster,
        )
    for label, message in result.outcome.failed:
        raise TrainingError(f"{label}: {message}")
    planner = Planner(study, Path.cwd(), options.offline, devices.kind)
    note = "" if result.outcome.finished else "it was finished before"
    return finished(planner.origins.job(recipe.name, options.seed), Store(out), note, leads=True)


def _begin(study: Study, out: Path, options: PretrainingOptions, *, empty: bool = True) -> None:
    """Refuse a directory that holds something else. empty: with --overwrite, delete it here."""
    require_same(study, out, options.overwrite)
    if options.overwrite and empty:
        empty_run(out, Path())
    if written_settings(out) not in (None, resolved(study, Path.cwd())):
        (out / "study.toml").unlink()  # not a user's: written by this command with what may change


def _path(named: str | Path | None) -> Path | None:
    return None if named is None else Path(named)


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
