"""Studies and comparisons: run, planned, reported."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headstart.api.paths import PathLike, as_path, as_paths
from headstart.api.screening import shortlist
from headstart.errors import StudyError, UsageError
from headstart.places.trust import trusting
from headstart.readers.options import ReadKeywords
from headstart.report.finished import HowToRun, RunSummary, summarized
from headstart.study.executors.cluster import placed
from headstart.terminal import tell
from headstart.train.devices import chosen_devices

if TYPE_CHECKING:
    from headstart.study.plan_summary import Plan
    from headstart.weights.starts import StartKind


def run_study(
    study: PathLike,
    out: PathLike | None = None,
    workers: int | None = None,
    device: str = "auto",
    *,
    noise: float | None = None,
    data: Mapping[str, PathLike] | None = None,
    data_root: PathLike | None = None,
    miniature: bool = False,
    trust_code: bool = False,
    offline: bool = False,
    overwrite: bool = False,
    extend: bool = False,
    quiet: bool = False,
    store: PathLike | None = None,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    events: PathLike | None = None,
) -> RunSummary:
    """Run a study (a TOML file or a built-in name) into `out` (default `runs/NAME`), or go on with it there.

    workers: processes on the CPU; None: as many as it has. device: "auto" (every GPU that is there, else the CPU),
    "cpu", "cuda", or some GPUs: "cuda:0,1". Networks run there, one process a GPU. noise: share of the images, 0 to 1,
    that exchange their boxes and labels in the study's pre-trainings (default `runs/NAME-noise-SHARE`). data: places of
    data sets that the study only names, by name; data_root: a folder with folders of these names. miniature: the same
    study with drawn data, a small network and few steps, which says how it differs. trust_code: let Python files run
    that the study, its cards or checkpoints name as backbones. extend: once all is done, tasks that
    have not converged go on from where their trainings ended, for as many updates again (docs/converged.md).
    store: a folder where several runs keep their jobs, each of which is done once. executor: "ray" for the cluster at
    `address` (docs/cluster.md); None: one that is started on this machine. events: a file for what happens, a
    line of JSON each.

    Raises StudyError for faults in the file, or when `out` holds another study; `Interrupted` after Ctrl-C.
    """
    from headstart.config.study import with_noise
    from headstart.study.files import find_study, load_study, run_directory
    from headstart.study.miniature.in_small import in_small
    from headstart.study.planning.given_data import with_data

    settings, base = load_study(str(study))
    if miniature:
        settings = in_small(settings, _data_folder(settings.name), _silent if quiet else tell, write=True)
    settings = with_data(settings, _paths(data), as_path(data_root), all_needed=True)
    if noise is not None:
        settings = with_noise(settings, noise)
    source = find_study(str(study))
    where = run_directory(source, settings.name, as_path(out))
    shared = as_path(store)
    with trusting(trust_code), placed(executor, address, device, threads=settings.threads, workers=workers) as at:
        how = HowToRun(
            workers,
            at[1],
            offline,
            overwrite,
            extend=extend,
            quiet=quiet,
            store=shared,
            cluster=at[0],
            events=as_path(events),
        )
        return summarized(settings, source, base, where, how=how)


def plan_study(
    study: PathLike,
    out: PathLike | None = None,
    device: str = "auto",
    *,
    noise: float | None = None,
    store: PathLike | None = None,
    data: Mapping[str, PathLike] | None = None,
    data_root: PathLike | None = None,
    miniature: bool = False,
    tree: bool = False,
) -> Plan:
    """What `run_study` would do; runs and writes nothing. Data sets without a place are planned as the study declares
    them. tree: also every job, and why it is not done."""
    from headstart.config.study import with_noise
    from headstart.store.store import Store
    from headstart.study.files import find_study, load_study, run_directory
    from headstart.study.miniature.in_small import in_small
    from headstart.study.plan import Planner
    from headstart.study.plan_summary import foreseen, plan_summary
    from headstart.study.planning.given_data import with_data
    from headstart.study.planning.measured import rates
    from headstart.study.planning.needs import needs
    from headstart.study.planning.tree import Tree
    from headstart.study.run import planned, shared_store

    declared, base = load_study(str(study))
    if miniature:
        declared = in_small(declared, _data_folder(declared.name), _silent, write=False)
    settings = with_data(declared, _paths(data), as_path(data_root), all_needed=False)
    if noise is not None:
        settings = with_noise(settings, noise)
    where, devices = run_directory(find_study(str(study)), settings.name, as_path(out)), chosen_devices(device)
    shared = shared_store(settings, base, where, as_path(store))
    expansion = planned(settings, base, where, devices, shared=shared)
    planner = Planner(settings, base, device=devices.kind, without_data=True)
    jobs = Store(where, shared, link=False)
    return plan_summary(
        settings,
        where,
        expansion,
        devices,
        foreseen=foreseen(planner, jobs, expansion),
        explaining=planner.pairs.cost(),
        rates=rates(expansion, jobs),
        tree=tuple(Tree(expansion, jobs).lines()) if tree else (),
        needs=needs(planner, declared, expansion),
    )


def _silent(line: str) -> None:
    """Nothing is said."""


def _data_folder(study: str) -> Path:
    """Where the data of a miniature are drawn."""
    return Path("runs") / f"{study}-miniature-data"


def _paths(data: Mapping[str, PathLike] | None) -> dict[str, Path]:
    return {name: Path(path) for name, path in (data or {}).items()}


def compare(
    data: PathLike,
    weights: Sequence[PathLike],
    task: Literal["detect", "segment", "classify"] | str | None = None,
    seeds: int | None = None,
    *,
    starts: Sequence[str] = (),
    screen: int | None = None,
    budget: Literal["quick", "normal"] = "normal",
    out: PathLike | None = None,
    workers: int | None = None,
    device: str = "auto",
    format: str | None = None,
    on_bad_image: Literal["error", "skip"] = "error",
    read: ReadKeywords | None = None,
    trust_code: bool = False,
    offline: bool = False,
    overwrite: bool = False,
    extend: bool = False,
    explain: bool = True,
    pairs: Literal["best", "all"] = "best",
    quiet: bool = False,
    store: PathLike | None = None,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    events: PathLike | None = None,
) -> RunSummary:
    """Which of these weights should I start from for this data? Writes a study into `out` and runs it.

    data: folder, archive or URL of a data set of a known format. weights: two or more weights URIs or cards. task:
    detect, segment or classify; None for all that the data serve. starts: what is copied of each of the weights, each a
    candidate (docs/starts.md); weights that name their own, such as "W#detector", keep it. screen: of eight weights or
    more, train only so many, the most promising by their frozen features (docs/screening.md), beside the ImageNet
    classifier and random values. budget: "quick" or "normal".
    out: default `runs/compare-DATA[-TASK]`. workers, device, trust_code, extend: as in `run_study`.
    format, read: as in `open_dataset` (read: its options). on_bad_image: "error" or "skip".
    explain: say why the best candidate is better than the default one, or than the second (docs/explain.md); pairs:
    "all" for all candidates, two by two.
    """
    from headstart.places.network import no_network
    from headstart.places.paths import absolute
    from headstart.readers.formats import open_dataset
    from headstart.study.compare import choose_tasks, comparison
    from headstart.study.files import write_study
    from headstart.study.run import absolute_uri
    from headstart.tasks.possible_starts import common_detector
    from headstart.weights.cards import code_named, resolve, uri_of
    from headstart.weights.starts import BEYOND, require_start, split_start

    if screen is not None:
        looked: dict[str, Any] = {"task": task, "budget": budget, "format": format, "on_bad_image": on_bad_image}
        weights = shortlist(
            data, weights, screen, **looked, read=read, trust_code=trust_code, offline=offline, quiet=quiet
        )
    named = [split_start(str(uri)) for uri in weights]
    wanted: list[StartKind | None] = [*map(require_start, starts)] or [None]
    asked = [(uri, start) for uri, own in named for start in ([own] if own or uri.startswith("random:") else wanted)]
    if len(asked) < 2:
        raise UsageError(
            "a comparison needs at least two candidates: repeat -w, for example "
            "-w tv:ResNet50_Weights.IMAGENET1K_V2 -w tv:FasterRCNN_ResNet50_FPN_Weights.COCO_V1 -w random:resnet50. "
            "`headstart weights list` shows what is known."
        )
    uris = [absolute_uri(uri_of(uri), Path.cwd()) for uri, _ in asked]
    chosen: list[StartKind] = [start or "backbone" for _, start in asked]
    specs = [resolve(uri, Path.cwd(), offline=offline) for uri in uris]
    uris = [spec.uri if spec.uri.startswith("hf:") else uri for uri, spec in zip(uris, specs, strict=True)]
    reading: ReadKeywords = read or {}
    with no_network(offline):
        annotations = open_dataset(data, format, **reading)
    tasks = choose_tasks(annotations, task)
    detector = common_detector(list(zip(specs, chosen, strict=True)), offline) if set(chosen) & set(BEYOND) else None
    if detector and "detect" not in tasks:
        raise UsageError("only detection copies more than a backbone; these data, or --task, are of other tasks")
    if not quiet:
        tell("\n".join(annotations.summary()))
    candidates = list(zip(uris, specs, strict=True))
    study = comparison(
        absolute(data, Path.cwd()),
        annotations,
        candidates,
        tasks,
        budget=budget,
        seeds=seeds,
        reading={"format": format, "read": dict(reading), "on_bad_image": on_bad_image},
        explain=pairs if explain else "no",
        starts=chosen,
        detector=detector,
    )
    where = as_path(out) or Path("runs") / (study.name + (f"-{task}" if task else ""))
    code = [path for uri in uris for path in code_named(uri)]
    with tempfile.TemporaryDirectory() as folder, trusting(trust_code, code):
        proposal = Path(folder) / "study.toml"
        write_study(study, proposal, f"Written by: headstart compare {data}\nExtend it, then: headstart run {where}")
        shared = as_path(store)
        with placed(executor, address, device, threads=study.threads, workers=workers) as at:
            how = HowToRun(
                workers,
                at[1],
                offline,
                overwrite,
                extend=extend,
                quiet=quiet,
                store=shared,
                cluster=at[0],
                events=as_path(events),
            )
            return summarized(study, proposal, where, where, how=how)


def build_report(run: PathLike) -> Path:
    """Build `report.html` of a run again."""
    from headstart.report.build import build

    run = Path(run)
    if not (run / "metrics.json").is_file():
        raise StudyError(f"{run}: not a run directory with results (no metrics.json). Run the study first.")
    return build(run)


def report_table(
    run: PathLike | Sequence[PathLike],
    format: Literal["md", "latex", "csv"] = "md",
    table: Literal["answer", "trials"] = "answer",
) -> str:
    """The answer of one or several runs, or all their trials, as text. Markdown and LaTeX in points, CSV in fractions
    with every digit."""
    from headstart.report.run_dir import RunDir
    from headstart.report.tables import table as written

    return written([RunDir.open(path) for path in as_paths(run)], table, format)


def environment() -> dict[str, Any]:
    """Versions, machine, devices, what `--device auto` takes, and cache folders."""
    from headstart.study import environment

    return environment.machine()
