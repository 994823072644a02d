"""Vision transformers of detectors: RF-DETR's and LW-DETR's, whose blocks attend within windows, and YOLOS'.

Names: transformers' models (models/rf_detr, lw_detr, yolos), which the tests build, and roboflow/rf-detr's files, which
have those of transformers' files. How many windows there are, and which blocks attend over all, no tensor shows:
`config.json` beside the file does, or the arguments in the file (rf-detr), or, by RF-DETR's published models, the size
of the patches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from headstart.errors import WeightsError
from headstart.models.backbones.naming import with_options
from headstart.weights.importers.imported import CheckpointView, Edit, Imported
from headstart.weights.importers.renamed.families import Family, config_beside, rules
from headstart.weights.importers.renamed.transformers_vits import DINOV2, LAYOUT, SOURCE, VIT
from headstart.weights.stored import Stub

RF_DETR = re.compile(r"((?:.+\.)?backbone\.(?:0\.encoder\.encoder|backbone)\.)embeddings\.cls_token$")
BARE = re.compile(r"((?:.+\.)?)embeddings\.cls_token$")
LW_DETR = re.compile(r"((?:.+\.)?)encoder\.layer\.0\.gamma_1$")
YOLOS = re.compile(r"((?:.+\.)?)embeddings\.detection_tokens$")
PUBLISHED = {14: (4, (2, 5, 8, 11)), 16: (2, (3, 6, 9, 12))}
"""Windows along a side and the maps that are used, of RF-DETR's published models, by the size of their patches."""
CHANNELS_OF_A_HEAD = 64
YOLOS_SIZES = ((512, 864), (800, 1344), (800, 1333))
"""Pixels that the positions of the published models are for."""
ASK = (
    "no tensor shows. Put the config.json of the model beside the file, whose name is then to begin with `model`, as "
    "on the hub."
)
BLOCK = re.compile(r"encoder\.layers?\.(\d+)\.")
BESIDE = (
    *((f"{start}projector.", "neck of the detector") for start in ("backbone.0.", "backbone.", "model.backbone.")),
    ("model.", "other parts of the detector"),
    *((start, "transformer") for start in ("transformer.", "decoder.")),
    *(
        (start, "detection head")
        for start in ("class_", "bbox_", "enc_", "query_feat.", "refpoint_embed.", "reference_point_embed.")
    ),
)
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Facts:
    """What no tensor shows."""

    options: Mapping[str, str]
    """Of the backbone's name."""
    told: str
    last: int = 0
    """Number of blocks up to the last map that the detector uses; 0: all."""
    assumed: bool = False
    """Not in the file, nor beside it."""


def find(file: CheckpointView) -> Imported | None:
    alone = config_beside(file).get("model_type") == "rf_detr_dinov2"
    for pattern, title, facts_of in (
        (BARE if alone else RF_DETR, "rf-detr-vit", _rf_detr),
        (LW_DETR, "lw-detr-vit", _lw_detr),
        (YOLOS, "yolos-vit", _yolos),
    ):
        found = next(filter(None, map(pattern.match, file.tensors)), None)
        if found is not None:
            try:
                one = _below(file, found[1], title, facts_of)
            except (KeyError, IndexError, ValueError):  # half a file, or shapes of another network
                one = None
            if one is not None:
                return one
    return None


def _below(
    file: CheckpointView, prefix: str, base: str, facts_of: Callable[[CheckpointView, Shapes], Facts]
) -> Imported | None:
    """The network whose names are below the prefix."""
    tensors = {n.removeprefix(prefix): value for n, value in file.tensors.items() if n.startswith(prefix)}
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    facts = facts_of(file, shapes)
    unused = {name for name in tensors if facts.last and (k := BLOCK.match(name)) and int(k[1]) >= facts.last}
    kept = {name: value for name, value in tensors.items() if name not in unused}
    family = replace(
        FAMILIES[base](int(facts.options.get("registers", 0))),
        known=lambda by_timm: _named(base, by_timm, facts),
    )
    one = family.find(replace(file, tree={"state_dict": kept}, variant=""))
    if one is None:
        return None
    beyond = {BLOCK.match(name)[0] for name in unused}  # type: ignore[index]
    return replace(
        one,
        under=file.under,
        names={name: f"{prefix}{source}" for name, source in one.names.items()},
        joined={name: tuple(f"{prefix}{source}" for source in sources) for name, sources in one.joined.items()},
        evidence=one.evidence if facts.assumed or not facts.told else f"{one.evidence}; {facts.told}",
        notes=(*one.notes, facts.told) if facts.assumed else one.notes,
        reasons=(
            *((f"{prefix}{start}", "block after the last map that the detector uses") for start in sorted(beyond)),
            *((f"{prefix}{start}", why) for start, why in one.reasons),
            *BESIDE,
        ),
    )


def _named(base: str, shapes: Shapes, facts: Facts) -> str:
    """The backbone's name, every size in it."""
    width, _, patch, _ = shapes["patch_embed.proj.weight"]
    blocks = {name.split(".")[1] for name in shapes if name.startswith("blocks.")}
    sizes = {"width": str(width), "depth": str(len(blocks)), "patch": str(patch)}
    if "image_size" not in facts.options:
        positions = shapes["pos_embed"][1] - (base == "rf-detr-vit")
        sizes["image_size"] = str(round(positions**0.5) * patch)
    return with_options(base, **sizes, **facts.options)


def _rf_detr(file: CheckpointView, shapes: Shapes) -> Facts:
    patch = shapes["embeddings.patch_embeddings.projection.weight"][-1]
    config, args = config_beside(file), file.fact("args")
    state: Mapping[str, Any] = args.state if isinstance(args, Stub) else {}
    windows, maps, told = config.get("num_windows"), config.get("out_indices"), "config.json says"
    if not (_whole(windows) and _numbers(maps)):
        windows, maps = state.get("num_windows"), state.get("out_feature_indexes")
        told = "the arguments in the file say"
    if not (_whole(windows) and _numbers(maps)):
        windows, maps = PUBLISHED.get(patch, (0, ()))
        told = f"as in RF-DETR's published models with patches of {patch} pixels, since the file does not say:"
    if not windows:
        raise WeightsError(
            f"{file.path} is of RF-DETR with patches of {patch} pixels: into how many windows its map is cut, and "
            f"which blocks attend over all of them, {ASK}"
        )
    last = max(maps)
    facts = _windowed(windows, tuple(sorted(k for k in maps if k < last)), last, told)
    heads, width = config.get("num_attention_heads"), shapes["embeddings.cls_token"][-1]
    usual = not _whole(heads) or heads == width // CHANNELS_OF_A_HEAD
    return replace(
        facts, options=facts.options if usual else {**facts.options, "num_heads": str(heads)}, assumed="not say" in told
    )


def _lw_detr(file: CheckpointView, shapes: Shapes) -> Facts:
    config = config_beside(file)
    within, maps = config.get("window_block_indices"), config.get("out_indices")
    windows, heads = config.get("num_windows"), config.get("num_attention_heads")
    if not (_numbers(within) and _numbers(maps) and _whole(windows) and _whole(heads)):
        raise WeightsError(
            f"{file.path} is of LW-DETR: how many heads it has, into how many windows its map is cut, and which blocks "
            f"attend over all of them, {ASK}"
        )
    last = max(maps)
    whole = tuple(k for k in range(last) if k not in within)
    facts = _windowed(round(windows**0.5), whole, last, "config.json says")
    return replace(facts, options={**facts.options, "num_heads": str(heads)})


def _windowed(windows: int, whole: tuple[int, ...], last: int, told: str) -> Facts:
    """windows: along a side. whole: blocks that attend over all. last: number of the last map that is used."""
    named = "+".join(map(str, whole))
    said = f"{told} {windows} x {windows} windows, blocks {named} over all, the map after {last} blocks"
    return Facts({"windows": str(windows), "global_blocks": named}, said, last)


def _yolos(file: CheckpointView, shapes: Shapes) -> Facts:
    tokens, patch = (
        shapes["embeddings.detection_tokens"][1],
        shapes["embeddings.patch_embeddings.projection.weight"][-1],
    )
    count = shapes["embeddings.position_embeddings"][1] - tokens - 1
    config = config_beside(file)
    sizes = [tuple(size)] if _numbers(size := config.get("image_size")) and len(size) == 2 else list(YOLOS_SIZES)
    fitting = [size for size in sizes if (size[0] // patch) * (size[1] // patch) == count]
    if not fitting:
        raise WeightsError(f"{file.path} is of YOLOS with {count} positions: in how many rows and columns, {ASK}")
    eps, heads = config.get("layer_norm_eps"), config.get("num_attention_heads")
    width = shapes["embeddings.cls_token"][-1]
    usual = not _whole(heads) or heads == width // CHANNELS_OF_A_HEAD
    return Facts(
        ({} if usual else {"num_heads": str(heads)})
        | {
            "image_size": f"{fitting[0][0]}x{fitting[0][1]}",
            "registers": str(tokens),
            "mid_positions": "yes" if any("mid_position_embeddings" in name for name in shapes) else "no",
            "eps": (f"{eps:g}" if isinstance(eps, float) else "1e-12").replace("e-0", "e-"),
        },
        "",
    )


def _whole(value: Any) -> TypeGuard[int]:
    return type(value) is int and value > 0


def _numbers(value: Any) -> TypeGuard[Sequence[int]]:
    return isinstance(value, list | tuple) and bool(value) and all(type(one) is int and one >= 0 for one in value)


def _class_position_off(value: Any) -> Any:
    return value[:, 1:]


def _key_bias_between(value: Any) -> Any:
    """(2 C,) biases of query and value -> (3 C,): LW-DETR's keys have none."""
    import torch

    query, wanted = value.chunk(2)
    return torch.cat([query, torch.zeros_like(query), wanted])


def _lw_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if name == "pos_embed":
        return (shape[0], shape[1] - 1, *shape[2:])
    return (shape[0] * 3 // 2,) if name.endswith("attn.qkv.bias") else shape


def _detection_first(tokens: int) -> Edit:
    """(.., 1 + N + tokens, C) -> (.., 1 + tokens + N, C): timm keeps registers beside the class token."""

    def edit(value: Any) -> Any:
        import torch

        return torch.cat([value[..., :1, :], value[..., -tokens:, :], value[..., 1:-tokens, :]], -2)

    return edit


def _lw_family(_: int) -> Family:
    qkv = "".join(
        rf"""
    encoder\.layer\.(\d+)\.attention\.(?:attention\.{long}|{short}_proj)\.(\w+) -> blocks.\1.attn.qkv.\2#{k}"""
        for k, (long, short) in enumerate((("query", "q"), ("key", "k"), ("value", "v")))
    )
    more = r"""
    embeddings\.position_embeddings -> pos_embed
    embeddings\.projection\.(\w+) -> patch_embed.proj.\1
    encoder\.layer\.(\d+)\.gamma_([12]) -> blocks.\1.ls\2.gamma
    encoder\.layer\.(\d+)\.attention\.(?:output|o_proj)\.(\w+) -> blocks.\1.attn.proj.\2
    encoder\.layer\.(\d+)\.layernorm_before\.(\w+) -> blocks.\1.norm1.\2
    encoder\.layer\.(\d+)\.layernorm_after\.(\w+) -> blocks.\1.norm2.\2
    encoder\.layer\.(\d+)\.intermediate\.(fc[12])\.(\w+) -> blocks.\1.mlp.\2.\3
"""
    return Family(
        "LW-DETR's ViT (transformers)",
        "encoder.layer.0.gamma_1",
        rules(more + qkv),
        LAYOUT,
        f"{SOURCE}/lw_detr/modeling_lw_detr.py",
        edits=(("pos_embed", _class_position_off), ("attn.qkv.bias", _key_bias_between)),
        shaped=_lw_shape,
    )


def _yolos_family(tokens: int) -> Family:
    more = r"""
    embeddings\.detection_tokens -> reg_token
    encoder\.(?:interpolation\.)?mid_position_embeddings -> mid_pos_embed
"""
    return replace(
        VIT,
        title="YOLOS' ViT (transformers)",
        rules=rules(more) + VIT.rules,
        source=f"{SOURCE}/yolos/modeling_yolos.py",
        preprocessing=DINOV2.preprocessing,
        edits=(("pos_embed", _detection_first(tokens)),),
        options=None,
    )


def _rf_family(_: int) -> Family:
    return replace(
        DINOV2,
        title="RF-DETR's DINOv2",
        source=f"{SOURCE}/rf_detr/modeling_rf_detr.py; roboflow/rf-detr src/rfdetr/models/backbone",
        options=None,
    )


FAMILIES: Mapping[str, Callable[[int], Family]] = {
    "rf-detr-vit": _rf_family,
    "lw-detr-vit": _lw_family,
    "yolos-vit": _yolos_family,
}
"""By the number of detection tokens."""
