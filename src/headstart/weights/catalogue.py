"""Public weights known by name, with their facts. Data only: imports no torch, downloads nothing.

The facts are in `public/*.toml`: a table per library or project with what its weights share, and its weights. A fact
without a source is not written there; it reads "unknown". `headstart.weights.listing` prints the catalogue.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing

BUILTIN_NAMES = (
    "shapes-resnet",
    "preact-resnet26",
    "preact-resnet50",
    "preact-resnet101",
    "csp-v5n",
    "csp-v5s",
    "csp-v5m",
    "csp-v5l",
    "csp-v5x",
    "csp-v8n",
    "csp-v8s",
    "csp-v8m",
    "csp-v8l",
    "csp-v8x",
    "rf-detr-vit",
    "lw-detr-vit",
    "yolos-vit",
)
"""Built-in backbones (`headstart.models.backbones.building.BUILTIN_BACKBONES`), known here without torch."""

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""Model names of timm that need no look-up in timm."""

IMAGENET_LABELS = "ImageNet-1k labels"
UNKNOWN = "unknown"

PREPROCESSINGS = MappingProxyType(
    {
        "imagenet": IMAGENET,
        "half": Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        "caffe": Preprocessing("bgr", 1.0, (103.53, 116.28, 123.675), (1.0, 1.0, 1.0)),
        "sniper": Preprocessing("rgb", 1.0, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    }
)
"""Ways of preparing images, by the names that `public/*.toml` uses."""

TRIED_LAYOUTS = frozenset(("", "classifier", "huggingface", "torchvision-detection", "torchvision-segmentation"))
"""Layouts that the tests read from the owning library's own models; of the others no real file was ever tried."""

COMMERCIAL = frozenset(("apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-3.0", "mit"))
"""Licenses that allow commercial use as they stand; others forbid it, or have terms of their own, or are not known."""

Checked = Literal["library", "file", "unverified"]


@dataclass(frozen=True)
class Published:
    """A number that the makers of the weights published, in percent."""

    metric: str
    data: str
    value: float

    def __str__(self) -> str:
        return f"{self.value:.1f} {self.metric}, {self.data}"


@dataclass(frozen=True)
class PublicWeights:
    """One entry."""

    name: str
    """Short name; also accepted where weights are asked for."""
    uri: str
    """`tv:`, `timm:` or `hf:`, or the address of the file; "" where the user has to fetch it (`where`)."""
    backbone: str
    lineage: tuple[str, ...]
    """What made the weights, in order."""
    licence: str = UNKNOWN
    url: str = ""
    """The file, where it has an address; timm's weights are fetched by name from the Hugging Face hub."""
    key_prefix: str | None = ""
    norm_eps: float | None = None
    """Epsilon that the batch norms were trained with, where it is not the usual 1e-5."""
    source: str = ""
    """Where the facts come from."""
    preprocessing: Preprocessing = IMAGENET
    supervision: tuple[str, ...] = ()
    """Kinds of annotation that the last training used: labels, boxes, masks, or self."""
    published: Published | None = None
    layout: str = ""
    """Importer that reads the file; "" for the layouts of torchvision and timm."""
    checked: Checked = "library"
    """library: read back in the tests from the library's own model. file: from a public file. unverified: neither."""
    sha256: str = ""
    md5: str = ""
    """First digits of the file's digest, where its makers published them."""
    where: str = ""
    licence_note: str = ""

    @property
    def digest(self) -> str:
        """First digits of the file's SHA-256, or else a name that means one file: its address, or timm's with a tag."""
        return self.sha256 or self.url or self.uri.partition(":")[2]

    @property
    def parameters(self) -> int | None:
        """Of the backbone alone, without classifier or heads; None: unknown."""
        return parameters_of(self.backbone)

    @property
    def gflops(self) -> float | None:
        """Of the backbone for one image of 224x224 pixels, 2 x multiply-adds / 1e9; None: unknown."""
        return operations_of(self.backbone)

    @property
    def is_commercial(self) -> bool:
        return self.licence in COMMERCIAL

    @property
    def address(self) -> str:
        """What to write where weights are asked for: the URI if it is one of a scheme, else the name."""
        return self.uri if self.uri.startswith(("tv:", "timm:", "hf:")) else self.name


_FOLDER = Path(__file__).parent / "public"
_FILES = ("classifiers", "detectors", "segmenters", "selfsupervised", "transformers")


def parameters_of(backbone: str) -> int | None:
    """Of a backbone, by its name, as `PublicWeights.parameters`."""
    return _architectures().get(backbone, {}).get("parameters")


def operations_of(backbone: str) -> float | None:
    """GFLOPs of a backbone, by its name, as `PublicWeights.gflops`."""
    return _architectures().get(backbone, {}).get("gflops")


@cache
def _architectures() -> dict[str, dict[str, Any]]:
    return tomllib.loads((_FOLDER / "architectures.toml").read_text(encoding="utf-8"))


def _read(name: str) -> Iterator[PublicWeights]:
    families = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    for shared in families.values():
        for entry in shared.pop("weights"):
            facts = shared | entry
            if facts.get("uri", "").startswith("tv:"):
                facts["sha256"] = facts["url"].rpartition("-")[2].removesuffix(".pth")
            facts["uri"] = facts.get("uri", facts.get("url", ""))
            facts["lineage"], facts["supervision"] = tuple(facts["lineage"]), tuple(facts["supervision"])
            facts["preprocessing"] = PREPROCESSINGS[facts.get("preprocessing", "imagenet")]
            facts["published"] = Published(**facts["published"]) if "published" in facts else None
            if facts.get("layout"):
                facts["key_prefix"] = None  # found by the importer
            yield PublicWeights(**facts)


CATALOGUE: tuple[PublicWeights, ...] = tuple(entry for name in _FILES for entry in _read(name))

TIMM_DEFAULTS = MappingProxyType(
    {"resnet18": "a1_in1k", "resnet34": "a1_in1k", "resnet50": "a1_in1k", "resnet101": "a1h_in1k"}
)
"""Tag that a bare `timm:NAME` means, fixed here so that an upgrade of timm does not change what a study compares."""

_RECIPES = frozenset(
    (
        "a1",
        "a1h",
        "a2",
        "a3",
        "b1k",
        "b2k",
        "bt",
        "c1",
        "c2",
        "c3",
        "d",
        "gluon",
        "lamb",
        "ra",
        "ra2",
        "ra3",
        "racm",
        "ram",
        "tv",
        "tv2",
    )
)


def of_file(file: Path, sha256: str) -> PublicWeights | None:
    """The entry whose file this is, by the digest that its makers published; its name does not matter for SHA-256."""
    for entry in CATALOGUE:
        if entry.sha256 and sha256.startswith(entry.sha256):
            return entry
        if entry.md5 and file.name == entry.url.rpartition("/")[2]:
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "md5").hexdigest().startswith(entry.md5):
                    return entry
    return None


def find(uri: str) -> PublicWeights | None:
    """Entry with this URI or short name; a bare timm name means its default tag."""
    scheme, _, rest = uri.partition(":")
    if scheme == "timm" and rest in TIMM_DEFAULTS:
        uri = f"{uri}.{TIMM_DEFAULTS[rest]}"
    return next((entry for entry in CATALOGUE if uri and uri in (entry.uri, entry.name)), None)


def nearest(word: str, more: list[str] | tuple[str, ...] = ()) -> list[str]:
    """Up to three known URIs, or names among `more`, most like `word`."""
    known = [*(e.address for e in CATALOGUE), *(f"random:{name}" for name in BUILTIN_NAMES + ARCHITECTURES), *more]
    lowered = {name.lower(): name for name in known} | {entry.name: entry.address for entry in CATALOGUE}
    close = difflib.get_close_matches(word.lower(), list(lowered), n=3, cutoff=0.5)
    return list(dict.fromkeys(lowered[name] for name in close))


def timm_lineage(tag: str) -> tuple[str, ...]:
    """What a tag of timm says about the training: supervised ImageNet-1k recipes are known, others only quoted."""
    recipe, _, data = tag.rpartition("_")
    if data == "in1k" and recipe in _RECIPES:
        return (IMAGENET_LABELS,)
    return (f"not known in full (timm tag {tag})",) if tag else ("not stated",)
