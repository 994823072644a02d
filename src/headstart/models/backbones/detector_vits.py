"""Vision transformers that only detectors have: RF-DETR's, LW-DETR's and YOLOS'. Made of timm's blocks.

RF-DETR (Robinson et al., arXiv 2511.09554) and LW-DETR (Chen et al., arXiv 2406.03459) cut the map into windows:
most blocks attend within one, some (`global_blocks`) over all. RF-DETR gives each window a class token of its own, and
the tokens of all windows meet where a block is global. YOLOS (Fang et al., arXiv 2106.00666) carries its detection
tokens through every block, and adds positions after each.

Letters: B images, (h, w) patches of an image, n windows along each side, L tokens of a window, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.errors import WeightsError
from headstart.models.backbones.naming import no_options
from headstart.models.backbones.plain_transformers import PlainTransformer


@dataclass(frozen=True)
class Family:
    """What the networks of one detector have in common; numbers are those of its usual size."""

    width: int
    depth: int
    image_hw: tuple[int, int]
    patch: int = 16
    num_heads: int = 0
    """0: a head for every 64 channels."""
    windows: int = 1
    global_blocks: tuple[int, ...] = ()
    class_token: bool = True
    registers: int = 0
    scaled: bool = True
    """LayerScale in the blocks."""
    final_norm: bool = True
    antialias: bool = False
    """How positions are resized: as timm and RF-DETR do, or without smoothing."""
    mid_positions: bool = False


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "rf-detr-vit": Family(384, 12, (512, 512), windows=2, global_blocks=(3, 6, 9), antialias=True),
        "lw-detr-vit": Family(
            *(192, 9, (224, 224)),
            num_heads=12,
            windows=4,
            global_blocks=(2, 4, 5, 8),
            class_token=False,
            final_norm=False,
        ),
        "yolos-vit": Family(384, 12, (512, 864), registers=100, scaled=False, mid_positions=True),
    }
)
OPTIONS = (
    *("width", "depth", "image_size", "patch", "num_heads", "eps"),
    *("windows", "global_blocks", "registers", "mid_positions"),
)


class DetectorTransformer(PlainTransformer):
    """Stages C2 to C5 of the map after the last block, as of every plain transformer."""

    def __init__(self, body: nn.Module, family: Family) -> None:
        super().__init__(body, family.patch, family.width)
        self.family = family
        self.global_blocks = frozenset(family.global_blocks)
        self.multiple = max(32, self.stride * family.windows)
        self.cut = family.windows > 1
        tokens = family.class_token + family.registers
        if family.mid_positions:
            count = tokens + family.image_hw[0] // family.patch * (family.image_hw[1] // family.patch)
            body.mid_pos_embed = nn.Parameter(torch.zeros(family.depth - 1, 1, count, family.width))
        self.tokens = tokens

    def last_map(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w). Sides are multiples of the patches and windows."""
        body: Any = self.body
        x = body.patch_embed(x)
        batch, h, w, channels = x.shape
        before, inside = self._positions(body.pos_embed, (h, w))
        n = self.family.windows
        x = x + inside
        x = x.reshape(batch, n, h // n, n, w // n, channels).transpose(2, 3).reshape(batch * n * n, -1, channels)
        if self.tokens:
            given = torch.cat([part for part in (body.cls_token, body.reg_token) if part is not None], 1) + before
            x = torch.cat([given.expand(len(x), -1, -1), x], 1)
        for k, block in enumerate(body.blocks):
            whole = self.cut and k in self.global_blocks
            x = block(x.reshape(batch, -1, channels)).reshape(x.shape) if whole else block(x)
            if self.family.mid_positions and k < len(body.blocks) - 1:
                before, inside = self._positions(body.mid_pos_embed[k], (h, w))
                x = x + torch.cat([before, inside.reshape(1, -1, channels)], 1)
        x = body.norm(x)[:, self.tokens :]
        x = x.reshape(batch, n, n, h // n, w // n, channels).transpose(2, 3).reshape(batch, h, w, channels)
        return x.permute(0, 3, 1, 2)

    def _positions(self, values: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(1, tokens + positions, C) -> (1, tokens, C), (1, h, w, C)."""
        rows, columns = (side // self.family.patch for side in self.family.image_hw)
        inside = values[:, self.tokens :].unflatten(1, (rows, columns))
        if (rows, columns) != size:
            inside = F.interpolate(
                inside.permute(0, 3, 1, 2), size, mode="bicubic", align_corners=False, antialias=self.family.antialias
            ).permute(0, 2, 3, 1)
        return values[:, : self.tokens], inside


def build_detector_vit(name: str, options: dict[str, str]) -> DetectorTransformer:
    """The network of this family, of its usual size where no option says another."""
    from timm.models.vision_transformer import VisionTransformer

    no_options(name, options, OPTIONS)
    family = _with_options(FAMILIES[name], options)
    heads = family.num_heads or family.width // 64
    if not heads or family.width % heads:
        raise WeightsError(f"backbone {name!r}: {heads} heads do not divide {family.width} channels. Set num_heads.")
    if any(block >= family.depth for block in family.global_blocks):
        raise WeightsError(
            f"backbone {name!r}: global_blocks names block {max(family.global_blocks)}, and there are {family.depth} "
            "(counted from 0). Correct global_blocks or depth."
        )
    body = VisionTransformer(
        img_size=family.image_hw,
        patch_size=family.patch,
        num_classes=0,
        global_pool="token" if family.class_token else "avg",
        embed_dim=family.width,
        depth=family.depth,
        num_heads=heads,
        init_values=0.1 if family.scaled else None,
        class_token=family.class_token,
        reg_tokens=family.registers,
        fc_norm=False,
        dynamic_img_size=True,
    )
    if not family.final_norm:
        body.norm = nn.Identity()
    for part in body.modules():
        if isinstance(part, nn.LayerNorm):
            part.eps = float(options.get("eps", "1e-6"))
    return DetectorTransformer(body, family)


def _with_options(family: Family, options: Mapping[str, str]) -> Family:
    from dataclasses import replace

    given: dict[str, Any] = {
        key: int(options[key])
        for key in ("width", "depth", "patch", "num_heads", "windows", "registers")
        if key in options
    }
    if "image_size" in options:
        height, _, width = options["image_size"].partition("x")
        given["image_hw"] = (int(height), int(width or height))
    if "global_blocks" in options:
        given["global_blocks"] = tuple(map(int, options["global_blocks"].split("+")))
    if "mid_positions" in options:
        given["mid_positions"] = options["mid_positions"] == "yes"
    return replace(family, **given)
