"""Images and masks read to arrays, as a viewer shows them, and brought to another size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headstart.errors import DataError
from headstart.places import decoding
from headstart.places.fitting import FILLING, Resize, fitted_hw
from headstart.places.limits import limit
from headstart.places.paths import DataPath

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
ImageFile = Path | DataPath
Source = TypeVar("Source", bytes, BinaryIO)
Decoded = TypeVar("Decoded")
INDEX_MODES = ("1", "L", "P", "I", "I;16", "I;16B")
"""Of Pillow: images of one channel of whole numbers."""


def read_rgb(path: ImageFile, size_hw: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The image as uint8 (h, w, 3) RGB, as a viewer shows it: turned by its EXIF orientation, transparent over white.

    Gray, palette, CMYK and 16-bit images are converted (16 bits by their upper byte); of several frames the
    first is taken. `size_hw`: the size that annotation was made for. Where that is the size before turning, and
    not the size after, the annotation was drawn on the unturned pixels and the image stays unturned. A square
    or upside-down image is always turned, since its size cannot tell.
    Raises DataError with path and advice when the file is missing, damaged, has more pixels than
    HEADSTART_MAX_IMAGE_MEGAPIXELS allows, or is of another size than `size_hw`.
    """
    pixels, header = _decoded(path, "an image", decoding.decode_rgb)
    if size_hw != header.stored_hw or header.stored_hw == header.shown_hw:
        pixels = decoding.turned(pixels, header.orientation)
    height, width = pixels.shape[:2]
    if size_hw is not None and (height, width) != tuple(size_hw):
        raise DataError(
            f"{path}: the image is {width} x {height} pixels, its annotation was made for {size_hw[1]} x "
            f"{size_hw[0]}. Put back the image that was annotated, or correct the size in the annotation."
        )
    return pixels


def header_sizes_hw(path: ImageFile) -> tuple[tuple[int, int], tuple[int, int]]:
    """(height, width) as `read_rgb` returns them, and as stored before any EXIF turning; from the header alone.

    Of a mask, the second is that of `read_mask`. Raises DataError.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(path, "an image", error) from error
    with file:
        header = _asked(path, "an image", decoding.read_header, file)
    return header.shown_hw, header.stored_hw


def read_mask(path: ImageFile, colors: Sequence[Sequence[int]] = ()) -> NDArray[np.uint8]:
    """An index mask as uint8 (h, w): the numbers in the file, whatever colors a palette gives them.

    Gray masks of 1, 2 or 4 bits keep their values 0..1, 0..3, 0..15 (decoders stretch them to 0..255).
    colors: up to 256 of (r, g, b), for a mask that is a color image: each pixel gets the position of its color there.
    Raises DataError with path and advice for damaged files, color images without `colors`, colors that are not among
    these, and values above 255.
    """
    if len(colors):
        return _positions(path, _decoded(path, "a mask", decoding.decode_colors), colors)
    values, mode = _decoded(path, "a mask", decoding.decode_values)
    if mode not in INDEX_MODES:
        raise DataError(
            f"{path}: the mask is a color image (mode {mode}); an index mask has one channel whose values "
            "are class numbers. Convert its colors to class numbers and save it as an 8-bit gray or palette PNG."
        )
    if values.size and (values.max() > 255 or values.min() < 0):
        raise DataError(
            f"{path}: the mask has value {values.max()}; class numbers go from 0 to 255. Renumber its classes."
        )
    return values.astype(np.uint8)


def mask_palette(path: ImageFile) -> dict[int, tuple[int, int, int]]:
    """Value -> color of a mask that has a palette; empty for one that has none. Raises DataError."""
    return _decoded(path, "a mask", decoding.palette_of)


def largest_of_16_bits(path: ImageFile) -> int | None:
    """The largest value of an image of 16 bits a pixel in one channel; None for other images. Raises DataError."""
    return _decoded(path, "an image", decoding.largest_of_16_bits)


def _positions(path: ImageFile, pixels: NDArray[np.uint8], colors: Sequence[Sequence[int]]) -> NDArray[np.uint8]:
    """Of the color of each pixel (h, w, 3) in the list."""
    weights = np.array([1 << 16, 1 << 8, 1])
    drawn, where = np.unique(pixels.astype(np.int64) @ weights, return_inverse=True)
    position = {int(np.asarray(color) @ weights): k for k, color in enumerate(colors)}
    strange = [code for code in drawn.tolist() if code not in position]
    if strange:
        rgb = ", ".join(str(strange[0] >> shift & 255) for shift in (16, 8, 0))
        raise DataError(
            f"{path}: the color ({rgb}) is drawn and is none of the {len(colors)} of the list of colors. "
            "Add it there, or correct the mask; JPEG and resizing make new colors."
        )
    return np.array([position[code] for code in drawn.tolist()], np.uint8)[where].reshape(pixels.shape[:2])


def read_segment_ids(path: ImageFile) -> NDArray[np.int32]:
    """A panoptic mask as ids int32 (h, w): R + 256 G + 256^2 B (cocodataset.org, Panoptic format). 0: no segment.

    Raises DataError with path and advice for damaged files, and for images that are not RGB.
    """
    values, mode = _decoded(path, "a panoptic mask", decoding.decode_values)
    if mode != "RGB":
        raise DataError(
            f"{path}: the mask has mode {mode}; the ids of segments are stored as RGB colors. "
            "Fetch or export the file again."
        )
    channels = values.astype(np.int32)
    return channels[..., 0] | channels[..., 1] << 8 | channels[..., 2] << 16


def read_thumbnail(path: ImageFile, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """A gray version, uint8 `size_hw`, for comparing images: JPEGs are decoded at a fraction of their size."""
    return _decoded(path, "an image", lambda content: decoding.decode_thumbnail(content, size_hw))


def resize_rgb(image: NDArray[np.uint8], size_hw: tuple[int, int], mode: Resize = "stretch") -> NDArray[np.uint8]:
    """uint8 (h, w, 3) to uint8 (*size_hw, 3): bilinear, antialiased when shrinking.

    `stretch`: whatever the aspect. `crop`: the image is brought to cover 8/7 of `size_hw` (224: shorter side 256), the
    longer side rounded down, and the center is cut out; sizes and offsets as torchvision's Resize and CenterCrop.
    `letterbox`: see `headstart.places.fitting`.
    """
    source = Image.fromarray(image)
    height, width = size_hw
    if mode == "letterbox":
        rows, columns = fitted_hw((image.shape[0], image.shape[1]), size_hw)
        picture = np.full((height, width, 3), FILLING, np.uint8)
        picture[:rows, :columns] = np.asarray(source.resize((columns, rows), Image.Resampling.BILINEAR))
        return picture
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


def resize_mask(mask: NDArray[np.uint8], size_hw: tuple[int, int], mode: Resize = "stretch") -> NDArray[np.uint8]:
    """uint8 (h, w) of class numbers to uint8 `size_hw`: nearest, so that no new value appears but 255 (ignored), which
    fills a letterbox."""
    rows, columns = fitted_hw((mask.shape[0], mask.shape[1]), size_hw) if mode == "letterbox" else size_hw
    shown = np.asarray(Image.fromarray(mask).resize((columns, rows), Image.Resampling.NEAREST))
    return np.pad(shown, ((0, size_hw[0] - rows), (0, size_hw[1] - columns)), constant_values=255)


def _decoded(path: ImageFile, what: str, decode: Callable[[bytes], Decoded]) -> Decoded:
    """The bytes of a file through a function of `headstart.places.decoding`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, what, error) from error
    return _asked(path, what, decode, content)


def _asked(path: ImageFile, what: str, decode: Callable[[Source], Decoded], source: Source) -> Decoded:
    """`decode` of `source`, its faults as errors that name the path and say what to do."""
    try:
        return decode(source)
    except decoding.TooManyPixelsError as error:
        raise DataError(
            f"{path}: has more pixels than are decoded ({error}). If you trust it, set HEADSTART_MAX_IMAGE_MEGAPIXELS "
            f"higher than {limit('HEADSTART_MAX_IMAGE_MEGAPIXELS'):g}; or leave it out: bad images can be skipped, and "
            "are then counted and listed."
        ) from error
    except decoding.NotShownError as error:
        raise DataError(f"{path}: the image {error}") from error
    except decoding.DamagedError as error:
        raise _unreadable(path, what, error) from error


def _unreadable(path: ImageFile, what: str, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: there is no such file. Put it back, or take it out of the annotation.")
    return DataError(
        f"{path}: cannot be decoded as {what} ({error}). Fetch or export the file again; "
        "or leave it out: bad images can be skipped, and are then counted and listed."
    )
