"""Drawn scenes with the statistics of photographs: what batch norms remember of a training is compared on them.

Opaque things of all sizes lie over one another (dead leaves: Lee, Mumford & Huang 2001), which gives edges, flat parts
and the spectrum of photographs; each has a color of its own, a texture whose amplitude falls with frequency, and light
from one side. Colors have the mean and the covariance of ImageNet's pixels. Nothing is copied: all is drawn from
numbers.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from headstart.weights.photographs import MEAN_RGB, color_axes

THINGS = 90
"""Things in a scene."""
DARKER = 0.03
"""How far photographs of a narrow crop are below the mean of all pixels."""
SMALLEST, LARGEST = 0.02, 0.7
"""Radii as parts of the side."""


class _Stream:
    """Uniform numbers from raw 64-bit words, the one stream that NumPy promises never to change."""

    def __init__(self, seed: int) -> None:
        self.words = np.random.PCG64(seed)

    def uniform(self, *shape: int) -> np.ndarray:
        raw = self.words.random_raw(int(np.prod(shape)) or 1).reshape(shape)
        return np.asarray((raw >> np.uint64(11)) * 2.0**-53)

    def normal(self, *shape: int) -> np.ndarray:
        """Nearly normal: the sum of twelve uniform numbers."""
        return np.asarray(self.uniform(12, *shape).sum(axis=0) - 6)


def _textures(stream: _Stream, count: int, side: int, slope: float) -> np.ndarray:
    """(count, side, side): fields of unit variance whose amplitude falls as frequency ** -slope."""
    noise = stream.uniform(count, side, side) - 0.5
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1.0
    amplitude = frequency**-slope
    amplitude[0, 0] = 0.0
    fields = np.fft.irfft2(np.fft.rfft2(noise) * amplitude, s=(side, side))
    return np.asarray(fields / fields.std(axis=(1, 2), keepdims=True))


@cache
def scenes(count: int, side: int) -> np.ndarray:
    """(count, side, side, 3) uint8, RGB, read-only; the same on every machine but for rounding."""
    stream, axes = _Stream(20260202), color_axes()
    images = np.stack([_scene(stream, side, axes) for _ in range(count)])
    images.setflags(write=False)
    return images


def _scene(stream: _Stream, side: int, axes: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    values = np.zeros((side, side, 3))
    textures = _textures(stream, 6, side, 0.9)
    brightness = 0.35 * stream.normal(1)[0]
    contrast = 0.35 + 0.5 * stream.uniform(1)[0]
    for k in range(THINGS):
        cy, cx, size, turn, stretch, kind, light = stream.uniform(7)
        radius = LARGEST if k == 0 else (SMALLEST**-1 + size * (LARGEST**-1 - SMALLEST**-1)) ** -1
        inside = _shape(y - cy, x - cx, radius, turn, stretch=stretch, kind=kind) if k else np.ones((side, side), bool)
        color = contrast * stream.normal(3) * (1.0, 1.4, 1.4) + (brightness, 0, 0)
        rough = 0.04 + 0.3 * stream.uniform(1)[0]
        texture = rough * textures[k % len(textures)]
        angle = 2 * np.pi * light
        shade = 0.3 * ((y - cy) * np.sin(angle) + (x - cx) * np.cos(angle)) / max(radius, 0.1)
        gray = color[0] + texture + shade
        paint = np.stack([gray, np.full_like(gray, color[1]), np.full_like(gray, color[2])], axis=-1)
        values[inside] = paint[inside]
    rgb = np.array(MEAN_RGB) - DARKER + _softened(values) @ axes.T
    return np.clip(np.rint(255 * rgb), 0, 255).astype(np.uint8)


def _softened(values: np.ndarray) -> np.ndarray:
    """Each pixel with its neighbors, as a lens and demosaicing mix them."""
    for axis in (0, 1):
        values = 0.5 * values + 0.25 * (np.roll(values, 1, axis) + np.roll(values, -1, axis))
    return values


def _shape(y: np.ndarray, x: np.ndarray, radius: float, turn: float, *, stretch: float, kind: float) -> np.ndarray:
    """Where an ellipse, a rectangle or a triangle is."""
    angle, ratio = np.pi * turn, 0.25 + 0.75 * stretch
    u = (x * np.cos(angle) + y * np.sin(angle)) / radius
    v = (y * np.cos(angle) - x * np.sin(angle)) / (radius * ratio)
    if kind < 0.5:
        return np.asarray(u**2 + v**2 < 1)
    if kind < 0.85:
        return np.asarray((np.abs(u) < 0.9) & (np.abs(v) < 0.9))
    return np.asarray((v < 1) & (v + 1.7 * np.abs(u) > -0.6) & (np.abs(u) + v < 1))
