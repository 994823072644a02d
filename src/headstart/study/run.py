"""Run a study into its directory: expand, work, and write down what came out."""

from __future__ import annotations

import json
import logging
import shutil
import tomllib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headstart.config.study import Study
from headstart.errors import HeadstartError, StoreError, StudyError
from headstart.places.paths import absolute
from headstart.places.trust import require_trusted
from headstart.recipes.schema import as_written
from headstart.stats.convergence import Convergence
from headstart.store.files import read_json, write_json, write_text
from headstart.store.lock import RunLock
from headstart.store.sealing import DIGESTS, discard_damaged, seal
from headstart.store.shared import FILE as SHARED
from headstart.store.shared import chosen_store, close_store, open_store
from headstart.store.store import Store
from headstart.study.environment import environment
from headstart.study.executors.cluster import Cluster
from headstart.study.executors.curves import FOLDER as CURVES
from headstart.study.executors.events import Event, Outcome
from headstart.study.executors.local import run_jobs
from headstart.study.executors.options import Keep
from headstart.study.executors.pools import default_workers
from headstart.study.extending import FILE as EXTENDED
from headstart.study.extending import extend as more
from headstart.study.extending import read_extended
from headstart.study.files import load_study, resolved, write_study
from headstart.study.jobs import Expansion, Job
from headstart.study.plan import Planner
from headstart.study.plan_summary import faults_of_design
from headstart.study.planning.keeping import FILE as KEEP
from headstart.study.planning.keeping import Keeping, kept_by, settle_kept
from headstart.study.results import Results
from headstart.tasks.possible_starts import check_detectors
from headstart.terminal import tell
from headstart.train.devices import ON_CPU, Devices
from headstart.weights.detectors.whole import is_whole

RESULTS = ("env.json", "metrics.json", "results.jsonl")
"""Files beside the store that are sealed; report.html is, by who builds it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """How a run ended and what the study says."""

    out: Path
    outcome: Outcome
    summary: dict[str, Any]
    changed: bool
    """False when everything was there already and nothing was written."""
    freed: int = 0
    """Bytes of files that nobody needs any more (`headstart.study.planning.keeping`)."""


def run(
    study: Study,
    source: Path,
    base: Path,
    out: Path,
    *,
    on_event: Callable[[Event], None],
    workers: int | None = None,
    offline: bool = False,
    overwrite: bool = False,
    extend: bool = False,
    devices: Devices = ON_CPU,
    shared: Path | None = None,
    cluster: Cluster | None = None,
    keep: str | None = None,
) -> RunResult:
    """Run `study` (read from the file `source`, its paths relative to `base`) into `out`, or go on there.

    workers: processes on the CPU; devices: where networks run. shared: a store that other runs use, too, by default
    that of the study or of HEADSTART_STORE, if any. cluster: where jobs run, if not on this machine. extend: once all
    is done, let tasks that have not converged train on; an extension that was stopped is finished first, and nothing
    more. keep: what stays of it once it is complete; None: as before, else what is needed.

    Raises StudyError when `out` holds another study, unless `overwrite`, and Interrupted after Ctrl-C.
    """
    claim(study, source, base, out, overwrite=overwrite)
    kept = kept_by(out, keep)
    with RunLock(out):
        if overwrite and (out / "study.json").is_file():
            empty_run(out, source)
        planner = Planner(study, base, offline, devices.kind, read_extended(out))
        store = open_store(out, shared_store(study, base, out, shared))
        store.sweep()
        discard_damaged(out, (*RESULTS, "report.html"))
        settle(study, source, base, out)
        settle_kept(out, kept)
        keeping = Keeping(store, kept)

        def now() -> Expansion:
            return planner.expand(lookup(store), keeping.again)

        count = workers or default_workers(study.threads)
        _check(planner, now)
        if not (out / "env.json").is_file() or now().ready:
            write_json(out / "env.json", environment(study, count, devices))

        def told(event: Event) -> None:
            if event.what == "failed" and event.job:
                planner.failed.add(event.job.key)
            on_event(event)

        def work() -> Outcome:
            try:
                return run_jobs(now, store, count, study.threads, on_event=told, devices=devices, cluster=cluster)
            finally:
                close_store(store)

        finishing = bool(planner.extended) and not now().complete
        outcome = work()
        results = Results(planner, store, now())
        if extend and outcome.complete and not finishing and more(out, _extendable(results), results.aside):
            planner.extended = read_extended(out)
            outcome = _joined(outcome, work())
            results = Results(planner, store, now())
        summary = results.summary()
        if outcome.complete and keeping.decide(results, summary):  # another model is the best one now
            outcome = _joined(outcome, work())
        changed = write_results(out, summary)
        seal(out, RESULTS)
        freed = keeping.drop(results, summary) if outcome.complete else 0
        return RunResult(out, outcome, summary, changed, freed)


def _check(planner: Planner, now: Callable[[], Expansion]) -> None:
    """Say and refuse what is known to be wrong before the first job."""
    if now().ready:
        for fault in faults_of_design(planner.study):
            tell(f"note: {fault}")
    check_weights(planner, now())


def _joined(before: Outcome, after: Outcome) -> Outcome:
    """How two parts of a run ended, taken as one."""
    seconds = before.seconds + after.seconds
    return replace(after, finished=before.finished + after.finished, seconds=seconds)


def _extendable(results: Results) -> dict[str, dict[str, Convergence]]:
    """How the trainings of tasks went that can go on for as many updates again; those counted in epochs cannot."""
    return {t.name: results.convergence[t.name] for t in results.study.tasks if t.own_sizes is None}


def check_weights(planner: Planner, expansion: Expansion) -> None:
    """Load every checkpoint once before the first job, here, where the user sees that something is downloaded: one
    that does not fit, or that --offline refuses, is known after seconds and not after hours. Says how each was loaded.
    So it is with a user's code that nobody has said may run.

    Nothing is loaded (and torch not imported) when the study has nothing left to do.
    """
    specs = [planner.jobs.spec(w) for w in planner.study.weights if not w.made_by]
    uris = [planner.origins.start_uri(name) for name in planner.study.pretraining]
    specs += [planner.origins.spec(uri) for uri in dict.fromkeys(uris) if uri]
    for spec in specs if expansion.ready else ():
        if spec.backbone_digest and not is_whole(spec.backbone):
            path = Path(spec.backbone.rpartition(":")[0])
            require_trusted(path, path.read_bytes(), spec.backbone)
    checkpoints = [spec for spec in specs if spec.kind != "random"]
    if expansion.ready and checkpoints:
        from headstart.weights.checkpoint import load

        for spec in checkpoints:
            tell(load(spec, seed=0, offline=planner.offline).report.summary())
    if expansion.ready:
        check_detectors(planner.study, planner.jobs.spec, planner.offline)


def lookup(store: Store) -> Callable[[Job], dict[str, Any] | None]:
    """Metrics of finished jobs, each file read once."""
    known: dict[str, dict[str, Any]] = {}

    def metrics(job: Job) -> dict[str, Any] | None:
        folder = store.find(job.name, job.key)
        if folder is None:
            return None
        if job.key not in known:
            known[job.key] = read_json(folder / "metrics.json")
        return known[job.key]

    return metrics


def shared_store(study: Study, base: Path, out: Path, asked: Path | None) -> Path | None:
    """The store that a run into `out` shares with others, if any (`headstart.store.shared`)."""
    return chosen_store(out, asked, Path(absolute(study.store, base)) if study.store else None)


def planned(
    study: Study,
    base: Path,
    out: Path,
    devices: Devices = ON_CPU,
    *,
    shared: Path | None = None,
    keep: Keep | None = None,
    planner: Planner | None = None,
) -> Expansion:
    """What a run into `out` would do now; runs and writes nothing. planner: of this study, if there is one."""
    planner = planner or Planner(study, base, device=devices.kind, without_data=True)
    planner.extended = read_extended(out)
    store = Store(out, shared_store(study, base, out, shared), link=False)
    return planner.expand(lookup(store), Keeping(store, keep or kept_by(out)).again)


def claim(study: Study, source: Path, base: Path, out: Path, *, overwrite: bool) -> None:
    """Refuse a directory that holds something else; an edited study file of the run itself goes on."""
    settled = out / "study.json"
    if not settled.is_file():
        if (
            out.is_dir()
            and any(not p.name.startswith(".") for p in out.iterdir())
            and source.resolve() != (out / "study.toml").resolve()
        ):
            raise StudyError(
                f"{out}: not empty and not a run. Give a new folder with --out, or empty this one yourself."
            )
        return
    if overwrite or source.resolve() == (out / "study.toml").resolve():
        return
    wanted = resolved(study, base)
    there = run_settings(out, wanted)
    changed = sorted(k for k in {*there, *wanted} if there.get(k) != wanted.get(k))
    if changed:
        raise StudyError(
            f"{out}: holds a different study (name {there.get('name')!r}; they differ in: {', '.join(changed)}). "
            "Give another folder with --out, run that folder's own study.toml to extend it, "
            "or pass --overwrite to delete its results and start anew."
        )


def run_settings(out: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The settings that were run in `out`: of study.json; of study.toml where that is damaged, or where only that says
    what is `wanted` now. A warning names study.json then.

    Raises StudyError when neither can be read.
    """
    try:
        there = _settled(out)
    except StoreError as fault:
        told = written_settings(out)
        if told is None:
            raise StudyError(
                f"{fault}; {out / 'study.toml'} cannot be read either, so it is not known which study ran here. Mend "
                "one of them, give another folder with --out, or pass --overwrite to start anew."
            ) from fault
        log.warning("%s is damaged: it is made again from study.toml", out / "study.json")
        return told
    if there != wanted and written_settings(out) == wanted:
        log.warning("%s says something else than study.toml: it is made again from that", out / "study.json")
        return wanted
    return there


def _settled(out: Path) -> dict[str, Any]:
    """What study.json says. Raises StoreError where that is nothing."""
    there = read_json(out / "study.json")
    with suppress(ValidationError):  # by today's rules: a setting added since, at its default, is no difference
        return Study.model_validate(_with_recipes_as_written(there)).model_dump(mode="json")
    if isinstance(there, dict):
        return there
    raise StoreError(f"{out / 'study.json'}: no settings of a study")


def written_settings(out: Path) -> dict[str, Any] | None:
    """All settings of the study file in `out`; None where it cannot be read."""
    try:
        study, base = load_study(str(out / "study.toml"))
    except HeadstartError:
        return None
    return resolved(study, base)


def _with_recipes_as_written(study: Any) -> Any:
    """Settings of a study, its recipes without what their heads do not read."""
    if not isinstance(study, dict):
        return study

    def plain(holder: dict[str, Any]) -> dict[str, Any]:
        recipe = holder.get("recipe")
        return holder | {"recipe": as_written(recipe)} if isinstance(recipe, dict) else holder

    return study | {"tasks": [plain(task) for task in study.get("tasks", [])]}


def empty_run(out: Path, source: Path) -> None:
    """Delete what a run writes, and nothing else. study.json stays, so that it is a run throughout: another one takes
    its place."""
    for name in ("store", "partial", "logs", CURVES):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in (*RESULTS, EXTENDED, KEEP, SHARED, "report.html", DIGESTS, "log.txt", "study.toml"):
        if (out / name).resolve() != source.resolve():
            (out / name).unlink(missing_ok=True)


def settle(study: Study, source: Path, base: Path, out: Path) -> None:
    """Write the resolved settings, by which the directory is a run, and the study file. source: an empty path where
    the study was not read from a file."""
    file = out / "study.toml"
    values = resolved(study, base)
    if not holds_json(out / "study.json", values):
        write_json(out / "study.json", values)
    if source.resolve() == file.resolve():
        return
    if file.is_file():
        told = written_settings(out)
        if told == values:
            return
        if told is not None:
            log.warning("%s says something else than what is run here; to run it: headstart run %s", file, out)
            return
        log.warning("%s is damaged: it is made again", file)
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    if values == _as_read(text, out):  # no path in it: keep the text with its comments
        write_text(file, text)
    else:
        origin = f"From {source.name}" if source.name else "Of `headstart pretrain`"
        write_study(Study.model_validate(values), file, f"{origin}, with every path absolute.")


def holds_json(path: Path, value: Any) -> bool:
    """Whether a file is there, can be read, and says this."""
    with suppress(StoreError):
        return read_json(path) == value
    return False


def _as_read(text: str, folder: Path) -> dict[str, Any] | None:
    """What the text of a study means in this folder; None where it could not be read there."""
    try:
        return Study.model_validate(tomllib.loads(text), context={"base": folder}).model_dump(mode="json")
    except ValidationError:
        return None


def write_results(out: Path, summary: dict[str, Any]) -> bool:
    """metrics.json and results.jsonl; True when something changed."""
    text = json.dumps(summary, indent=1, sort_keys=True, allow_nan=False) + "\n"
    lines = "".join(json.dumps(t, sort_keys=True, allow_nan=False) + "\n" for t in summary["trials"])
    path = out / "metrics.json"
    if _holds(path, text) and _holds(out / "results.jsonl", lines):
        return False
    write_text(out / "results.jsonl", lines)
    write_text(path, text)
    return True


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode("utf-8")
