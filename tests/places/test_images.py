"""Decoding as a viewer shows it, masks as the numbers in the file, resizing as torchvision's."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.errors import DataError
from headstart.places.images import (
    header_sizes_hw,
    read_mask,
    read_rgb,
    read_thumbnail,
    resize_mask,
    resize_rgb,
)

CORNERS = np.array([[[250, 0, 0], [0, 250, 0], [0, 0, 250]], [[0, 0, 0], [90, 90, 90], [250, 250, 250]]], np.uint8)
"""2 x 3 pixels, all different."""


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def test_rgb_png_is_exact(tmp_path: Path) -> None:
    pixels = read_rgb(saved(tmp_path / "a.png", Image.fromarray(CORNERS)))
    assert pixels.dtype == np.uint8 and np.array_equal(pixels, CORNERS)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, CORNERS),
        (2, CORNERS[:, ::-1]),
        (3, CORNERS[::-1, ::-1]),
        (4, CORNERS[::-1]),
        (5, CORNERS.transpose(1, 0, 2)),
        (6, np.rot90(CORNERS, -1)),
        (7, np.rot90(CORNERS, 2).transpose(1, 0, 2)),
        (8, np.rot90(CORNERS)),
    ],
)
def test_exif_orientation_is_followed(tmp_path: Path, orientation: int, expected: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", Image.fromarray(CORNERS), exif=exif)
    assert np.array_equal(read_rgb(path), expected)
    assert header_sizes_hw(path) == (expected.shape[:2], (2, 3))


def test_annotation_of_unturned_pixels_is_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.png", Image.fromarray(CORNERS), exif=exif)
    assert np.array_equal(read_rgb(path, (2, 3)), CORNERS)
    assert np.array_equal(read_rgb(path, (3, 2)), np.rot90(CORNERS, -1))
    with pytest.raises(
        DataError, match=r"a\.png: the image is 2 x 3 pixels, its annotation was made for 8 x 9\. Put back"
    ):
        read_rgb(path, (9, 8))


def test_modes(tmp_path: Path) -> None:
    gray = np.array([[0, 128, 255]], np.uint8)
    triple = np.repeat(gray[..., None], 3, axis=2)
    assert np.array_equal(read_rgb(saved(tmp_path / "l.png", Image.fromarray(gray))), triple)
    deep = Image.fromarray(gray.astype(np.uint16) * 256 + 7)
    assert np.array_equal(read_rgb(saved(tmp_path / "16.png", deep)), triple)
    palette = Image.fromarray(CORNERS).quantize(16)
    assert np.array_equal(read_rgb(saved(tmp_path / "p.png", palette)), np.asarray(palette.convert("RGB")))
    red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert np.abs(read_rgb(saved(tmp_path / "c.jpg", red)).astype(int) - [255, 0, 0]).max() <= 3
    two = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert read_rgb(saved(tmp_path / "1.png", two)).tolist() == [[[0] * 3, [255] * 3]]


def test_transparency_is_over_white(tmp_path: Path) -> None:
    rgba = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    expected = [[[200, 0, 0], [255, 255, 255], [204, 204, 204]]]  # 51 / 255 = 1/5 of black over white: 204
    assert read_rgb(saved(tmp_path / "a.png", Image.fromarray(rgba))).tolist() == expected
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    path = saved(tmp_path / "p.png", palette, transparency=1)
    assert read_rgb(path).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_damaged_and_missing_images_are_named(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.jpg", Image.fromarray(np.tile(CORNERS, (60, 60, 1))))
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(good.read_bytes()[:600])
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    for path in (cut, empty):
        for read in (read_rgb, lambda p: read_thumbnail(p, (8, 9))):
            with pytest.raises(
                DataError, match=r"cannot be decoded as an image .*Fetch or export the file again"
            ) as caught:
                read(path)
            assert str(path) in str(caught.value)
    with pytest.raises(DataError, match=r"nowhere\.jpg: there is no such file\. Put it back"):
        read_rgb(tmp_path / "nowhere.jpg")
    floats = saved(tmp_path / "f.tiff", Image.fromarray(np.zeros((2, 2), np.float32)))
    with pytest.raises(DataError, match=r"f\.tiff: the image holds floating-point values.*8 or 16 bits"):
        read_rgb(floats)


def test_masks_are_numbers_not_colors(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [11, 200, 255]], np.uint8)
    assert np.array_equal(read_mask(saved(tmp_path / "l.png", Image.fromarray(values))), values)
    palette = Image.fromarray(values).convert("P")
    palette.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    assert np.array_equal(read_mask(saved(tmp_path / "p.png", palette)), values)
    assert np.array_equal(read_mask(saved(tmp_path / "16.png", Image.fromarray(values.astype(np.uint16)))), values)
    two = Image.fromarray(values > 1)
    assert np.array_equal(read_mask(saved(tmp_path / "1.png", two)), values > 1)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_masks_of_few_bits_keep_their_values(tmp_path: Path, bits: int) -> None:
    row = np.arange(2**bits, dtype=np.uint8)
    packed = np.packbits(((row[:, None] >> np.arange(bits)[::-1]) & 1).ravel().astype(np.uint8)).tobytes()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", len(row), 1, bits, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" + packed)), chunk(b"IEND", b""))
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert read_mask(tmp_path / "m.png").tolist() == [row.tolist()]


def test_color_and_large_masks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"c\.png: the mask is a color image \(mode RGB\).*8-bit gray or palette PNG"):
        read_mask(saved(tmp_path / "c.png", Image.fromarray(CORNERS)))
    with pytest.raises(DataError, match=r"b\.png: the mask has value 256; class numbers go from 0 to 255"):
        read_mask(saved(tmp_path / "b.png", Image.fromarray(np.array([[0, 256]], np.uint16))))


def test_stretch_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    shrunk = resize_rgb(stripes, (16, 16))
    assert shrunk.shape == (16, 16, 3) and np.abs(shrunk.astype(int) - 100).max() <= 10
    assert resize_rgb(stripes, (20, 48)).shape == (20, 48, 3)
    assert np.array_equal(resize_rgb(stripes, (64, 64)), stripes)


@pytest.mark.parametrize("shape", [(300, 500), (500, 300), (256, 256), (375, 500), (100, 333), (257, 256)])
@pytest.mark.parametrize("size", [224, 96])
def test_crop_is_that_of_torchvision(shape: tuple[int, int], size: int) -> None:
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    shorter = {224: 256, 96: 110}[size]  # 8/7 of 96 is 109.7
    expected = functional.center_crop(functional.resize(Image.fromarray(pixels), [shorter]), [size, size])
    assert np.array_equal(resize_rgb(pixels, (size, size), "crop"), np.asarray(expected))


def test_crop_to_a_rectangle_covers_it() -> None:
    pixels = np.zeros((70, 700, 3), np.uint8)
    pixels[:, 350:] = 255
    cropped = resize_rgb(pixels, (70, 140), "crop")  # To 80 x 800, then rows 5..75 and columns 330..470.
    assert cropped.shape == (70, 140, 3)
    assert (cropped[:, :69] == 0).all() and (cropped[:, 71:] == 255).all()


def test_masks_are_resized_without_new_values() -> None:
    mask = np.repeat(np.repeat(np.array([[0, 255], [7, 3]], np.uint8), 8, 0), 8, 1)
    assert np.array_equal(resize_mask(mask, (2, 2)), [[0, 255], [7, 3]])
    assert set(np.unique(resize_mask(mask, (5, 7)))) == {0, 3, 7, 255}


def test_thumbnail_is_gray_and_turned(tmp_path: Path) -> None:
    ramp = np.repeat(np.linspace(0, 255, 256).astype(np.uint8)[None], 128, axis=0)
    exif = Image.Exif()
    exif[0x0112] = 6  # Left becomes top.
    path = saved(tmp_path / "a.jpg", Image.fromarray(ramp), exif=exif, quality=95)
    thumbnail = read_thumbnail(path, (8, 9))
    assert thumbnail.shape == (8, 9) and thumbnail.dtype == np.uint8
    assert np.abs(thumbnail.astype(float) - (np.arange(8)[:, None] * 32 + 15.5)).max() <= 3


def test_tiff_is_turned_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.tiff", Image.fromarray(CORNERS), exif=exif)
    assert np.array_equal(read_rgb(path), np.rot90(CORNERS, -1)) and header_sizes_hw(path)[0] == (3, 2)


def test_orientation_at_the_end_of_a_png_is_found(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(tmp_path / "a.png", Image.fromarray(CORNERS), exif=exif).read_bytes()
    start, end = content.index(b"eXIf") - 4, content.index(b"IDAT") - 4
    (tmp_path / "b.png").write_bytes(content[:start] + content[end:-12] + content[start:end] + content[-12:])
    for name in ("a.png", "b.png"):
        assert np.array_equal(read_rgb(tmp_path / name), np.rot90(CORNERS, -1))
        assert header_sizes_hw(tmp_path / name) == ((3, 2), (2, 3))


def test_of_several_frames_the_first_is_shown(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 4), color) for color in ((250, 0, 0), (0, 250, 0))]
    for name in ("a.gif", "a.webp", "a.png", "a.tiff"):
        path = tmp_path / name
        frames[0].save(path, save_all=True, append_images=frames[1:], **({"lossless": True} if "webp" in name else {}))
        assert np.abs(read_rgb(path).astype(int) - [250, 0, 0]).max() <= 1


def test_gray_with_alpha_and_16_bit_color(tmp_path: Path) -> None:
    pair = Image.fromarray(np.array([[[40, 255], [40, 0]]], np.uint8), "LA")
    assert read_rgb(saved(tmp_path / "la.png", pair)).tolist() == [[[40] * 3, [255] * 3]]
    deep = np.array([[[0x1234, 0xFFFF, 0x00FF]]], ">u2")
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    (tmp_path / "16.png").write_bytes(png(header, b"\0" + deep.tobytes()))
    assert read_rgb(tmp_path / "16.png").tolist() == [[[0x12, 0xFF, 0x00]]]


def png(header: bytes, rows: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_inverted_cmyk_of_adobe(tmp_path: Path) -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, 8:] = (0, 255, 255, 0)  # White, and full magenta and yellow: red.
    path = saved(tmp_path / "a.jpg", Image.fromarray(ink, "CMYK"), quality=100)
    content = path.read_bytes()
    assert b"Adobe" in content, "such files hold the inks inverted"
    pixels = read_rgb(path).astype(int)
    assert np.abs(pixels[:, :7] - 255).max() <= 4 and np.abs(pixels[:, 9:] - [255, 0, 0]).max() <= 4


def test_bombs_are_refused_by_a_limit_that_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", Image.new("L", (2000, 1000)))
    monkeypatch.setenv("HEADSTART_MAX_IMAGE_MEGAPIXELS", "1.9")
    for read in (read_rgb, read_mask, header_sizes_hw, lambda p: read_thumbnail(p, (8, 9))):
        with pytest.raises(DataError, match=r"a\.png: has more pixels .*2000 x 1000.*MEGAPIXELS higher than 1\.9;"):
            read(path)
    monkeypatch.setenv("HEADSTART_MAX_IMAGE_MEGAPIXELS", "2")
    assert read_rgb(path).shape == (1000, 2000, 3)
    huge = tmp_path / "huge.png"
    huge.write_bytes(png(struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0), bytes(2501 * 20_000)))
    monkeypatch.delenv("HEADSTART_MAX_IMAGE_MEGAPIXELS")
    with pytest.raises(DataError, match=r"huge\.png: has more pixels than are decoded .*higher than 179;"):
        header_sizes_hw(huge)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.setenv("HEADSTART_MAX_IMAGE_MEGAPIXELS", "500")
    assert header_sizes_hw(huge)[0] == (20_000, 20_000)


@pytest.mark.parametrize("format", ["EPS", "PDF", "TGA", "ICNS"])
def test_formats_that_data_sets_do_not_have_are_not_opened(tmp_path: Path, format: str) -> None:
    """Whatever the name says: EPS would start Ghostscript."""
    Image.fromarray(np.tile(CORNERS, (32, 32, 1))[:16, :16]).save(tmp_path / "a.jpg", format)
    with pytest.raises(DataError, match=r"a\.jpg: cannot be decoded as an image \(it is none of BMP, GIF, JPEG,"):
        read_rgb(tmp_path / "a.jpg")
