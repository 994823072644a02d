"""Images inside a page: data URIs, heat maps laid over photographs, outlines of boxes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

STOPS = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
"""Colors of a heat map from low to high, evenly spaced ("inferno" of Smith and van der Walt, CC0)."""


def data_uri(image: NDArray[np.uint8], max_side: int = 192, lossless: bool = False) -> str:
    """A (h, w, 3) RGB or (h, w) gray image as a data URI, made smaller where its longer side exceeds `max_side`.

    lossless: PNG. Otherwise PNG or JPEG (quality 88), whichever is smaller: noise makes PNG several times larger.
    """
    picture = Image.fromarray(np.ascontiguousarray(image, dtype=np.uint8))
    longer = max(picture.size)
    if longer > max_side:
        size = (max(1, round(picture.width * max_side / longer)), max(1, round(picture.height * max_side / longer)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    files = {"png": _encoded(picture, "PNG", optimize=True)}
    if not lossless:
        files["jpeg"] = _encoded(picture, "JPEG", quality=88, subsampling=0, optimize=True)
    kind = min(files, key=lambda k: len(files[k]))
    return f"data:image/{kind};base64,{base64.b64encode(files[kind]).decode('ascii')}"


def _encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def colored(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Values in [0, 1] of any shape to RGB in [0, 255], shape (..., 3)."""
    at = np.clip(values, 0.0, 1.0) * (len(STOPS) - 1)
    stops = np.asarray(STOPS, dtype=np.float32)
    return np.stack([np.interp(at, np.arange(len(STOPS)), stops[:, c]) for c in range(3)], -1).astype(np.float32)


def heat_overlay(image: NDArray[np.uint8], values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A heat map over a gray version of its image.

    image (h, w, 3) uint8; values (gh, gw), any range: brought to [0, 1] by the map's own lowest and highest finite
    value and enlarged bilinearly to (h, w). A map without a finite value leaves the gray image. Returns (h, w, 3).
    """
    gray = np.asarray(Image.fromarray(image).convert("L"), dtype=np.float32)[..., None]
    present = np.isfinite(values)
    if not present.any():
        return np.repeat(gray, 3, axis=-1).astype(np.uint8)
    lo, hi = float(values[present].min()), float(values[present].max())
    unit = np.where(present, (values - lo) / (hi - lo if hi > lo else 1.0), 0.0).astype(np.float32)
    size = (image.shape[1], image.shape[0])
    level = np.asarray(Image.fromarray(unit).resize(size, Image.Resampling.BILINEAR))
    opacity = (0.45 + 0.35 * level)[..., None]
    return np.clip((1 - opacity) * gray + opacity * colored(level), 0, 255).astype(np.uint8)


def heat_key(low: str, high: str) -> Markup:
    """The color key of heat maps: a bar with a word at either end."""
    stops = ", ".join(f"rgb({r} {g} {b})" for r, g, b in STOPS)
    return Markup(
        '<p class="key heat-key">{} <span class="heat-bar" style="background: linear-gradient(90deg, {})" '
        'role="img" aria-label="color scale"></span> {}</p>'
    ).format(low, stops, high)


def picture(image: NDArray[np.uint8], alt: str, max_side: int = 192) -> Markup:
    """An `img` element with its size and its text alternative."""
    height, width = image.shape[:2]
    return Markup('<img src="{}" width="{}" height="{}" alt="{}">').format(
        data_uri(image, max_side), width, height, alt
    )


def outlined(image: NDArray[np.uint8], boxes_xyxy: Sequence[Sequence[float]], alt: str, max_side: int = 256) -> Markup:
    """An SVG of the image with boxes drawn around what they hold (xyxy, pixels of the image, continuous edges)."""
    height, width = image.shape[:2]
    stroke = max(width, height) / 80
    box = Markup('<rect class="{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}" stroke-width="{:.2f}"/>')
    drawn = [
        box.format(kind, x1, y1, max(x2 - x1, 0), max(y2 - y1, 0), times * stroke)
        for x1, y1, x2, y2 in boxes_xyxy
        for kind, times in (("box-edge", 2.2), ("box", 1.0))
    ]
    return Markup(
        '<svg class="photo" viewBox="0 0 {:g} {:g}" role="img"><title>{}</title>'
        '<image href="{}" width="{:g}" height="{:g}" preserveAspectRatio="none"/>{}</svg>'
    ).format(width, height, alt, data_uri(image, max_side), width, height, Markup("").join(drawn))
