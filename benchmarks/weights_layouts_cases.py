"""The networks of `weights_layouts.py`: transformers' backbones and detectors, torchvision's and timm's classifiers,
open_clip and segmentation_models.pytorch where they are installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from weights_layouts import Case, by_hub, by_state_dict, hooked


def maps_of(values: Any, names: tuple[str, ...] = ("C2", "C3", "C4", "C5")) -> dict[str, Tensor]:
    return dict(zip(names, values, strict=True))


def hidden(model: Any, inputs: Tensor) -> dict[str, Tensor]:
    """Stages of a convolutional network of transformers."""
    return maps_of(model(inputs, output_hidden_states=True).hidden_states[1:])


def tokens(values: Tensor, others: int, rows: int) -> Tensor:
    """(1, tokens, channels) -> (1, channels, rows, rows)."""
    return values[:, others:].transpose(1, 2).unflatten(2, (rows, rows))


def plain(others: int = 1, side: int = 224, patch: int = 16, final: str = "") -> Callable[[Any, Tensor], dict]:
    def run(model: Any, inputs: Tensor) -> dict[str, Tensor]:
        more = {"interpolate_pos_encoding": True} if final == "interpolate" else {}
        last = model(pixel_values=inputs, **more).last_hidden_state
        if final and final != "interpolate":
            last = model.get_submodule(final)(last)
        return {"C4" if patch < 32 else "C5": tokens(last, others, inputs.shape[-1] // patch)}

    return run


def yolos(model: Any, inputs: Tensor) -> dict[str, Tensor]:
    last = model(inputs).last_hidden_state[:, : -model.config.num_detection_tokens]
    return {"C4": tokens(last, 1, inputs.shape[-1] // 16)}


def detector_map(model: Any, inputs: Tensor) -> dict[str, Tensor]:
    """The last map that RF-DETR or LW-DETR uses."""
    return {"C4": model.model.backbone.backbone(inputs).feature_maps[-1]}


def with_config(model: Any, folder: Path) -> Path:
    """Under the names in memory, `config.json` beside."""
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "model.pth")
    return folder / "model.pth"


def swin_stages(model: Any, inputs: Tensor) -> dict[str, Tensor]:
    out = model(inputs, output_hidden_states=True, output_hidden_states_before_downsampling=True)
    return maps_of(out.reshaped_hidden_states[1:])


def resnet(prefix: str = "") -> Callable[[nn.Module, Tensor], dict[str, Tensor]]:
    return hooked(*(f"{prefix}layer{k}" for k in (1, 2, 3, 4)))


def transformers_cases() -> Iterator[Case]:
    import transformers as t

    def case(title: str, build: Callable[[], nn.Module], expected: Any, **more: Any) -> Iterator[Case]:
        yield Case("transformers", title, build, expected, save=by_hub, **more)
        yield Case("transformers", f"{title}, names in memory", build, expected, save=by_state_dict, **more)

    yield from case("ResNet", lambda: t.ResNetModel(t.ResNetConfig()), hidden)
    basic = t.ResNetConfig(layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2])
    yield from case(
        "ResNet-18, classifier", lambda: t.ResNetForImageClassification(basic), lambda m, x: hidden(m.resnet, x)
    )
    yield from case("ConvNeXt", lambda: t.ConvNextModel(t.ConvNextConfig()), hidden)
    yield from case("ConvNeXt V2", lambda: t.ConvNextV2Model(t.ConvNextV2Config()), hidden)
    yield from case("Swin", lambda: t.SwinModel(t.SwinConfig()), swin_stages, side=224)
    yield from case("ViT", lambda: t.ViTModel(t.ViTConfig()), plain(), side=224)
    yield from case("DINOv2", lambda: t.Dinov2Model(t.Dinov2Config()), plain(patch=14), side=256, shrink=14 / 16)
    four = t.DINOv3ViTConfig(num_register_tokens=4)
    yield from case("DINOv3 ViT", lambda: t.DINOv3ViTModel(four), plain(5), side=64)
    yield from case("DINOv3 ViT without registers", lambda: t.DINOv3ViTModel(t.DINOv3ViTConfig()), plain(1), side=64)
    yield from case("DINOv3 ConvNeXt", lambda: t.DINOv3ConvNextModel(t.DINOv3ConvNextConfig()), hidden)
    yield from case(
        "SegFormer",
        lambda: t.SegformerModel(t.SegformerConfig()),
        lambda m, x: maps_of(m(x, output_hidden_states=True).hidden_states),
    )
    yield from case(
        "CLIP vision",
        lambda: t.CLIPVisionModel(t.CLIPVisionConfig()),
        plain(patch=32, final="post_layernorm"),
        side=224,
    )
    yield from case(
        "TimmWrapper", lambda: t.TimmWrapperModel(t.TimmWrapperConfig(architecture="resnet18")), resnet("timm_model.")
    )
    yield from case("YOLOS", lambda: t.YolosModel(t.YolosConfig()), yolos, side=96)
    yield from case(
        "Mask2Former",
        lambda: t.Mask2FormerForUniversalSegmentation(t.Mask2FormerConfig()),
        lambda m, x: swin_stages(m.model.pixel_level_module.encoder.swin, x),
        side=224,
    )
    for name in ("Detr", "DeformableDetr"):
        yield from case(
            name,
            lambda name=name: getattr(t, f"{name}ForObjectDetection")(getattr(t, f"{name}Config")()),
            lambda m, x: resnet()(m.model.backbone.model, x),
        )
    own = t.DetrConfig(
        use_timm_backbone=False, backbone_config=t.ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    )
    yield from case(
        "DETR with transformers' ResNet",
        lambda: t.DetrForObjectDetection(own),
        lambda m, x: maps_of(m.model.backbone.model(x).feature_maps),
    )
    for name in ("RTDetr", "RTDetrV2"):
        yield from case(
            name,
            lambda name=name: getattr(t, f"{name}ForObjectDetection")(getattr(t, f"{name}Config")()),
            lambda m, x: maps_of(m.model.backbone.model(x).feature_maps, ("C3", "C4", "C5")),
        )
    yield from case(
        "D-FINE",
        lambda: t.DFineForObjectDetection(t.DFineConfig()),
        lambda m, x: maps_of(
            m.model.backbone.model(x).feature_maps,
            ("C2", "C3", "C4", "C5")[-len(m.model.backbone.model(x).feature_maps) :],
        ),
    )
    inner = t.RfDetrDinov2Config(
        **{"hidden_size": 384, "num_attention_heads": 6, "patch_size": 16, "image_size": 512},
        **{"num_windows": 2, "out_indices": [3, 6, 9, 12]},
    )
    for title, config, shrink in (
        ("RF-DETR, patches of 14", t.RfDetrConfig(), 14 / 16),
        ("RF-DETR, patches of 16", t.RfDetrConfig(backbone_config=inner), 1.0),
    ):
        yield from case(
            title, lambda config=config: t.RfDetrForObjectDetection(config), detector_map, side=256, shrink=shrink
        )
    yield Case(
        "transformers", "LW-DETR", lambda: t.LwDetrForObjectDetection(t.LwDetrConfig()), detector_map, 256, save=by_hub
    )
    yield Case(
        *("transformers", "LW-DETR, names in memory"),
        lambda: t.LwDetrForObjectDetection(t.LwDetrConfig()),
        detector_map,
        256,
        save=with_config,
    )


TORCHVISION = (
    "alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet1_0 "
    "mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet50 resnext50_32x4d "
    "shufflenet_v2_x0_5 squeezenet1_0 swin_t swin_v2_t vgg16 vit_b_16 wide_resnet50_2"
)
TIMM = (
    "resnet18 resnet50 resnet50d resnetv2_50 resnext50_32x4d seresnet50 ecaresnet50d resnest50d res2net50_26w_4s "
    "regnety_016 regnetx_008 densenet121 dla34 dpn68 vgg16_bn inception_v3 xception41 efficientnet_b0 "
    "tf_efficientnetv2_s mobilenetv2_100 mobilenetv3_large_100 mobilenetv4_conv_small mnasnet_100 ghostnet_100 "
    "hrnet_w18 cspresnet50 cspdarknet53 repvgg_a2 hardcorenas_a hgnetv2_b0 convnext_tiny convnextv2_tiny "
    "swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 maxvit_tiny_tf_224 coatnet_0_rw_224 mvitv2_tiny pvt_v2_b0 "
    "edgenext_small fastvit_t8 efficientformerv2_s0 hiera_tiny_224 vit_base_patch16_224 "
    "vit_base_patch32_clip_224 eva02_tiny_patch14_224 vit_small_patch16_dinov3 beit_base_patch16_224 "
    "poolformer_s12 nextvit_small"
)


def last_map(model: Any, inputs: Tensor) -> dict[str, Tensor]:
    """C5 of timm's classifier."""
    out = model.forward_intermediates(inputs, indices=1, norm=False, intermediates_only=True)
    return {"C5": out[-1]}


def plain_map(model: Any, inputs: Tensor) -> dict[str, Tensor]:
    (last,) = model.forward_intermediates(inputs, indices=1, norm=True, intermediates_only=True)
    return {"C4" if last.shape[-1] > inputs.shape[-1] // 32 else "C5": last}


def timm_cases() -> Iterator[Case]:
    from headstart.models.backbones.plain_transformers import is_plain

    for name in TIMM.split():
        with torch.device("meta"):
            model: Any = timm.create_model(name)
        side = timm.get_pretrained_cfg(name).input_size[1]
        if not is_plain(model):
            yield Case("timm", name, lambda name=name: timm.create_model(name), last_map, side=side)
            continue
        patch = int(model.feature_info[-1]["reduction"])
        more = {"side": side * 16 // patch, "shrink": patch / 16} if patch == 14 else {"side": side}
        yield Case("timm", name, lambda name=name: timm.create_model(name), plain_map, **more)


def torchvision_cases() -> Iterator[Case]:
    for name in TORCHVISION.split():
        more = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        yield Case(
            "torchvision",
            name,
            lambda name=name, more=more: torchvision.models.get_model(name, weights=None, **more),
            _last_of_torchvision,
            side=224,
        )


def _last_of_torchvision(model: Any, inputs: Tensor) -> dict[str, Tensor]:
    """C5: the map before pooling, or the tokens after the last norm."""
    name = type(model).__name__
    if name == "VisionTransformer":
        out: dict[str, Tensor] = {}
        hook = model.encoder.register_forward_hook(lambda _, __, y: out.update(C4=tokens(y, 1, inputs.shape[-1] // 16)))
        model(inputs)
        hook.remove()
        return out
    places = {
        "ResNet": "layer4",
        "GoogLeNet": "inception5b",
        "RegNet": "trunk_output",
        "ShuffleNetV2": "conv5",
        "MNASNet": "layers",
        "MaxVit": "blocks",
        "Inception3": "Mixed_7c",
    }
    if name == "MaxVit":
        return hooked("blocks.3")(model, inputs)
    maps = hooked(places.get(name, "features"))(model, inputs)
    if name == "SwinTransformer":
        return {"C5": model.norm(maps["C5"]).permute(0, 3, 1, 2)}
    if name == "DenseNet":
        return {"C5": maps["C5"].relu()}
    return maps


def open_clip_cases() -> Iterator[Case]:
    import open_clip

    for name in ("RN50", "ViT-B-32"):
        build = lambda name=name: open_clip.create_model(name, pretrained=None)  # noqa: E731
        if name == "RN50":
            yield Case("open_clip", name, build, lambda m, x: resnet()(m.visual, x), side=224)
        else:
            yield Case("open_clip", name, build, _clip_tokens, side=224)


def _clip_tokens(model: Any, inputs: Tensor) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    hook = model.visual.transformer.register_forward_hook(
        lambda _, __, y: out.update(C5=tokens(model.visual.ln_post(y), 1, inputs.shape[-1] // 32))
    )
    model.visual(inputs)
    hook.remove()
    return out


def smp_cases() -> Iterator[Case]:
    import segmentation_models_pytorch as smp

    for name in (
        "resnet34",
        "mit_b0",
        "tu-convnext_tiny",
        "tu-resnet18",
        "mobilenet_v2",
        "efficientnet-b0",
        "vgg11",
        "densenet121",
    ):
        arch = "unet" if not name.startswith("tu-convnext") else "fpn"
        yield Case(
            "segmentation_models.pytorch",
            f"{arch}, {name}",
            lambda name=name, arch=arch: smp.create_model(arch, name, encoder_weights=None),
            _encoder_maps,
            side=64,
        )


def _encoder_maps(model: Any, inputs: Tensor) -> dict[str, Tensor]:
    last = model.encoder(inputs)[-1]  # DenseNet's last activation is left to its decoder
    return {"C5": last.relu() if type(model.encoder).__name__ == "DenseNetEncoder" else last}


def all_cases() -> Iterator[Case]:
    yield from transformers_cases()
    yield from torchvision_cases()
    yield from timm_cases()
    if importlib.util.find_spec("open_clip"):
        yield from open_clip_cases()
    if importlib.util.find_spec("segmentation_models_pytorch"):
        yield from smp_cases()
