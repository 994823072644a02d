"""From a URI or a card to the weights that are meant; messages of faulty cards."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm

from headstart.errors import WeightsError
from headstart.models.backbones.preprocessing import IMAGENET
from headstart.weights.cards import WeightsSpec, file_digest, resolve

pytestmark = pytest.mark.usefixtures("trusted_code")

CARD = """name = "mine"
backbone = "net.py:build"
file = "data/mine.pth"
key_prefix = "body."
lineage = ["ImageNet-1k labels", "COCO boxes"]
licence = "MIT"

[preprocessing]
channel_order = "bgr"
scale = 1.0
mean = [104, 117, 123]
std = [1.0, 1.0, 1.0]
"""


@pytest.fixture
def card(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.pth").write_bytes(b"not opened")
    (tmp_path / "net.py").write_text("def build(): ...\n")
    (tmp_path / "card.toml").write_text(CARD)
    return tmp_path / "card.toml"


def test_a_card_is_read_with_paths_relative_to_itself(card: Path) -> None:
    spec = resolve("sub/../card.toml", card.parent)
    assert (spec.name, spec.kind, spec.key_prefix, spec.licence) == ("mine", "card", "body.", "MIT")
    assert spec.uri == "sub/../card.toml"
    assert spec.file == str(card.parent / "data" / "mine.pth")
    assert spec.backbone == f"{card.parent / 'net.py'}:build"
    assert spec.digest == hashlib.sha256(b"not opened").hexdigest()
    assert spec.backbone_digest == hashlib.sha256(b"def build(): ...\n").hexdigest()
    assert spec.lineage == ("ImageNet-1k labels", "COCO boxes")
    assert (spec.preprocessing.channel_order, spec.preprocessing.mean) == ("bgr", (104.0, 117.0, 123.0))
    assert WeightsSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_identity_is_of_the_content_not_of_places_or_names(card: Path, tmp_path: Path) -> None:
    before = resolve("card.toml", card.parent).identity()
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "other.pth").write_bytes(b"not opened")
    (moved / "other.py").write_text("def build(): ...\n")
    text = CARD.replace("data/mine.pth", "other.pth").replace("net.py", "other.py").replace('"mine"', '"another"')
    (moved / "other.toml").write_text(text.replace("MIT", "unknown"))
    assert resolve("other.toml", moved).identity() == before
    assert str(tmp_path) not in json.dumps(before)
    (moved / "other.pth").write_bytes(b"not opened, other bytes")
    assert resolve("other.toml", moved).identity() != before


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('licence = "MIT"', 'license = "MIT"', ["line 6: license: unknown key", "  licence: missing key"]),
        ("scale = 1.0", 'scale = "1"', ["line 10: preprocessing.scale: Input should be a valid number"]),
        ("mean = [104, 117, 123]", "mean = [104, 117]", ["line 11: preprocessing.mean: List should have at least 3"]),
        ('"bgr"', '"BGR"', ["line 9: preprocessing.channel_order: Input should be 'rgb' or 'bgr'"]),
        ("std = [1.0,", "std = [0.0,", ["line 12: preprocessing.std.0: Input should be greater than 0"]),
        ("std = [1.0, 1.0, 1.0]", "", ["line 8: preprocessing.std: missing key"]),
        ('lineage = ["ImageNet-1k labels", "COCO boxes"]', "lineage = []", ["line 5: lineage: List should have"]),
        ('licence = "MIT"', 'licence = "MIT', ["not a readable weights card: ", "line 6"]),
    ],
)
def test_faults_of_a_card_name_file_key_and_line(card: Path, old: str, new: str, expected: list[str]) -> None:
    assert old in CARD
    card.write_text(CARD.replace(old, new))
    with pytest.raises(WeightsError) as caught:
        resolve("card.toml", card.parent)
    message = str(caught.value)
    assert message.startswith(f"{card}: ")
    for part in expected:
        assert part in message


def test_all_faults_are_told_at_once(card: Path) -> None:
    card.write_text(CARD.replace("scale = 1.0", "scale = -1.0").replace("name =", "nome =").replace("std", "sdt"))
    with pytest.raises(WeightsError, match="5 faults in this weights card") as caught:
        resolve("card.toml", card.parent)
    assert "Keys of a card: name, backbone, file, key_prefix, checkpoint_key" in str(caught.value)


def test_files_that_are_not_there_are_named_with_who_named_them(card: Path) -> None:
    (card.parent / "data" / "mine.pth").unlink()
    with pytest.raises(WeightsError, match=r"card\.toml: the file .*data/mine\.pth does not exist\. Correct the path"):
        resolve("card.toml", card.parent)
    with pytest.raises(WeightsError, match=r"the file .*none\.toml does not exist"):
        resolve("none.toml", card.parent)
    with pytest.raises(WeightsError, match=r"file:data@resnet50: the file .*data is a folder"):
        resolve("file:data@resnet50", card.parent)
    with pytest.raises(WeightsError, match=r"random:gone\.py:build: the file .*gone\.py does not exist"):
        resolve("random:gone.py:build", card.parent)


def test_plain_files_with_their_backbone_and_without(tmp_path: Path) -> None:
    (tmp_path / "a@b.pth").write_bytes(b"x")
    spec = resolve("file:a@b.pth@resnet50", tmp_path)
    assert (spec.backbone, spec.key_prefix, spec.preprocessing) == ("resnet50", None, IMAGENET)
    assert (spec.kind, spec.lineage, spec.licence) == ("file", ("not stated",), "not stated")
    with pytest.raises(WeightsError, match=r"a@b\.pth is neither a safetensors file nor"):
        resolve("file:a@b.pth", tmp_path)  # the file itself is looked at
    with pytest.raises(WeightsError, match=r"the file .*/a\.pth does not exist"):
        resolve("file:a.pth", tmp_path)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("timm:resnet50.a1_in2k", r"no weights with the tag 'a1_in2k' for resnet50\. It has: .*resnet50\.a1_in1k"),
        ("timm:resnet5", r"timm:resnet5: backbone 'resnet5' is unknown\. Nearest names: .*resnet50"),
        ("random:shapes-resnt", r"backbone 'shapes-resnt' is unknown\. Nearest names: shapes-resnet"),
        ("tv:FasterRCNN_ResNet50_FPN_Weights.COCO_V2", r"unknown to torchvision\. Nearest known: tv:FasterRCNN"),
        ("tv:Resnet50_Weights.IMAGENET1K_V2", r"Nearest known: tv:ResNet50_Weights\.IMAGENET1K_V2"),
        (
            "tv:SSD300_VGG16_Weights.COCO_V1",
            r"only classifiers and the detectors built on ResNets .*Give the file: file:P",
        ),
        ("tv:FCN_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1", "only classifiers and the detectors built on ResNets"),
        ("random:tv-shufflenet_v2_x05", r"torchvision has no classifier .*Nearest names: tv-shufflenet_v2_x0_5"),
        (
            "sniper-openimages-r101",
            r"no address that can be fetched: get it from scripts/download_pretrained_models\.sh",
        ),
        ("faster-rcnn-resnet50", r"unknown\. Nearest known: .*tv:FasterRCNN_ResNet50_FPN_Weights\.COCO_V1"),
        ("random", r"random values of which backbone\? Give random:NAME, for example random:resnet50"),
        ("random:", "random values of which backbone"),
        ("hub:facebook/detr", r"'hub:facebook/detr' are unknown\. .*Give random:NAME, timm:NAME\.TAG, tv:ENUM\.MEMBER"),
    ],
)
def test_unknown_weights_offer_the_nearest(uri: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        resolve(uri)


def test_the_common_cases_import_no_torch(card: Path) -> None:
    uris = [
        "card.toml",
        "random:shapes-resnet",
        "random:resnet50",
        "random:net.py:build",
        "timm:resnet50",
        "timm:resnet18.a1_in1k",
        "tv:ResNet50_Weights.IMAGENET1K_V2",
        "file:data/mine.pth@resnet18",
        "tv:FCOS_ResNet50_FPN_Weights.COCO_V1#backbone",
        "fcos-resnet50-coco",
    ]
    code = (
        "import sys, pathlib\nfrom headstart.weights.cards import resolve\n"
        f"for uri in {uris!r}: resolve(uri, pathlib.Path({str(card.parent)!r})).identity()\n"
        "print([m for m in ('torch', 'timm', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_torchvision_names_with_a_fragment_and_default_mean_the_member() -> None:
    plain = resolve("tv:FasterRCNN_ResNet50_FPN_Weights.COCO_V1")
    assert resolve("tv:FasterRCNN_ResNet50_FPN_Weights.COCO_V1#backbone") == plain
    assert resolve("tv:FasterRCNN_ResNet50_FPN_Weights.DEFAULT") == plain
    assert (plain.key_prefix, plain.norm_eps, plain.digest) == ("backbone.body.", 0.0, "258fb6c6")
    assert plain.lineage == ("ImageNet-1k labels", "COCO boxes")
    wide = resolve("tv:Wide_ResNet50_2_Weights.IMAGENET1K_V1")
    assert (wide.backbone, wide.digest, wide.key_prefix) == ("wide_resnet50_2", "95faca4d", "")
    small = resolve("tv:ShuffleNet_V2_X0_5_Weights.DEFAULT")
    assert (small.backbone, small.digest, small.preprocessing) == ("tv-shufflenet_v2_x0_5", "f707e7126e", IMAGENET)
    assert resolve("random:tv-regnet_y_400mf").backbone == "tv-regnet_y_400mf"


def test_timm_names_outside_the_catalogue_bring_timms_facts() -> None:
    spec = resolve("timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    assert spec.preprocessing.mean == (0.5, 0.5, 0.5)
    assert spec.lineage == ("not known in full (timm tag augreg_in21k_ft_in1k)",)
    assert resolve("timm:resnet50.tv_in1k").lineage == ("ImageNet-1k labels",)
    bare = resolve("timm:convnext_atto")
    assert bare.digest == f"convnext_atto.{timm.get_pretrained_cfg('convnext_atto').tag}"


def test_random_weights_of_a_users_backbone_carry_its_digest(card: Path) -> None:
    spec = resolve("random:net.py:build", card.parent)
    assert (spec.name, spec.identity()["backbone"]) == ("random-build", "build")
    assert resolve("random:resnet18").name == "random-resnet18"
    assert spec.backbone_digest and spec.digest == "" and spec.lineage == ()
    (card.parent / "net.py").write_text("def build(): return 1\n")
    assert resolve("random:net.py:build", card.parent).identity() != spec.identity()


def test_digests_are_taken_again_when_a_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"one")
    assert file_digest(path) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"four")
    assert file_digest(path) == hashlib.sha256(b"four").hexdigest()


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolve("random:resnet18").name = "x"  # type: ignore[misc]
