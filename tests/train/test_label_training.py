"""Training by labels: the loss of images with several labels, what it learns, two processes as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from headstart.batches.label_batches import LabelBatches, LabelImages
from headstart.errors import DataError
from headstart.metrics.accuracy import accuracy, multilabel_ap
from headstart.models.backbones.building import build_backbone
from headstart.models.backbones.preprocessing import Preprocessing
from headstart.models.classification import Classifier, present_or_not
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.tasks.classify import TASK
from headstart.train.loop import train
from support.together import run_two
from support.train_labels_two import color_folders, draw, main, recipe

PROGRAM = Path(__file__).parents[1] / "support" / "train_labels_two.py"


def test_worked_by_hand() -> None:
    """At logit 0 each known class costs log 2; at log 3 it has probability 3/4. Two images, three known classes."""
    logits = torch.tensor([[0.0, np.log(3.0), 5.0], [np.log(3.0), 9.0, -9.0]], dtype=torch.float64)
    table = torch.tensor([[1, 0, -1], [1, -1, -1]], dtype=torch.int8)
    want = (np.log(2) + np.log(4) + np.log(4 / 3)) / 2
    assert float(present_or_not(logits, table)) == pytest.approx(want, abs=1e-12)
    with_unknown = torch.cat([table, torch.full((1, 3), -1, dtype=torch.int8)])
    more = torch.cat([logits, torch.ones(1, 3, dtype=torch.float64)])
    assert float(present_or_not(more, with_unknown)) == pytest.approx(want, abs=1e-12), (
        "nobody knows of the third image"
    )
    assert float(present_or_not(more, with_unknown[[2, 2, 2]])) == 0.0


def test_what_is_not_known_gives_no_gradient() -> None:
    logits = torch.randn((4, 5), generator=torch.Generator().manual_seed(0), requires_grad=True)
    table = torch.tensor(np.random.default_rng(0).integers(-1, 2, (4, 5)), dtype=torch.int8)
    present_or_not(logits, table).backward()
    assert logits.grad is not None and torch.equal(logits.grad == 0, table == -1)
    want = (torch.sigmoid(logits.detach()) - (table == 1).float()) * (table >= 0) / 4
    assert torch.allclose(logits.grad, want, atol=1e-7)


def test_classes_begin_as_rare() -> None:
    """Of 80 classes that are absent the loss is 80 * -log(.99) at first, and not 80 * log 2."""
    torch.manual_seed(0)
    model = Classifier(build_backbone("shapes-resnet"), 80, several=True).eval()
    images = torch.randn(2, 3, 32, 32)
    loss = model.losses(images, torch.zeros((2, 80), dtype=torch.int8))["classes"]
    assert float(loss.detach()) == pytest.approx(80 * -np.log(0.99), rel=0.2)
    present = model.classify(images).exp()
    assert torch.allclose(present, torch.full_like(present, 0.01), atol=5e-3)
    one = Classifier(build_backbone("shapes-resnet"), 5).eval()
    assert torch.allclose(one.classify(images).exp().sum(1), torch.ones(2)), "of one label, they are shares"


def learned(table, several: bool, tmp_path: Path, least_area: float) -> tuple[dict[str, float], nn.Module, LabelImages]:
    settings = recipe(updates=60, batch_size=8, lr=4e-3)
    torch.manual_seed(0)
    batches = LabelBatches(table, range(len(table)), 32, 8, seed=0, flip=True, least_area=least_area)
    assert batches.source.several == several
    model = TASK.build(build_backbone("shapes-resnet"), settings, 3, (32, 32), several=several)
    curve = train(model, TASK.losses, batches, Preprocessing(), recipe=settings, state_dir=tmp_path, progress=silent)
    assert curve.total[-5:].mean() < 0.5 * curve.total[:5].mean()
    images = LabelImages(batches.source, range(len(table)), 32, "stretch")
    predictions = TASK.predict(model, Preprocessing(), images, silent)
    weights = np.random.default_rng(0).multinomial(len(table), np.full(len(table), 1 / len(table)), 3)
    metrics, replicates = TASK.score([predictions], [images], weights, "")
    assert all(values.shape == (3,) for values in replicates.values())
    plain, nothing = TASK.score([predictions], [images], None, "")
    assert plain == metrics and nothing == {}
    scores = predictions["log_probabilities"]
    if several:
        assert metrics == {"cls/map": multilabel_ap(scores, images.label_table).map}
    else:
        assert metrics["cls/top1"] == accuracy(images.image_labels, scores.argmax(1), 3).top1
    return metrics, model, images


def test_it_learns_the_color(tmp_path: Path) -> None:
    table = open_dataset(color_folders(tmp_path / "data"))
    metrics, _, images = learned(table, False, tmp_path, 0.08)
    assert metrics["cls/top1"] == 1.0 and images.label_table is None


@pytest.mark.parametrize("verified", [False, True])
def test_it_learns_which_colors_are_shown(tmp_path: Path, verified: bool) -> None:
    table = open_dataset(draw(tmp_path / "data", verified=verified))
    metrics, _, images = learned(table, True, tmp_path, 1.0)
    assert metrics["cls/map"] > 0.95
    assert images.label_table is not None and (images.label_table == -1).any() == verified
    assert len(images) == len(table) - images.left_out and images.left_out == 0


def test_images_of_which_nothing_is_known_are_not_evaluated(tmp_path: Path) -> None:
    """Images 8 and 16 show nothing, and nobody says so any more."""
    data = draw(tmp_path, verified=True)
    text = (data / "annotations/lvis_v1_train.json").read_text()
    (data / "annotations/lvis_v1_train.json").write_text(
        text.replace('"neg_category_ids": [1]', '"neg_category_ids": []')
    )
    table = open_dataset(data)
    empty = [i for i, name in enumerate(table.image_ids) if name in ("8", "16")]
    with pytest.raises(DataError, match=r"train2017/(8|16)\.png: nothing is known of what image '(8|16)' shows"):
        LabelBatches(table, range(len(table)), 32, 8, seed=0, flip=True)
    rows = [i for i in range(len(table)) if i not in empty]
    source = LabelBatches(table, rows, 32, 8, seed=0, flip=True).source
    images = LabelImages(source, range(len(table)), 32)
    assert images.left_out == 2 and images.rows.tolist() == rows


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(tmp_path: Path) -> None:
    data = draw(tmp_path / "data", verified=True)
    threads = torch.get_num_threads()
    try:
        main(data, tmp_path / "one")
    finally:
        torch.set_num_threads(threads)
    run_two(PROGRAM, data, tmp_path / "two")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and all(v.dtype == torch.float64 for v in one.values())
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 1e-10
