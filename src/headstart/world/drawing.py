"""Pixel kernels of the drawn world (`shapes.py`): outlines, occlusion, painting.

Only + - * / and square roots touch pixels, in float64 and in a fixed order, without fast-math: every machine gets the
same bytes. Coordinates are pixels with continuous edges: pixel (x, y) covers [x, x+1) x [y, y+1), its center is +0.5.

A body is a float64 vector `shape`, the names of its places below: center, half-axes, rotation (cosine and sine),
squareness (0 ellipse, 1 superellipse of order 4), lobes (number, depth, phase), then the part: center, radius, tilt.
What it looks like is a float64 vector `look`. Colors are RGB in 0..255.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

CX, CY, HX, HY, COS, SIN, SQUARE, LOBES, DEPTH, PHASE_COS, PHASE_SIN = range(11)
PART_X, PART_Y, RADIUS, TILT_COS, TILT_SIN = range(11, 16)
# Places in `look`: two colors of the body, texture and its period (pixels), shading along both axes, what the rim is
# multiplied with and its width (fraction of the radius), colors of the disc and of its glyph.
FIRST, SECOND, TEXTURE, PERIOD, SHADE_X, SHADE_Y, RIM, RIM_WIDTH, DISC, GLYPH = 0, 3, 6, 7, 8, 9, 10, 11, 12, 15
TEXTURES = ("plain", "stripes", "checks", "dots", "rings", "quarters")
GLYPH_SPAN = 1.5
"""Side of the 5 x 5 glyph in radii of its disc; the disc cuts the outermost corners."""
OCTAVES = (3, 6, 12, 24)
"""Cells a side of the four lattices of background noise; color uses the first two."""
LATTICE_VALUES = sum((cells + 1) ** 2 for cells in OCTAVES) + 3 * sum((cells + 1) ** 2 for cells in OCTAVES[:2])


@njit(cache=True)
def _body(shape: NDArray[np.float64], x: float, y: float) -> tuple[float, float, float]:
    """Squared relative radius (inside: <= 1) of a point, and its coordinates in half-axes of the body."""
    dx, dy = x - shape[CX], y - shape[CY]
    u = (shape[COS] * dx + shape[SIN] * dy) / shape[HX]
    v = (shape[COS] * dy - shape[SIN] * dx) / shape[HY]
    uu, vv = u * u, v * v
    around = uu + vv
    if around > 1.5 or around < 1e-12:
        return around, u, v
    square = shape[SQUARE]
    value = (1.0 - square) * around + square * math.sqrt(uu * uu + vv * vv)
    lobes = int(shape[LOBES])
    if lobes > 0:
        # cos and sin of `lobes` times the angle, by multiplying complex numbers of length one
        length = math.sqrt(around)
        a, b = u / length, v / length
        re, im = a, b
        for _ in range(lobes - 1):
            re, im = re * a - im * b, re * b + im * a
        depth = shape[DEPTH]
        bound = (1.0 + depth * (re * shape[PHASE_COS] - im * shape[PHASE_SIN])) / (1.0 + depth)
        value = value / (bound * bound)
    return value, u, v


@njit(cache=True)
def _in_disc(shape: NDArray[np.float64], x: float, y: float) -> bool:
    dx, dy = x - shape[PART_X], y - shape[PART_Y]
    return dx * dx + dy * dy <= shape[RADIUS] * shape[RADIUS]


@njit(cache=True)
def _window(shape: NDArray[np.float64], size: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the pixels that a body can touch, inside the image."""
    half_x = shape[HX] * abs(shape[COS]) + shape[HY] * abs(shape[SIN])
    half_y = shape[HX] * abs(shape[SIN]) + shape[HY] * abs(shape[COS])
    x0, x1 = math.floor(shape[CX] - half_x), math.floor(shape[CX] + half_x) + 1
    y0, y1 = math.floor(shape[CY] - half_y), math.floor(shape[CY] + half_y) + 1
    return max(x0, 0), max(y0, 0), min(x1, size), min(y1, size)


@njit(cache=True)
def place(
    shape: NDArray[np.float64],
    number: int,
    over: bool,
    instances: NDArray[np.uint8],
    parts: NDArray[np.uint8],
    areas: NDArray[np.int64],
) -> bool:
    """Put body `number` (1..) over or under all others, unless it or another would be half hidden by that.

    instances, parts (h, w): who is visible, 0 none; changed in place when the answer is True.
    areas (k, 4): pixels of body and part, whole (columns 0, 1) and visible (2, 3), row = number; changed likewise.
    """
    x0, y0, x1, y1 = _window(shape, instances.shape[0])
    if x1 <= x0 or y1 <= y0:
        return False
    codes = np.zeros((y1 - y0, x1 - x0), np.uint8)
    trial = areas.copy()
    trial[number] = 0
    for y in range(y0, y1):
        for x in range(x0, x1):
            if _body(shape, x + 0.5, y + 0.5)[0] > 1.0:
                continue
            code = 2 if _in_disc(shape, x + 0.5, y + 0.5) else 1
            codes[y - y0, x - x0] = code
            trial[number, 0] += 1
            trial[number, 1] += code - 1
            other = instances[y, x]
            if over or other == 0:
                trial[number, 2] += 1
                trial[number, 3] += code - 1
                if other > 0:
                    trial[other, 2] -= 1
                if parts[y, x] > 0:
                    trial[other, 3] -= 1
    for row in range(1, number + 1):
        if 2 * trial[row, 2] < trial[row, 0] or 2 * trial[row, 3] < trial[row, 1]:
            return False
    if trial[number, 2] == 0:
        return False
    areas[:] = trial
    for y in range(y0, y1):
        for x in range(x0, x1):
            code = codes[y - y0, x - x0]
            if code > 0 and (over or instances[y, x] == 0):
                instances[y, x] = number
                parts[y, x] = number if code == 2 else 0
    return True


@njit(cache=True)
def extents(instances: NDArray[np.uint8], count: int) -> NDArray[np.float32]:
    """(count, 4) xyxy: the tightest box around the visible pixels of each body; none of them is invisible."""
    size_h, size_w = instances.shape
    boxes = np.zeros((count, 4), np.float32)
    boxes[:, 0], boxes[:, 1] = size_w, size_h
    for y in range(size_h):
        for x in range(size_w):
            k = int(instances[y, x]) - 1
            if k >= 0:
                boxes[k, 0] = min(boxes[k, 0], np.float32(x))
                boxes[k, 1] = min(boxes[k, 1], np.float32(y))
                boxes[k, 2] = max(boxes[k, 2], np.float32(x + 1))
                boxes[k, 3] = max(boxes[k, 3], np.float32(y + 1))
    return boxes


@njit(cache=True)
def _add_octave(plane: NDArray[np.float64], lattice: NDArray[np.float64], cells: int, amplitude: float) -> None:
    """Add a bilinearly enlarged lattice of (cells + 1)^2 values in [0, 1), centered on 0, to a plane (h, w)."""
    size_h, size_w = plane.shape
    row = np.empty(cells + 1)
    for y in range(size_h):
        place_y = (y + 0.5) * cells / size_h
        j = int(place_y)
        part = place_y - j
        for i in range(cells + 1):
            upper, lower = lattice[j * (cells + 1) + i], lattice[(j + 1) * (cells + 1) + i]
            row[i] = (upper + (lower - upper) * part - 0.5) * amplitude
        for x in range(size_w):
            place_x = (x + 0.5) * cells / size_w
            i = int(place_x)
            plane[y, x] += row[i] + (row[i + 1] - row[i]) * (place_x - i)


@njit(cache=True)
def background(
    size: int,
    values: NDArray[np.float64],
    color: NDArray[np.float64],
    amplitudes: NDArray[np.float64],
    chroma: float,
) -> NDArray[np.float64]:
    """A canvas (3, size, size) of value noise around a color.

    values (LATTICE_VALUES,) in [0, 1); amplitudes (4,): of each octave, the same in all channels, 0..255;
    chroma: amplitude of the coarsest octave that each channel has of its own.
    """
    gray = np.zeros((size, size))
    start = 0
    for octave in range(4):
        count = (OCTAVES[octave] + 1) ** 2
        _add_octave(gray, values[start : start + count], OCTAVES[octave], amplitudes[octave])
        start += count
    canvas = np.empty((3, size, size))
    for channel in range(3):
        canvas[channel] = gray + color[channel]
        for octave in range(2):
            count = (OCTAVES[octave] + 1) ** 2
            _add_octave(canvas[channel], values[start : start + count], OCTAVES[octave], chroma / (1 + octave))
            start += count
    return canvas


@njit(cache=True)
def stroke(
    canvas: NDArray[np.float64], ends: NDArray[np.float64], half_width: float, color: NDArray[np.float64]
) -> None:
    """Paint a straight stroke with round ends; ends (4,): x, y, x, y. Edges are soft over one pixel."""
    size = canvas.shape[1]
    ax, ay = ends[0], ends[1]
    along_x, along_y = ends[2] - ax, ends[3] - ay
    square = along_x * along_x + along_y * along_y + 1e-9
    reach = half_width + 1.0
    x0, x1 = max(int(min(ax, ends[2]) - reach), 0), min(int(max(ax, ends[2]) + reach) + 1, size)
    y0, y1 = max(int(min(ay, ends[3]) - reach), 0), min(int(max(ay, ends[3]) + reach) + 1, size)
    for y in range(y0, y1):
        for x in range(x0, x1):
            dx, dy = x + 0.5 - ax, y + 0.5 - ay
            where = min(max((dx * along_x + dy * along_y) / square, 0.0), 1.0)
            dx -= where * along_x
            dy -= where * along_y
            cover = min(half_width + 0.5 - math.sqrt(dx * dx + dy * dy), 1.0)
            if cover > 0.0:
                for channel in range(3):
                    canvas[channel, y, x] += (color[channel] - canvas[channel, y, x]) * cover


@njit(cache=True)
def _textured(kind: int, value: float, a: float, b: float) -> bool:
    """Whether a point shows the second color. a, b: coordinates along the body's axes in periods."""
    if kind == 1:
        return math.floor(b) % 2 == 0
    if kind == 2:
        return int(math.floor(a) + math.floor(b)) % 2 == 0
    if kind == 3:
        da, db = a * 0.6 - math.floor(a * 0.6) - 0.5, b * 0.6 - math.floor(b * 0.6) - 0.5
        return da * da + db * db < 0.1
    if kind == 4:
        return int(math.sqrt(value) * 5.0) % 2 == 0
    if kind == 5:
        return a * b > 0.0
    return False


@njit(cache=True)
def _color_at(
    shape: NDArray[np.float64],
    look: NDArray[np.float64],
    glyph: NDArray[np.uint8],
    where: tuple[float, float],
    body: tuple[float, float, float],
) -> tuple[int, float]:
    """Place of the color in `look`, and what to multiply it with, at a point (x, y) inside a body."""
    value, u, v = body
    light = 1.0 + look[SHADE_X] * u + look[SHADE_Y] * v
    if _in_disc(shape, where[0], where[1]):
        dx, dy = where[0] - shape[PART_X], where[1] - shape[PART_Y]
        scale = 5.0 / (GLYPH_SPAN * shape[RADIUS])
        column = math.floor((shape[TILT_COS] * dx + shape[TILT_SIN] * dy) * scale + 2.5)
        row = math.floor((shape[TILT_COS] * dy - shape[TILT_SIN] * dx) * scale + 2.5)
        if 0 <= column < 5 and 0 <= row < 5 and glyph[row, column] > 0:
            return GLYPH, 1.0
        return DISC, 1.0
    inner = 1.0 - look[RIM_WIDTH]
    if value > inner * inner:
        light = light * look[RIM]
    a, b = u * shape[HX] / look[PERIOD], v * shape[HY] / look[PERIOD]
    if _textured(int(look[TEXTURE]), value, a, b):
        return SECOND, light
    return FIRST, light


@njit(cache=True)
def paint(
    canvas: NDArray[np.float64],
    shape: NDArray[np.float64],
    look: NDArray[np.float64],
    glyph: NDArray[np.uint8],
) -> None:
    """Paint one body with its part over the canvas (3, h, w); four samples a pixel soften edges."""
    x0, y0, x1, y1 = _window(shape, canvas.shape[1])
    for y in range(y0, y1):
        for x in range(x0, x1):
            red, green, blue, hits = 0.0, 0.0, 0.0, 0
            for sample in range(4):
                where = (x + 0.25 + 0.5 * (sample % 2), y + 0.25 + 0.5 * (sample // 2))
                body = _body(shape, where[0], where[1])
                if body[0] > 1.0:
                    continue
                color, light = _color_at(shape, look, glyph, where, body)
                red += look[color] * light
                green += look[color + 1] * light
                blue += look[color + 2] * light
                hits += 1
            if hits > 0:
                rest = (4 - hits) * 0.25
                canvas[0, y, x] = canvas[0, y, x] * rest + red * 0.25
                canvas[1, y, x] = canvas[1, y, x] * rest + green * 0.25
                canvas[2, y, x] = canvas[2, y, x] * rest + blue * 0.25


@njit(cache=True)
def develop(canvas: NDArray[np.float64], grain: NDArray[np.float64], strength: float) -> NDArray[np.uint8]:
    """The canvas (3, h, w) as uint8 (h, w, 3), with grain (h * w,) in [0, 1) of +-strength levels."""
    _, size_h, size_w = canvas.shape
    image = np.empty((size_h, size_w, 3), np.uint8)
    for y in range(size_h):
        for x in range(size_w):
            noise = (grain[y * size_w + x] * 2.0 - 1.0) * strength
            for channel in range(3):
                image[y, x, channel] = np.uint8(min(max(canvas[channel, y, x] + noise + 0.5, 0.0), 255.0))
    return image
