"""What each head reads, whether it is trained on a task or in a pre-training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from headstart.recipes.settings import ReadSettings


class MapsHead(ReadSettings):
    """Of heads that read stages as maps."""

    levels: tuple[str, ...] = ("C5",)
    """Stages that the head reads, finest first."""
    channels: int = Field(default=64, ge=1)
    """Width of the head."""

    @model_validator(mode="after")
    def _order(self) -> MapsHead:
        if len(set(self.levels)) != len(self.levels) or list(self.levels) != sorted(self.levels):
            raise ValueError("`levels` are different stages, finest first, such as C3, C4, C5")
        return self


class DetectorHead(MapsHead):
    """Of all detectors."""

    deformable: tuple[Literal["C2", "C3", "C4", "C5"], ...] = ()
    """Stages of a ResNet whose 3x3 convolutions become deformable, such as C3, C4, C5; those of the starting weights
    that are deformable already stay as they are."""
    modulated: bool = True
    """Deformable convolutions weigh what they sample (version 2), or do not (version 1)."""

    @model_validator(mode="after")
    def _stages(self) -> DetectorHead:
        if list(self.deformable) != sorted(set(self.deformable)):
            raise ValueError("`deformable` are different stages, finest first, such as C3, C4, C5")
        return self

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        return super().idle() | ({} if self.deformable else {"modulated": "it needs `deformable`, stages that are"})


class PyramidHead(DetectorHead):
    """Of heads that may read a pyramid."""

    later: ClassVar[frozenset[str]] = frozenset({"published"})

    neck: str
    published: bool = False
    """The pyramid and the towers as torchvision, Detectron2 and MMDetection have them: biases and no batch norms, so
    that the values of their detectors fit (`start`)."""

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        return super().idle() | ({} if self.neck == "fpn" else {"published": 'it needs `neck = "fpn"`'})


class TowerHead(PyramidHead):
    """FCOS and RetinaNet."""

    neck: Literal["plain", "fpn"] = "plain"
    """What is read: `plain`: `levels`. `fpn`: a feature pyramid over `levels` and two coarser ones, so P3..P7 for C3,
    C4, C5."""
    tower: int = Field(default=1, ge=1)
    """Convolutions before the outputs; as published: 4."""


class FcosHead(TowerHead):
    """FCOS."""

    later: ClassVar[frozenset[str]] = TowerHead.later | {"class_weight"}

    class_weight: float = Field(default=4.0, gt=0)
    """Of the classes' focal loss against the other two. At 1, as published, a short training learns where objects are
    and hardly what they are: after 15,000 drawn images a probe read .48 of the classes off the backbone, .72 at 4."""


class FasterRcnnHead(PyramidHead):
    """Faster R-CNN."""

    neck: Literal["plain", "fpn", "c4", "dc5"] = "plain"
    """What is read. `plain`: `levels`, of one stride, side by side. `fpn`: a feature pyramid over `levels` and one
    coarser. On ResNets, `c4`: proposals on C4, the backbone's layer4 on each RoI; `dc5`: plain after C5 was dilated to
    the stride of C4."""
    anchors: tuple[float, ...] = ()
    """Square roots of anchors' areas, pixels: all on the one map, or one for each level of a pyramid. Empty: tenth to
    three fifths of the image's side, or 8 strides."""
    proposals: int = Field(default=300, ge=1)
    """Of an image."""
    rois: int = Field(default=128, ge=1)
    """Proposals of an image that the second stage is trained on; at most `proposals`."""
    positive_part: float = Field(default=0.25, gt=0, le=1)
    """At most so much of them are objects (SNIPER: all that are)."""
    class_agnostic: bool = False
    """One box a proposal instead of one for each class."""
    roi_pool: Literal["align", "deform", "deform-modulated"] = "align"
    """How proposals are read, plainly or where the head learns to look."""
    decoupled: bool = False
    """Objectness and class apart (R-FCN-3000), for thousands of classes."""
    soft_background: bool = False
    """Background far from any box counts a quarter, for data not labeled exhaustively (OpenImages)."""
    reduce: bool = False
    """A 1x1 convolution to `channels` before RoIs are read, as SNIPER has."""
    mimic: bool = False
    """In training, features of objects are drawn to those of their cut-out images (feature mimicking, arXiv
    1811.11168). Up to 32 patches of 224 pixels an image pass the network, too."""

    @model_validator(mode="after")
    def _among(self) -> FasterRcnnHead:
        if self.rois > self.proposals:
            raise ValueError("`rois` are chosen among `proposals`: at most as many")
        return self

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        return super().idle() | ({"levels": '`neck = "c4"` reads C4 alone'} if self.neck == "c4" else {})


BACKBONE_NAMES = {"deformable": "Name the backbone so: resnet50[deformable=C3+C4+C5]"}


class MasksHead(ReadSettings):
    """Of heads that are trained by masks."""

    later: ClassVar[frozenset[str]] = frozenset({"crop", "scale_jitter"})

    crop: int = Field(default=0, ge=0)
    """Side of the square windows, pixels, that images are trained on, each at a random place; where an image is
    smaller, the rest is gray, and ignored in its mask. 0: images as large as they are."""
    scale_jitter: tuple[Annotated[float, Field(gt=0, le=8)], Annotated[float, Field(gt=0, le=8)]] = (1.0, 1.0)
    """Least and greatest factor that images are enlarged by at random before (DeepLab: 0.5, 2); without `crop`, a
    window as large as the image is cut then."""

    @model_validator(mode="after")
    def _ascending(self) -> MasksHead:
        if self.scale_jitter[0] > self.scale_jitter[1]:
            raise ValueError("`scale_jitter` is the least and the greatest factor, such as [0.5, 2.0]")
        return self


class PixelHead(MasksHead, MapsHead):
    """Semantic segmentation."""

    elsewhere: ClassVar[Mapping[str, str]] = BACKBONE_NAMES


class DilatedHead(MasksHead):
    """Semantic segmentation on a ResNet's C5, dilated to the stride of C4."""

    channels: int = Field(default=64, ge=1)
    """Width of the head; as published: 256 for DeepLabV3, 512 for FCN on a ResNet."""
    deformable: tuple[Literal["C2", "C3", "C4", "C5"], ...] = ()
    """Stages whose 3x3 convolutions become deformable; those of the starting weights that are so stay as they are."""
    modulated: bool = True
    """As of detectors."""

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        return super().idle() | ({} if self.deformable else {"modulated": "it needs `deformable`, stages that are"})


class FcnHead(DilatedHead):
    """FCN (arXiv 1411.4038, as torchvision has it): one 3x3 convolution before the classes."""


class DeepLabHead(DilatedHead):
    """DeepLabV3 (arXiv 1706.05587): atrous spatial pyramid pooling."""

    atrous: tuple[int, ...] = (6, 12, 18)
    """Rates of its 3x3 convolutions, beside a 1x1 one and the mean of the image."""


class WholeHead(ReadSettings):
    """A whole detector of transformers, each candidate trained as the authors of its family do
    (`headstart.recipes.whole_recipes`). What a task says is the same for all: updates, batch size, and which multiples
    of the authors' rate are tried."""

    of_family: str = ""
    """Whose recipe it is; "": of each candidate its own."""
    own_rate: float = Field(default=1.0, gt=0)
    """The authors' rate of all but the backbone, that `lr` and `rates` are multiples of."""
    zoom_out: float = Field(default=0.0, ge=0, le=1)
    """Part of the images that are seen smaller, on black."""
    overlap_crop: float = Field(default=0.0, ge=0, le=1)
    """Part of which a window is seen that overlaps an object by a drawn part (SSD)."""
    size_crop: float = Field(default=0.0, ge=0, le=1)
    """Part of which a window of 0.64 to 1 of each side is seen."""
    input_scales: tuple[float, ...] = ()
    """Of the usual input, one drawn a batch; empty: the usual one."""

    def idle(self) -> dict[str, str]:
        """As in `ReadSettings`."""
        if self.of_family:
            return super().idle()
        needs = "each whole detector has its own (`of_family` names one for all)"
        return super().idle() | dict.fromkeys(OWN_OF_FAMILY, needs)


OWN_OF_FAMILY = (
    *("own_rate", "zoom_out", "overlap_crop", "size_crop", "input_scales", "backbone_rate", "weight_decay"),
    *("clip_norm", "optimizer", "schedule", "flip", "precision", "reestimate_batch_norm"),
)
"""Settings that a recipe for all candidates leaves to their families."""


class LinearHead(ReadSettings):
    """Classification: a linear layer on the pooled last stage."""

    elsewhere: ClassVar[Mapping[str, str]] = BACKBONE_NAMES
