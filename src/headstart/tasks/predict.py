"""Use a task model on images: what it finds, as JSON and drawn over the pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from headstart.errors import DataError, StoreError
from headstart.places.images import read_rgb
from headstart.store.files import replacing, write_text
from headstart.store.sealing import DIGESTS, damage
from headstart.tasks.table import trained_task
from headstart.tasks.transfer import load_model
from headstart.train.distributed import choose_device

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


@dataclass(frozen=True)
class Predicted:
    """Where the results are, how many images, and the images that could not be read with the reason."""

    out: Path
    count: int
    failed: list[tuple[str, str]]

    @property
    def lines(self) -> list[str]:
        """The same in a sentence."""
        images = "1 image" if self.count == 1 else f"{self.count} images"
        return [f"{images}: pictures and predictions.json are in {self.out}"]

    def text(self) -> str:
        """As `headstart predict` prints it."""
        return "\n".join(self.lines)


def predict_folder(model: Path, images: Path, out: Path, threshold: float, *, say: Callable[[str], None]) -> Predicted:
    """Run the model on an image or on all images of a folder.

    `out` gets one PNG an image and `predictions.json`: for detection in COCO's results form with the image's name
    (bbox as x y width height in pixels of the image), else one record an image.
    threshold: smallest score that is drawn and written. Runs on the first GPU, where there is one.
    """
    paths = image_files(images)
    if (model / DIGESTS).exists() and (fault := damage(model)):
        raise StoreError(f"{model} is damaged ({fault}). Run its study again: it makes the model again.")
    trained = load_model(model, choose_device("auto"))
    out.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    failed = []
    for number, path in enumerate(paths, 1):
        try:
            with torch.no_grad():
                picture, of_image = trained_task(trained.task).show(trained, read_rgb(path), threshold)
        except DataError as fault:
            failed.append((path.name, str(fault)))
            continue
        records += [{"image": path.name, **record} for record in of_image]
        with replacing(out / f"{path.stem}.png", durable=False) as part:
            picture.save(part, "PNG")
        found = f": {len(of_image)} found" if trained_task(trained.task).target == "detect" else ""
        say(f"{number}/{len(paths)} {path.name}{found}")
    write_text(out / "predictions.json", json.dumps(records, indent=1))
    return Predicted(out, len(paths) - len(failed), failed)


def image_files(images: Path) -> list[Path]:
    """The image itself, or the images directly in a folder, by name. Raises DataError when there is none."""
    if images.is_file():
        return [images]
    files = sorted(p for p in images.glob("*") if p.suffix.lower() in SUFFIXES) if images.is_dir() else []
    if not files:
        what = "no such file or folder" if not images.exists() else "a folder without images"
        raise DataError(f"{images}: {what}. Give an image, or a folder with files ending in {', '.join(SUFFIXES)}.")
    return files
