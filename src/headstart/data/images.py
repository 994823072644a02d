"""Images and masks decoded to arrays, as a viewer shows them, and brought to another size."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from headstart.data.places import DataPath
from headstart.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
ImageFile = Path | DataPath
EXIF_ORIENTATION = 0x0112
DECODER_FAULTS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError,
                  TypeError, Image.DecompressionBombError)  # fmt: skip
"""What Pillow's decoders raise on damaged files; their documentation promises OSError only."""


def read_rgb(path: ImageFile, size_hw: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The image as uint8 (h, w, 3) RGB, as a viewer shows it: turned by its EXIF orientation, transparent over white.

    Gray, palette, CMYK and 16-bit images are converted (16 bits by their upper byte); of several frames the
    first is taken. `size_hw`: the size that annotation was made for. Where that is the size before turning, and
    not the size after, the annotation was drawn on the unturned pixels and the image stays unturned. A square
    or upside-down image is always turned, since its size cannot tell.
    Raises DataError with path and advice when the file is missing, damaged or of another size than `size_hw`.
    """
    with _decoding(path, "an image") as image:
        stored = (image.height, image.width)
        image = image if size_hw == stored != turned_size_hw(image) else ImageOps.exif_transpose(image)
        pixels = np.asarray(_to_rgb(image, path))
    found = (pixels.shape[0], pixels.shape[1])
    if size_hw is not None and found != tuple(size_hw):
        raise DataError(
            f"{path}: the image is {found[1]} x {found[0]} pixels, its annotation was made for {size_hw[1]} x "
            f"{size_hw[0]}. Put back the image that was annotated, or correct the size in the annotation."
        )
    return pixels


def header_sizes_hw(path: ImageFile) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width) as `read_rgb` returns them, and as stored before any EXIF turning; from the header alone.

    Of a mask, the second is that of `read_mask`. Raises DataError.
    """
    with _decoding(path, "an image") as image:
        return turned_size_hw(image), (image.height, image.width)


def turned_size_hw(image: Image.Image) -> tuple[int, int]:
    """(height, width) after the EXIF orientation is followed: 5 to 8 swap the sides."""
    sideways = image.getexif().get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    return (image.width, image.height) if sideways else (image.height, image.width)


def read_mask(path: ImageFile) -> NDArray[np.uint8]:
    """An index mask as uint8 (h, w): the numbers in the file, whatever colors a palette gives them.

    Gray masks of 1, 2 or 4 bits keep their values 0..1, 0..3, 0..15 (decoders stretch them to 0..255).
    Raises DataError with path and advice for damaged files, color images and values above 255.
    """
    with _decoding(path, "a mask") as image:
        if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
            raise DataError(
                f"{path}: the mask is a color image (mode {image.mode}); an index mask has one channel whose values "
                "are class numbers. Convert its colors to class numbers and save it as an 8-bit gray or palette PNG."
            )
        values = np.asarray(image)
        stretch = _gray_stretch(path) if image.mode == "L" else 1
    if values.size and (values.max() > 255 or values.min() < 0):
        raise DataError(
            f"{path}: the mask has value {values.max()}; class numbers go from 0 to 255. Renumber its classes."
        )
    return (values // stretch if stretch > 1 else values).astype(np.uint8)


def read_segment_ids(path: ImageFile) -> NDArray[np.int32]:
    """A panoptic mask as ids int32 (h, w): R + 256 G + 256^2 B (cocodataset.org, Panoptic format). 0: no segment.

    Raises DataError with path and advice for damaged files, and for images that are not RGB.
    """
    with _decoding(path, "a panoptic mask") as image:
        if image.mode != "RGB":
            raise DataError(f"{path}: the mask has mode {image.mode}; the ids of segments are stored as RGB colors. "
                            "Fetch or export the file again.")  # fmt: skip
        channels = np.asarray(image).astype(np.int32)
    return channels[..., 0] | channels[..., 1] << 8 | channels[..., 2] << 16


def read_thumbnail(path: ImageFile, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """A gray version, uint8 `size_hw`, for comparing images: JPEGs are decoded at a fraction of their size."""
    height, width = size_hw
    with _decoding(path, "an image") as image:
        image.draft("L", (8 * width, 8 * height))
        gray = ImageOps.exif_transpose(image)
        gray = gray if gray.mode == "L" else _to_rgb(gray, path).convert("L")
        return np.asarray(gray.resize((width, height), Image.Resampling.BOX))


def resize_rgb(
    image: NDArray[np.uint8], size_hw: tuple[int, int], mode: Literal["stretch", "crop"] = "stretch"
) -> NDArray[np.uint8]:
    """uint8 (h, w, 3) to uint8 (*size_hw, 3): bilinear, antialiased when shrinking.

    `stretch`: whatever the aspect. `crop`: the image is brought to cover 8/7 of `size_hw` (224: shorter side 256), the
    longer side rounded down, and the center is cut out; sizes and offsets as torchvision's Resize and CenterCrop.
    """
    source = Image.fromarray(image)
    height, width = size_hw
    if mode == "stretch":
        return np.asarray(source.resize((width, height), Image.Resampling.BILINEAR))
    cover_h, cover_w = round(8 * height / 7), round(8 * width / 7)
    # Integers, so that 256/375 of 375 is 256 and never 255.99.
    if cover_h * source.width >= cover_w * source.height:
        full = (cover_h * source.width // source.height, cover_h)
    else:
        full = (cover_w, cover_w * source.height // source.width)
    left, top = round((full[0] - width) / 2), round((full[1] - height) / 2)
    whole = source.resize(full, Image.Resampling.BILINEAR)
    return np.asarray(whole.crop((left, top, left + width, top + height)))


def resize_mask(mask: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """uint8 (h, w) of class numbers to uint8 `size_hw`: nearest, so that no new value appears."""
    return np.asarray(Image.fromarray(mask).resize((size_hw[1], size_hw[0]), Image.Resampling.NEAREST))


@contextmanager
def _decoding(path: ImageFile, what: str) -> Iterator[Image.Image]:
    try:
        with path.open("rb") as file, Image.open(file) as image:
            yield image
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file. Put it back, or take it out of the annotation.") from error
    except DECODER_FAULTS as error:
        raise DataError(
            f"{path}: cannot be decoded as {what} ({error}). Fetch or export the file again; "
            "or leave it out: bad images can be skipped, and are then counted and listed."
        ) from error


def _to_rgb(image: Image.Image, path: ImageFile) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        values = np.asarray(image)
        if values.size and (values.max() > 65535 or values.min() < 0):
            raise DataError(f"{path}: the image has values up to {values.max()}; at most 16 bits a pixel can be shown. "
                            "Convert it to 8 or 16 bits.")  # fmt: skip
        image = Image.fromarray((values.astype(np.int64) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise DataError(f"{path}: the image holds floating-point values, whose black and white are not known. "
                        "Convert it to 8 or 16 bits.")  # fmt: skip
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, seen).convert("RGB")
    return image.convert("RGB")


def _gray_stretch(path: ImageFile) -> int:
    """By what the decoder multiplied the values of a gray PNG of fewer than 8 bits. PNG specification, IHDR."""
    with path.open("rb") as file:
        header = file.read(26)
    is_gray_png = header[:8] == b"\x89PNG\r\n\x1a\n" and header[25:26] == b"\x00"
    bits = header[24] if is_gray_png else 8
    return 255 // (2**bits - 1) if bits < 8 else 1
