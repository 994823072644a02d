"""Two processes over gloo train what one trains; batches made by other processes are the same batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headstart.batches.image_batches import Batches
from headstart.batches.image_sets import ImageSet
from headstart.errors import UsageError
from headstart.progress import silent
from headstart.train import devices
from headstart.train.distributed import ALONE, World, choose_device
from headstart.train.loaders import fetched
from headstart.world.shapes import draw_set
from support.together import run_two
from support.train_two import main

PROGRAM = Path(__file__).parents[1] / "support" / "train_two.py"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawn")
    draw_set("base", 32, 0, 64, out=out, progress=silent)
    return out


USUAL, LONG = ("detect", "classify", "faster-rcnn"), ("dcn",)


@pytest.fixture(scope="module")
def trained(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder with what one process and two have trained; several kinds share the pair, whose start takes seconds."""

    @cache
    def of(kinds: tuple[str, ...]) -> Path:
        out, threads = tmp_path_factory.mktemp("trained"), torch.get_num_threads()
        try:
            main(drawn, out / "one", *kinds)
        finally:
            torch.set_num_threads(threads)
        run_two(PROGRAM, drawn, out / "two", *kinds)
        return out

    return lambda kind: of(USUAL if kind in USUAL else LONG)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*USUAL, *LONG])
def test_two_processes_give_the_weights_of_one(trained: Callable[[str], Path], kind: str) -> None:
    one, two = (load_file(trained(kind) / name / kind / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and all(v.dtype == torch.float64 for v in one.values())
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 1e-10
    assert not any(".running_mean" in name for name in one)


def test_batches_are_the_same_whoever_makes_them(drawn: Path) -> None:
    batches = Batches(ImageSet.open(drawn), 4, 0, True, quarter_turns=True)
    here, there = (list(fetched(batches, 3, 9, ALONE, workers=workers)) for workers in (0, 2))
    assert [step for step, _ in here] == [step for step, _ in there] == [3, 4, 5, 6, 7, 8]
    assert all(
        torch.equal(a.images, b.images) and a.image_ids == b.image_ids
        for (_, a), (_, b) in zip(here, there, strict=True)
    )
    halves = [next(fetched(batches, 5, 6, World(rank, 2), workers=0))[1] for rank in (0, 1)]
    assert [*halves[0].image_ids, *halves[1].image_ids] == here[2][1].image_ids
    assert np.array_equal(torch.cat([h.images for h in halves]), here[2][1].images)


def test_what_cannot_be_shared_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"a batch of 6 images cannot be shared equally by 4 processes\. Choose a batch"
    ):
        World(0, 4).slice_of(6)
    assert [i for rank in range(3) for i in World(rank, 3).share_of(7)] == [0, 3, 6, 1, 4, 2, 5]


def test_each_process_takes_a_gpu_of_its_own(monkeypatch) -> None:
    monkeypatch.setattr(devices, "gpus_there", lambda: {"cuda": 3})
    assert [str(choose_device("auto", rank)) for rank in range(3)] == ["cuda:0", "cuda:1", "cuda:2"]
    assert str(choose_device("cuda:2,0", 1)) == "cuda:0"
    assert choose_device("cpu", 5).type == "cpu"
    with pytest.raises(UsageError, match="this is process 2 on this machine, counted from 0, but there are 2 GPUs"):
        choose_device("cuda:0,1", 2)
    monkeypatch.setattr(devices, "gpus_there", dict)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(UsageError, match="There is only the CPU here"):
        choose_device("cuda")
