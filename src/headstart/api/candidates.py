"""What a comparison, an explanation, a suite and a screen share: weights by name, data, and the study of them run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.api.options import DataOptions
from headstart.api.paths import PathLike
from headstart.places.trust import trusting

if TYPE_CHECKING:
    from headstart.config.study import Study
    from headstart.data.annotations import Annotations
    from headstart.weights.cards import WeightsSpec


def candidates_of(weights: Sequence[PathLike], offline: bool) -> list[tuple[str, WeightsSpec]]:
    """The URI of each of the weights, which holds from any folder and for good, and its facts."""
    from headstart.study.files import absolute_uri
    from headstart.weights.cards import resolve, uri_of

    here = Path.cwd()
    uris = [absolute_uri(uri_of(str(named)), here) for named in weights]
    specs = [resolve(uri, here, offline=offline) for uri in uris]
    return [(spec.uri if spec.uri.startswith("hf:") else uri, spec) for uri, spec in zip(uris, specs, strict=True)]


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
