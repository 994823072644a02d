"""Which weights are meant: from a URI or a weights card to a `WeightsSpec`. Imports no torch for what it knows itself.

    random:NAME            fresh random weights; NAME is a backbone
    timm:NAME[.TAG]        a classifier of timm
    tv:ENUM.MEMBER         weights of torchvision, classifiers and ResNet detectors (their backbone part)
    hf:ORG/NAME[@REV][#FILE]  a checkpoint of a known layout on the Hugging Face hub
    file:PATH              a checkpoint file of a known layout (`headstart.weights.importers.layouts`), or a folder or
                           file that `headstart weights import` wrote
    file:PATH#CHOICE       of a file that allows several readings: ema, raw, repeat, sum (`choices`)
    file:PATH@NAME         a checkpoint file and the backbone that it holds; RGB input, ImageNet's mean and std, or
                           what `headstart weights import` wrote there
    file:FOLDER#whole, hf:ORG/NAME#whole  a whole detector of transformers (see `detectors.whole`)
    run:RUN[#NAME[/SEED]]  what a pre-training of a run made; NAME where it has several, SEED where it is not the first
    PATH.toml              a weights card: a checkpoint file with its facts

    NAME                   one that `headstart weights list` shows

A backbone is a built-in name, a model name of timm, `tv-NAME`, or `path/to/file.py:function`. Paths are relative to
the study file or card that names them.
"""

from __future__ import annotations

import hashlib
from dataclasses import KW_ONLY, asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from headstart.errors import WeightsError
from headstart.models.backbones.naming import split_options, with_options
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.models.whole.families import CONFIG
from headstart.weights import catalogue, hub, libraries, native
from headstart.weights.card_files import read_card
from headstart.weights.choices import Choices, FirstConvolution, split_choices
from headstart.weights.detectors.whole import MARK, OF_FOLDER, is_whole, whole_facts
from headstart.weights.wrappers import Variant

OPTIONAL = ("layout", "variant", "first_convolution")
"""Fields that are part of the identity only where they are set."""
Kind = Literal["random", "timm", "tv", "url", "file", "card"]
FORMS = (
    "random:NAME, timm:NAME.TAG, tv:ENUM.MEMBER, hf:ORG/NAME@REVISION, file:PATH, file:PATH@BACKBONE, run:RUN#NAME, a "
    "name that `headstart weights list` shows, or the path of a weights card (.toml)"
)


@dataclass(frozen=True)
class WeightsSpec:
    """Everything needed to load weights, without having opened them as tensors."""

    name: str
    uri: str
    kind: Kind
    backbone: str
    """Built-in or timm name, or `/absolute/file.py:function`."""
    _: KW_ONLY
    file: str | None = None
    """Absolute path of the checkpoint; None for random, timm and torchvision weights."""
    digest: str = ""
    """SHA-256 of the file; for torchvision its first digits, for timm the name with its tag, "" for random."""
    key_prefix: str | None = ""
    """Taken off the file's keys. None: found by looking for the backbone's keys."""
    preprocessing: Preprocessing
    lineage: tuple[str, ...] = ()
    licence: str = ""
    backbone_digest: str = ""
    """SHA-256 of the user's file that defines the backbone, "" for other backbones."""
    checkpoint_key: str | None = None
    """Dotted path of the state dict inside the file. None: the usual places are tried."""
    norm_eps: float | None = None
    """Epsilon of batch norm that the weights were trained with. None: the backbone's own."""
    url: str = ""
    source: str = ""
    variant: Variant = ""
    """Averaged weights or those as trained, where the file has both; "": the averaged ones."""
    first_convolution: FirstConvolution = ""
    """What becomes of a first convolution that takes no three channels; "": it is refused."""
    ignore: tuple[str, ...] = ()
    """Beginnings of names in the file that are no part of the backbone, as its card says."""
    layout: str = ""
    """Importer that recognized the file and renames its tensors; "": they have the backbone's names."""
    trust_pickle: bool = False
    """Unpickle the file with Python's own pickle, which runs what the file says. Only for files of one's own."""

    def identity(self) -> dict[str, Any]:
        """What the weights are, without names, paths or prose: equal for equal weights on any machine."""
        kind = "file" if self.kind == "card" else self.kind
        backbone = self.backbone.rpartition(":")[2] if self.backbone_digest else self.backbone
        return {
            "kind": kind,
            "backbone": backbone,
            "backbone_digest": self.backbone_digest,
            "digest": self.digest,
            "key_prefix": self.key_prefix,
            "checkpoint_key": self.checkpoint_key,
            "norm_eps": self.norm_eps,
            "preprocessing": self.preprocessing.to_json(),
            **{key: value for key in OPTIONAL if (value := getattr(self, key))},
        }

    def to_json(self) -> dict[str, Any]:
        """All fields, paths included: for settings that stay on one machine."""
        lists = {"lineage": list(self.lineage), "ignore": list(self.ignore)}
        return {**asdict(self), "preprocessing": self.preprocessing.to_json(), **lists}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> WeightsSpec:
        """Inverse of `to_json`."""
        rebuilt: dict[str, Any] = {key: tuple(value[key]) for key in ("lineage", "ignore") if key in value}
        rebuilt["preprocessing"] = Preprocessing.from_json(value["preprocessing"])
        return cls(**{**value, **rebuilt})


def resolve(uri: str, base: Path = Path(), trust_pickle: bool = False, offline: bool = False) -> WeightsSpec:
    """The weights that `uri` means; paths relative to `base`. Raises WeightsError for what is unknown or not there.

    Reads and hashes the checkpoint file, if any; opens no tensor, but the first convolution's where a layout needs it.
    timm and torchvision are imported only for names that the catalogue does not have. A file on the Hugging Face hub
    is fetched if it is not in the cache, which is said before; offline: refuse to. trust_pickle: files are loaded by
    Python's own pickle, which runs what they say.
    """
    if uri.endswith(MARK):
        return WeightsSpec(**whole_facts(uri, base, offline, file_digest))
    plain, choices = split_choices(uri, base)
    spec = _resolve(plain, base, trust_pickle, offline, variant=choices.variant)
    if choices != Choices():
        spec = replace(spec, uri=uri, variant=choices.variant, first_convolution=choices.first_convolution)
    return replace(spec, trust_pickle=True) if trust_pickle and spec.file else spec


def uri_of(weights: str) -> str:
    """The path of a file, of a folder with a native checkpoint, or of a run, as a URI; a card and a URI as they are."""
    if weights.endswith(MARK) and Path(weights.removesuffix(MARK)).is_dir():
        return f"file:{weights}"
    path = Path(weights)
    if not path.exists() or weights.endswith(".toml"):
        return weights
    return f"run:{weights}" if (path / "study.json").is_file() else f"file:{weights}"


def code_named(uri: str, base: Path = Path()) -> list[Path]:
    """The Python file that a URI itself names as a backbone: whoever writes that wants it to run. Not what a card or
    a checkpoint names."""
    scheme, _, rest = uri.partition(":")
    name = rest if scheme == "random" else rest.rpartition("@")[2] if scheme == "file" else ""
    path = name.rpartition(":")[0]
    return [(base / path).resolve()] if path.endswith(".py") else []


def _resolve(uri: str, base: Path, trust_pickle: bool, offline: bool, *, variant: Variant = "") -> WeightsSpec:
    known = catalogue.find(uri.removesuffix("#backbone"))
    if known is not None and not known.uri.startswith("hf:"):
        return _public(known)
    if known is not None or uri.startswith("hf:"):
        return _on_hub(known.uri if known else uri, base, trust_pickle, offline, variant=variant)
    if uri.endswith(".toml"):
        return _card(base / uri, uri)
    scheme, colon, rest = uri.partition(":")
    if scheme == "random":
        if not rest:
            raise WeightsError(
                "random values of which backbone? Give random:NAME, for example random:resnet50 (most useful: the "
                "backbone of the weights beside it, which `headstart weights show` names)."
            )
        backbone, digest = _backbone(rest, base, uri)
        name = f"random-{rest.rpartition(':')[2]}"
        return WeightsSpec(name, uri, "random", backbone, preprocessing=IMAGENET, backbone_digest=digest)
    if colon and scheme == "timm":
        return _public(libraries.timm_weights(rest))
    if colon and scheme == "tv":
        return _public(libraries.torchvision_weights(rest.removesuffix("#backbone")))
    if colon and scheme == "run":
        return _of_run(rest, uri, base)
    if colon and scheme == "file":
        return _plain_file(rest, base, uri, trust_pickle, variant=variant)
    raise WeightsError(f"weights {uri!r} are unknown. {_near(uri)}Give {FORMS}.")


def _near(word: str) -> str:
    names = catalogue.nearest(word)
    return f"Nearest known: {', '.join(names)}. " if names else ""


def _public(entry: catalogue.PublicWeights) -> WeightsSpec:
    if not entry.uri:
        raise WeightsError(
            f"{entry.name} has no address that can be fetched: get it from {entry.where}. Then give it as file:PATH."
        )
    scheme = entry.uri.partition(":")[0]
    kind: Kind = "tv" if scheme == "tv" else "timm" if scheme == "timm" else "url"
    return WeightsSpec(
        entry.name,
        entry.uri,
        kind,
        entry.backbone,
        digest=entry.digest,
        key_prefix=entry.key_prefix,
        preprocessing=entry.preprocessing,
        lineage=entry.lineage,
        licence=entry.licence,
        norm_eps=entry.norm_eps,
        url=entry.url,
        source=entry.source,
        layout=entry.layout,
    )


def _plain_file(rest: str, base: Path, uri: str, trust_pickle: bool, *, variant: Variant) -> WeightsSpec:
    if (base / rest).exists() and (file := native.find((base / rest).resolve())):
        return native_spec(file, uri, base)
    path, at, name = rest.rpartition("@")
    if not (at and path and name) or (base / rest).is_file():
        return _recognized(_existing(base / rest, uri), base, uri, trust_pickle, variant=variant)
    backbone, backbone_digest = _backbone(name, base, uri)
    if (base / path).exists() and (written := native.find((base / path).resolve())):
        return replace(native_spec(written, uri, base), backbone=backbone, backbone_digest=backbone_digest)
    return _of_file(
        _existing(base / path, uri),
        uri,
        (backbone, backbone_digest),
        key_prefix=None,
        preprocessing=IMAGENET,
        lineage=("not stated",),
        licence="not stated",
    )


def _of_file(
    file: Path, uri: str, backbone: tuple[str, str], name: str | None = None, *, kind: Kind = "file", **facts: Any
) -> WeightsSpec:
    """The weights in a file. backbone: of `_backbone`; facts: other fields."""
    return WeightsSpec(
        file.stem if name is None else name,
        uri,
        kind,
        backbone[0],
        backbone_digest=backbone[1],
        file=str(file),
        digest=file_digest(file),
        **facts,
    )


def native_spec(file: Path, uri: str, base: Path = Path()) -> WeightsSpec:
    """A native checkpoint, as an import or a pre-training wrote it: everything is in its header."""
    facts = native.read_facts(file)
    return _of_file(
        file,
        uri,
        _backbone(facts.backbone, base, uri),
        facts.name,
        preprocessing=Preprocessing.from_json(facts.preprocessing),
        lineage=tuple(facts.lineage),
        licence=facts.licence,
        source=facts.source,
    )


def _of_run(rest: str, uri: str, base: Path) -> WeightsSpec:
    """The checkpoint that a pre-training left in a run's store."""
    path, _, asked = rest.partition("#")
    name, _, seed = asked.partition("/")
    run = (base / path).resolve()
    made = {}
    for folder in sorted((run / "store").glob("pretrain-*")):
        if (file := native.find(folder)) and (folder / "job.json").is_file():
            facts = native.read_facts(file)
            made[facts.name, int(facts.provenance.get("seed", 0))] = file
    chosen = sorted(key for key in made if (not name or key[0] == name) and (not seed or str(key[1]) == seed))
    if not chosen or len({key[0] for key in chosen}) > 1:
        there = ", ".join(f"{key[0]}/{key[1]}" for key in sorted(made)) or "none"
        what = "which one is not said" if chosen else f"no finished pre-training {asked!r}".rstrip(" '")
        raise WeightsError(f"{uri}: {what}. Pre-trainings in {run}: {there}. Give run:{path}#NAME, or #NAME/SEED.")
    return native_spec(made[chosen[0]], uri, base)


def _on_hub(uri: str, base: Path, trust_pickle: bool, offline: bool, *, variant: Variant) -> WeightsSpec:
    """The file is found or fetched now, since only its names tell which backbone it holds."""
    fetched = hub.fetch(uri, offline)
    name = fetched.repository.rpartition("/")[2]
    if native.find(fetched.path):
        return replace(native_spec(fetched.path, fetched.uri, base), name=name)
    spec = _recognized(fetched.path, base, fetched.uri, trust_pickle, variant=variant)
    known = catalogue.find(f"hf:{fetched.repository}")
    lineage = known.lineage if known else spec.lineage
    licence = known.licence if known else fetched.licence
    return replace(spec, name=name, lineage=lineage, licence=licence)


def _recognized(file: Path, base: Path, uri: str, trust_pickle: bool, *, variant: Variant) -> WeightsSpec:
    """The backbone that an importer finds in the file; its facts from the catalogue, where the file is one of its."""
    from headstart.weights import containers
    from headstart.weights.importers import layouts

    contents = containers.read(file, trust_pickle) if trust_pickle else containers.look(file)
    imported = layouts.recognize(contents, variant)
    known = catalogue.of_file(file, file_digest(file))
    _backbone(imported.backbone, base, uri)
    return _of_file(
        file,
        uri,
        (imported.backbone, ""),
        key_prefix=None,
        preprocessing=imported.preprocessing,
        lineage=known.lineage if known else imported.lineage,
        licence=known.licence if known else imported.licence,
        norm_eps=known.norm_eps if known else imported.norm_eps,
        source=known.source if known else imported.source,
        layout=imported.layout,
    )


def _backbone(name: str, base: Path, where: str) -> tuple[str, str]:
    """(backbone with an absolute path, digest of the user's file or "")."""
    path, colon, function = name.rpartition(":")
    if colon and (path.endswith(".py") or is_whole(name)):
        file = _existing(base / path, where)
        return f"{file}:{function}", file_digest(file)
    plain, options = split_options(name, where)
    if plain not in catalogue.BUILTIN_NAMES + catalogue.ARCHITECTURES:
        libraries.require_timm_model(plain, where)
    return with_options(plain, **options), ""


def _existing(path: Path, where: str) -> Path:
    try:
        path = path.resolve()
        there = path.is_file()
    except (OSError, ValueError) as error:  # a name that no file can have, a folder that may not be looked into
        raise WeightsError(
            f"{where}: the file {path!s:.300} cannot be looked for ({error!s:.80}). Correct the path."
        ) from None
    if not there:
        if (path / CONFIG).is_file():
            raise WeightsError(f"{where}: {path} is a folder of transformers. {OF_FOLDER}")
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(
            f"{where}: the file {path} {what}. Correct the path; it is relative to the file that names it."
        )
    return path


def head_digest(spec: WeightsSpec) -> str:
    """Of the file that keeps the head of our own pre-training, apart from its backbone; "" for all others."""
    file = native.find(Path(spec.file)) if spec.file else None
    head = file.parent / native.MODEL / "head.safetensors" if file else None
    return file_digest(head) if head and head.is_file() else ""


_digests: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes, 64 hex digits; remembered within the process while size and time are unchanged.

    Of the index of a checkpoint in parts, it is of the digests of the index and of all its parts: an index is the same
    for other values.
    """
    from headstart.weights import containers

    if beside := [part for part in containers.parts(path) if part.is_file()]:
        each = [_digest_of(one) for one in (path, *beside)]
        return hashlib.sha256("\n".join(each).encode()).hexdigest()
    return _digest_of(path)


def _digest_of(path: Path) -> str:
    facts = path.stat()
    key = (str(path), facts.st_size, facts.st_mtime_ns)
    if key not in _digests:
        with path.open("rb") as stream:
            _digests[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _digests[key]


def _card(path: Path, uri: str) -> WeightsSpec:
    path = _existing(path, "weights card")
    card = read_card(path)
    backbone = _backbone(card.backbone, path.parent, str(path))
    return _of_file(
        _existing(path.parent / card.file, str(path)),
        uri,
        backbone,
        card.name,
        kind="card",
        key_prefix=card.key_prefix,
        preprocessing=Preprocessing.from_json(card.preprocessing.model_dump()),
        lineage=tuple(card.lineage),
        licence=card.licence,
        checkpoint_key=card.checkpoint_key,
        norm_eps=card.norm_eps,
        variant=card.variant,
        first_convolution=card.first_convolution,
        ignore=tuple(card.ignore),
        source=card.source,
    )
