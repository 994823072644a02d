"""SNIPER's claim in small: training on chips is as good as on the full pyramid, at a fraction of its pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headstart import api
from headstart.batches.chips.batches import ChipBatches
from headstart.batches.chips.epochs import ChipLayout
from headstart.batches.chips.scales import scales_of
from headstart.progress import silent
from headstart.readers.formats import open_dataset
from headstart.recipes.pretraining import PretrainingOptions, load_recipe
from headstart.world.shapes import write_coco

TRAIN, VALIDATION, EPOCHS = 400, 300, 4
MEASURES = ("det/voc-area/map@0.5", "det/voc-area/map@0.7")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images of 192 pixels in COCO's layout: 400 to train on, 300 others to evaluate on."""
    out = tmp_path_factory.mktemp("drawn")
    (out / "annotations").mkdir()
    for name, first, count in (("train2017", 0, TRAIN), ("val2017", 5000, VALIDATION)):
        write_coco("base", count, first, 192, out=out / name, progress=silent)
        (out / name / "annotations" / "instances.json").replace(out / "annotations" / f"instances_{name}.json")
        for image in (out / name / "images").iterdir():
            image.replace(out / name / image.name)
        (out / name / "images").rmdir()
    return out


def pixels_an_epoch(drawn: Path, layout: str) -> float:
    """Pixels that the network is given in an epoch, padding included."""
    recipe = load_recipe("shapes-chips")
    table = open_dataset(drawn)
    scales = scales_of(recipe.sampling.scales)
    batches = ChipBatches(
        table.select(table.rows_of("train")),
        ChipLayout(layout, scales, recipe.sampling.size),
        32,
        0,
        flip=True,
        window=256,  # type: ignore[arg-type]
    )
    order = batches._order(0).chips
    return float(sum(np.prod(batches._canvas(batches.epochs.of(0), row)) * len(row) for row in order))


@pytest.mark.nightly
def test_chips_are_as_good_as_the_full_pyramid_at_less_than_45_percent_of_its_pixels(
    drawn: Path, tmp_path: Path
) -> None:
    share = pixels_an_epoch(drawn, "chips") / pixels_an_epoch(drawn, "pyramid")
    found: dict[str, list[dict]] = {"chips": [], "pyramid": []}
    for seed in range(3):
        for layout in found:
            changes = [f"sampling.layout={layout}", f"epochs={EPOCHS}", f"checkpoint_epochs={EPOCHS}"]
            options = PretrainingOptions(out=tmp_path / f"{layout}-{seed}", seed=seed, loaders=0, threads=1)
            done = api.pretrain(drawn, "shapes-chips", options, changes=changes)
            found[layout].append({n: done.metrics[f"last/{n}"] for n in (*MEASURES, "update")})
            print(json.dumps({"seed": seed, "layout": layout, **found[layout][-1]}), flush=True)
    print(f"pixels of chips / of the pyramid: {share:.3f}")
    for name in MEASURES:
        chips, pyramid = (np.array([f[name] for f in found[layout]]) for layout in ("chips", "pyramid"))
        print(
            f"{name}: chips {chips.mean():.3f}, pyramid {pyramid.mean():.3f}, difference {(chips - pyramid).round(3)}"
        )
    chips, pyramid = (np.mean([f[MEASURES[0]] for f in found[layout]]) for layout in ("chips", "pyramid"))
    assert share < 0.45
    assert chips > pyramid - 0.02
