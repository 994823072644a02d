"""Pre-training in half precision, with averaged weights, and compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headstart import api
from support.pretrain_tiny import CHANGES, options


@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp16", marks=pytest.mark.slow)])
def test_half_precision_and_averaged_weights_with_small_objects_pasted(
    data: Path, tmp_path: Path, precision: str
) -> None:
    changes = [*CHANGES, f"training.precision={precision}", "training.average=0.9", "sampling.small={repeats=2}"]
    done = api.pretrain(data, "shapes-chips", options(tmp_path), changes=changes)
    assert done.metrics["train/loss_last"] < 0.8 * done.metrics["train/loss_first"]
    assert all(v.dtype != torch.float16 for v in load_file(done.weights).values())


def test_looking_at_averaged_weights_changes_no_training(data: Path, tmp_path: Path) -> None:
    found = []
    for epochs in (1, 2):
        changes = ["epochs=2", "training.batch_size=4", "training.average=0.9", f"checkpoint_epochs={epochs}"]
        done = api.pretrain(data, "shapes-chips", options(tmp_path / str(epochs)), changes=changes)
        found.append(load_file(done.weights))
    assert all(torch.equal(found[0][k], found[1][k]) for k in found[0])


@pytest.mark.slow
def test_a_compiled_backbone_trains_as_the_plain_one(data: Path, tmp_path: Path) -> None:
    losses = []
    for compiled in ("false", "true"):
        out = tmp_path / compiled
        changes = ["epochs=1", "training.batch_size=4", f"training.compile={compiled}"]
        done = api.pretrain(data, "shapes-chips", options(out, val=""), changes=changes)
        with np.load(done.folder / "curve.npz") as curve:
            losses.append(curve["loss"])
    # Sums are taken in another order, and every update doubles the difference or more.
    assert np.allclose(losses[0][:3], losses[1][:3], rtol=1e-3) and np.allclose(losses[0], losses[1], rtol=0.05)
