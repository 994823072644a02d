"""Bytes of an image file decoded to arrays: exact pixels, or a `Fault` that says what is wrong with them.

Pillow opens every file and finds its size, its orientation and its faults. Plain JPEG files are then decoded by
simplejpeg, which wraps the same libjpeg-turbo without Pillow's copies; whatever it refuses is left to Pillow, so that
pixels and faults are Pillow's throughout.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from headstart.places.limits import limit

FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""That data sets have (a JPEG may hold several pictures). Pillow knows dozens more, of which EPS starts a program."""
EXIF_ORIENTATION = 0x0112
PNG_EXIF = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
"""Kinds of chunks of a PNG that can hold an orientation."""
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap height and width."""
DECODER_FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    IndexError,
    KeyError,
    TypeError,
)
"""What Pillow's decoders raise on damaged files; their documentation promises OSError only."""


class Fault(Exception):
    """Why bytes are not decoded, as words to put after "the file"."""


class DamagedError(Fault):
    """They are no image, or a broken one."""


class TooManyPixelsError(Fault):
    """More than HEADSTART_MAX_IMAGE_MEGAPIXELS allows."""


class NotShownError(Fault):
    """The image is whole, but nobody knows what gray its values are."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before its pixels are decoded."""

    stored_hw: tuple[int, int]
    orientation: int
    """EXIF 2.3, tag 0x0112: 1 to 8; 1 where the decoder follows it by itself."""

    @property
    def shown_hw(self) -> tuple[int, int]:
        """(height, width) as a viewer shows the image."""
        return self.stored_hw[::-1] if self.orientation in SIDEWAYS else self.stored_hw


def read_header(file: BinaryIO) -> Header:
    """From the first bytes of a file alone, except of PNG, whose orientation may stand at the end. Raises Fault."""
    with _opened(file) as image:
        content = b""
        if image.format == "PNG":
            file.seek(0)
            content = file.read()
        return _header(image, content)


def decode_rgb(content: bytes) -> tuple[NDArray[np.uint8], Header]:
    """Pixels uint8 (h, w, 3) as they are stored, not turned; what is transparent is laid over white.

    Gray, palette, CMYK and 16-bit images are converted (16 bits by their upper byte); of several frames the first is
    taken. Raises Fault.
    """
    with _opened(io.BytesIO(content)) as image:
        header = _header(image, content)
        pixels = _plain_jpeg(image, content)
        if pixels is None:
            image.load()
            pixels = np.asarray(_to_rgb(image))
        return pixels, header


def decode_values(content: bytes) -> tuple[NDArray[np.generic], str]:
    """The numbers in the file, whatever colors a palette gives them, and Pillow's mode; (h, w) or (h, w, channels).

    Gray of 1, 2 or 4 bits keeps its values 0..1, 0..3, 0..15 (decoders stretch them to 0..255). Raises Fault.
    """
    with _opened(io.BytesIO(content)) as image:
        values, stretch = np.asarray(image), _gray_stretch(content) if image.mode == "L" else 1
        return (values // stretch if stretch > 1 else values), image.mode


def decode_colors(content: bytes) -> NDArray[np.uint8]:
    """(h, w, 3), each color as it is written, whatever is transparent: of masks. Raises Fault."""
    with _opened(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def decode_thumbnail(content: bytes, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Gray `size_hw` of the turned image; JPEGs are decoded at a fraction of their size. Raises Fault."""
    height, width = size_hw
    with _opened(io.BytesIO(content)) as image:
        image.draft("L", (8 * width, 8 * height))
        gray = ImageOps.exif_transpose(image)
        gray = gray if gray.mode == "L" else _to_rgb(gray).convert("L")
        return np.asarray(gray.resize((width, height), Image.Resampling.BOX))


def turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """(h, w, 3) as it is meant to be seen. Orientations: EXIF 2.3, tag 0x0112."""
    if orientation in SIDEWAYS:
        pixels = pixels.transpose(1, 0, 2)
    down, right = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return np.ascontiguousarray(pixels[::down, ::right])


def palette_of(content: bytes) -> dict[int, tuple[int, int, int]]:
    """Value -> color where the image has a palette. Raises Fault."""
    with _opened(io.BytesIO(content)) as image:
        flat = (image.getpalette() or []) if image.mode == "P" else []
        return {k: (flat[3 * k], flat[3 * k + 1], flat[3 * k + 2]) for k in range(len(flat) // 3)}


def largest_of_16_bits(content: bytes) -> int | None:
    """None where the image is not of one channel of 16 bits. Raises Fault."""
    with _opened(io.BytesIO(content)) as image:
        return int(np.asarray(image).max()) if image.mode in ("I", "I;16", "I;16B", "I;16L") else None


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Image.Image]:
    """The image, not loaded yet. What Pillow raises inside comes out as a Fault."""
    allowed = limit("HEADSTART_MAX_IMAGE_MEGAPIXELS")
    if Image.MAX_IMAGE_PIXELS is not None and allowed * 1e6 > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = round(allowed * 1e6)  # Pillow refuses twice as many, whoever asked for more.
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > allowed * 1e6:
                raise TooManyPixelsError(f"{image.width} x {image.height} pixels")
            yield image
    except Image.DecompressionBombError as error:
        raise TooManyPixelsError(str(error)) from error
    except UnidentifiedImageError as error:  # whose own message has a place in memory, another one each time
        raise DamagedError(f"it is none of {', '.join(FORMATS)}") from error
    except DECODER_FAULTS as error:
        raise DamagedError(str(error)) from error


def _header(image: Image.Image, content: bytes) -> Header:
    """Of an image that is not loaded yet. content: of a PNG."""
    size_hw = (image.height, image.width)
    if image.format == "TIFF":
        return Header(size_hw, 1)
    # It may stand at the end of a PNG, so Pillow decodes one that has none in search of it.
    if image.format == "PNG" and not PNG_EXIF & set(_png_chunks(content)):
        return Header(size_hw, 1)
    return Header(size_hw, int(image.getexif().get(EXIF_ORIENTATION, 1)))


def _png_chunks(content: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind
        at += 12 + length


def _plain_jpeg(image: Image.Image, content: bytes) -> NDArray[np.uint8] | None:
    """The pixels (h, w, 3) of a JPEG, gray or in color, that libjpeg-turbo has nothing to complain of; else None."""
    if image.format not in ("JPEG", "MPO") or image.mode not in ("L", "RGB"):
        return None
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(content, strict=True)
    except ValueError:
        return None
    return pixels if pixels.shape[:2] == (image.height, image.width) else None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        values = np.asarray(image)
        if values.size and (values.max() > 65535 or values.min() < 0):
            raise NotShownError(
                f"has values up to {values.max()}; at most 16 bits a pixel can be shown. Convert it to 8 or 16 bits."
            )
        image = Image.fromarray((values.astype(np.int64) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise NotShownError(
            "holds floating-point values, whose black and white are not known. Convert it to 8 or 16 bits."
        )
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, seen).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _gray_stretch(content: bytes) -> int:
    """By what the decoder multiplied the values of a gray PNG of fewer than 8 bits. PNG specification, IHDR."""
    header = content[:26]
    is_gray_png = header[:8] == b"\x89PNG\r\n\x1a\n" and header[25:26] == b"\x00"
    bits = header[24] if is_gray_png else 8
    return 255 // (2**bits - 1) if bits < 8 else 1
