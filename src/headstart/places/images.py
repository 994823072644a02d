"""Images and masks decoded to arrays, as a viewer shows them, and brought to another size."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from headstart.errors import DataError
from headstart.places.limits import limit
from headstart.places.paths import DataPath

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
ImageFile = Path | DataPath
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
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise on damaged files; their documentation promises OSError only."""


def read_rgb(path: ImageFile, size_hw: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The image as uint8 (h, w, 3) RGB, as a viewer shows it: turned by its EXIF orientation, transparent over white.

    Gray, palette, CMYK and 16-bit images are converted (16 bits by their upper byte); of several frames the
    first is taken. `size_hw`: the size that annotation was made for. Where that is the size before turning, and
    not the size after, the annotation was drawn on the unturned pixels and the image stays unturned. A square
    or upside-down image is always turned, since its size cannot tell.
    Where torch is loaded, torchvision decodes what it decodes to the same pixels as Pillow, and faster.
    Raises DataError with path and advice when the file is missing, damaged, has more pixels than
    HEADSTART_MAX_IMAGE_MEGAPIXELS allows, or is of another size than `size_hw`.
    """
    with _decoding(path, "an image") as (image, content):
        orientation, stored = _orientation(image, content), (image.height, image.width)
        turned = stored[::-1] if orientation in SIDEWAYS else stored
        pixels = _by_torchvision(image, content)
        if pixels is None:
            image.load()
            pixels = np.asarray(_to_rgb(image, path))
        if size_hw != stored or stored == turned:
            pixels = _turned(pixels, orientation)
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
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(path, "an image", error) from error
    with file, _opened(path, "an image", file) as image:
        content = b""
        if image.format == "PNG":
            file.seek(0)
            content = file.read()
        stored = (image.height, image.width)
        return (stored[::-1] if _orientation(image, content) in SIDEWAYS else stored), stored


def _orientation(image: Image.Image, content: bytes) -> int:
    """EXIF orientation of an image that is not loaded yet; 1 where Pillow follows it by itself. content: of a PNG."""
    if image.format == "TIFF":
        return 1
    # It may stand at the end of a PNG, so Pillow decodes one that has none in search of it.
    if image.format == "PNG" and not PNG_EXIF & set(_png_chunks(content)):
        return 1
    return int(image.getexif().get(EXIF_ORIENTATION, 1))


def _png_chunks(content: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind
        at += 12 + length


def read_mask(path: ImageFile, colors: Sequence[Sequence[int]] = ()) -> NDArray[np.uint8]:
    """An index mask as uint8 (h, w): the numbers in the file, whatever colors a palette gives them.

    Gray masks of 1, 2 or 4 bits keep their values 0..1, 0..3, 0..15 (decoders stretch them to 0..255).
    colors: up to 256 of (r, g, b), for a mask that is a color image: each pixel gets the position of its color there.
    Raises DataError with path and advice for damaged files, color images without `colors`, colors that are not among
    these, and values above 255.
    """
    with _decoding(path, "a mask") as (image, content):
        if len(colors):
            return _positions(path, np.asarray(image.convert("RGB")), colors)
        if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
            raise DataError(
                f"{path}: the mask is a color image (mode {image.mode}); an index mask has one channel whose values "
                "are class numbers. Convert its colors to class numbers and save it as an 8-bit gray or palette PNG."
            )
        values = np.asarray(image)
        stretch = _gray_stretch(content) if image.mode == "L" else 1
    if values.size and (values.max() > 255 or values.min() < 0):
        raise DataError(
            f"{path}: the mask has value {values.max()}; class numbers go from 0 to 255. Renumber its classes."
        )
    return (values // stretch if stretch > 1 else values).astype(np.uint8)


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
    with _decoding(path, "a panoptic mask") as (image, _):
        if image.mode != "RGB":
            raise DataError(
                f"{path}: the mask has mode {image.mode}; the ids of segments are stored as RGB colors. "
                "Fetch or export the file again."
            )
        channels = np.asarray(image).astype(np.int32)
    return channels[..., 0] | channels[..., 1] << 8 | channels[..., 2] << 16


def read_thumbnail(path: ImageFile, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """A gray version, uint8 `size_hw`, for comparing images: JPEGs are decoded at a fraction of their size."""
    height, width = size_hw
    with _decoding(path, "an image") as (image, _):
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
def _decoding(path: ImageFile, what: str) -> Iterator[tuple[Image.Image, bytes]]:
    """The image, not loaded yet, and the bytes of its file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, what, error) from error
    with _opened(path, what, io.BytesIO(content)) as image:
        yield image, content


@contextmanager
def _opened(path: ImageFile, what: str, file: BinaryIO) -> Iterator[Image.Image]:
    allowed = limit("HEADSTART_MAX_IMAGE_MEGAPIXELS")
    if Image.MAX_IMAGE_PIXELS is not None and allowed * 1e6 > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = round(allowed * 1e6)  # Pillow refuses twice as many, whoever asked for more.
    try:
        with Image.open(file) as image:
            if image.width * image.height > allowed * 1e6:
                raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
            yield image
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path}: has more pixels than are decoded ({error}). If you trust it, set HEADSTART_MAX_IMAGE_MEGAPIXELS "
            f"higher than {allowed:g}; or leave it out: bad images can be skipped, and are then counted and listed."
        ) from error
    except DECODER_FAULTS as error:
        raise _unreadable(path, what, error) from error


def _unreadable(path: ImageFile, what: str, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path}: there is no such file. Put it back, or take it out of the annotation.")
    return DataError(
        f"{path}: cannot be decoded as {what} ({error}). Fetch or export the file again; "
        "or leave it out: bad images can be skipped, and are then counted and listed."
    )


def _by_torchvision(image: Image.Image, content: bytes) -> NDArray[np.uint8] | None:
    """The pixels of a plain JPEG or WebP as stored, equal to Pillow's; None for all else, and without torch.

    Importing torch takes seconds, so nothing here does. Not for PNG: torchvision 0.29 crashes on damaged ones. What it
    refuses Pillow is asked, and names the fault.
    """
    plain_jpeg = image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB")
    plain_webp = image.format == "WEBP" and image.mode == "RGB" and getattr(image, "n_frames", 1) == 1
    if "torch" not in sys.modules or "transparency" in image.info or not (plain_jpeg or plain_webp):
        return None
    import torch

    try:
        from torchvision.io import ImageReadMode, decode_image  # Deprecated since 0.29: one day Pillow is all there is.

        pixels = decode_image(torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB)
    except (ImportError, RuntimeError):
        return None
    return pixels.permute(1, 2, 0).numpy()


def _turned(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """(h, w, 3) as it is meant to be seen. Orientations: EXIF 2.3, tag 0x0112."""
    if orientation in SIDEWAYS:
        pixels = pixels.transpose(1, 0, 2)
    down, right = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return np.ascontiguousarray(pixels[::down, ::right])


def _to_rgb(image: Image.Image, path: ImageFile) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        values = np.asarray(image)
        if values.size and (values.max() > 65535 or values.min() < 0):
            raise DataError(
                f"{path}: the image has values up to {values.max()}; at most 16 bits a pixel can be shown. "
                "Convert it to 8 or 16 bits."
            )
        image = Image.fromarray((values.astype(np.int64) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise DataError(
            f"{path}: the image holds floating-point values, whose black and white are not known. "
            "Convert it to 8 or 16 bits."
        )
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, seen).convert("RGB")
    return image.convert("RGB")


def _gray_stretch(content: bytes) -> int:
    """By what the decoder multiplied the values of a gray PNG of fewer than 8 bits. PNG specification, IHDR."""
    header = content[:26]
    is_gray_png = header[:8] == b"\x89PNG\r\n\x1a\n" and header[25:26] == b"\x00"
    bits = header[24] if is_gray_png else 8
    return 255 // (2**bits - 1) if bits < 8 else 1
