"""Proof of loading: norms, fingerprint and color order, on small networks and on real files (skipped where absent)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.models.backbones.stages import Stage
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load
from headstart.weights.load_report import LoadReport, proved, reason
from headstart.weights.photographs import MEAN_RGB, photographs
from headstart.weights.proof import FINGERPRINT_TOLERANCE, batch_norms, color_order, fingerprint, same_fingerprint

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT.parent / "shared" / "weights"
staged = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the checkpoints are not staged beside the repository")

PLAIN = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1))
PLAIN_BGR = dataclasses.replace(PLAIN, channel_order="bgr")
CAFFE = Preprocessing("bgr", 1.0, (103.53, 116.28, 123.675), (1.0, 1.0, 1.0))


class Tiny(nn.Module):
    """One convolution and one norm; the convolution's filters see colors, as trained ones do."""

    stages = (Stage("C5", 16, 2),)

    def __init__(self, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn1 = norm(16)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"C5": torch.relu(self.bn1(self.conv1(x)))}


def trained(preprocessing: Preprocessing, images: np.ndarray, seed: int = 0) -> Tiny:
    """A network whose norm remembers these images, prepared so."""
    torch.manual_seed(seed)
    net = Tiny()
    with torch.no_grad():
        net.conv1.weight.normal_()
        seen = net.conv1(preprocessing.apply(torch.from_numpy(images.copy()).permute(0, 3, 1, 2)))
    net.bn1.running_mean, net.bn1.running_var = seen.mean((0, 2, 3)), seen.var((0, 2, 3))
    return net


def warm(seed: int = 1) -> np.ndarray:
    """Photograph-like images of another size and brightness than the fixed input."""
    return (photographs(4, 96) * (0.6 + 0.1 * seed)).clip(0, 255).astype(np.uint8)


def test_the_drawn_images_have_the_colors_of_photographs() -> None:
    images = photographs(8, 128)
    assert images.shape == (8, 128, 128, 3) and images.dtype == np.uint8 and not images.flags.writeable
    pixels = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(pixels.mean(axis=0), MEAN_RGB, atol=0.015)  # cut off at 0 and 255
    red_green, red_blue, green_blue = np.corrcoef(pixels.T)[np.triu_indices(3, 1)]
    assert min(red_green, green_blue) > red_blue > 0.6  # neighbors in the spectrum go together
    neighbors = np.corrcoef(images[:, :, 1:, 1].ravel(), images[:, :, :-1, 1].ravel())[0, 1]
    assert neighbors > 0.9
    assert np.array_equal(photographs(2, 64), photographs.__wrapped__(2, 64))


@pytest.mark.parametrize(
    "truth", [PLAIN, PLAIN_BGR, Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3)], ids=["rgb", "bgr", "half"]
)
def test_the_order_is_told_where_no_color_is_subtracted(truth: Preprocessing) -> None:
    other = "bgr" if truth.channel_order == "rgb" else "rgb"
    for seed in range(5):
        net = trained(truth, warm(seed), seed)
        right = color_order(net, truth)
        assert right.verdict == "agrees", right
        assert right.remembered_rgb == pytest.approx(warm(seed).mean(axis=(0, 1, 2)) / 255, abs=0.02)
        wrong = color_order(net, dataclasses.replace(truth, channel_order=other))
        assert wrong.verdict == "contradicts" and f"fit {truth.channel_order} better" in wrong.why, wrong


def test_means_left_in_the_wrong_order_are_told_and_means_that_go_along_are_not() -> None:
    net = trained(CAFFE, warm())
    right = color_order(net, CAFFE)
    assert (right.verdict, right.declared) == ("undecided", "bgr")
    assert "the means belong to it, but rgb with exchanged means would fit as well" in right.why
    halfway = dataclasses.replace(CAFFE, channel_order="rgb")  # RGB images less BGR means
    assert color_order(net, halfway).verdict == "contradicts"
    both = dataclasses.replace(halfway, mean=CAFFE.mean[::-1])  # the other order altogether: no mean tells it
    assert color_order(net, both).verdict == "undecided"


def test_nothing_is_decided_without_statistics_or_for_images_of_other_kinds() -> None:
    for norm in (lambda c: nn.GroupNorm(4, c), lambda c: nn.BatchNorm2d(c, track_running_stats=False), nn.BatchNorm2d):
        verdict = color_order(Tiny(norm), IMAGENET)  # the last: fresh or folded, with means of 0
        assert (verdict.verdict, verdict.remembered_rgb) == ("undecided", None)
        assert str(verdict) == "rgb, not tested: the first norm keeps no means of a linear function of the image"
    bent = trained(PLAIN, warm())
    bent.conv1 = nn.Sequential(bent.conv1, nn.ReLU())  # type: ignore[assignment]
    assert color_order(bent, PLAIN).remembered_rgb is None
    gray = np.repeat(warm()[..., 1:2], 3, axis=3)
    verdict = color_order(trained(PLAIN, gray), PLAIN)
    assert (verdict.verdict, verdict.why) == ("undecided", "a mean color that fits both orders")


def test_a_scale_that_cannot_be_is_told() -> None:
    net = trained(CAFFE, warm())
    for preprocessing in (dataclasses.replace(CAFFE, scale=1 / 255), dataclasses.replace(CAFFE, mean=(300, 300, 300))):
        verdict = color_order(net, preprocessing)
        assert verdict.verdict == "impossible", verdict
    assert color_order(trained(PLAIN, warm()), dataclasses.replace(PLAIN, scale=1.0)).verdict == "impossible"  # black
    report = proved(LoadReport("mine", "file w.pth", {}, 1.0), net, preprocessing, test_colors=True)
    warning, _ = report.warnings  # the other: what the norm remembers is not what it sees
    assert "no images have the mean color that the first norm remembers: scale or means are wrong" in warning
    assert warning.endswith("Correct scale, mean and std in a weights card.")


def test_a_mismatch_is_warned_about_and_stored() -> None:
    net = trained(PLAIN_BGR, warm())
    report = proved(LoadReport("mine", "file w.pth", {}, 1.0), net, PLAIN, test_colors=True)
    warning = report.warnings[0]  # what the norm remembers may not be what it sees, either
    assert warning.startswith("declared color order rgb; photographs fit bgr better (mean color of its training ")
    assert "correct channel_order in a weights card" in warning
    assert f"WARNING: {warning}" in report.text() and f"WARNING: mine: {warning}" in report.summary()
    stored = report.to_json()
    assert stored["color_order"]["verdict"] == "contradicts" and stored["warnings"][0] == warning
    assert stored["norms"]["channels"] == 16 and stored["fingerprint"]["C5"][0] > 0
    assert not proved(report, net, PLAIN_BGR, test_colors=False).color
    assert net.training and net.bn1.training


def test_fingerprints_are_the_same_again_and_tell_small_changes() -> None:
    torch.manual_seed(0)
    net = build_backbone("shapes-resnet")
    print_ = fingerprint(net, IMAGENET)
    assert set(print_) == {"C2", "C3", "C4", "C5"}
    assert print_ == fingerprint(net, IMAGENET)
    double = {name: tuple(values) for name, values in fingerprint(_Double(net), IMAGENET).items()}
    assert same_fingerprint(print_, double)  # another arithmetic
    net.float()
    bgr = fingerprint(net, dataclasses.replace(IMAGENET, channel_order="bgr"))
    assert not same_fingerprint(print_, bgr)
    weight = net.layer4[0].conv2.weight.data  # type: ignore[index, union-attr]
    weight[[0, 1]] = weight[[1, 0]]  # two channels exchanged: equal mean and square
    changed = fingerprint(net, IMAGENET)
    assert changed["C4"] == print_["C4"] and not same_fingerprint(print_, changed)
    assert not same_fingerprint(print_, {"C5": print_["C5"]})
    assert abs(changed["C5"][0] - print_["C5"][0]) < 0.1 and FINGERPRINT_TOLERANCE == 1e-3


class _Double(nn.Module):
    """The same network in float64."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.double()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = self.net(x.double())
        return maps


def test_a_backbone_that_does_not_take_the_image_says_so() -> None:
    class Choosy(Tiny):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            raise RuntimeError("expected 96 pixels\nand more")

    report = proved(LoadReport("mine", "here", {}, 1.0), Choosy(), IMAGENET, test_colors=False)
    assert report.fingerprint is None
    assert report.notes == ("no fingerprint: the backbone does not take 224x224 pixels (expected 96 pixels)",)


def test_norms_are_counted() -> None:
    net = Tiny()
    net.bn1.running_var[:3] = torch.tensor([0.0, 0.25, 4.0])
    found = batch_norms(net)
    assert (found.count, found.channels, found.zero_variance, found.smallest_variance) == (1, 16, 1, 0.25)
    assert batch_norms(nn.Conv2d(3, 3, 1)).smallest_variance is None


@pytest.mark.parametrize(
    ("group", "why"),
    [
        ("fc", "head of a classifier"),
        ("module.fc", "head of a classifier"),
        ("rpn", "head of a detector"),
        ("fpn", "neck"),
        ("module.encoder_k", "of self-supervised training only"),
        ("stage9", "no part of the backbone"),
    ],
)
def test_what_is_left_over_has_a_reason(group: str, why: str) -> None:
    assert reason(group) == why


@staged
@pytest.mark.usefixtures("trusted_code")
def test_real_files() -> None:
    """The order is told for neither MobileNet (their means are subtracted), and no card is warned about."""
    for card in ("imagenet", "widerface"):
        loaded = load(resolve(f"mobilenet_v1_{card}.toml", ROOT / "examples"), seed=0)
        color = loaded.report.color
        assert color is not None and color.verdict == "undecided" and not loaded.report.warnings
        assert "the means belong to it" in color.why
        exchanged = {"rgb": "bgr", "bgr": "rgb"}[loaded.preprocessing.channel_order]
        halfway = dataclasses.replace(loaded.preprocessing, channel_order=exchanged)
        assert color_order(loaded.backbone, halfway).verdict == "contradicts"


@staged
@pytest.mark.parametrize(("file", "prefix"), [("initial_backbone.pth", ""), ("coco_fastestdet.pth", "backbone.")])
def test_real_files_without_means_tell_their_order(file: str, prefix: str) -> None:
    """ShuffleNet takes BGR / 255. The test looks at the first norm only, so its stem is enough."""
    state = torch.load(WEIGHTS / "shufflenetv2_0.5x" / file, weights_only=True, map_location="cpu")
    net = Tiny()
    net.conv1, net.bn1 = nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24)
    net.conv1.load_state_dict({"weight": state[f"{prefix}first_conv.0.weight"]})
    net.bn1.load_state_dict({k: state[f"{prefix}first_conv.1.{k}"] for k in net.bn1.state_dict()})
    assert color_order(net, PLAIN_BGR).verdict == "agrees"
    assert color_order(net, PLAIN).verdict == "contradicts"
