"""Starting weights: listed, described, loaded, verified, brought from and to other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headstart.api.paths import PathLike
from headstart.places.trust import trusting

if TYPE_CHECKING:
    from headstart.weights.checkpoint import Loaded
    from headstart.weights.commands import ExportedWeights, Imported, Verified
    from headstart.weights.listing import Described


def list_weights(
    supervision: str | None = None,
    license: str | None = None,
    every_fact: bool = False,
) -> list[dict[str, Any]]:
    """Known public weights, one row each. supervision: boxes, labels, masks, self, or none for random weights.
    license: a license's name, or "commercial" for those that allow commercial use as they stand.
    """
    from headstart.weights import listing

    return (listing.full_rows if every_fact else listing.rows)(supervision, license)


def describe_weights(weights: PathLike, trust_code: bool = False) -> Described:
    """Facts of some weights and how they fit their backbone. Downloads nothing.

    trust_code: let the Python file run that a card or a checkpoint names as its backbone.
    """
    from headstart.weights import listing
    from headstart.weights.cards import code_named, uri_of

    uri = uri_of(str(weights))
    with trusting(trust_code, code_named(uri)):
        return listing.described(uri, Path.cwd())


def load_backbone(
    weights: PathLike,
    seed: int = 0,
    *,
    trust_pickle: bool = False,
    trust_code: bool = False,
    offline: bool = False,
) -> Loaded:
    """A backbone with its weights, the preprocessing that it was trained with, and the report of what was loaded.

    weights: a URI, a weights card, the path of a file or of a run. seed: of random weights. The backbone is a
    `torch.nn.Module` in training mode, on the CPU: images (B, 3, H, W), preprocessed -> {"C2": .., .., "C5": ..}.
    Raises WeightsError where any of it does not fit.
    """
    from headstart.weights.cards import code_named, resolve, uri_of
    from headstart.weights.checkpoint import load

    uri = uri_of(str(weights))
    with trusting(trust_code, code_named(uri)):
        return load(resolve(uri, Path.cwd(), trust_pickle, offline), seed, offline)


def verify_weights(
    weights: PathLike,
    trust_pickle: bool = False,
    trust_code: bool = False,
    offline: bool = False,
) -> Verified:
    """Load weights and say what was found; `good` is whether nothing has to be looked at. `W#detector`: also what a
    transfer that starts so copies into a detector of the same kind."""
    from dataclasses import replace

    from headstart.weights.cards import code_named, resolve, uri_of
    from headstart.weights.commands import verify
    from headstart.weights.detectors.whole import MARK
    from headstart.weights.starts import BEYOND, split_start

    plain, start = split_start(str(weights))
    uri = uri_of(plain)
    with trusting(trust_code, code_named(uri)):
        found = verify(uri, Path.cwd(), trust_pickle, offline)
        if start not in BEYOND and not plain.endswith(MARK):
            return found
        from headstart.tasks.starts import proof_of

        spec = resolve(uri, Path.cwd(), trust_pickle, offline)
        return replace(found, start=proof_of(spec, start or "detector", Path.cwd(), offline))


def import_weights(
    weights: PathLike,
    out: PathLike,
    *,
    trust_pickle: bool = False,
    trust_code: bool = False,
    offline: bool = False,
    overwrite: bool = False,
) -> Imported:
    """Write any weights (a URI, or the path of a file) as a native checkpoint, and say how they were loaded.

    out: a folder, or a file that ends in `.safetensors`; it is then `file:OUT` where weights are asked for.
    trust_pickle: let Python's own pickle run what the file says; only for files of one's own.
    """
    from headstart.weights.cards import code_named, uri_of
    from headstart.weights.commands import import_weights as write

    uri = uri_of(str(weights))
    with trusting(trust_code, code_named(uri)):
        return write(uri, Path(out), Path.cwd(), overwrite, trust_pickle=trust_pickle, offline=offline)


def export_weights(
    weights: PathLike,
    out: PathLike,
    to: Literal["timm", "torchvision", "detectron2", "mmdetection"],
    fold: bool = False,
    *,
    trust_pickle: bool = False,
    trust_code: bool = False,
    offline: bool = False,
    overwrite: bool = False,
) -> ExportedWeights:
    """Write the backbone of any weights in the layout of another library, and say what to set there.

    fold: change the first convolution so that it takes the library's usual input; refused where that is not exact.
    """
    from headstart.weights.cards import code_named, uri_of
    from headstart.weights.commands import export_weights as write

    uri = uri_of(str(weights))
    with trusting(trust_code, code_named(uri)):
        return write(
            uri,
            Path.cwd(),
            Path(out),
            to,
            fold=fold,
            overwrite=overwrite,
            trust_pickle=trust_pickle,
            offline=offline,
        )
