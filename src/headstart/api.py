"""The verbs as typed functions: what users import, and what the command line calls. Imports torch only to predict."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import StudyError, UsageError
from headstart.progress import Progress, silent
from headstart.recipes.changes import changed_recipe
from headstart.recipes.pretraining import PretrainingOptions
from headstart.recipes.settings import Supervision
from headstart.report.finished import RunSummary, summarized
from headstart.train.devices import chosen_devices

if TYPE_CHECKING:
    from headstart.data.annotations import Annotations
    from headstart.evaluation.evaluate import Evaluation
    from headstart.study.executors.local import Event
    from headstart.study.pretrain import Pretrained
    from headstart.tasks.predict import Predicted


@dataclass(frozen=True)
class CheckSummary:
    """Whether a data set is clean, its page, the findings as plain data, and the same in lines."""

    clean: bool
    page: Path
    facts: dict[str, Any]
    lines: list[str]


def run_study(
    study: str,
    out: Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    *,
    offline: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> RunSummary:
    """Run a study (a TOML file or a built-in name) into `out` (default `runs/NAME`), or go on with it there.

    workers: processes on the CPU; None: as many as it has. device: "auto" (every GPU that is there, else the CPU),
    "cpu", "cuda", or some GPUs: "cuda:0,1". Networks run there, one process a GPU.

    Raises StudyError for faults in the file, or when `out` holds another study; `Interrupted` after Ctrl-C.
    """
    from headstart.study.files import find_study, load_study, run_directory

    settings, base = load_study(study)
    source = find_study(study)
    where = run_directory(source, settings.name, out)
    return summarized(
        settings,
        source,
        base,
        where,
        workers=workers,
        devices=chosen_devices(device),
        offline=offline,
        overwrite=overwrite,
        quiet=quiet,
    )


def plan_study(study: str, out: Path | None = None, device: str = "auto") -> list[str]:
    """What `run_study` would do, as lines to print; runs and writes nothing."""
    from headstart.study.answer import plan_lines
    from headstart.study.files import find_study, load_study, run_directory
    from headstart.study.run import planned

    settings, base = load_study(study)
    where, devices = run_directory(find_study(study), settings.name, out), chosen_devices(device)
    return [f"run directory: {where}", *plan_lines(settings, planned(settings, base, where, devices), devices)]


def compare(
    data: str | Path,
    weights: list[str],
    task: str | None = None,
    seeds: int | None = None,
    *,
    budget: str = "normal",
    out: Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    format: str | None = None,
    on_bad_image: str = "error",
    read: dict[str, Any] | None = None,
    offline: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> RunSummary:
    """Which of these weights should I start from for this data? Writes a study into `out` and runs it.

    data: folder, archive or URL of a data set of a known format. weights: two or more weights URIs or cards. task:
    detect, segment or classify; None for all that the data serve. budget: "quick" or "normal". out: default
    `runs/compare-DATA[-TASK]`. workers, device: as in `run_study`.
    format, read: as in `open_dataset` (read: its options). on_bad_image: "error" or "skip".
    """
    from headstart.places.network import no_network
    from headstart.places.paths import absolute
    from headstart.readers.formats import open_dataset
    from headstart.study.compare import choose_tasks, comparison
    from headstart.study.files import write_study
    from headstart.study.run import absolute_uri
    from headstart.weights.cards import resolve, uri_of

    if len(weights) < 2:
        raise UsageError(
            "a comparison needs at least two weights: repeat -w, for example "
            "-w tv:ResNet50_Weights.IMAGENET1K_V2 -w tv:FasterRCNN_ResNet50_FPN_Weights.COCO_V1 -w random:resnet50. "
            "`headstart weights list` shows what is known."
        )
    uris = [absolute_uri(uri_of(uri), Path.cwd()) for uri in weights]
    specs = [resolve(uri, Path.cwd(), offline=offline) for uri in uris]
    uris = [spec.uri if spec.uri.startswith("hf:") else uri for uri, spec in zip(uris, specs, strict=True)]
    with no_network(offline):
        annotations = open_dataset(data, format, **(read or {}))
    tasks = choose_tasks(annotations, task)
    if not quiet:
        print("\n".join(annotations.summary()), file=sys.stderr)
    candidates = list(zip(uris, specs, strict=True))
    study = comparison(
        absolute(data, Path.cwd()),
        annotations,
        candidates,
        tasks,
        budget=budget,  # type: ignore[arg-type]
        seeds=seeds,
        reading={"format": format, "read": read or {}, "on_bad_image": on_bad_image},
    )
    where = out or Path("runs") / (study.name + (f"-{task}" if task else ""))
    with tempfile.TemporaryDirectory() as folder:
        proposal = Path(folder) / "study.toml"
        write_study(study, proposal, f"Written by: headstart compare {data}\nExtend it, then: headstart run {where}")
        return summarized(
            study,
            proposal,
            where,
            where,
            workers=workers,
            devices=chosen_devices(device),
            offline=offline,
            overwrite=overwrite,
            quiet=quiet,
        )


def check(
    data: str,
    images: bool = False,
    *,
    against: str | None = None,
    fix: Path | None = None,
    out: Path | None = None,
    format: str | None = None,
    read: dict[str, Any] | None = None,
    progress: Callable[[int, int, str], None] = lambda done, of, what: None,
) -> CheckSummary:
    """What is in a data set and what is wrong with it: a page and `findings.json` in `out` (default `runs/check-DATA`).

    images: decode every image and mask too. against: another data set, whose images are searched for near-duplicates of
    this one's. fix: write a clean copy of the annotations into this new folder. format, read: as in `open_dataset`.
    """
    from headstart.doctor.checkup import check as examine
    from headstart.doctor.clean import write_clean
    from headstart.doctor.lines import told
    from headstart.report.doctor import write_page
    from headstart.store.files import write_text

    checkup = examine(data, images, format, progress, against=against, **(read or {}))
    where = out or Path("runs") / f"check-{checkup.table.root.name or 'data'}"
    where.mkdir(parents=True, exist_ok=True)
    facts = checkup.to_json()
    write_text(where / "findings.json", json.dumps(facts, indent=1) + "\n")
    page = write_page(checkup, where / "index.html")
    lines = [*told(checkup), f"page: {page}"]
    lines += write_clean(checkup, fix) if fix else []
    return CheckSummary(checkup.clean, page, facts, lines)


def pretrain(
    data: str | Path,
    recipe: str,
    options: PretrainingOptions | None = None,
    supervision: Supervision | None = None,
    *,
    changes: Sequence[str] = (),
    progress: Progress = silent,
    quiet: bool = False,
) -> Pretrained:
    """Pre-train a backbone by boxes or by labels, or go on with it: a study of this one job, in this process.

    recipe: built-in name or TOML file; changes: `KEY=VALUE` of it. progress: told what the job says; quiet: no display.
    Asked to stop (`headstart.processes.ask_to_stop`, SIGTERM, Ctrl-C), it saves its state and raises Interrupted.
    Raises UsageError when the place holds a pre-training with other settings, and names them.
    """
    from headstart.study.pretrain import run_pretraining
    from headstart.study.progress import ProgressDisplay

    asked = changed_recipe(recipe, supervision, changes)
    with ProgressDisplay(1, quiet) as display:

        def tell(event: Event) -> None:
            display(event)
            if event.what == "progress":
                progress(event.fraction, event.message)

        return run_pretraining(str(data), asked, options or PretrainingOptions(), tell)


def show_chips(
    data: str | Path,
    recipe: str,
    out: Path,
    options: PretrainingOptions | None = None,
    *,
    supervision: Supervision | None = None,
    changes: Sequence[str] = (),
    progress: Progress = silent,
) -> Path:
    """Write a page of the chips that a recipe lays on a data set; trains nothing. Arguments as in `pretrain`."""
    from headstart.report.chips import write_page
    from headstart.study.chips_page import chips_to_show, require_page

    require_page(out)
    asked, given = changed_recipe(recipe, supervision, changes), options or PretrainingOptions()
    return write_page(chips_to_show(str(data), asked, given, progress), out)


def open_dataset(path: Path | str, format: str | None = None, **options: Any) -> Annotations:
    """The annotations of a data set; see `headstart.readers.formats.open_dataset` and docs/data.md.

    `print("\\n".join(table.summary()))` says what was found, with the label map.
    """
    from headstart.readers.formats import open_dataset as read

    return read(path, format, **options)


def predict(model: Path | str, images: Path, out: Path | None = None, threshold: float = 0.5) -> Predicted:
    """Run a task model on an image or a folder: pictures and `predictions.json` in `out`.

    model: folder of a trial's model or of a pre-training, a run with one pre-training, or `run:RUN#NAME`.
    """
    from headstart.tasks.predict import predict_folder
    from headstart.weights.cards import resolve, uri_of

    uri = uri_of(str(model))
    folder = Path(resolve(uri).file or "").parent if uri.startswith("run:") else Path(model)
    return predict_folder(
        folder, images, out or Path("predictions"), threshold, say=lambda line: print(line, file=sys.stderr)
    )


def evaluate(
    detections: Path,
    data: str | Path,
    protocol: str = "coco",
    iou: tuple[float, ...] = (),
    *,
    split: str | None = None,
    bootstrap: int = 1000,
    clusters: bool = True,
    compare: Path | None = None,
    by: tuple[str, ...] = (),
    errors: bool = False,
    explain: bool = False,
    allow_unknown: bool = False,
    format: str | None = None,
    read: dict[str, Any] | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Score anyone's detections against the boxes of a data set; needs no model and imports no torch.

    detections: COCO results (.json), Parquet, a folder of the VOC devkit's text files, or a folder of YOLO text files
    with confidence. protocol: voc07-11pt, voc-area, coco, openimages, or all. iou: thresholds; none for the protocol's
    own. bootstrap: resamples of the images for intervals, 0 for none; near-duplicate images are drawn together unless
    `clusters` is off. compare: a second set of detections; the difference is paired image by image. by: "area" and
    "count" (of objects in the image) for numbers of such groups. errors: kinds of errors and what each costs. explain:
    which rule moves the number. allow_unknown: leave out, and count, detections of unknown images and classes. format,
    read: of the data set, as in `open_dataset` (read: its options). quiet: say nothing on standard error meanwhile.
    Raises DataError for files that cannot be read or do not belong together, UsageError for what cannot be asked.
    """
    from headstart.evaluation.evaluate import EvaluationRequest, evaluate_detections
    from headstart.metrics.protocols import PROTOCOLS
    from headstart.readers.formats import open_dataset

    names = tuple(PROTOCOLS) if protocol == "all" else (protocol,)
    asked = EvaluationRequest(
        names,
        tuple(iou),
        split,
        bootstrap,
        clusters=clusters,
        by=tuple(by),
        errors=errors,
        explain=explain,
        allow_unknown=allow_unknown,
    )
    annotations = open_dataset(data, format, **(read or {}))
    return evaluate_detections(
        detections, annotations, asked, compare, say=lambda line: None if quiet else print(line, file=sys.stderr)
    )


def build_report(run: Path) -> Path:
    """Build `report.html` of a run again."""
    from headstart.report.build import build

    if not (run / "metrics.json").is_file():
        raise StudyError(f"{run}: not a run directory with results (no metrics.json). Run the study first.")
    return build(run)


def environment() -> dict[str, Any]:
    """Versions, machine, devices, what `--device auto` takes, and cache folders."""
    from headstart.study import environment

    return environment.machine()


def describe_weights(weights: str) -> list[str]:
    """Facts of some weights and how they fit their backbone, as lines to print. Downloads nothing."""
    from headstart.weights import listing
    from headstart.weights.cards import uri_of

    return listing.described(uri_of(weights), Path.cwd())


def list_weights(
    supervision: str | None = None, license: str | None = None, every_fact: bool = False
) -> list[dict[str, Any]]:
    """Known public weights, one row each. supervision: boxes, labels, masks, self, or none for random weights.
    license: a license's name, or "commercial" for those that allow commercial use as they stand.
    """
    from headstart.weights import listing

    return (listing.full_rows if every_fact else listing.rows)(supervision, license)


def import_weights(
    weights: str, out: Path, *, trust_pickle: bool = False, offline: bool = False, overwrite: bool = False
) -> list[str]:
    """Write any weights (a URI, or the path of a file) as a native checkpoint, and say how they were loaded.

    out: a folder, or a file that ends in `.safetensors`; it is then `file:OUT` where weights are asked for.
    trust_pickle: let Python's own pickle run what the file says; only for files of one's own.
    """
    from headstart.weights.cards import uri_of
    from headstart.weights.commands import import_weights as write

    file, report = write(uri_of(weights), out, Path.cwd(), overwrite, trust_pickle=trust_pickle, offline=offline)
    return [*report.text().splitlines(), f"written: {file}", f"use it as: file:{out}"]


def export_weights(
    weights: str,
    out: Path,
    to: str,
    fold: bool = False,
    *,
    trust_pickle: bool = False,
    offline: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Write the backbone of any weights in the layout of another library, and say what to set there.

    to: timm, torchvision, detectron2 or mmdetection. fold: change the first convolution so that it takes the library's
    usual input; refused where that is not exact.
    """
    from headstart.weights.cards import uri_of
    from headstart.weights.commands import export_weights as write

    return write(
        uri_of(weights), Path.cwd(), out, to, fold=fold, overwrite=overwrite, trust_pickle=trust_pickle, offline=offline
    )


def verify_weights(weights: str, trust_pickle: bool = False, offline: bool = False) -> tuple[list[str], bool]:
    """Load weights and say what was found: (lines, whether nothing has to be looked at)."""
    from headstart.weights.cards import uri_of
    from headstart.weights.commands import verify

    found = verify(uri_of(weights), Path.cwd(), trust_pickle, offline)
    lines = [*found.report.text().splitlines(), *(f"  verified {check}" for check in found.checks)]
    return lines, not found.report.warnings
