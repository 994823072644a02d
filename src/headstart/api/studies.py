"""Studies: run, planned, reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from headstart.api.options import spelled
from headstart.api.paths import PathLike, as_path, as_paths
from headstart.errors import StudyError
from headstart.places.trust import trusting
from headstart.report.finished import RunSummary, summarized
from headstart.study.executors.options import RunKeywords, RunOptions
from headstart.terminal import tell
from headstart.train.devices import chosen_devices

if TYPE_CHECKING:
    from headstart.config.study import Study
    from headstart.study.executors.options import Keep
    from headstart.study.plan_summary import Plan


@spelled(RunOptions)
def run_study(
    study: PathLike,
    out: PathLike | None = None,
    *,
    noise: float | None = None,
    data: Mapping[str, PathLike] | None = None,
    data_root: PathLike | None = None,
    miniature: bool = False,
    extend: bool = False,
    **how: Unpack[RunKeywords],
) -> RunSummary:
    """Run a study (a TOML file or a built-in name) into `out` (default `runs/NAME`), or go on with it there.

    noise: share of the images, 0 to 1, that exchange their boxes and labels in the study's pre-trainings (default
    `runs/NAME-noise-SHARE`). data: places of data sets that the study only names, by name; data_root: a folder with
    folders of these names. miniature: the same study with drawn data, a small network and few steps, which says how it
    differs. extend: once all is done, tasks that have not converged go on from where their trainings ended, for as many
    updates again (docs/converged.md).

    workers: processes on the CPU; None: as many as it has. device: "auto" (every GPU that is there, else the CPU),
    "cpu", "cuda", or some GPUs: "cuda:0,1". Networks run there, one process a GPU. trust_code: let Python files run
    that the study, its cards or checkpoints name as backbones. store: a folder where several runs keep their jobs, each
    of which is done once. keep: what stays once the study is complete: "needed" (the best model of each task, and
    trainings that `extend` would go on from), "winner" (without those) or "all"; what was dropped is made again where
    it is needed. None: as before, else "needed". executor: "ray" for the cluster at `address` (docs/cluster.md); None:
    one that is started on this machine. events: a file for what happens, a line of JSON each.
    tensorboard: write the curves of all trainings into `tensorboard/` of `out` (docs/events.md).

    Raises StudyError for faults in the file, or when `out` holds another study; `Interrupted` after Ctrl-C.
    """
    from headstart.study.files import find_study, load_study, run_directory
    from headstart.study.miniature.in_small import in_small
    from headstart.study.planning.given_data import left_out

    options = RunOptions(**how)
    settings, base = load_study(str(study))
    if miniature:
        settings = in_small(settings, _data_folder(settings.name), _silent if options.quiet else tell, write=True)
    declared, settings = settings, _with(settings, noise, data, data_root, all_needed=True)
    for line in () if options.quiet else left_out(declared, settings):
        tell(line)
    source = find_study(str(study))
    with trusting(options.trust_code):
        where = run_directory(source, settings.name, as_path(out))
        return summarized(settings, source, base, where, how=options, extend=extend)


def plan_study(
    study: PathLike,
    out: PathLike | None = None,
    device: str = "auto",
    *,
    noise: float | None = None,
    data: Mapping[str, PathLike] | None = None,
    data_root: PathLike | None = None,
    miniature: bool = False,
    store: PathLike | None = None,
    keep: Keep | None = None,
    tree: bool = False,
    calibrate: bool = False,
) -> Plan:
    """What `run_study` would do; runs and writes nothing. Data sets without a place are planned as the study declares
    them. tree: also every job, and why it is not done. calibrate: time the first updates of each kind of training on
    the device first; what is measured is kept for later plans on this machine."""
    from headstart.store.store import Store
    from headstart.study.files import find_study, load_study, run_directory
    from headstart.study.miniature.in_small import in_small
    from headstart.study.plan import Planner
    from headstart.study.plan_summary import foreseen, plan_summary
    from headstart.study.planning.keeping import kept_by
    from headstart.study.planning.measured import rates
    from headstart.study.planning.needs import needs
    from headstart.study.planning.tree import Tree
    from headstart.study.run import planned, shared_store

    declared, base = load_study(str(study))
    if miniature:
        declared = in_small(declared, _data_folder(declared.name), _silent, write=False)
    settings = _with(declared, noise, data, data_root, all_needed=False)
    where, devices = run_directory(find_study(str(study)), settings.name, as_path(out)), chosen_devices(device)
    shared = shared_store(settings, base, where, as_path(store))
    kept = kept_by(where, keep)
    if calibrate:
        from headstart.study.planning.calibrating import calibrate as measure

        asked = Planner(settings, base, device=devices.kind, without_data=True)
        asked.expand(lambda job: None)
        measure(asked, devices)
    planner = Planner(settings, base, device=devices.kind, without_data=True)
    expansion = planned(settings, base, where, devices, shared=shared, keep=kept, planner=planner)
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
        keep=kept,
        calibrated=max(planner.speeds.used, default=""),
    )


def _silent(line: str) -> None:
    """Nothing is said."""


def _data_folder(study: str) -> Path:
    """Where the data of a miniature are drawn."""
    return Path("runs") / f"{study}-miniature-data"


def _with(
    study: Study,
    noise: float | None,
    data: Mapping[str, PathLike] | None,
    data_root: PathLike | None,
    *,
    all_needed: bool,
) -> Study:
    """The study with its data in their places, and with noise where it is asked for."""
    from headstart.config.noise import with_noise
    from headstart.study.planning.given_data import with_data

    places = {name: Path(path) for name, path in (data or {}).items()}
    settings = with_data(study, places, as_path(data_root), all_needed=all_needed)
    return settings if noise is None else with_noise(settings, noise)


def build_report(run: PathLike, format: Literal["html", "pdf"] = "html") -> Path:
    """Build `report.html` of a run again; with "pdf" also print it into `report.pdf`, by a Chromium or Chrome of this
    machine (`$CHROMIUM`, or one on the path). Returns the path of what was asked for."""
    from headstart.report.build import build
    from headstart.report.printed.pdf import print_page

    page = build(_with_results(Path(run)))
    return page if format == "html" else print_page(page, page.with_suffix(".pdf"))


def write_figures(run: PathLike, out: PathLike, format: Literal["pdf", "png"] = "pdf") -> list[Path]:
    """The rankings of a run, and what detectors get wrong, as figures in the folder `out` (extra `plots`)."""
    from headstart.report.printed.figures import figures
    from headstart.report.run_dir import RunDir

    return figures(RunDir.open(_with_results(Path(run))), Path(out), format)


def _with_results(run: Path) -> Path:
    if not (run / "metrics.json").is_file():
        raise StudyError(f"{run}: not a run directory with results (no metrics.json). Run the study first.")
    return run


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
