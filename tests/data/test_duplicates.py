"""Near-duplicates within a data set and between two: found, kept in the cache, told by split."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from headstart.data import duplicates
from headstart.data.annotate import annotate
from headstart.data.annotations import Annotations
from headstart.data.duplicates import Overlap, near_duplicate_clusters, overlap, with_groups
from headstart.data.thumbnail_files import kept_thumbnails
from headstart.errors import DataError
from headstart.readers.formats import open_dataset

SHARED = Path(__file__).parents[3] / "shared" / "data"
Picture = Image.Image


def table(
    root: Path, names: Sequence[str], splits: Sequence[str] = (), groups: Sequence[str] | None = None
) -> Annotations:
    n = len(names)
    return annotate(root, "test", names, names, sizes_hw=[(0, 0)] * n, splits=splits or [""] * n, groups=groups)


def noise(seed: int) -> Picture:
    cells = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((120, 100), Image.Resampling.BICUBIC)


def saved(root: Path, pictures: dict[str, Picture], splits: Sequence[str] = ()) -> Annotations:
    root.mkdir(parents=True, exist_ok=True)
    for name, picture in pictures.items():
        picture.save(root / name)
        os.utime(root / name, (1_600_000_000, 1_600_000_000))
    return table(root, list(pictures), splits)


class TestNearDuplicates:
    def test_copies_find_each_other(self, tmp_path: Path) -> None:
        a, b = noise(1), noise(2)
        pictures = [a, b, a.resize((60, 50)), noise(3), ImageEnhance.Brightness(b).enhance(1.05), a]
        names = [f"{k}.{'jpg' if k == 5 else 'png'}" for k in range(6)]
        for name, picture in zip(names, pictures, strict=True):
            picture.save(tmp_path / name)
        annotations = table(tmp_path, names)
        assert near_duplicate_clusters(annotations, np.arange(6)).tolist() == [0, 1, 0, 2, 1, 0]
        assert near_duplicate_clusters(annotations, [4, 3, 1]).tolist() == [0, 1, 0]
        assert near_duplicate_clusters(annotations, []).tolist() == []

    def test_flat_images_of_other_gray_are_others(self, tmp_path: Path) -> None:
        for k, value in enumerate((0, 10, 90, 200)):
            Image.new("L", (20, 20), value).save(tmp_path / f"i{k:04d}.png")
        annotations = table(tmp_path, [f"i{k:04d}.png" for k in range(4)])
        assert near_duplicate_clusters(annotations, np.arange(4)).tolist() == [0, 0, 1, 2]

    def test_damaged_image(self, tmp_path: Path) -> None:
        for k in range(3):
            Image.new("L", (20, 20)).save(tmp_path / f"i{k:04d}.png")
        (tmp_path / "i0001.png").write_bytes(b"?")
        annotations = table(tmp_path, [f"i{k:04d}.png" for k in range(3)])
        assert near_duplicate_clusters(annotations, np.arange(3), on_bad_image="skip").tolist() == [0, 1, 0]
        with pytest.raises(DataError, match=r"i0001\.png: cannot be decoded"):
            near_duplicate_clusters(annotations, np.arange(3))

    def test_real_duplicates(self) -> None:
        if not (SHARED / "voc_raccoon").is_dir():
            pytest.skip("no voc_raccoon beside the repository")
        annotations = open_dataset(SHARED / "voc_raccoon")
        clusters = near_duplicate_clusters(annotations, np.arange(len(annotations)))
        sets = [set(annotations.image_ids[clusters == k]) for k in np.flatnonzero(np.bincount(clusters) > 1)]
        # Looked at: the same photographs in other sizes or colors; no other pair is joined.
        pairs = [{11, 116}, {120, 83}, {21, 45}, {50, 52, 74}, {65, 98}]
        assert sorted(map(sorted, sets)) == sorted(sorted(f"raccoon-{k}" for k in pair) for pair in pairs)

    @pytest.mark.parametrize(
        "change", ["jpeg 30", "quarter size", "brighter", "less contrast", "cut 2 %", "turned 1 degree"]
    )
    def test_changes_that_are_seen_through(self, change: str) -> None:
        changes: dict[str, Callable[[Picture], Picture]] = {
            "jpeg 30": lambda p: jpeg(p, 30),
            "quarter size": lambda p: p.resize((p.width // 4, p.height // 4)),
            "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.15),
            "less contrast": lambda p: ImageEnhance.Contrast(p).enhance(0.8),
            "cut 2 %": lambda p: p.crop((p.width // 50, p.height // 100, p.width, p.height - p.height // 50)),
            "turned 1 degree": lambda p: p.rotate(1, Image.Resampling.BILINEAR),
        }
        photographs = sorted((SHARED / "coco_tiny").rglob("*.jpg"))[:40]
        if not photographs:
            pytest.skip("no coco_tiny beside the repository")
        found = 0
        for path in photographs:
            before = Image.open(path).convert("RGB")
            pair = np.stack([thumbnail(before), thumbnail(changes[change](before).convert("RGB"))])
            found += len(duplicates._near_within(pair)[0])
        assert found >= 38, "at least 95 % of these 40 photographs"


def jpeg(picture: Picture, quality: int) -> Picture:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def thumbnail(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX)).reshape(-1)


def near_by_rule(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """The definition in the module's docstring, word by word."""
    bits = [(t.reshape(8, 9)[:, :-1] > t.reshape(8, 9)[:, 1:]).ravel() for t in (a, b)]
    different = int((bits[0] != bits[1]).sum())
    if np.abs(a.astype(int) - b).mean() > 24 or different > 8:
        return False
    return different <= 4 or (min(a.std(), b.std()) > 2 and np.corrcoef(a, b)[0, 1] >= 0.97)


class TestSearch:
    def thumbs(self, count: int, seed: int) -> NDArray[np.uint8]:
        """Clouds of thumbnails around few centers, so that every number of differing bits occurs; some are flat."""
        rng = np.random.default_rng(seed)
        centers = np.random.default_rng(5).integers(0, 256, (6, 72)).astype(float)
        made = centers[rng.integers(0, 6, count)] + rng.normal(0, 1, (count, 72)) * rng.choice(
            [0, 4, 9, 20], (count, 1)
        )
        made[::17] = np.round(rng.normal(128, 0.7, (len(made[::17]), 72)))
        return made.clip(0, 255).astype(np.uint8)

    def test_nothing_is_missed_and_nothing_made_up(self) -> None:
        thumbs, queries = self.thumbs(300, 0), self.thumbs(120, 1)
        first, second, bits = duplicates._near_between(queries, thumbs)
        expected = {(q, t) for q in range(120) for t in range(300) if near_by_rule(queries[q], thumbs[t])}
        assert len(first) == len(expected) > 500 and set(zip(first.tolist(), second.tolist(), strict=True)) == expected
        assert set(bits.tolist()) == set(range(9)), "every distance occurs"

    def test_within_one_set_clusters_are_those_of_all_pairs(self) -> None:
        thumbs = np.concatenate([self.thumbs(200, 2), self.thumbs(50, 2)])  # The last 50 stand there twice.
        first, second, _ = duplicates._near_within(thumbs)
        pairs = [(i, j) for i in range(250) for j in range(i + 1, 250) if near_by_rule(thumbs[i], thumbs[j])]
        all_pairs = np.array(pairs).T
        found = duplicates.clusters_of(first, second, 250)
        assert np.array_equal(found, duplicates.clusters_of(all_pairs[0], all_pairs[1], 250)) and found.max() > 5

    def test_nothing_at_all(self) -> None:
        none = np.zeros((0, 72), np.uint8)
        assert all(len(part) == 0 for part in (*duplicates._near_within(none), *duplicates._near_between(none, none)))


class TestOverlap:
    def test_pairs_and_counts_by_split(self, tmp_path: Path) -> None:
        a = saved(
            tmp_path / "a", {f"{k}.png": noise(k) for k in range(6)}, ["train", "train", "val", "train", "val", ""]
        )
        twins = {"x.jpg": noise(4), "y.png": noise(50), "z.png": noise(1).resize((60, 50)), "w.jpg": noise(4)}
        b = saved(tmp_path / "b", twins, ["train", "test", "test", "test"])
        calls: list[tuple[int, int]] = []
        found = overlap(a, b, lambda done, count: calls.append((done, count)))
        assert isinstance(found, Overlap)
        assert list(zip(found.rows_a, found.rows_b, strict=True)) == [(4, 0), (1, 2), (4, 3)] and found.bits.max() <= 8
        assert found.splits_a == {"train": (1, 3), "val": (1, 2), "": (0, 1)}
        assert found.splits_b == {"train": (1, 1), "test": (2, 3)} and found.unreadable == ()
        assert calls == [(6, 10), (10, 10)]

    def test_unreadable_images_are_listed(self, tmp_path: Path) -> None:
        a = saved(tmp_path / "a", {"0.png": noise(0), "1.png": noise(1)})
        b = saved(tmp_path / "b", {"1.png": noise(1)})
        (tmp_path / "a/0.png").write_bytes(b"?")
        found = overlap(a, b)
        assert (
            found.rows_a.tolist() == [1] and len(found.unreadable) == 1 and "a/0.png: cannot be" in found.unreadable[0]
        )
        with pytest.raises(DataError, match=r"a/0\.png: cannot be decoded"):
            overlap(a, b, on_bad_image="error")


class TestCache:
    def test_only_changed_files_are_read_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read: list[str] = []
        original = duplicates.read_thumbnail
        monkeypatch.setattr(
            duplicates, "read_thumbnail", lambda path, size: read.append(path.name) or original(path, size)
        )
        pictures = {f"{k}.png": noise(k % 3) for k in range(5)}
        images = saved(tmp_path / "a", pictures)
        clusters = near_duplicate_clusters(images, np.arange(5))
        assert clusters.tolist() == [0, 1, 2, 0, 1] and sorted(read) == sorted(pictures)
        read.clear()
        assert np.array_equal(near_duplicate_clusters(images, np.arange(5)), clusters) and read == []
        noise(9).save(tmp_path / "a/3.png")
        os.utime(tmp_path / "a/3.png", (1_600_000_001, 1_600_000_001))
        more = saved(tmp_path / "a", {"new.png": noise(9)})
        every = table(tmp_path / "a", [*pictures, "new.png"])
        assert near_duplicate_clusters(every, np.arange(6)).tolist() == [0, 1, 2, 3, 1, 3]
        assert sorted(read) == ["3.png", "new.png"]
        read.clear()
        assert near_duplicate_clusters(more, [0]).tolist() == [0] and read == []
        (tmp_path / "a/3.png").touch()
        near_duplicate_clusters(every, np.arange(6))
        near_duplicate_clusters(every, np.arange(6))
        assert read == ["3.png"] * 2, "what changed within the last second is not trusted to stay"

    def test_damaged_cache_is_made_again(self, tmp_path: Path) -> None:
        images = saved(tmp_path / "a", {"0.png": noise(0), "1.png": noise(0)})
        for content in (b"", b"ARROW1 no", None):
            assert near_duplicate_clusters(images, [0, 1]).tolist() == [0, 0]
            kept = kept_thumbnails(images.place)
            assert kept.is_file()
            if content is not None:
                kept.write_bytes(content)


def test_groups_join_clusters(tmp_path: Path) -> None:
    names = [str(k) for k in range(8)]
    videos = table(tmp_path, names, groups=["", "a", "b", "a", "", "b", "c", ""])
    assert with_groups(videos, np.arange(8), np.arange(8)).tolist() == [0, 1, 2, 1, 3, 2, 4, 5]
    assert with_groups(videos, np.arange(8), [0, 1, 2, 3, 0, 5, 3, 7]).tolist() == [0, 1, 2, 1, 0, 2, 1, 3]
    assert with_groups(videos, [7, 5, 2], [0, 1, 2]).tolist() == [0, 1, 1]
    assert with_groups(table(tmp_path, names), np.arange(8), [3, 3, 1, 1, 0, 0, 2, 2]).tolist() == [
        3,
        3,
        1,
        1,
        0,
        0,
        2,
        2,
    ]
