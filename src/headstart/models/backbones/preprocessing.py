"""How images become a network's input. Travels with the weights; imports torch only when applied."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """`(scale * channel - mean) / std` on 0..255 values, channels in the order that the network was trained with.

    `scale` multiplies the uint8 values: 1/255 for networks that take 0..1, 1.0 for those that take 0..255.
    `mean` and `std` are in scaled units and in the network's own channel order: with "bgr" the first is blue.
    """

    channel_order: Literal["rgb", "bgr"] = "rgb"
    scale: float = 1 / 255
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3:
            raise ValueError(f"mean {self.mean!s:.80} and std {self.std!s:.80} need three values each")
        if self.channel_order not in ("rgb", "bgr"):
            raise ValueError(f"channel_order is {self.channel_order!r:.80}; it must be 'rgb' or 'bgr'")
        numbers = (self.scale, *self.mean, *self.std)
        if not all(map(math.isfinite, numbers)):
            raise ValueError(f"scale ({self.scale}), mean {self.mean} and std {self.std} must be finite")
        if self.scale <= 0 or min(self.std) <= 0:
            raise ValueError(f"scale ({self.scale}) and std {self.std} must be above 0")

    def apply(self, images: Tensor) -> Tensor:
        """RGB images (B, 3, H, W) with values 0..255, uint8 or float -> float32 input of the network, same device."""
        import torch

        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images have shape {tuple(images.shape)}; expected (B, 3, H, W) in RGB")
        values = images.to(torch.float32)
        if self.channel_order == "bgr":
            values = values.flip(1)
        mean = torch.tensor(self.mean, dtype=torch.float32, device=values.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, dtype=torch.float32, device=values.device).view(1, 3, 1, 1)
        return (values * self.scale - mean) / std

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Preprocessing:
        """Inverse of `to_json`. Raises ValueError for whatever else it is given."""
        try:
            mean, std = tuple(map(float, value["mean"])), tuple(map(float, value["std"]))
            return cls(value["channel_order"], float(value["scale"]), mean, std)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"preprocessing needs channel_order, scale, mean and std ({type(error).__name__}: {error!s:.200})"
            ) from error


IMAGENET = Preprocessing()
"""RGB in 0..1, normalized by the channel statistics of ImageNet: what torchvision's and most of timm's weights take."""
