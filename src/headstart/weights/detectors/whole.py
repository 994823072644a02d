"""Whole detectors of transformers: which folder or repository is meant, and its network loaded with every tensor.

    file:FOLDER#whole       a folder with `config.json` and `model.safetensors`, as `save_pretrained` leaves it
    hf:ORG/NAME[@REV]#whole the same on the Hugging Face hub
    random:FOLDER#whole     the same network with random values

Resolving imports no torch and no transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.whole.families import CONFIG, FAMILIES, Family, InputSize, WholeName, families_in_words
from headstart.models.whole.families import split_whole as of_name
from headstart.texts import json_of
from headstart.weights import hub

if TYPE_CHECKING:
    from headstart.models.whole.network import Whole

MARK = "#whole"
LAYOUT = "transformers-whole"
PROCESSOR = "preprocessor_config.json"
FILES = ("model.safetensors", "model.safetensors.index.json")
OF_FOLDER = f"Give its model.safetensors as a backbone, or the folder with {MARK} as a whole detector."
HOW = "Give the folder that save_pretrained wrote, or hf:ORG/NAME#whole."


def is_whole(backbone: str) -> bool:
    """Whether a backbone of this name is a whole detector."""
    return of_name(backbone) is not None


def whole_facts(uri: str, base: Path, offline: bool, digest: Callable[[Path], str]) -> dict[str, Any]:
    """Fields of the `WeightsSpec` of such a URI. digest: of a file. Raises WeightsError."""
    scheme, _, rest = uri.removesuffix(MARK).partition(":")
    if scheme == "hf":
        fetched = hub.fetch(uri.removesuffix(MARK), offline)
        file, uri, name = fetched.path, fetched.uri + MARK, fetched.repository.rpartition("/")[2]
        licence = fetched.licence
    elif scheme in ("file", "random"):
        file = _file_of((base / rest).resolve(), needed=scheme == "file")
        name, licence = file.parent.name, hub.licence_of(file, file.name)
    else:
        raise WeightsError(f"{uri}: {MARK} is of file:FOLDER, hf:ORG/NAME and random:FOLDER. {HOW}")
    config = file.parent / CONFIG
    family = family_of(config)
    preprocessing, size = input_of(file.parent / PROCESSOR, family)
    facts = {
        "backbone": str(WholeName(str(config), family, size)),
        "backbone_digest": digest(config),
        "preprocessing": preprocessing,
        "licence": licence,
        "layout": LAYOUT,
        "uri": uri,
    }
    if scheme == "random":
        return facts | {"name": f"random-{name}", "kind": "random", "licence": ""}
    source = {"file": str(file), "digest": digest(file), "lineage": ("not stated",)}
    return facts | source | {"name": f"{name}-whole", "kind": "file"}


def _file_of(folder: Path, needed: bool) -> Path:
    """The checkpoint in a folder. needed: it has to be there."""
    if not folder.is_dir():
        raise WeightsError(f"{folder}: no such folder. {HOW}")
    if not (folder / CONFIG).is_file():
        raise WeightsError(f"{folder}: no {CONFIG}, which says what network its weights are of. {HOW}")
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if needed and not found:
        raise WeightsError(f"{folder}: no {' and no '.join(FILES)}; other formats are not read. {HOW}")
    return (found or [folder / FILES[0]])[0]


def family_of(config: Path) -> Family:
    """Of a configuration. Raises WeightsError for networks that are no detectors of a known family."""
    values = _read(config)
    kind, networks = values.get("model_type"), values.get("architectures") or []
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    said = ", ".join(map(str, networks)) if isinstance(networks, list) else str(networks)
    if family is None:
        raise WeightsError(
            f"{config}: {said or 'a network'} of the kind {kind!r}, which is no whole detector that is known. "
            f"Those are: {families_in_words()}. As a backbone give it without {MARK}."
        )
    if networks and f"{family.network}ForObjectDetection" not in networks:
        raise WeightsError(
            f"{config}: {said}, not {family.network}ForObjectDetection: its weights lack the classes or boxes of a "
            f"detector. Give a detector, or the file without {MARK} as a backbone."
        )
    return family


def input_of(processor: Path, family: Family) -> tuple[Preprocessing, InputSize]:
    """How the weights take images: as their processor says, else as the family's. Raises WeightsError."""
    if not processor.is_file():
        return family.preprocessing, family.input
    values = _read(processor)
    usual = family.preprocessing
    try:
        mean, std = usual.mean, usual.std
        if values.get("do_normalize", True):
            mean, std = tuple(values.get("image_mean") or mean), tuple(values.get("image_std") or std)
        else:
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        scale = float(values.get("rescale_factor", usual.scale)) if values.get("do_rescale", True) else 1.0
        preprocessing = Preprocessing("rgb", scale, mean, std)
        return preprocessing, _size(values.get("size"), family.input)
    except (TypeError, ValueError, KeyError) as error:
        raise WeightsError(f"{processor}: not the settings of an image processor ({error!s:.200})") from error


def _size(size: Any, usual: InputSize) -> InputSize:
    if not isinstance(size, Mapping):
        return usual
    if "shortest_edge" in size:
        return InputSize(int(size["shortest_edge"]), int(size.get("longest_edge") or usual.longest or 1333))
    if "height" in size:
        if size["height"] != size["width"]:
            raise ValueError(f"an input of {size['width']} x {size['height']} pixels is no square")
        return InputSize(int(size["height"]))
    return usual


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json_of(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read ({error!s:.200}). {HOW}") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: not a table of settings. {HOW}")
    return values


def fill(whole: Whole, file: Path) -> list[str]:
    """Load the checkpoint into the network by transformers, which knows older names; says what of the file is left
    over. Raises WeightsError where a tensor of the network is missing or of another shape."""
    import torch
    from transformers.utils import logging

    from headstart.models.whole.network import module_of

    kind = getattr(module_of(whole.family), f"{whole.family.network}ForObjectDetection")
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what it would say of keys is told below, as faults
    try:
        network, told = kind.from_pretrained(
            file.parent,
            config=whole.config,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # transformers and safetensors raise many kinds for files that do not fit
        raise WeightsError(f"{file}: cannot be read as a {whole.family.words}: {error!s:.300}") from error
    missing = [name for name in sorted(told["missing_keys"]) if not name.endswith("num_batches_tracked")]
    reshaped = [str(one[0]) for one in told["mismatched_keys"]]
    if missing or reshaped:
        lacks = f"lacks {len(missing)} tensors ({_some(missing)})" if missing else ""
        other = f"has {len(reshaped)} of another shape ({_some(sorted(reshaped))})" if reshaped else ""
        raise WeightsError(
            f"{file}: {' and '.join(filter(None, (lacks, other)))}; {CONFIG} beside it describes another network. "
            "Get both files of one model."
        )
    whole.network = network.train()
    return sorted(map(str, told["unexpected_keys"]))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
