"""Zip and tar files as places: the same table as from the folder, members read where they lie, bad archives named."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from headstart.errors import DataError, UsageError
from headstart.places import archive_index
from headstart.places.archives import Archive
from headstart.places.cache import cache_folder
from headstart.places.images import header_sizes_hw, read_rgb
from headstart.places.limits import limit
from headstart.places.opening import open_place
from headstart.places.paths import DataPath, as_place
from headstart.readers.formats import open_dataset
from support.miniatures import MAKERS, image, make_class_folders, make_voc

EARLIER = 1_600_000_000
KINDS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def aged(path: Path, seconds: int = EARLIER) -> Path:
    """Archives that changed a moment ago are indexed each time, since they may change again within the clock's tick."""
    os.utime(path, (seconds, seconds))
    return path


def packed(folder: Path, target: Path, inside: str = "") -> Path:
    """`folder` in an archive, below `inside` in it."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    names = [f"{inside}{p.relative_to(folder).as_posix()}" for p in files]
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for k, (name, path) in enumerate(zip(names, files, strict=True)):
                archive.write(path, name, zipfile.ZIP_DEFLATED if k % 2 else zipfile.ZIP_STORED)
    else:
        kind = {".tgz": "gz", ".tar": ""}.get(target.suffix, target.suffix[1:])
        with tarfile.open(target, f"w:{kind}") as archive:  # type: ignore[call-overload]
            for name, path in zip(names, files, strict=True):
                archive.add(path, name)
    return aged(target)


def zipped(target: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return aged(target)


def tarred(target: Path, *members: tarfile.TarInfo | tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(target, "w", format=form) as archive:
        for member in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member[0])
            content = b"" if isinstance(member, tarfile.TarInfo) else member[1]
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return aged(target)


def linked(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("kind", sorted(MAKERS))
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_every_reader_finds_in_an_archive_what_it_finds_in_a_folder(tmp_path: Path, kind: str, suffix: str) -> None:
    MAKERS[kind](tmp_path / "set")
    expected = open_dataset(tmp_path / "set")
    for inside in ("", "outer/"):
        table = open_dataset(packed(tmp_path / "set", tmp_path / f"{kind}{len(inside)}{suffix}", inside))
        columns = [name for name in expected.batch.schema.names if name not in ("path", "mask")]
        assert table.batch.select(columns).equals(expected.batch.select(columns))
        if not inside:
            assert table.fingerprint == expected.fingerprint
        assert all(table.image_path(i).read_bytes() == expected.image_path(i).read_bytes() for i in range(len(table)))


@pytest.mark.parametrize("suffix", KINDS)
def test_members_are_read_and_listed(tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    make_class_folders(tmp_path / "set")
    (tmp_path / "set/train/empty.txt").write_bytes(b"")
    path = packed(tmp_path / "set", tmp_path / f"x{suffix}")
    root = open_place(path)
    assert [entry.name for entry, is_folder in root.iterdir() if is_folder] == ["test", "train"]
    for file in (p for p in (tmp_path / "set").rglob("*") if p.is_file()):
        member = root / file.relative_to(tmp_path / "set").as_posix()
        assert str(member) == f"{path}/{file.relative_to(tmp_path / 'set').as_posix()}" and member.is_file()
        assert member.read_bytes() == file.read_bytes() and member.size() == file.stat().st_size
        with member.open() as opened:
            opened.seek(-min(5, member.size()), io.SEEK_END)
            assert opened.read() == file.read_bytes()[-5:]
    assert (root / "train").is_dir() and not (root / "trai").exists() and not (root / "train/tulip/9.jpg").exists()
    assert root.place.entries("train/tulip/1.jpg") == {} == root.place.entries("nowhere")
    assert root.place.stamp("") == (path.stat().st_size, EARLIER * 10**9)
    with pytest.raises(FileNotFoundError):
        (root / "train").read_bytes()
    said = capsys.readouterr().err
    assert ("decompressing it once to" in said) == (suffix not in (".zip", ".tar"))
    open_place(path)
    assert capsys.readouterr().err == "", "decompressed once"


def test_a_folder_or_a_file_within_is_named_like_a_path(tmp_path: Path) -> None:
    make_voc(tmp_path / "set")
    path = packed(tmp_path / "set", tmp_path / "x.zip", "in/ner/")
    assert len(open_dataset(path / "in" / "ner")) == 4 == len(open_dataset(f"{path}/in"))
    inner = open_place(path / "in/ner/JPEGImages/a.jpg")
    assert inner.is_file() and read_rgb(inner).shape == (30, 40, 3) and header_sizes_hw(inner)[0] == (30, 40)
    with pytest.raises(DataError, match=r"x\.zip/nowhere: the archive .*x\.zip has no such file.*At its top are: in"):
        open_place(path / "nowhere")
    below = as_place(open_place(path / "in/ner"))
    assert below.where("JPEGImages/a.jpg") == str(inner) and below.read("JPEGImages/a.jpg") == inner.read_bytes()
    assert below.kind("JPEGImages") == "folder" and len(below.entries("JPEGImages")) == 4
    assert below.address == f"{path}/in/ner"


def test_the_index_is_built_once_and_again_when_the_archive_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans: list[Path] = []
    scan = archive_index._scan_zip
    monkeypatch.setattr(archive_index, "_scan_zip", lambda path, shown: scans.append(path) or scan(path, shown))
    path = zipped(tmp_path / "x.zip", {"a.txt": b"first"})
    assert [(open_place(path) / "a.txt").read_bytes() for _ in range(3)] == [b"first"] * 3 and len(scans) == 1
    zipped(path, {"a.txt": b"other"})
    aged(path, EARLIER + 1)
    assert (open_place(path) / "a.txt").read_bytes() == b"other" and len(scans) == 2
    next((cache_folder() / "archives").glob("*.arrow")).write_bytes(b"damaged")
    assert (open_place(path) / "a.txt").read_bytes() == b"other" and len(scans) == 3
    os.utime(path)
    assert [(open_place(path) / "a.txt").is_file() for _ in range(2)] == [True] * 2
    assert len(scans) == 5, "an archive that changed within the last second is not trusted to stay"


def test_a_changed_archive_is_a_changed_source_of_the_table(tmp_path: Path) -> None:
    make_class_folders(tmp_path / "set")
    path = packed(tmp_path / "set", tmp_path / "x.zip")
    assert len(open_dataset(path)) == 5 and open_dataset(path).file is not None
    image(tmp_path / "set/train/tulip/new.png")
    packed(tmp_path / "set", path)
    assert len(open_dataset(path)) == 6


def content(place_and_name: tuple[Archive, str]) -> tuple[int, bytes]:
    place, name = place_and_name
    return os.getpid(), place.read(name)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_threads_and_forked_and_spawned_processes_read_alike(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    for k in range(40):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / f"set/{k}").write_bytes(rng.integers(0, 4, 5000, np.uint8).tobytes())
    place = open_place(packed(tmp_path / "set", tmp_path / f"x{suffix}")).place
    assert isinstance(place, Archive)
    orders = [(place, str(k)) for k in range(40)] * 5
    expected = [(tmp_path / f"set/{k}").read_bytes() for _, k in orders]
    with ThreadPoolExecutor(8) as pool:
        assert [found for _, found in pool.map(content, orders)] == expected
    for method in ("fork", "spawn"):
        with ProcessPoolExecutor(2, get_context(method)) as workers:
            found = list(workers.map(content, orders[:80], chunksize=10))
        assert [c for _, c in found] == expected[:80] and os.getpid() not in {pid for pid, _ in found}
    copy = pickle.loads(pickle.dumps(place))
    assert copy == place and hash(copy) == hash(place) and copy.root == place.root


class TestNames:
    def test_members_that_would_escape_are_left_out_and_told(self, tmp_path: Path) -> None:
        names = [
            "../out.txt",
            "/etc/x.txt",
            "C:\\x.txt",
            "a/../../b.txt",
            "__MACOSX/._a.txt",
            "./ok/a.txt",
            "w\\in.txt",
        ]
        for path in (
            zipped(tmp_path / "x.zip", dict.fromkeys(names, b"1")),
            tarred(tmp_path / "x.tar", *((name, b"1") for name in names)),
        ):
            root = open_place(path)
            assert sorted(root.place.entries("")) == ["ok", "w"] and (root / "w/in.txt").is_file()
            notes = " ".join(root.place.notes)
            assert f"{path}: 2 members have names that lead out of the archive by '..'; they are left out" in notes
            assert "2 members have absolute names" in notes and "1 members are notes of macOS" in notes

    def test_notes_reach_the_table_and_its_summary(self, tmp_path: Path) -> None:
        make_class_folders(tmp_path / "set")
        path = packed(tmp_path / "set", tmp_path / "x.zip")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("../evil.jpg", b"1")
        aged(path)
        for _ in range(2):
            assert any("1 members have names that lead out" in line for line in open_dataset(path).summary())

    def test_links_within_a_tar_are_followed_and_others_told(self, tmp_path: Path) -> None:
        path = tarred(
            tmp_path / "x.tar",
            ("a/1.txt", b"one"),
            linked("b/2.txt", "../a/1.txt"),
            linked("b/3.txt", "a/1.txt", tarfile.LNKTYPE),
            linked("b/4.txt", "../../etc/passwd"),
            linked("b/5.txt", "/etc/passwd"),
            linked("c", "a"),
        )
        root = open_place(path)
        assert [(root / f"b/{k}.txt").read_bytes() for k in (2, 3)] == [b"one"] * 2
        assert list(root.place.entries("b")) == ["2.txt", "3.txt"] and "c" not in root.place.entries("")
        assert "3 members are links that do not lead to a file of the archive" in root.place.notes[0]

    def test_links_in_a_zip_are_told(self, tmp_path: Path) -> None:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
            archive.writestr(info, "/etc/passwd")
            archive.writestr("a", "1")
        assert "1 members are links, which are not followed" in open_place(tmp_path / "x.zip").place.notes[0]

    def test_the_last_of_equal_names_counts(self, tmp_path: Path) -> None:
        root = open_place(tarred(tmp_path / "x.tar", ("a", b"old"), ("a", b"new")))
        assert (root / "a").read_bytes() == b"new" and "the last one counts" in root.place.notes[0]

    @pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    def test_long_and_foreign_names(self, tmp_path: Path, form: int) -> None:
        name = f"{'folder' * 30}/{'ß' * 90}/雪.txt"
        root = open_place(tarred(tmp_path / "x.tar", (name, b"1"), form=form))
        assert (root / name).read_bytes() == b"1"
        assert (open_place(zipped(tmp_path / "x.zip", {name: b"2"})) / name).read_bytes() == b"2"

    def test_folders_sort_apart_from_names_that_begin_alike(self, tmp_path: Path) -> None:
        names = ["a/1", "a-b/2", "a.c", "ab/3", "a/b/4", "a/b.5", "a\x01/6"]
        root = open_place(zipped(tmp_path / "x.zip", dict.fromkeys(names, b"")))
        assert root.place.entries("") == {"a": True, "a-b": True, "a.c": False, "ab": True, "a\x01": True}
        assert root.place.entries("a") == {"1": False, "b": True, "b.5": False}
        assert not (root / "\ud800").exists()


class TestBadArchives:
    def test_truncated_or_not_an_archive(self, tmp_path: Path) -> None:
        make_voc(tmp_path / "set")
        for suffix in KINDS:
            whole = packed(tmp_path / "set", tmp_path / f"x{suffix}").read_bytes()
            for cut in (0, 10, len(whole) // 3, len(whole) // 2):
                path = tmp_path / f"cut{cut}{suffix}"
                path.write_bytes(whole[:cut])
                with pytest.raises(DataError, match="fetch it again") as caught:
                    open_place(path)
                assert str(path) in str(caught.value)

    def test_a_tar_cut_between_members_is_not_taken_for_whole(self, tmp_path: Path) -> None:
        whole = tarred(tmp_path / "x.tar", ("a", b"1" * 512), ("b", b"2" * 512)).read_bytes()
        for cut in (1024, 1024 + 512, 2048, 2048 + 100):
            (tmp_path / "y.tar").write_bytes(whole[:cut])
            with pytest.raises(DataError, match=r"y\.tar: cannot be read as a tar file \((no end mark|it ends|unexp)"):
                open_place(tmp_path / "y.tar")
        (tmp_path / "y.tar").write_bytes(whole[:1024] + b"garbage!" * 64 + whole[1536:])
        with pytest.raises(DataError, match="no end mark after the 1 files"):
            open_place(tmp_path / "y.tar")

    def test_damaged_member(self, tmp_path: Path) -> None:
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            path = zipped(tmp_path / f"{method}.zip", {"in/a.txt": bytes(range(256)) * 9}, method)
            whole = bytearray(path.read_bytes())
            whole[60] ^= 255
            path.write_bytes(whole)
            member = open_place(path) / "in/a.txt"
            with pytest.raises(DataError, match=r"\.zip/in/a\.txt: is damaged in its archive.*Fetch .*again") as caught:
                member.read_bytes()
            assert str(member) in str(caught.value)
        whole[:4] = b"XXXX"
        path.write_bytes(whole)
        with pytest.raises(DataError, match="there is no member where the list of members says"):
            (open_place(path) / "in/a.txt").read_bytes()

    def test_encrypted_member(self, tmp_path: Path) -> None:
        path = zipped(tmp_path / "x.zip", {"a.jpg": b"secret"})
        whole = bytearray(path.read_bytes())
        whole[whole.index(b"PK\1\2") + 8] |= 1
        path.write_bytes(whole)
        with pytest.raises(DataError, match=r"x\.zip/a\.jpg: is encrypted\. Unpack .*x\.zip with its password"):
            read_rgb(open_place(path) / "a.jpg")

    def test_unknown_packing(self, tmp_path: Path) -> None:
        path = zipped(tmp_path / "x.zip", {"a.jpg": b"1" * 99}, zipfile.ZIP_BZIP2)
        with pytest.raises(DataError, match=r"a\.jpg: is packed by bzip2, which cannot be read.*zip -r"):
            (open_place(path) / "a.jpg").read_bytes()

    def test_bombs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = zipped(tmp_path / "x.zip", {"bomb.png": b"\0" * 70_000_000, "flat.png": b"\0" * 60_000}, 8)
        bomb = open_place(path) / "bomb.png"
        with pytest.raises(
            DataError, match=r"x\.zip/bomb\.png: 70 MB come out of 0\.0\S+ MB.*HEADSTART_MAX_RATIO = 200"
        ):
            bomb.read_bytes()
        assert len((open_place(path) / "flat.png").read_bytes()) == 60_000, "small members may pack well"
        monkeypatch.setenv("HEADSTART_MAX_RATIO", "2000")
        assert len(bomb.read_bytes()) == 70_000_000
        monkeypatch.setenv("HEADSTART_MAX_MEMBER_GB", "0.05")
        with pytest.raises(DataError, match=r"more than HEADSTART_MAX_MEMBER_GB = 0\.05 allows\. If you trust it"):
            bomb.read_bytes()
        monkeypatch.setenv("HEADSTART_MAX_MEMBER_GB", "lots")
        with pytest.raises(UsageError, match="HEADSTART_MAX_MEMBER_GB='lots' is not a positive number"):
            limit("HEADSTART_MAX_MEMBER_GB")

    def test_compressed_tar_bomb(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
            info = tarfile.TarInfo("a")
            info.size = 70_000_000
            archive.addfile(info, io.BytesIO(b"\0" * info.size))
        with pytest.raises(DataError, match=r"x\.tgz: .*HEADSTART_MAX_RATIO"):
            open_place(tmp_path / "x.tgz")
        assert not list((cache_folder() / "archives").glob("*")), "nothing is left behind"

    def test_a_member_that_lies_about_its_size(self, tmp_path: Path) -> None:
        path = zipped(tmp_path / "x.zip", {"a": b"\0" * 90_000}, zipfile.ZIP_DEFLATED)
        whole = bytearray(path.read_bytes())
        struct.pack_into("<I", whole, whole.index(b"PK\1\2") + 24, 1000)
        path.write_bytes(whole)
        with pytest.raises(DataError, match="its checksum or its size does not fit"):
            (open_place(path) / "a").read_bytes()

    def test_empty(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"x\.zip: there is no file in it\. Put the data set into it"):
            open_place(zipped(tmp_path / "x.zip", {}))
        with pytest.raises(DataError, match=r"y\.zip: there is no file in it\. .*1 members have absolute names"):
            open_place(zipped(tmp_path / "y.zip", {"/a": b"1"}))


def test_zip64_and_bytes_before_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive, archive.open("big/a.bin", "w", force_zip64=True) as file:
        file.write(b"content" * 100)
    (tmp_path / "sfx.zip").write_bytes(b"#!/bin/sh\n" + (tmp_path / "x.zip").read_bytes())
    for name in ("x.zip", "sfx.zip"):
        assert (open_place(tmp_path / name) / "big/a.bin").read_bytes() == b"content" * 100
    many = zipped(
        tmp_path / "many.zip", {f"{k % 7}/{k}": b"%d" % k for k in range(66_000)}
    )  # More than 16 bits; 3, 10, .. 65999.
    root = open_place(many)
    assert len(root.place.entries("3")) == 9429 and (root / "3/65523").read_bytes() == b"65523"


def test_unwritable_cache_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file"))
    path = zipped(tmp_path / "x.zip", {"a": b"1"})
    assert [(open_place(path) / "a").read_bytes() for _ in range(2)] == [b"1"] * 2


def test_open_files_are_given_back(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a": b"1"})
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else None
    if before is None:
        pytest.skip("needs /proc")
    for _ in range(20):
        open_place(path)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


def test_archive_removed_while_open(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a": b"1"})
    member: DataPath = open_place(path) / "a"
    shutil.move(path, tmp_path / "y.zip")
    assert member.read_bytes() == b"1" and member.place.stamp("a") is None


def test_the_benchmark_runs_on_a_small_set() -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "archives.py"
    words = [sys.executable, str(script), "--members", "40", "--images", "20", "--rounds", "1"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rows = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert [rows.count(name) for name in ("loose", "zip", "zip, deflated", "tar")] == [1, 2, 2, 2]
