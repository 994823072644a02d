"""Use a task model on images: what it finds, as JSON and drawn over the pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from headstart.errors import DataError
from headstart.models.detection.multi_scale import detect_scales
from headstart.places.images import read_rgb, resize_rgb
from headstart.tasks.transfer import TaskModel, load_model

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")
COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#000075", "#808000", "#800000")


@dataclass(frozen=True)
class Predicted:
    """Where the results are, how many images, and the images that could not be read with the reason."""

    out: Path
    count: int
    failed: list[tuple[str, str]]


def predict_folder(model: Path, images: Path, out: Path, threshold: float, say: Callable[[str], None]) -> Predicted:
    """Run the model on an image or on all images of a folder.

    `out` gets one PNG an image and `predictions.json`: for detection in COCO's results form with the image's name
    (bbox as x y width height in pixels of the image), else one record an image.
    threshold: smallest score that is drawn and written.
    """
    paths = image_files(images)
    trained = load_model(model)
    out.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    failed = []
    for number, path in enumerate(paths, 1):
        try:
            picture, found = PREDICT[trained.task](trained, read_rgb(path), threshold)
        except DataError as fault:
            failed.append((path.name, str(fault)))
            continue
        records += [{"image": path.name, **record} for record in found]
        picture.save(out / f"{path.stem}.png")
        say(f"{number}/{len(paths)} {path.name}: {len(found)} found")
    (out / "predictions.json").write_text(json.dumps(records, indent=1))
    return Predicted(out, len(paths) - len(failed), failed)


def image_files(images: Path) -> list[Path]:
    """The image itself, or the images directly in a folder, by name. Raises DataError when there is none."""
    if images.is_file():
        return [images]
    found = sorted(p for p in images.glob("*") if p.suffix.lower() in SUFFIXES) if images.is_dir() else []
    if not found:
        what = "no such file or folder" if not images.exists() else "a folder without images"
        raise DataError(f"{images}: {what}. Give an image, or a folder with files ending in {', '.join(SUFFIXES)}.")
    return found


@torch.no_grad()
def detect(trained: TaskModel, pixels: np.ndarray, threshold: float) -> tuple[Image.Image, list[dict[str, Any]]]:
    """Boxes over the picture."""
    height, width = pixels.shape[:2]
    if trained.scales:
        found = detect_scales(trained.model, _whole(trained, pixels), trained.scales)[0]
        scale = np.ones(4)
    else:
        found = trained.model.detect(_input(trained, pixels))[0]  # type: ignore[operator]
        scale = np.array([width / trained.size_hw[1], height / trained.size_hw[0]] * 2)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(11, height // 32))
    records = []
    for box, score, label in zip(
        found.boxes_xyxy.cpu().numpy(), found.scores.tolist(), found.labels.tolist(), strict=True
    ):
        if score < threshold:
            continue
        x1, y1, x2, y2 = (float(v) for v in box * scale)
        records.append(
            {
                "category": trained.classes[label],
                "category_id": label,
                "score": score,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
            }
        )
        color = COLORS[label % len(COLORS)]
        draw.rectangle((x1, y1, x2, y2), outline=color, width=max(2, height // 240))
        text = f"{trained.classes[label]} {score:.2f}"
        left, top, right, bottom = draw.textbbox((x1, max(0, y1 - height // 28)), text, font=font)
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=color)
        draw.text((x1, max(0, y1 - height // 28)), text, fill="white", font=font)
    return picture, records


@torch.no_grad()
def segment(trained: TaskModel, pixels: np.ndarray, threshold: float) -> tuple[Image.Image, list[dict[str, Any]]]:
    """Classes blended over the picture; the record gives each class's share of the image."""
    height, width = pixels.shape[:2]
    classes = trained.model.segment(_input(trained, pixels), (height, width))[0].cpu().numpy()  # type: ignore[operator]
    palette = np.array([Image.new("RGB", (1, 1), c).getpixel((0, 0)) for c in COLORS], np.float64)
    blended = pixels.astype(np.float64)
    shown = classes > 0
    blended[shown] = 0.5 * blended[shown] + 0.5 * palette[(classes[shown] - 1) % len(palette)]
    share = {name: float((classes == k).mean()) for k, name in enumerate(trained.classes)}
    return Image.fromarray(blended.round().astype(np.uint8)), [{"share": {n: v for n, v in share.items() if v > 0}}]


@torch.no_grad()
def classify(trained: TaskModel, pixels: np.ndarray, threshold: float) -> tuple[Image.Image, list[dict[str, Any]]]:
    """The most probable class, written on the picture; where images may show several, all from the threshold on."""
    probability = trained.model.classify(_input(trained, pixels))[0].exp().cpu()  # type: ignore[operator]
    order = probability.argsort(descending=True).tolist()
    shown = [k for k in order if float(probability[k]) >= threshold] if trained.several else order[:1]
    picture = Image.fromarray(pixels)
    font = ImageFont.load_default(max(11, pixels.shape[0] // 24))
    text = "\n".join(f"{trained.classes[k]} {float(probability[k]):.2f}" for k in shown) or "nothing"
    draw = ImageDraw.Draw(picture)
    draw.rectangle(draw.textbbox((4, 4), text, font=font), fill="black")
    draw.text((4, 4), text, fill="white", font=font)
    return picture, [{"category": trained.classes[k], "category_id": k, "score": float(probability[k])} for k in shown]


PREDICT = {"detect": detect, "segment": segment, "classify": classify}


def _input(trained: TaskModel, pixels: np.ndarray) -> torch.Tensor:
    return _whole(trained, resize_rgb(pixels, trained.size_hw, trained.resize))  # type: ignore[arg-type]


def _whole(trained: TaskModel, pixels: np.ndarray) -> torch.Tensor:
    device = next(trained.model.parameters()).device
    tensor = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    return trained.preprocessing.apply(tensor.to(device))
