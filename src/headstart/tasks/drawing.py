"""What a task model found, drawn over a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from headstart.places.images import resize_rgb
from headstart.tasks.trained import TaskModel

COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#000075", "#808000", "#800000")


def network_input(trained: TaskModel, pixels: np.ndarray) -> Tensor:
    """A picture (h, w, 3) as the model takes it, (1, 3, H, W), on the model's device."""
    resized = resize_rgb(pixels, trained.size_hw, trained.resize)
    device = next(trained.model.parameters()).device
    return trained.preprocessing.apply(torch.from_numpy(resized.transpose(2, 0, 1)[None].copy()).to(device))


def draw_boxes(pixels: np.ndarray, records: Sequence[dict[str, Any]]) -> Image.Image:
    """The boxes (`bbox`: x, y, width, height) with their class and score."""
    height = pixels.shape[0]
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(11, height // 32))
    for record in records:
        x, y, w, h = record["bbox"]
        color = COLORS[record["category_id"] % len(COLORS)]
        draw.rectangle((x, y, x + w, y + h), outline=color, width=max(2, height // 240))
        text, above = f"{record['category']} {record['score']:.2f}", max(0, y - height // 28)
        left, top, right, bottom = draw.textbbox((x, above), text, font=font)
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=color)
        draw.text((x, above), text, fill="white", font=font)
    return picture


def blend_classes(pixels: np.ndarray, classes: np.ndarray) -> Image.Image:
    """Classes (h, w), 0 the background, each in its color over the picture."""
    palette = np.array([Image.new("RGB", (1, 1), color).getpixel((0, 0)) for color in COLORS], np.float64)
    blended = pixels.astype(np.float64)
    shown = classes > 0
    blended[shown] = 0.5 * blended[shown] + 0.5 * palette[(classes[shown] - 1) % len(palette)]
    return Image.fromarray(blended.round().astype(np.uint8))


def write_lines(pixels: np.ndarray, lines: Sequence[str]) -> Image.Image:
    """Lines of text in the picture's upper left corner."""
    picture = Image.fromarray(pixels)
    font = ImageFont.load_default(max(11, pixels.shape[0] // 24))
    draw = ImageDraw.Draw(picture)
    draw.rectangle(draw.textbbox((4, 4), "\n".join(lines), font=font), fill="black")
    draw.text((4, 4), "\n".join(lines), fill="white", font=font)
    return picture
