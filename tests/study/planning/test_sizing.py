"""What a comparison brings images to: from the images, the weights, the budget, or by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.cli.flags import size_hw
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.errors import UsageError
from headstart.study.planning.sizing import AS_USUAL, Sizing, input_size, label_size, trained_side
from headstart.tasks.table import trained_task
from headstart.weights.cards import resolve

RANDOM = resolve("random:shapes-resnet", Path())
PUBLIC = replace(RANDOM, kind="timm", lineage=("imagenet-1k labels",))
SMALL = replace(RANDOM, kind="file", lineage=("tiny labels (32 px, 10 images seen)", "tiny boxes (64 px, noise 0.5)"))


def images(folder: Path, width: int, height: int, known: bool) -> Annotations:
    folder.mkdir()
    for k in range(3):
        Image.new("RGB", (width, height)).save(folder / f"{k}.png")
    names = [f"{k}.png" for k in range(3)]
    sizes = [(height, width) if known else (0, 0)] * 3
    labels = {"image_labels": [0, 1, 0], "image_classes": ("a", "b")}
    return annotate(folder, "made", names, names, sizes_hw=sizes, splits=["train"] * 3, **labels)


def test_input_size_keeps_the_aspect_in_multiples_of_32() -> None:
    sizes = np.array([[480, 640], [480, 640], [640, 480]])
    assert input_size(sizes, 320 * 240) == (256, 320)
    assert input_size(np.zeros((3, 2)), 128 * 128) == (128, 128)


@pytest.mark.parametrize("known", [True, False])
def test_photographs_are_enlarged_twice_at_most(tmp_path: Path, known: bool) -> None:
    """Of sizes that the annotation does not tell, headers are read."""
    small = images(tmp_path / "small", 64, 80, known)
    large = images(tmp_path / "large", 500, 375, known)
    assert label_size(small, [PUBLIC], 224) == (128, 128) and label_size(large, [PUBLIC], 224) == (224, 224)
    assert label_size(images(tmp_path / "tiny", 9, 9, known), [PUBLIC], 224) == (64, 64)


def test_weights_say_what_they_were_trained_at(tmp_path: Path) -> None:
    large = images(tmp_path / "large", 500, 375, True)
    assert [trained_side(spec) for spec in (RANDOM, PUBLIC, SMALL)] == [0, 0, 64]
    assert label_size(large, [SMALL, RANDOM], 224) == (64, 64)
    assert label_size(large, [SMALL, PUBLIC], 224) == label_size(large, [RANDOM], 224) == (224, 224)


def test_a_size_asked_for_is_taken_and_a_crop_of_boxes_refused(tmp_path: Path) -> None:
    large = images(tmp_path / "large", 500, 375, True)
    detect, classify = trained_task("detect"), trained_task("classify")
    assert AS_USUAL.of(classify, large, [PUBLIC], 76800) == ((224, 224), "crop")
    assert AS_USUAL.of(detect, large, [PUBLIC], 76800) == ((256, 320), "stretch")
    wanted = Sizing((96, 128), "letterbox")
    assert wanted.of(classify, large, [], 1) == wanted.of(detect, large, [], 1) == ((96, 128), "letterbox")
    with pytest.raises(UsageError, match=r"--resize crop: .*cut boxes.*Choose stretch or letterbox"):
        Sizing(resize="crop").of(detect, large, [PUBLIC], 76800)


def test_words_for_a_size() -> None:
    assert (size_hw(None), size_hw("96"), size_hw("96x128")) == (None, (96, 96), (96, 128))
    for wrong in ("", "31", "96x", "1x2x3", "5000"):
        with pytest.raises(UsageError, match=r"write a side such as 224"):
            size_hw(wrong)
