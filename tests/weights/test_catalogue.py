"""The catalogue of public weights: against the libraries that own them, and as it is listed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision

from headstart.errors import UsageError
from headstart.models.backbones.building import BUILTIN_BACKBONES, backbone_cost, build_backbone
from headstart.weights import catalogue, listing
from headstart.weights.catalogue import CATALOGUE, PublicWeights, find
from headstart.weights.importers.layouts import LAYOUTS

ROOT = Path(__file__).parents[2]
METRICS = {"top-1": "acc@1", "box AP": "box_map", "box AP of people": "box_map", "mIoU": "miou"}


def of(scheme: str) -> list[PublicWeights]:
    return [entry for entry in CATALOGUE if entry.uri.startswith(scheme)]


@pytest.mark.parametrize("entry", of("tv:"), ids=lambda entry: entry.name)
def test_torchvision_entries_say_what_torchvision_says(entry: PublicWeights) -> None:
    theirs = torchvision.models.get_weight(entry.uri.removeprefix("tv:"))
    assert theirs.url == entry.url
    assert (len(entry.sha256), entry.sha256 in entry.url, entry.digest) == (8, True, entry.sha256)
    (measured,) = theirs.meta["_metrics"].values()
    assert entry.published is not None and entry.published.value == measured[METRICS[entry.published.metric]]
    if "num_classes" not in theirs.meta and entry.supervision == ("labels",):
        # Their count and their GFLOPs (of multiply-adds) have the classifier in: 1000 x width weights, 1000 biases.
        assert entry.parameters is not None and entry.gflops is not None
        classifier = theirs.meta["num_params"] - entry.parameters
        assert classifier % 1000 == 0
        assert entry.gflops / 2 + (classifier / 1e9) == pytest.approx(theirs.meta["_ops"], abs=2e-3)


@pytest.mark.parametrize("entry", of("timm:"), ids=lambda entry: entry.name)
def test_timm_entries_say_what_timm_says(entry: PublicWeights) -> None:
    name = entry.uri.removeprefix("timm:")
    theirs = timm.get_pretrained_cfg(name)
    assert theirs is not None
    assert (theirs.license, theirs.hf_hub_id) == (entry.licence, f"timm/{name}")
    given = entry.preprocessing
    assert (theirs.mean, theirs.std, given.channel_order, given.scale) == (given.mean, given.std, "rgb", 1 / 255)
    assert entry.backbone == theirs.architecture and entry.digest == name


def test_every_entry_has_its_facts_and_a_name_of_its_own() -> None:
    for entry in CATALOGUE:
        assert entry.source and entry.lineage and entry.supervision, entry.name
        assert set(entry.supervision) < set(listing.SUPERVISIONS), entry.name
        assert bool(entry.uri) != bool(entry.where), entry.name
        assert find(entry.name) is entry and (not entry.uri or find(entry.uri) is entry)
        assert find(entry.address) is entry
        assert (entry.checked == "unverified") == (entry.layout not in catalogue.TRIED_LAYOUTS), entry.name
        assert entry.layout in LAYOUTS or entry.layout in ("", "detectron2-vitdet"), entry.name
        for digest in filter(None, (entry.sha256, entry.md5)):
            assert digest in entry.url or entry.md5 in ("59fd9945", "a04e12f8")  # MoCo's are in its README
    for names in ([e.name for e in CATALOGUE], [e.digest for e in CATALOGUE if e.digest]):
        assert len(set(names)) == len(names)
    assert find("") is None
    assert tuple(BUILTIN_BACKBONES) == catalogue.BUILTIN_NAMES


def test_what_the_issue_asks_for_is_there() -> None:
    there = {(e.backbone.partition("[")[0], e.supervision[0], " -> ".join(e.lineage)) for e in CATALOGUE}
    for backbone, supervision, last in [
        ("resnet50", "labels", "ImageNet-1k labels"),
        ("resnet101", "labels", "ImageNet-1k labels"),
        ("resnet50", "boxes", "COCO boxes"),
        ("resnet101", "boxes", "COCO boxes"),
        ("resnet50", "boxes", "OpenImages v6 boxes"),
        ("preact-resnet101", "boxes", "(SNIPER chips)"),
        ("resnet50", "masks", "COCO masks with VOC labels"),
        ("resnet50", "self", "(MoCo v2, 800 epochs)"),
        ("resnet50", "self", "(MoCo v3, 1000 epochs)"),
        ("resnet50", "self", "(DenseCL, 200 epochs)"),
        ("resnet50", "self", "(SwAV, 800 epochs)"),
        ("resnet50", "self", "(DINO)"),
        ("vit_base_patch14_dinov2", "self", "(DINOv2)"),
        ("vit_base_patch16_dinov3", "self", "(DINOv3)"),
        ("convnext_tiny", "labels", "labels"),
        ("swin_tiny_patch4_window7_224", "labels", "labels"),
        ("vit_base_patch16_224", "labels", "labels"),
        ("samvit_base_patch16", "boxes", "COCO boxes and masks"),
    ]:
        assert any(b == backbone and s == supervision and words.endswith(last) for b, s, words in there), last


@pytest.mark.slow
def test_sizes_and_costs_are_what_the_backbones_have() -> None:
    known = catalogue._architectures()
    assert {e.backbone for e in of("tv:")} <= set(known)
    for name, facts in known.items():
        with torch.device("meta"):
            parameters, gflops = backbone_cost(build_backbone(name), (224, 224))
        assert (parameters, round(gflops, 3)) == (facts["parameters"], facts["gflops"]), name


def test_epsilon_zero_where_torchvision_overwrites_it() -> None:
    zero = {e.uri for e in CATALOGUE if e.norm_eps == 0.0}
    assert zero == {
        f"tv:{kind}_ResNet50_FPN_Weights.COCO_V1" for kind in ("FasterRCNN", "MaskRCNN", "KeypointRCNN", "RetinaNet")
    }


def test_rows_are_chosen_by_supervision_and_license() -> None:
    everything = listing.rows()
    assert len(everything) == len(CATALOGUE)
    boxes = listing.rows("boxes")
    assert {row["weights"] for row in boxes} == {e.address for e in CATALOGUE if "boxes" in e.supervision}
    assert {row["license"] for row in listing.rows(licence="commercial")} == {
        "apache-2.0",
        "bsd-3-clause",
        "mit",
        "cc-by-sa-3.0",
    }
    assert {row["license"] for row in listing.rows("self", "CC-BY-NC-4.0")} == {"cc-by-nc-4.0"}
    assert [row["weights"] for row in listing.rows("none")][:2] == ["random:resnet18", "random:resnet34"]
    moco = next(row for row in everything if row["weights"] == "moco-v2-r50-800ep")
    assert moco == {
        "weights": "moco-v2-r50-800ep",
        "backbone": "resnet50",
        "lineage": "ImageNet-1k images (MoCo v2, 800 epochs)",
        "parameters": 23508032,
        "gflops": 8.174,
        "license": "cc-by-nc-4.0",
        "ms": None,
        "published": "71.1 linear top-1, ImageNet-1k",
        "checked": "unverified",
    }
    with pytest.raises(UsageError, match=r"no weights have the license 'gpl'\. Give commercial, or one of apache-2\.0"):
        listing.rows(licence="gpl")
    with pytest.raises(UsageError, match=r"supervision 'box' is unknown\. Give one of boxes, labels"):
        listing.rows("box")


def test_one_entry_is_shown_with_where_its_facts_come_from() -> None:
    lines = listing.entry_lines(find("d2-faster-rcnn-r50-fpn-3x"))  # type: ignore[arg-type]
    text = "\n".join(lines)
    assert "  license        cc-by-sa-3.0" in lines
    assert "  backbone       resnet50[stride_in=conv1]" in lines
    assert "  preprocessing  bgr, scale 1, mean (103.53, 116.28, 123.675), std (1.0, 1.0, 1.0)" in lines
    assert "  published      40.2 box AP, COCO val2017" in lines
    assert "  digest         MD5 280758.." in lines
    assert "  checked with   unverified: never tried on a real file" in lines
    assert "facebookresearch/detectron2 MODEL_ZOO.md" in text
    assert "  license        unknown" in listing.entry_lines(find("swav-r50-800ep"))  # type: ignore[arg-type]


def test_listing_takes_no_torch_and_less_than_a_second_of_cpu() -> None:
    code = (
        "import sys, time\nfrom headstart.cli.main import main\n"
        "sys.argv = ['headstart', 'weights', 'list', '--supervision', 'boxes', '--json']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules, time.process_time() < 1, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "False True\n"
    rows = json.loads(done.stdout)
    first = next(row for row in rows if row["weights"] == "openimages-faster-rcnn-r50")
    assert first["sha256"] == "e87ab7ce" and first["supervision"] == ["boxes"]
    assert first["published"] == {"metric": "AP at IoU 0.5", "data": "OpenImages v6 validation", "value": 51.6}


def test_the_document_is_current() -> None:
    assert (ROOT / "docs" / "weights.md").read_text(encoding="utf-8") == listing.markdown(), "run: make docs"
