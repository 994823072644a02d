"""Backbones that are deformable or dilated by name: the same network whoever changed it, saved and loaded as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from headstart import api
from headstart.errors import WeightsError
from headstart.models.backbones.building import backbone_cost, build_backbone
from headstart.models.backbones.deformable import DeformConv2d, is_deformable
from headstart.models.backbones.dilation import dilate_last
from headstart.models.backbones.naming import trained_name
from headstart.models.backbones.stages import evaluating
from headstart.recipes.schema import recipe_of
from headstart.tasks.detect import TASK as DETECT
from headstart.tasks.transfer import Start, load_model, model_facts, save_model
from headstart.weights import commands, native
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import Loaded, load
from headstart.weights.export import canonical_state, export
from support.features import equal, features

V1 = "resnet18[deformable=C4+C5,modulated=no]"
V2 = "resnet18[deformable=C3+C5]"
RECIPE = {"name": "dcn", "updates": 1, "batch_size": 1, "lr": 1e-3, "head": "faster-rcnn", "channels": 8}


def learned(name: str) -> nn.Module:
    """A backbone whose offsets and masks are not what they start as."""
    torch.manual_seed(5)
    backbone = build_backbone(name)
    for module in backbone.modules():
        if isinstance(module, DeformConv2d):
            nn.init.normal_(module.offset.weight, std=0.02)
            nn.init.normal_(module.offset.bias, std=0.3)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return backbone


def written(folder: Path, name: str, backbone: nn.Module) -> Path:
    """The own checkpoint of a backbone."""
    tensors = canonical_state(backbone)
    facts = native.CheckpointFacts(
        "made",
        name,
        resolve("random:resnet18").preprocessing.to_json(),
        ["boxes"],
        licence="MIT",
        source="a test",
        digest=native.tensor_digest(tensors),
    )
    return native.write(folder / "made", tensors, facts)


@pytest.mark.parametrize(
    ("name", "stages", "points"),
    [
        (V1, ("layer3", "layer4"), 18),
        (V2, ("layer2", "layer4"), 27),
        ("shapes-resnet[deformable=C5]", ("layer4",), 27),
        ("resnet26[deformable=C2+C3+C4+C5,output_stride=16]", ("layer1", "layer2", "layer3", "layer4"), 27),
        ("preact-resnet26[deformable=C3]", ("layer2",), 27),
    ],
)
def test_the_stages_of_the_name_are_deformable(name: str, stages: tuple[str, ...], points: int) -> None:
    backbone = build_backbone(name)
    layers = [key for key, module in backbone.named_modules() if isinstance(module, DeformConv2d)]
    assert {key.partition(".")[0] for key in layers} == set(stages)
    assert all(key.endswith(".conv2") for key in layers)
    assert all(m.offset.out_channels == points for m in backbone.modules() if isinstance(m, DeformConv2d))
    assert resolve(f"random:{name}").backbone == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet50[deformable=C6]", r"deformable is 'C6'; it must be stages of C2 to C5, finest first, such as C3\+C4"),
        ("resnet50[deformable=C5+C4]", "finest first"),
        (
            "resnet50[modulated=no]",
            r"'resnet50': option modulated is about deformable stages, and there are none\. Leave",
        ),
        ("csp-v5n[deformable=C5]", r"'csp-v5n' has no option 'deformable'"),
        ("vit_tiny_patch16_224[deformable=C5]", "has no option 'deformable'"),
        ("skresnet18[deformable=C5]", r"C5 cannot be made deformable: .* called conv2 in layer4\. Leave C5 out of"),
    ],
)
def test_names_that_no_backbone_has_say_what_to_do(name: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        build_backbone(name)


@pytest.mark.parametrize(
    ("backbone", "deformable", "modulated", "neck", "name"),
    [
        ("resnet50", (), True, "plain", "resnet50"),
        ("resnet50", (), True, "dc5", "resnet50[output_stride=16]"),
        ("resnet50[first_dilation=own]", (), True, "dc5", "resnet50[output_stride=16]"),
        ("resnet50[output_stride=8]", (), True, "dc5", "resnet50[output_stride=8]"),
        (
            "resnet26[stride_in=conv1]",
            ("C5",),
            False,
            "dc5",
            "resnet26[deformable=C5,first_dilation=own,modulated=no,output_stride=16,stride_in=conv1]",
        ),
        ("shapes-resnet", ("C4", "C5"), True, "dc5", "shapes-resnet[deformable=C4+C5]"),
        ("resnet50[deformable=C5]", ("C3",), True, "fpn", "resnet50[deformable=C3+C5]"),
        ("resnet50[deformable=C5,modulated=no]", ("C5",), True, "plain", "resnet50[deformable=C5,modulated=no]"),
        (
            "preact-resnet26[stage4=deformable]",
            ("C4", "C5"),
            True,
            "dc5",
            "preact-resnet26[deformable=C4,stage4=deformable]",
        ),
        ("my.py:build", (), True, "fpn", "my.py:build"),
    ],
)
def test_the_name_after_a_detector_changed_a_backbone(
    backbone: str, deformable: tuple[str, ...], modulated: bool, neck: str, name: str
) -> None:
    assert trained_name(backbone, deformable, modulated, neck) == name
    assert trained_name(name, deformable, modulated, neck) == name


STARTS = ["resnet18", "resnet26", "resnet26[stride_in=conv1]", "shapes-resnet", "resnet18[deformable=C5]"]


@pytest.mark.parametrize("backbone", STARTS)
def test_a_detector_and_the_name_make_the_same_network(backbone: str) -> None:
    recipe = recipe_of(dict(**RECIPE, neck="dc5", deformable=("C4", "C5")))
    torch.manual_seed(1)
    changed = DETECT.build(build_backbone(backbone), recipe, 2, (64, 64)).backbone
    name = trained_name(backbone, recipe.deformable, recipe.modulated, recipe.neck)
    named = build_backbone(name)
    assert named.stages == changed.stages
    named.load_state_dict(changed.state_dict())
    assert equal(features(named), features(changed))
    count = len(named.state_dict())
    again = DETECT.build(named, recipe, 2, (64, 64)).backbone  # what is so already stays as it is
    assert len(again.state_dict()) == count and again.stages == changed.stages
    assert equal(features(again), features(changed))


@pytest.mark.parametrize(
    ("backbone", "deformable", "neck", "message"),
    [
        ("nets/my.py:build", ("C5",), "fpn", r"^here: `deformable` changes .* of nets/my\.py:build could not say so"),
        ("my.py:build", (), "dc5", r'`neck = "dc5"` changes the backbone'),
        (
            "resnet50[deformable=C5,modulated=no]",
            ("C3", "C5"),
            "fpn",
            r"^here: `modulated = true` for C3 does not go with resnet50\[.*Set modulated = false, or leave",
        ),
    ],
)
def test_what_no_name_can_say_is_refused(backbone: str, deformable: tuple[str, ...], neck: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        trained_name(backbone, deformable, True, neck, where="here")


def test_a_recipe_names_itself_where_a_backbone_lacks_its_stages() -> None:
    with pytest.raises(WeightsError, match=r"^recipe dcn: C5 cannot be made deformable: .*Leave C5 out"):
        DETECT.build(build_backbone("csp-v5n"), recipe_of(dict(**RECIPE, deformable=("C5",))), 2, (64, 64))
    with pytest.raises(WeightsError, match=r"^recipe dcn: a dilated C5 needs a backbone whose last stage is called"):
        DETECT.build(build_backbone("csp-v5n"), recipe_of(dict(**RECIPE, neck="dc5")), 2, (64, 64))
    plain = {k: v for k, v in RECIPE.items() if k in ("name", "updates", "batch_size", "lr")}
    with pytest.raises(ValueError, match=r"have. Name the backbone so: resnet50\[deformable=C3\+C4\+C5\]"):
        recipe_of(dict(**plain, head="linear", deformable=("C4", "C5")))
    with pytest.raises(ValueError, match="`deformable` are different stages, finest first"):
        recipe_of(dict(**RECIPE, deformable=("C5", "C4")))


@pytest.mark.parametrize("name", [V1, pytest.param(V2, marks=pytest.mark.slow)])
def test_saved_and_loaded_it_gives_the_same_features(tmp_path: Path, name: str) -> None:
    backbone = learned(name)
    file = written(tmp_path, name, backbone)
    spec = resolve(f"file:{file}")
    assert spec.backbone == name
    loaded = load(spec, 9)
    assert equal(features(loaded.backbone), features(backbone))
    assert loaded.report.coverage == 1.0 and not loaded.report.initialized and not loaded.report.missing
    out = commands.import_weights(f"file:{file}", tmp_path / "again").file
    verified = commands.verify(f"file:{out}")
    assert verified.checks[0].endswith("as written") and verified.checks[1].startswith("fingerprint: the features")
    shown = api.describe_weights(f"file:{file}").text()
    assert name in shown and "100.0% of the backbone's tensors filled" in shown
    timm = export(loaded, spec, tmp_path / "out.safetensors", "timm")
    assert timm.notes == (f"timm has no such network; the names are those of Headstart's own backbone {name}",)
    assert equal(features(load(resolve(f"file:{timm.path}"), 9).backbone), features(backbone))
    with pytest.raises(
        WeightsError, match=r"Detectron2's names of deformable convolutions are not known here\. Export"
    ):
        export(loaded, spec, tmp_path / "out.pkl", "detectron2")


@pytest.mark.parametrize("own_file", [True, False])
def test_plain_weights_in_a_deformable_backbone_start_as_the_plain_network(tmp_path: Path, own_file: bool) -> None:
    plain = learned("resnet18").double()
    if own_file:
        file = written(tmp_path, "resnet18", plain.float())
    else:
        file = tmp_path / "plain.safetensors"
        save_file(plain.float().state_dict(), file)
    expected = features(plain.float())

    def into(name: str) -> Loaded:
        return load(resolve(f"file:{file}@{name}"), 9)

    found = into(V1)
    assert equal(features(found.backbone), expected, within=1e-5)
    assert found.report.coverage == 1.0 and not found.report.missing
    assert found.report.initialized == (
        "8 tensors that learn offsets, which a plain network lacks: offsets 0, masks one half",
    )
    modulated = into(V2).backbone
    for module in modulated.modules():
        if isinstance(module, DeformConv2d):
            assert torch.count_nonzero(module.offset.weight) == 0
            nn.init.constant_(module.offset.bias[2 * module.points :], 40.0)  # masks of 1
    assert equal(features(modulated), expected, within=1e-5)
    checks = commands.verify(f"file:{file}@{V1}").checks
    if own_file:
        assert checks[0].endswith("as written") and checks[1] == "fingerprint: not compared, since resnet18 was written"


def test_a_file_that_learned_offsets_is_refused_for_a_plain_backbone(tmp_path: Path) -> None:
    file = tmp_path / "dcn.safetensors"
    save_file(learned(V2).state_dict(), file)
    with pytest.raises(
        WeightsError, match=r"dcn\.safetensors holds 4 layers that learn offsets \(layer2\.0\.conv2"
    ) as e:
        load(resolve(f"file:{file}@resnet18"), 0)
    assert "Name the backbone with the option deformable=C3+C5" in str(e.value)
    part = {k: v for k, v in load_file(file).items() if k != "layer4.1.conv2.offset.bias"}
    save_file(part, file)
    with pytest.raises(WeightsError, match=r"missing: layer4\.1\.conv2\.offset\.bias"):
        load(resolve(f"file:{file}@{V2}"), 0)


def test_dilation_leads_doubled_offsets_to_the_same_places() -> None:
    backbone = learned("resnet18[deformable=C5,modulated=no]").double()
    for module in backbone.modules():
        if isinstance(module, DeformConv2d):  # whole cells: between cells the two maps interpolate other values
            nn.init.zeros_(module.offset.weight)
            module.offset.bias.data = module.offset.bias.data.sign()
    image = torch.rand(1, 3, 160, 160, dtype=torch.float64)
    with evaluating(backbone):
        before = backbone(image)["C5"]
        after = dilate_last(backbone)(image)["C5"]
    assert after.shape[-1] == 2 * before.shape[-1]
    assert torch.allclose(after[..., ::2, ::2], before, atol=1e-9)


def test_cost_counts_the_deformed_convolutions_too() -> None:
    plain, deformed = (backbone_cost(build_backbone(n), (64, 64)) for n in ("resnet18", "resnet18[deformable=C5]"))
    inputs = 512  # of both conv2 of layer4, at 2 x 2 cells
    more = 2 * (27 * inputs * 9)
    assert deformed[0] - plain[0] == more + 2 * 27
    assert deformed[1] - plain[1] == pytest.approx(2 * more * 4 / 1e9)
    preact = build_backbone("preact-resnet26[stage4=deformable]")
    assert sum(map(is_deformable, preact.modules())) == 2


def test_a_task_model_on_a_deformable_backbone_is_built_again(tmp_path: Path) -> None:
    recipe = recipe_of(dict(**RECIPE, deformable=("C4", "C5")))
    start = Start(learned(V2), V2, Path(), resolve("random:resnet18").preprocessing, is_random=False)
    torch.manual_seed(2)
    model = DETECT.build(start.backbone, recipe, 2, (64, 64)).eval()

    class Images:
        images, box_classes = torch.zeros(1, 64, 64, 3), ("a", "b")

    save_model(tmp_path, model, model_facts(start, "detect", recipe, Images(), resize="stretch"))  # type: ignore[arg-type]
    assert json.loads((tmp_path / "model.json").read_text())["backbone"] == V2
    assert equal(features(load_model(tmp_path).model.backbone), features(model.backbone), within=1e-5)


def test_group_norm_is_part_of_the_name(tmp_path: Path) -> None:
    name = "resnet18[norm=group]"
    backbone = learned(name)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in backbone.modules())
    file = written(tmp_path, name, backbone)
    loaded = load(resolve(f"file:{file}"), 0)
    assert loaded.report.coverage == 1.0 and equal(features(loaded.backbone), features(backbone))
    assert trained_name("resnet18", (), True, "fpn", batch_norm="group") == name
    assert trained_name(name, (), True, "fpn") == name
    with pytest.raises(WeightsError, match=r'^here: `batch_norm = "group"` changes the backbone, .* of my\.py:build'):
        trained_name("my.py:build", (), True, "fpn", where="here", batch_norm="group")
    with pytest.raises(WeightsError, match=r"'vit_tiny_patch16_224' has no batch norm .*\. Leave norm=group out"):
        build_backbone("vit_tiny_patch16_224[norm=group]")
    plain = tmp_path / "plain.safetensors"
    save_file(learned("resnet18").state_dict(), plain)
    with pytest.raises(WeightsError, match=r"plain\.safetensors holds 20 batch norms \(bn1\.running_mean, .*Leave"):
        load(resolve(f"file:{plain}@{name}"), 0)
    with pytest.raises(WeightsError, match=r"fills \d+ of the \d+ tensors of backbone resnet18"):
        load(resolve(f"file:{file}@resnet18"), 0)
