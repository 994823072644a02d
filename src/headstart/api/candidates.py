"""What a comparison, an explanation, a suite and a screen share: weights by name, data, and the study of them run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.api.options import DataOptions
from headstart.api.paths import PathLike
from headstart.errors import UsageError
from headstart.places.trust import trusting

if TYPE_CHECKING:
    from headstart.config.study import Study
    from headstart.data.annotations import Annotations
    from headstart.weights.cards import WeightsSpec
    from headstart.weights.detectors.facts import DetectorFacts
    from headstart.weights.starts import StartKind


def candidates_of(weights: Sequence[PathLike], offline: bool) -> list[tuple[str, WeightsSpec]]:
    """The URI of each of the weights, which holds from any folder and for good, and its facts."""
    from headstart.study.files import absolute_uri
    from headstart.weights.cards import resolve, uri_of

    here = Path.cwd()
    uris = [absolute_uri(uri_of(str(named)), here) for named in weights]
    specs = [resolve(uri, here, offline=offline) for uri in uris]
    return [(spec.uri if spec.uri.startswith("hf:") else uri, spec) for uri, spec in zip(uris, specs, strict=True)]


def with_starts(weights: Sequence[PathLike], starts: Sequence[str]) -> list[tuple[str, StartKind]]:
    """Every candidate: weights, and what is copied of them. Raises UsageError for fewer than two."""
    from headstart.weights.detectors.whole import MARK
    from headstart.weights.starts import require_start, split_start

    wanted: list[StartKind | None] = [*map(require_start, starts)] or [None]
    named = [split_start(str(uri)) for uri in weights]
    plain = [own is not None or uri.startswith("random:") or uri.endswith(MARK) for uri, own in named]
    asked = [
        (uri, start) for (uri, own), alone in zip(named, plain, strict=True) for start in ([own] if alone else wanted)
    ]
    if len(asked) < 2:
        raise UsageError(
            "a comparison needs at least two candidates: repeat -w, for example "
            "-w tv:ResNet50_Weights.IMAGENET1K_V2 -w tv:FasterRCNN_ResNet50_FPN_Weights.COCO_V1 -w random:resnet50. "
            "`headstart weights list` shows what is known."
        )
    return [(uri, start or "backbone") for uri, start in asked]


def common_detector_of(
    candidates: Sequence[tuple[str, WeightsSpec]], starts: Sequence[StartKind], tasks: Sequence[str], offline: bool
) -> DetectorFacts | None:
    """The one detector that all can be parts of, where some start from more than a backbone. Raises UsageError."""
    from headstart.tasks.possible_starts import common_detector
    from headstart.weights.starts import BEYOND

    if not set(starts) & set(BEYOND):
        return None
    specs = [spec for _, spec in candidates]
    detector = common_detector(list(zip(specs, starts, strict=True)), offline)
    if detector and "detect" not in tasks:
        raise UsageError("only detection copies more than a backbone; these data, or --task, are of other tasks")
    return detector


def code_of(candidates: Iterable[tuple[str, WeightsSpec]]) -> list[Path]:
    """Python files that the candidates name as their backbones."""
    from headstart.weights.cards import code_named

    return [path for uri, _ in candidates for path in code_named(uri)]


def opened(data: PathLike, how: DataOptions, offline: bool) -> Annotations:
    """The data set's annotations."""
    from headstart.places.network import no_network
    from headstart.readers.formats import open_dataset

    with no_network(offline):
        return open_dataset(data, how.format, **(how.read or {}))


@contextmanager
def written(
    study: Study,
    out: Path,
    told: str,
    candidates: Sequence[tuple[str, WeightsSpec]],
    *,
    trust_code: bool,
    there: bool = False,
) -> Iterator[Path]:
    """The file of a study that a command has made, and trust in the code of its candidates, while it runs in `out`.
    told: what the file begins with. there: `out` holds a run of a smaller study of this kind, whose file is written
    anew."""
    from headstart.study.files import write_study

    with tempfile.TemporaryDirectory() as folder, trusting(trust_code, code_of(candidates)):
        source = (out if there else Path(folder)) / "study.toml"
        write_study(study, source, told)
        yield source
