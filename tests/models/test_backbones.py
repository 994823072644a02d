"""Backbones: stages, names and shapes, against torchvision and timm; users' own files and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision.models._utils import IntermediateLayerGetter

from headstart.errors import WeightsError
from headstart.models.backbones.building import (
    BUILTIN_BACKBONES,
    backbone_cost,
    build_backbone,
    source_key,
)
from headstart.models.backbones.features import MapsOnDemand, pooled_features, stage_maps
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.models.backbones.stages import Stage, evaluating
from headstart.models.backbones.timing import RUNS, milliseconds
from headstart.weights.cards import resolve

pytestmark = pytest.mark.usefixtures("trusted_code")

GOOD = """
import torch
from torch import nn
class Net(nn.Module):
    stages = (("C3", 4, 8),)
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, 8)
    def forward(self, x):
        return {"C3": self.conv(x)}
def build():
    return Net()
"""


def user_backbone(folder: Path, text: str, function: str = "build") -> nn.Module:
    (folder / "mine.py").write_text(text)
    return build_backbone(f"mine.py:{function}", folder)


def test_shapes_resnet_has_four_stages_and_keeps_stride_8() -> None:
    backbone = build_backbone("shapes-resnet").eval()
    maps = backbone(torch.rand(2, 3, 96, 96))
    assert {name: tuple(m.shape) for name, m in maps.items()} == {
        "C2": (2, 16, 48, 48),
        "C3": (2, 32, 24, 24),
        "C4": (2, 64, 12, 12),
        "C5": (2, 128, 12, 12),
    }
    assert backbone.stages == (Stage("C2", 16, 2), Stage("C3", 32, 4), Stage("C4", 64, 8), Stage("C5", 128, 8))
    assert backbone.layer4[0].conv1.dilation == backbone.layer4[0].conv2.dilation == (2, 2)
    assert {key.split(".")[0] for key in backbone.state_dict()} == {
        "conv1",
        "bn1",
        "layer1",
        "layer2",
        "layer3",
        "layer4",
    }


def test_shapes_resnet_parameters_worked_by_hand() -> None:
    stem = 3 * 16 * 9 + 2 * 16
    layer1 = 2 * 16 * 16 * 9 + 4 * 16

    def grown(c: int) -> int:
        return c * 2 * c * 9 + 4 * c * c * 9 + 2 * c * c + 6 * 2 * c

    assert backbone_cost(build_backbone("shapes-resnet"), (96, 96))[0] == stem + layer1 + grown(16) + grown(32) + grown(
        64
    )


def test_same_seed_gives_the_same_random_weights() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build_backbone("shapes-resnet").state_dict()["layer3.0.conv2.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_resnet_equals_torchvision_with_torchvisions_own_names() -> None:
    theirs = torchvision.models.resnet18(weights=None).eval()
    for norm in (m for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    ours = build_backbone("resnet18").eval()
    state = {key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    assert set(ours.state_dict()) == set(state)
    ours.load_state_dict(state)
    images = torch.randn(2, 3, 64, 64)
    getter = IntermediateLayerGetter(theirs, {f"layer{i}": f"C{i + 1}" for i in range(1, 5)})
    expected = getter(images)
    got = ours(images)
    assert list(got) == ["C2", "C3", "C4", "C5"]
    for name in got:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-5, atol=1e-6)
    assert [s.stride for s in ours.stages] == [4, 8, 16, 32]


@pytest.mark.parametrize("name", ["resnet50", "resnet101"])
def test_deeper_resnets_have_torchvisions_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(weights=None).state_dict()
        ours = build_backbone(name)
    shapes = {key: value.shape for key, value in theirs.items() if not key.startswith("fc.")}
    assert {key: value.shape for key, value in ours.state_dict().items()} == shapes
    assert ours.stages == (Stage("C2", 256, 4), Stage("C3", 512, 8), Stage("C4", 1024, 16), Stage("C5", 2048, 32))


def test_random_resnet_blocks_are_switched_on() -> None:
    """timm starts the last norm of every block at 0; a random network with dead blocks would be no fair control."""
    assert bool((build_backbone("resnet18").layer1[0].bn2.weight == 1).all())


@pytest.mark.parametrize(
    "name",
    ["convnext_atto", "densenet121", "mobilenetv3_small_050", "efficientnet_lite0", "swin_tiny_patch4_window7_224"],
)
def test_other_timm_networks_give_their_stages(name: str) -> None:
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, 224, 224))
    assert list(maps) == [s.name for s in backbone.stages]
    assert backbone.stages[-1].name == "C5"
    for stage in backbone.stages:
        assert tuple(maps[stage.name].shape) == (1, stage.channels, 224 // stage.stride, 224 // stage.stride)
    with torch.device("meta"):
        classifier = timm.create_model(name).state_dict()
    renamed = {source_key(backbone, key): value.shape for key, value in backbone.state_dict().items()}
    assert renamed.items() <= {key: value.shape for key, value in classifier.items()}.items()


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(WeightsError, match=r"backbone 'resnet5' is unknown\. Nearest names: .*resnet50") as caught:
        build_backbone("resnet5")
    assert "path/to/file.py:function" in str(caught.value)
    assert "shapes-resnet" in BUILTIN_BACKBONES


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "resnet50[stride=conv1]",
            r"option 'stride' is unknown\. Nearest: stride_in\. Options: stride_in, output_stride",
        ),
        ("resnet50[stride_in=conv3]", r"option stride_in is 'conv3'; it must be conv2 or conv1"),
        ("resnet50[stride_in=conv1", r"the options of 'resnet50' lack their closing bracket"),
        ("resnet18[stride_in=conv1]", r"'resnet18' has no bottlenecks, so its stride cannot be"),
        ("resnet50[num_heads=3]", r"'resnet50' has no option 'num_heads'\. It has: stride_in, output_stride"),
        ("csp-v8n[tail=reduced]", r"'csp-v8n' has no option 'tail'\. It has none"),
        ("vit_tiny_patch16_224[num_heads=no]", "option num_heads is 'no'; it must be a whole number"),
    ],
)
def test_wrong_options_say_which_there_are(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        build_backbone(name)


def test_options_have_one_spelling() -> None:
    spec = resolve("random:resnet50[ output_stride=16 , stride_in=conv2 ]")
    assert spec.backbone == "resnet50[output_stride=16]"
    assert [stage.stride for stage in build_backbone(spec.backbone).stages] == [4, 8, 16, 16]
    assert resolve("random:resnet50[stride_in=conv2]").identity() == resolve("random:resnet50").identity()
    assert resolve("random:resnet50[stride_in=conv1]").identity() != resolve("random:resnet50").identity()


def test_user_file_is_loaded_relative_to_its_base(tmp_path: Path) -> None:
    backbone = user_backbone(tmp_path, GOOD)
    assert backbone.stages == (Stage("C3", 4, 8),)
    assert backbone.training


@pytest.mark.parametrize(
    ("text", "function", "message"),
    [
        (GOOD, "other", r"mine\.py defines no function 'other'"),
        (
            "import torch\nimport torhc\n",
            "build",
            r"mine\.py cannot be imported: ModuleNotFoundError: .*torhc.*\(line 2\)",
        ),
        ("def build(:\n", "build", r"mine\.py cannot be imported: SyntaxError: .*\(line 1\)"),
        ("def build():\n    return 1 / 0\n", "build", r"mine\.py:build failed: ZeroDivisionError: .* \(line 2\)"),
        ("def build():\n    return 3\n", "build", r"returned int; it must return a torch\.nn\.Module"),
        (GOOD.replace("stages =", "steps ="), "build", r"no usable attribute `stages`\. Set it to a tuple"),
        (GOOD.replace('{"C3": self.conv(x)}', "self.conv(x)"), "build", r"forward returned Tensor; .*dict.*\['C3'\]"),
        (GOOD.replace('{"C3"', '{"C4"'), "build", r"forward returned the keys \['C4'\]"),
        (GOOD.replace("4, 8),)", "4, 16),)"), "build", r"C3 says 4 channels at stride 16, .* shape \(1, 4, 28, 28\)"),
        (
            GOOD.replace("self.conv(x)", "self.conf(x)"),
            "build",
            r"forward of a \(1, 3, .*failed: Attribute.*\(line 10\)",
        ),
    ],
)
def test_faults_of_user_files_name_file_and_line(tmp_path: Path, text: str, function: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        user_backbone(tmp_path, text, function)
    assert str(tmp_path / "mine.py") in str(caught.value)


def test_missing_user_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.py: there is no such file\. .*path/to/file\.py:function"):
        build_backbone("gone.py:build", tmp_path)


def test_preprocessing_worked_by_hand() -> None:
    pixel = torch.tensor([200, 100, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    rgb = Preprocessing("rgb", 1 / 255, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0)).apply(pixel)
    torch.testing.assert_close(rgb.flatten(), torch.tensor([(200 / 255 - 0.5) / 0.5, (100 / 255 - 0.25) / 0.25, 0.0]))
    bgr = Preprocessing("bgr", 1.0, (104, 117, 123), (1, 1, 1)).apply(pixel)
    assert bgr.flatten().tolist() == [0 - 104, 100 - 117, 200 - 123]
    assert bgr.dtype == torch.float32


def test_preprocessing_survives_json_and_refuses_nonsense() -> None:
    assert Preprocessing.from_json(IMAGENET.to_json()) == IMAGENET
    with pytest.raises(ValueError, match="must be 'rgb' or 'bgr'"):
        Preprocessing("gbr")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="above 0"):
        Preprocessing(std=(1, 0, 1))
    with pytest.raises(ValueError, match=r"shape \(2, 8, 8, 3\); expected \(B, 3, H, W\)"):
        IMAGENET.apply(torch.zeros(2, 8, 8, 3))


def test_features_are_means_of_the_maps_in_evaluation_mode() -> None:
    backbone = build_backbone("shapes-resnet")
    backbone.layer1.eval()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    images.flags.writeable = False  # as a memory-mapped file
    done: list[float] = []
    pooled = pooled_features(backbone, IMAGENET, images, batch_size=2, progress=done.append)
    maps = stage_maps(backbone, IMAGENET, images, ("C3", "C5"), dtype=np.float16)
    assert done == [0.4, 0.8, 1.0]
    assert maps["C5"].shape == (5, 128, 4, 4) and maps["C5"].dtype == np.float16
    np.testing.assert_allclose(pooled["C5"], maps["C5"].astype(np.float32).mean((2, 3)), rtol=5e-3, atol=1e-3)
    assert pooled["C2"].dtype == np.float32
    assert all(torch.equal(before[key], value) for key, value in backbone.state_dict().items())
    assert backbone.training and not backbone.layer1.training
    assert pooled_features(backbone, IMAGENET, images[:0])["C4"].shape == (0, 64)
    with pytest.raises(ValueError, match="no stage C9; it has C2, C3, C4, C5"):
        stage_maps(backbone, IMAGENET, images, ("C9",))
    with pytest.raises(ValueError, match="expected uint8"):
        pooled_features(backbone, IMAGENET, images.astype(np.float32))


def test_maps_on_demand_are_the_maps_and_leave_pooled_features() -> None:
    backbone = build_backbone("shapes-resnet")
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    maps = MapsOnDemand(backbone, IMAGENET, images, "mine")
    assert maps.shape == (20, 128, 4, 4) and len(maps) == 20
    parts = np.concatenate([maps[k : k + 17] for k in (0, 17)])
    np.testing.assert_allclose(parts, stage_maps(backbone, IMAGENET, images)["C5"], rtol=1e-4, atol=1e-5)
    for stage, pooled in pooled_features(backbone, IMAGENET, images).items():
        np.testing.assert_allclose(maps.pooled[stage], pooled, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        next(backbone.layer3.parameters()).fill_(torch.nan)
    with pytest.raises(WeightsError, match=r"mine: the outputs of stage C4 are not finite \(first for image 3\)"):
        MapsOnDemand(backbone, IMAGENET, images, "mine")[3:5]


def test_modes_come_back_after_an_error() -> None:
    module = nn.Sequential(nn.Dropout(), nn.ReLU().eval())
    with pytest.raises(KeyError), evaluating(module):
        assert not module[0].training and not torch.is_grad_enabled()
        raise KeyError
    assert module[0].training and not module[1].training and torch.is_grad_enabled()


def test_cost_worked_by_hand() -> None:
    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 8, 3, 2, 1)  # 8 x 5 x 10 outputs of 27 products; 224 parameters
            self.b = nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False)  # 8 x 5 x 10 outputs of 9; 72 parameters
            self.c = nn.Linear(10, 4)  # 8 x 5 x 4 outputs of 10; 44 parameters

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"C5": self.c(self.b(self.a(x)))}

    parameters, gflops = backbone_cost(Tiny(), (10, 20))
    assert parameters == 224 + 72 + 44
    assert gflops == pytest.approx(2 * (400 * 27 + 400 * 9 + 160 * 10) / 1e9)


def test_time_is_measured_without_touching_the_backbone():
    backbone = build_backbone("shapes-resnet")
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    runs = milliseconds(backbone, (32, 32), batch_size=2)
    assert len(runs) == RUNS
    assert all(0 < run < 1000 for run in runs)
    assert backbone.training and all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())
