"""`headstart weights import` and `verify`: any weights into a native checkpoint, and proof that weights are intact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.terminal import tell
from headstart.weights import downloads, native
from headstart.weights.cards import WeightsSpec, file_digest, resolve
from headstart.weights.checkpoint import load
from headstart.weights.export import canonical_state
from headstart.weights.listing import input_words
from headstart.weights.load_report import LoadReport
from headstart.weights.proof import same_fingerprint
from headstart.weights.starts import CopyProof


@dataclass(frozen=True, repr=False)
class Verified:
    """How weights were loaded, and what was compared with what the file says of itself."""

    report: LoadReport
    checks: tuple[str, ...]
    start: CopyProof | None = None
    """What a transfer copies, where a start was asked for."""

    @property
    def good(self) -> bool:
        """Whether there is nothing to look at before believing a result."""
        return not self.report.warnings

    def __repr__(self) -> str:
        return f"<verified {self.report.weights}: {'good' if self.good else f'{len(self.report.warnings)} warnings'}>"

    def text(self) -> str:
        """As `headstart weights verify` prints it."""
        lines = [*self.report.text().splitlines(), *(f"  verified {check}" for check in self.checks)]
        return "\n".join([*lines, *(self.start.text().splitlines() if self.start else ())])


@dataclass(frozen=True, repr=False)
class Imported:
    """A native checkpoint that was written. uri: what stands for it wherever weights are asked for."""

    file: Path
    uri: str
    report: LoadReport

    def __repr__(self) -> str:
        return f"<imported {self.report.weights}: use it as {self.uri!r}>"

    def text(self) -> str:
        """As `headstart weights import` prints it."""
        return "\n".join([*self.report.text().splitlines(), f"written: {self.file}", f"use it as: {self.uri}"])


@dataclass(frozen=True, repr=False)
class ExportedWeights:
    """Weights in another library's layout: the file, the input that they take there, and what to set."""

    file: Path
    preprocessing: Preprocessing
    notes: tuple[str, ...]
    report: LoadReport

    def __repr__(self) -> str:
        return f"<exported {self.report.weights} to {self.file}>"

    def text(self) -> str:
        """As `headstart weights export` prints it."""
        lines = [
            *self.report.summary().splitlines(),
            f"written: {self.file}",
            f"input: {input_words(self.preprocessing)}",
            *self.notes,
        ]
        return "\n".join(lines)


def import_weights(
    uri: str,
    out: Path,
    base: Path = Path(),
    overwrite: bool = False,
    *,
    trust_pickle: bool = False,
    offline: bool = False,
    say: downloads.Say = tell,
) -> Imported:
    """Write the weights that `uri` means as a native checkpoint: `out/backbone.safetensors`, or `out` itself where it
    ends in `.safetensors`.

    Only what every network has the same of is kept: the backbone, under canonical names, with its facts. Raises
    WeightsError, also where `out` exists already.
    """
    file = out if out.suffix == ".safetensors" else out / native.FILE
    if file.exists() and not overwrite:
        raise WeightsError(f"{file} exists already. Give another OUT, or --overwrite.")
    spec = resolve(uri, base, trust_pickle, offline)
    if spec.kind == "random":
        raise WeightsError(f"{uri} are random values, drawn from a seed: there is nothing to import.")
    loaded = load(spec, 0, offline, say)
    if loaded.report.missing:
        raise WeightsError(
            f"{uri} lacks {', '.join(loaded.report.missing[:4])}; a native checkpoint holds whole "
            "backbones only. Use the file itself as weights."
        )
    tensors = canonical_state(loaded.backbone)
    facts = native.CheckpointFacts(
        spec.name,
        spec.backbone,
        spec.preprocessing.to_json(),
        list(spec.lineage),
        licence=spec.licence,
        source=spec.source,
        digest=native.tensor_digest(tensors),
        provenance=_provenance(spec, loaded.report),
        fingerprint=loaded.report.to_json()["fingerprint"] or {},
    )
    return Imported(native.write(out, tensors, facts), f"file:{out}", loaded.report)


def _provenance(spec: WeightsSpec, report: LoadReport) -> dict:
    file = Path(spec.file) if spec.file else None
    return {
        "uri": spec.uri if spec.kind in ("tv", "timm", "url") or spec.uri.startswith("hf:") else "",
        "url": spec.url,
        "file": file.name if file else "",
        "sha256": file_digest(file) if file else "",
        "layout": spec.layout,
        "how": report.source,
        "norm_eps": spec.norm_eps,
        "notes": list(report.notes),
    }


def verify(uri: str, base: Path = Path(), trust_pickle: bool = False, offline: bool = False) -> Verified:
    """Load the weights, and compare a native checkpoint with the digest and the fingerprint in its header.

    Raises WeightsError for weights that cannot be loaded, or whose values are not those that were written.
    """
    spec = resolve(uri, base, trust_pickle, offline)
    loaded = load(spec, 0, offline, thorough=True)
    file = native.find(Path(spec.file)) if spec.file else None
    if file is None:
        return Verified(loaded.report, ())
    facts = native.read_facts(file)
    state, names = canonical_state(loaded.backbone), native.names(file)
    if native.tensor_digest({name: value for name, value in state.items() if name in names}) != facts.digest:
        raise WeightsError(
            f"{file}: its values are not those that were written (their SHA-256 is not the one in its "
            "header). Import the original again."
        )
    checks = [f"values: SHA-256 {facts.digest[:12]}.. as written"]
    if spec.backbone != facts.backbone:  # a plain network's weights in a deformable one
        checks.append(f"fingerprint: not compared, since {facts.backbone} was written")
        return Verified(loaded.report, tuple(checks))
    written = {stage: (n[0], n[1], n[2]) for stage, n in facts.fingerprint.items()}
    taken = loaded.report.fingerprint
    if written and taken:
        if not same_fingerprint(written, taken):
            raise WeightsError(
                f"{file}: its values are those that were written, but the backbone {facts.backbone} "
                "gives other features than at import. Its code, or a library, has changed."
            )
        checks.append("fingerprint: the features of the fixed image as at import")
    return Verified(loaded.report, tuple(checks))


def export_weights(
    uri: str, base: Path, out: Path, to: str, *, fold: bool, overwrite: bool, trust_pickle: bool, offline: bool
) -> ExportedWeights:
    """Write the backbone of these weights in another library's layout, and say what to set there."""
    from headstart.weights.export import export

    spec = resolve(uri, base, trust_pickle, offline)
    loaded = load(spec, 0, offline)
    done = export(loaded, spec, out, to, fold=fold, overwrite=overwrite)  # type: ignore[arg-type]
    return ExportedWeights(done.path, done.preprocessing, tuple(done.notes), loaded.report)
