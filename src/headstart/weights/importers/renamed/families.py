"""Networks under the names of another library: rules that rename them to timm's, then told by names and shapes.

A family is tried on names below a prefix (`layouts` takes prefixes off). Its rules are regular expressions over whole
names; a result that ends in `#0`, `#1`, .. is a part of a tensor that timm keeps in one: query, key and value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headstart.models.backbones.naming import split_options, with_options
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.texts import json_of
from headstart.weights.importers.imported import CheckpointView, Edit, Imported
from headstart.weights.importers.networks import Network, network_of, plainness

HALF = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CLIP = Preprocessing(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))


def rules(text: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """One rule a line: a pattern, an arrow, and what the name becomes; nothing where it belongs to no backbone."""
    lines = [line.split("->") for line in text.splitlines() if line.strip()]
    return tuple((re.compile(f"{pattern.strip()}$"), result.strip()) for pattern, result in lines)


@dataclass(frozen=True)
class Family:
    """Networks of one kind in one library's names."""

    title: str
    marker: str
    """A name that all of them have."""
    rules: tuple[tuple[re.Pattern[str], str], ...]
    layout: str
    source: str
    preprocessing: Preprocessing = IMAGENET
    edits: tuple[tuple[str, Edit], ...] = ()
    """(end of one of timm's names, how its tensor is changed)."""
    shaped: Callable[[str, tuple[int, ...]], tuple[int, ...]] | None = None
    """(timm's name, shape in the file) -> shape in timm, where `edits` change it."""
    constants: Callable[[Mapping[str, tuple[int, ...]]], dict[str, float]] | None = None
    """Tensors that timm has and the library does not, because their values are fixed. Given timm's names and shapes."""
    options: Callable[[Mapping[str, tuple[int, ...]], Mapping[str, Any]], dict[str, str]] | None = None
    """Options of the backbone's name. Given timm's names and shapes, and `config.json`."""
    among: Callable[[tuple[str, ...], Mapping[str, Any]], str] | None = None
    """The one of several networks of equal names and shapes. Given these, and `config.json`."""
    known: Callable[[Mapping[str, tuple[int, ...]]], str | None] | None = None
    """The network where its names and shapes are not those of timm's table."""
    notes: tuple[str, ...] = ()

    def find(self, file: CheckpointView) -> Imported | None:
        """The family's network in a file, or None."""
        if self.marker not in file.tensors:
            return None
        names, joined = self._renamed(file.tensors)
        shapes = self._shapes(file.tensors, names, joined)
        constants = self.constants(shapes) if self.constants else {}
        shapes |= dict.fromkeys(constants, ())
        config = config_beside(file)
        network = self._network(shapes, config)
        if network is None:
            return None
        base, options = split_options(network)
        more = self.options(shapes, config) if self.options else {}
        edits = {name: edit for name in (*names, *joined) for end, edit in self.edits if name.endswith(end)}
        return Imported(
            self.layout,
            with_options(base, **options | more),
            names,
            f"names of {self.title}",
            source=self.source,
            preprocessing=_input_beside(file) or self.preprocessing,
            under=file.under,
            joined=joined,
            edits=edits,
            constants=constants,
            reasons=(
                ("pooler.", "pooling layer"),
                ("classifier.", "classifier"),
                ("decode_head.", "segmentation head"),
            ),
            notes=self.notes,
        )

    def _network(self, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> str | None:
        if self.known and (name := self.known(shapes)):
            return name
        found = network_of(shapes)
        if found is None or isinstance(found, str):
            return found
        if self.among:
            return self.among(tuple(one.name for one in found), config)
        return _shortest(found)

    def _renamed(self, tensors: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
        """(names in the file by timm's, parts in order by timm's)."""
        names: dict[str, str] = {}
        parts: dict[str, dict[int, str]] = {}
        for source in tensors:
            if source.endswith("num_batches_tracked"):
                continue
            result = next((found.expand(new) for old, new in self.rules if (found := old.match(source))), source)
            whole, mark, number = result.partition("#")
            if mark:
                parts.setdefault(whole, {})[int(number)] = source
            elif result:
                names[result] = source
        return names, {whole: tuple(found[k] for k in sorted(found)) for whole, found in parts.items()}

    def _shapes(
        self, tensors: Mapping[str, Any], names: Mapping[str, str], joined: Mapping[str, tuple[str, ...]]
    ) -> dict[str, tuple[int, ...]]:
        shapes = {name: tuple(tensors[source].shape) for name, source in names.items()}
        for name, sources in joined.items():
            first = tuple(tensors[sources[0]].shape)
            shapes[name] = (sum(tensors[source].shape[0] for source in sources), *first[1:])
        if self.shaped:
            shapes = {name: self.shaped(name, shape) for name, shape in shapes.items()}
        return shapes


def _shortest(found: tuple[Network, ...]) -> str:
    return min((one.name for one in found), key=plainness)


def beside(file: CheckpointView, name: str) -> dict[str, Any]:
    """A JSON file beside the checkpoint, {} where there is none, or where the checkpoint has not the hub's name."""
    if not file.path.name.startswith(("model", "pytorch_model", "open_clip")):
        return {}
    try:
        found = json_of(file.path.with_name(name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def config_beside(file: CheckpointView) -> dict[str, Any]:
    """`config.json`; of a whole detector the part about its backbone."""
    config = beside(file, "config.json")
    inner = config.get("backbone_config") or config.get("vision_config")
    return inner if isinstance(inner, dict) else config


def _input_beside(file: CheckpointView) -> Preprocessing | None:
    """What `preprocessor_config.json` says of the input, or None."""
    facts = beside(file, "preprocessor_config.json")
    if not facts:
        return None
    try:
        if not facts.get("do_normalize", True):
            return Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        mean, std = tuple(map(float, facts["image_mean"])), tuple(map(float, facts["image_std"]))
        return Preprocessing(mean=mean, std=std)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError):
        return None
