"""Comparisons: made from data and weights, run, planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

from headstart.api.candidates import candidates_of, common_detector_of, opened, with_starts, written
from headstart.api.options import DataRunKeywords, DataRunOptions, spelled
from headstart.api.paths import PathLike, as_path
from headstart.api.proposing import Limits, proposed, require_within
from headstart.api.screening import shortlist
from headstart.api.studies import plan_study
from headstart.places.fitting import Resize
from headstart.report.finished import RunSummary, summarized
from headstart.terminal import tell
from headstart.train.devices import chosen_devices

if TYPE_CHECKING:
    from headstart.config.study import Study
    from headstart.study.plan_summary import Plan
    from headstart.weights.cards import WeightsSpec


@spelled(DataRunOptions)
def compare(
    data: PathLike,
    weights: Sequence[PathLike] = (),
    task: Literal["detect", "segment", "classify"] | str | None = None,
    seeds: int | None = None,
    *,
    starts: Sequence[str] = (),
    screen: int | None = None,
    budget: Literal["quick", "normal"] = "normal",
    license: str | None = None,
    max_ms: float | None = None,
    max_hours: float | None = None,
    extend: bool = False,
    explain: bool = True,
    pairs: Literal["best", "all"] = "best",
    full: bool = False,
    probes: bool = False,
    curve: bool = False,
    size: tuple[int, int] | None = None,
    resize: Literal["stretch", "crop", "letterbox"] | None = None,
    out: PathLike | None = None,
    **how: Unpack[DataRunKeywords],
) -> RunSummary:
    """Which of these weights should I start from for this data? Writes a study into `out` and runs it.

    data: folder, archive or URL of a data set of a known format. weights: two or more weights URIs or cards; none: an
    ImageNet classifier, a detector and a self-supervised network of one architecture, and random values
    (`headstart.screening.proposals`). task: detect, segment or classify; None for all that the data serve. starts: what
    is copied of each of the weights, each a candidate (docs/starts.md); weights that name their own, such as
    "W#detector", keep it. screen: of eight weights or more, train only so many, the most promising by their frozen
    features (docs/screening.md), beside the ImageNet classifier and random values. budget: "quick" or "normal".
    license: of the weights, such as "apache-2.0", or "commercial". max_ms: milliseconds of an image of 224 x 224 pixels
    where networks run. max_hours: of the comparison, at most, if no training goes on for longer. What is proposed is
    within them; weights that are named and are not are refused.
    explain: say why the best candidate is better than the default one, or than the second (docs/explain.md); pairs:
    "all" for all candidates, two by two. full: run every seed of every candidate, each with its own search of rates;
    else candidates that cannot win are dropped, and seeds run where they decide (docs/adaptive.md). probes: probe
    frozen features further, by SVM and k-NN, on every stage, on 1 to 16 images of each class (docs/probes.md).
    curve: train on a quarter and a half of the data, too (docs/axes.md). size: height and width that images are brought
    to, in place of what suits images, weights and budget (docs/data.md); resize: whatever the aspect ("stretch"), by
    their center ("crop", classification only), or with their aspect kept ("letterbox"). out: default
    `runs/compare-DATA[-TASK]`.
    format, read: as in `open_dataset` (read: its options). on_bad_image: "error" or "skip". extend, workers and all
    after it: as in `run_study`.
    """
    options = DataRunOptions(**how)
    if screen is not None:
        weights = shortlist(
            data, weights, screen, task=task, budget=budget, size=size, resize=resize, out=out, how=options
        )
    length = _Length(budget, seeds, full=full, probes=probes, curve=curve, sizing=(size, resize))
    limits = Limits(license, max_ms, max_hours, chosen_devices(options.device), options.workers)
    made = _made(
        data, weights, task, starts, length=length, explain=pairs if explain else "no", limits=limits, how=options
    )
    where = as_path(out) or made.where
    told = f"Written by: headstart compare {data}\nExtend it, then: headstart run {where}"
    with written(made.study, where, told, made.candidates, trust_code=options.trust_code) as source:
        return summarized(made.study, source, where, where, how=options, extend=extend)


@spelled(DataRunOptions)
def plan_comparison(
    data: PathLike,
    weights: Sequence[PathLike] = (),
    task: Literal["detect", "segment", "classify"] | str | None = None,
    seeds: int | None = None,
    *,
    starts: Sequence[str] = (),
    budget: Literal["quick", "normal"] = "normal",
    license: str | None = None,
    max_ms: float | None = None,
    max_hours: float | None = None,
    explain: bool = True,
    pairs: Literal["best", "all"] = "best",
    full: bool = False,
    probes: bool = False,
    curve: bool = False,
    size: tuple[int, int] | None = None,
    resize: Literal["stretch", "crop", "letterbox"] | None = None,
    out: PathLike | None = None,
    **how: Unpack[DataRunKeywords],
) -> Plan:
    """What `compare` would do with the same arguments: how many jobs and minutes, and which differences it could find.
    Runs nothing, and writes nothing into `out`. Raises UsageError and DataError as `compare` does before it starts."""
    options = DataRunOptions(**how)
    length = _Length(budget, seeds, full=full, probes=probes, curve=curve, sizing=(size, resize))
    limits = Limits(license, max_ms, max_hours, chosen_devices(options.device), options.workers)
    made = _made(
        data, weights, task, starts, length=length, explain=pairs if explain else "no", limits=limits, how=options
    )
    where = as_path(out) or made.where
    with written(made.study, where, "", made.candidates, trust_code=options.trust_code) as source:
        return plan_study(source, where, options.device, store=options.store, keep=options.keep)


@dataclass(frozen=True)
class _Length:
    """How long each training is, how many there are at most, whether all are run, and whether frozen features are
    probed further, whether parts of the data are trained on, too, and how large images are: as in `compare`."""

    budget: Literal["quick", "normal"]
    seeds: int | None
    full: bool
    probes: bool
    curve: bool
    sizing: tuple[tuple[int, int] | None, Resize | None]


@dataclass(frozen=True)
class _Made:
    """The study of a comparison, what it compares, and where it runs if nobody says."""

    study: Study
    candidates: list[tuple[str, WeightsSpec]]
    where: Path


def _made(
    data: PathLike,
    weights: Sequence[PathLike],
    task: str | None,
    starts: Sequence[str],
    *,
    length: _Length,
    explain: Literal["best", "all", "no"],
    limits: Limits,
    how: DataRunOptions,
) -> _Made:
    """The arguments are those of `compare`. Says what is in the data and what is proposed, unless `how` is quiet."""
    from headstart.places.network import no_network
    from headstart.places.paths import absolute
    from headstart.study.compare import choose_tasks, comparison
    from headstart.study.planning.sizing import Sizing

    if weights:
        with_starts(weights, starts)  # what is wrong there is said before the data are read
    annotations = opened(data, how, how.offline)
    tasks = choose_tasks(annotations, task)
    if not how.quiet:
        tell("\n".join(annotations.summary()))

    def compared(uris: Sequence[PathLike]) -> _Made:
        asked = with_starts(uris, starts)
        candidates = candidates_of([uri for uri, _ in asked], how.offline)
        chosen = [start for _, start in asked]
        with no_network(how.offline):  # headers of images may be read
            study = comparison(
                absolute(data, Path.cwd()),
                annotations,
                candidates,
                tasks,
                budget=length.budget,
                seeds=length.seeds,
                reading=how.settings(),
                explain=explain,
                starts=chosen,
                detector=common_detector_of(candidates, chosen, tasks, how.offline),
                full=length.full,
                probes=length.probes,
                curve=length.curve,
                sizing=Sizing(*length.sizing),
            )
        return _Made(study, candidates, Path("runs") / (study.name + (f"-{task}" if task else "")))

    if not weights:
        return compared(proposed(limits, lambda uris: compared(uris).study, quiet=how.quiet))
    made = compared(weights)
    require_within(limits, [spec for _, spec in made.candidates], lambda: made.study)
    return made
