"""Images with the colors of photographs, drawn from numbers alone: the fixed input of fingerprints.

They are Gaussian fields whose amplitude falls as frequency ** -1.4, with the mean color and the color covariance of
ImageNet's photographs. On average those are warmer than gray: red .485, green .456, blue .406.
"""

from __future__ import annotations

from functools import cache

import numpy as np

MEAN_RGB = (0.485, 0.456, 0.406)
"""Mean of ImageNet's pixels, 0..1: what torchvision subtracts."""

# Principal components of the colors of ImageNet's pixels: variances and directions (a column each, rows red, green,
# blue), as used for AlexNet's color augmentation (Krizhevsky et al. 2012, Sec. 4.1) and published in fb.resnet.torch.
_VARIANCES = (0.2175, 0.0188, 0.0045)
_DIRECTIONS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
_SLOPE = 1.4


def color_axes() -> np.ndarray:
    """(3, 3): colors of one standard deviation along each principal component, a column each, rows red, green, blue."""
    return np.array(_DIRECTIONS) * np.sqrt(_VARIANCES)


@cache
def photographs(count: int, side: int) -> np.ndarray:
    """(count, side, side, 3) uint8, RGB, read-only; the same on every machine but for rounding.

    Each component of each image has mean 0 and the published variance before colors are cut off at 0 and 255.
    """
    # Raw 64-bit words are the one stream that NumPy promises never to change.
    words = np.random.PCG64(20260101).random_raw(count * 3 * side * side).reshape(count, 3, side, side)
    noise = (words >> np.uint64(11)) * 2.0**-53 - 0.5
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1.0
    amplitude = frequency**-_SLOPE
    amplitude[0, 0] = 0.0
    fields = np.fft.irfft2(np.fft.rfft2(noise) * amplitude, s=(side, side))
    fields /= fields.std(axis=(2, 3), keepdims=True)
    values = np.array(MEAN_RGB) + np.einsum("cp,npyx->nyxc", color_axes(), fields)
    images = np.clip(np.rint(255 * values), 0, 255).astype(np.uint8)
    images.setflags(write=False)
    return images
