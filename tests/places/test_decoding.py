"""Bytes to arrays: the pixels and the faults of Pillow, whichever decoder is behind them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from headstart.places import decoding
from headstart.places.decoding import DamagedError, Fault, decode_rgb, decode_values, read_header

SHARED = Path(__file__).parents[3] / "shared" / "data"
PHOTOGRAPHS = ("coco128", "flowers17", "imagenet_sample100", "oxford_pets3", "voc_bccd", "voc_raccoon", "tiny_imagenet")


def encodings() -> dict[str, bytes]:
    rng = np.random.default_rng(3)
    noise = Image.fromarray(rng.integers(0, 256, (40, 52, 3), dtype=np.uint8)).resize(
        (131, 97), Image.Resampling.BICUBIC
    )
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    sideways = Image.Exif()
    sideways[decoding.EXIF_ORIENTATION] = 6
    made = {
        "420.jpg": (noise, {"quality": 75}),
        "444.jpg": (noise, {"quality": 95, "subsampling": 0}),
        "progressive.jpg": (noise, {"progressive": True}),
        "422.jpg": (noise, {"subsampling": 1}),
        "gray.jpg": (noise.convert("L"), {}),
        "gray_progressive.jpg": (noise.convert("L"), {"progressive": True}),
        "icc.jpg": (noise, {"icc_profile": profile}),
        "exif.jpg": (noise, {"exif": sideways}),
        "rgb.jpg": (noise, {"keep_rgb": True}),
        "cmyk.jpg": (noise.convert("CMYK"), {}),
        "restart.jpg": (noise, {"restart_marker_rows": 1}),
        "poor.jpg": (noise, {"quality": 3}),
        "narrow.jpg": (noise.crop((0, 0, 1, 97)), {}),
        "frames.mpo": (noise, {"save_all": True, "append_images": [noise.rotate(180)]}),
        "rgb.png": (noise, {}),
        "gray.png": (noise.convert("L"), {}),
        "key.png": (noise, {"transparency": (9, 9, 9)}),
        "lossy.webp": (noise, {"quality": 60}),
        "lossless.webp": (noise, {"lossless": True}),
        "alpha.webp": (noise.convert("RGBA"), {}),
        "a.bmp": (noise, {}),
        "a.gif": (noise, {}),
        "a.ppm": (noise, {}),
        "a.tiff": (noise, {"compression": "tiff_lzw"}),
    }
    written = {}
    for name, (picture, options) in made.items():
        buffer = io.BytesIO()
        suffix = name.split(".")[1].upper()
        picture.save(buffer, {"JPG": "JPEG"}.get(suffix, suffix), **options)  # type: ignore[arg-type]
        written[name] = buffer.getvalue()
    return written


ENCODINGS = encodings()
JPEGS = [name for name in ENCODINGS if name.endswith((".jpg", ".mpo"))]


def by_pillow(content: bytes) -> np.ndarray:
    """Bare Pillow, for images without transparency."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def outcome(content: bytes) -> np.ndarray | str:
    try:
        return decode_rgb(content)[0]
    except Fault as fault:
        return f"{type(fault).__name__}: {fault}"


@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - {"key.png", "alpha.webp"}))
def test_pixels_are_those_of_pillow(name: str) -> None:
    pixels, header = decode_rgb(ENCODINGS[name])
    assert pixels.dtype == np.uint8 and pixels.shape[:2] == header.stored_hw
    assert np.array_equal(pixels, by_pillow(ENCODINGS[name]))
    assert read_header(io.BytesIO(ENCODINGS[name])) == header
    assert header.orientation == (6 if name == "exif.jpg" else 1)


@pytest.mark.parametrize("name", JPEGS)
def test_jpegs_of_one_and_three_channels_take_the_fast_way(name: str) -> None:
    with Image.open(io.BytesIO(ENCODINGS[name])) as image:
        pixels = decoding._plain_jpeg(image, ENCODINGS[name])
    assert (pixels is None) == (name == "cmyk.jpg")


def damaged(name: str) -> list[bytes]:
    """40 of them, some only cut, some not at all."""
    rng, copies = np.random.default_rng(len(name)), []
    for k in range(40):
        content = bytearray(ENCODINGS[name])
        for place in rng.integers(2, len(content), k % 4):
            content[place] = rng.integers(256)
        copies.append(bytes(content[: len(content) - (37 * k if k % 5 == 4 else 0)]))
    return copies


@pytest.mark.parametrize("name", JPEGS)
def test_damaged_jpegs_give_the_pixels_or_the_fault_of_pillow(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = [outcome(content) for content in damaged(name)]
    monkeypatch.setattr(decoding, "_plain_jpeg", lambda image, content: None)
    slow = [outcome(content) for content in damaged(name)]
    for k, (a, b) in enumerate(zip(fast, slow, strict=True)):
        assert np.array_equal(a, b) if isinstance(b, np.ndarray) else a == b, k
    assert any(isinstance(b, np.ndarray) for b in slow)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", sorted(set(ENCODINGS) - set(JPEGS)))
def test_other_damaged_files_give_pixels_or_a_fault(name: str) -> None:
    size = decode_rgb(ENCODINGS[name])[0].shape
    outcomes = [outcome(content) for content in damaged(name)]  # Anything but a Fault would come out here.
    assert isinstance(outcomes[0], np.ndarray) and outcomes[0].shape == size


def test_a_jpeg_cut_anywhere_is_never_completed_in_gray() -> None:
    """libjpeg fills in what is missing with gray; that is a fault, but for the end mark alone."""
    whole = ENCODINGS["420.jpg"]
    for length in [0, 1, 2, 20, *range(100, len(whole) - 8, 97)]:
        with pytest.raises(DamagedError):
            decode_rgb(whole[:length])


def photographs(name: str) -> list[Path]:
    paths = sorted(path for path in (SHARED / name).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return paths or pytest.skip(f"no photographs of {name} here")


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_have_the_pixels_of_pillow(name: str) -> None:
    paths = photographs(name)
    for path in paths[:: max(1, len(paths) // 40)]:
        content = path.read_bytes()
        assert np.array_equal(decode_rgb(content)[0], by_pillow(content)), path


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_thousands_of_damaged_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes changed, cut off, added, put in and taken out. Minutes; numbers in docs/benchmarks.md."""
    rng, fast_way = np.random.default_rng(0), decoding._plain_jpeg
    paths = [path for name in PHOTOGRAPHS for path in photographs(name)[::20]]
    quick = shown = 0
    for k in range(15_000):
        content = broken(paths[k % len(paths)].read_bytes(), rng)
        with monkeypatch.context() as without:
            without.setattr(decoding, "_plain_jpeg", lambda image, content: None)
            slow = outcome(content)
        fast = outcome(content)
        assert np.array_equal(fast, slow) if isinstance(slow, np.ndarray) else fast == slow, (paths[k % len(paths)], k)
        if isinstance(slow, np.ndarray):
            with Image.open(io.BytesIO(content)) as image:
                shown, quick = shown + 1, quick + (fast_way(image, content) is not None)
    print(f"15000 damaged, Pillow shows {shown}, {quick} of them are decoded the fast way")
    assert 0.3 < quick / shown < 1


def broken(content: bytes, rng: np.random.Generator) -> bytes:
    damaged_bytes = bytearray(content)
    for _ in range(rng.integers(4)):
        end = len(damaged_bytes) if rng.random() < 0.5 else min(700, len(damaged_bytes))  # Half of them in the header.
        damaged_bytes[rng.integers(2, end)] = rng.integers(256)
    at, few = int(rng.integers(2, len(damaged_bytes))), rng.bytes(int(rng.integers(1, 40)))
    kind = rng.random()
    if kind < 0.1:
        del damaged_bytes[at:]
    elif kind < 0.15:
        del damaged_bytes[-int(rng.integers(1, 6)) :]
    elif kind < 0.2:
        damaged_bytes += few
    elif kind < 0.25:
        damaged_bytes[at:at] = few[:3]
    elif kind < 0.3:
        del damaged_bytes[at : at + len(few)]
    return bytes(damaged_bytes)


def test_values_keep_the_mode() -> None:
    assert decode_values(ENCODINGS["gray.png"])[1] == "L" and decode_values(ENCODINGS["rgb.png"])[1] == "RGB"
    gray = np.asarray(Image.open(io.BytesIO(ENCODINGS["gray.png"])))
    assert np.array_equal(decode_values(ENCODINGS["gray.png"])[0], gray)


def test_decoding_imports_no_torch(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(ENCODINGS["420.jpg"])
    code = (
        "import sys; from pathlib import Path; from headstart.places.images import read_rgb; "
        "read_rgb(Path(sys.argv[1])); print([m for m in ('torch', 'torchvision') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.jpg")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"
