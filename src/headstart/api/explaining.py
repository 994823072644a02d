"""Two weights explained on a data set."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from headstart.api.paths import PathLike, as_path
from headstart.errors import UsageError
from headstart.places.trust import trusting
from headstart.readers.options import ReadKeywords
from headstart.report.finished import HowToRun, RunSummary, summarized
from headstart.terminal import tell
from headstart.train.devices import chosen_devices


def explain_weights(
    a: PathLike,
    b: PathLike,
    data: PathLike,
    task: Literal["detect", "segment", "classify"] | str | None = None,
    *,
    budget: Literal["quick", "normal"] = "quick",
    out: PathLike | None = None,
    workers: int | None = None,
    device: str = "auto",
    format: str | None = None,
    on_bad_image: Literal["error", "skip"] = "error",
    read: ReadKeywords | None = None,
    trust_code: bool = False,
    offline: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> RunSummary:
    """How two weights see these images: neighbors, where their features fire, and, where images have labels, which of
    them a probe gets right. Nothing else is trained. Writes a study into `out` and runs it.

    a, b: weights URIs or cards. data, format, read, on_bad_image, task: as in `compare`. budget: decides the size that
    images are brought to. out: default `runs/explain-DATA`. workers, device, trust_code: as in `run_study`.
    """
    from headstart.places.network import no_network
    from headstart.places.paths import absolute
    from headstart.readers.formats import open_dataset
    from headstart.study.compare import choose_tasks, explanation
    from headstart.study.files import write_study
    from headstart.study.run import absolute_uri
    from headstart.weights.cards import code_named, resolve, uri_of

    uris = [absolute_uri(uri_of(str(uri)), Path.cwd()) for uri in (a, b)]
    if uris[0] == uris[1]:
        raise UsageError(f"{a}: both weights are the same, so there is nothing to explain. Give two.")
    specs = [resolve(uri, Path.cwd(), offline=offline) for uri in uris]
    uris = [spec.uri if spec.uri.startswith("hf:") else uri for uri, spec in zip(uris, specs, strict=True)]
    reading: ReadKeywords = read or {}
    with no_network(offline):
        annotations = open_dataset(data, format, **reading)
    tasks = choose_tasks(annotations, task)
    if not tasks:
        raise UsageError(f"{data}: has no annotation for any task, and images are prepared for one. Annotate them.")
    if not quiet:
        tell("\n".join(annotations.summary()))
    study = explanation(
        absolute(data, Path.cwd()),
        annotations,
        list(zip(uris, specs, strict=True)),
        tasks,
        budget=budget,
        reading={"format": format, "read": dict(reading), "on_bad_image": on_bad_image},
    )
    where = as_path(out) or Path("runs") / study.name
    code = [path for uri in uris for path in code_named(uri)]
    with tempfile.TemporaryDirectory() as folder, trusting(trust_code, code):
        proposal = Path(folder) / "study.toml"
        write_study(study, proposal, f"Written by: headstart explain {a} {b} {data}\nTo go on: headstart run {where}")
        how = HowToRun(workers, chosen_devices(device), offline, overwrite, extend=False, quiet=quiet)
        return summarized(study, proposal, where, where, how=how)
