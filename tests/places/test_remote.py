"""URLs as places: a real HTTP server, a real S3 server, memory; fetched once, said, bounded, never when offline."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path

import fsspec
import numpy as np
import pytest

from headstart.errors import DataError, FetchError, UsageError
from headstart.places import remote
from headstart.places.images import read_rgb
from headstart.places.network import no_network
from headstart.places.opening import open_place
from headstart.places.paths import DataPath
from headstart.places.remote import Remote
from headstart.places.url_cache import Fetched
from headstart.readers.formats import open_dataset
from support.miniatures import MAKERS, image, make_class_folders, make_voc


class Server:
    """The folder `root` over HTTP, with a record of what was asked for."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked, self.broken = root, Counter[str](), 0
        server = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                server.asked[f"GET {self.path}"] += 1
                if server.broken > 0 and self.path.endswith(".jpg"):
                    server.broken -= 1
                    self.send_error(503)
                else:
                    super().do_GET()

            def do_HEAD(self) -> None:
                server.asked[f"HEAD {self.path}"] += 1
                super().do_HEAD()

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def gets(self, suffix: str = "") -> int:
        return sum(n for what, n in self.asked.items() if what.startswith("GET") and what.endswith(suffix))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(remote, "WAIT_SECONDS", 0.01)
    (tmp_path / "www").mkdir()
    served = Server(tmp_path / "www")
    yield served
    served.close()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of an S3 server with one bucket, `images`."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("images")
        yield "s3://images"
    moto.stop()


def put(folder: Path, url: str) -> None:
    filesystem = fsspec.filesystem(url.partition("://")[0], skip_instance_cache=True)
    for path in (p for p in folder.rglob("*") if p.is_file()):
        filesystem.pipe_file(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_every_reader_finds_over_http_what_it_finds_in_a_folder(server: Server, kind: str) -> None:
    MAKERS[kind](server.root / "set")
    expected, table = open_dataset(server.root / "set"), open_dataset(f"{server.url}/set")
    assert table.batch.equals(expected.batch) and table.fingerprint == expected.fingerprint
    assert str(table.image_path(0)) == f"{server.url}/set/{table.image_name(0)}"


@pytest.mark.parametrize("protocol", ["s3", "memory"])
def test_other_drivers(tmp_path: Path, protocol: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("s3") + "/a/set" if protocol == "s3" else "memory://here/set"
    make_voc(tmp_path / "set")
    put(tmp_path / "set", url)
    expected, table = open_dataset(tmp_path / "set"), open_dataset(url)
    assert table.batch.equals(expected.batch) and table.fingerprint == expected.fingerprint
    assert np.array_equal(read_rgb(table.image_path(1)), read_rgb(expected.image_path(1)))
    assert sorted(open_place(url).place.entries("")) == sorted(p.name for p in (tmp_path / "set").iterdir())
    file = open_place(f"{url}/Annotations/a.xml")
    assert file.is_file() and file.read_bytes() == (tmp_path / "set/Annotations/a.xml").read_bytes()


class TestNames:
    def test_odd_names_and_foreign_links(self, server: Server) -> None:
        for name in ("a b.jpg", "50%.jpg", "ü雪.jpg", "x#1.jpg", "q?.jpg", "it's & co.jpg"):
            image(server.root / "odd" / name)
        place = open_place(f"{server.url}/odd").place
        assert set(place.entries("")) == {"a b.jpg", "50%.jpg", "ü雪.jpg", "x#1.jpg", "it's & co.jpg", "q?.jpg"}
        for name in place.entries(""):
            assert place.read(name) == (server.root / "odd" / name).read_bytes(), name
        (server.root / "page").mkdir()
        (server.root / "page/index.html").write_text(
            '<a href="../odd/">up</a> <a href="?C=N;O=D">sort</a> <a href="in.txt">i</a> <a href="sub/">s</a>'
            '<a href="http://elsewhere.invalid/x.jpg">x</a> <a href="sub/deep.txt">d</a>'
        )
        assert open_place(f"{server.url}/page").place.entries("") == {"in.txt": False, "sub": True}

    def test_missing_files_folders_and_servers(self, server: Server) -> None:
        make_voc(server.root / "set")
        place = open_place(f"{server.url}/set").place
        assert place.entries("nowhere") == {} and place.kind("Annotations/z.xml") == "" and place.stamp("z") is None
        assert place.kind("Annotations") == "folder" and place.kind("Annotations/a.xml") == "file"
        with pytest.raises(FileNotFoundError):
            place.read("JPEGImages/none.jpg")
        with pytest.raises(DataError, match=r"/nowhere: there is nothing, or the server does not list its folders"):
            open_place(f"{server.url}/nowhere")
        with pytest.raises(FetchError, match=r"cannot be fetched \(Client\w+: .*Check the address, the network"):
            open_place("http://127.0.0.1:9/set")
        with pytest.raises(UsageError, match=r"file:///tmp/x: a file of this machine\. Give its path: /tmp/x"):
            open_place("file:///tmp/x")
        with pytest.raises(UsageError, match=r"bogus://x: Protocol not known"):
            open_place("bogus://x")

    def test_the_missing_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "fsspec", None)
        with pytest.raises(
            UsageError, match=r"https://h/x: reading https:// needs .*pip install 'headstart\[remote\]'"
        ):
            open_place("https://h/x")


class TestFetching:
    def test_files_are_fetched_once_and_that_is_said(self, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
        make_class_folders(server.root / "set")
        for _ in range(3):
            table = open_dataset(f"{server.url}/set")
            assert [read_rgb(table.image_path(i)).shape for i in range(5)] == [(30, 40, 3)] * 5
        assert server.gets(".jpg") + server.gets(".png") + server.gets(".jpeg") == 5
        said = capsys.readouterr().err
        assert f"fetching files of {server.url}/set into" in said and "HEADSTART_OFFLINE=1 forbids it" in said

    def test_a_changed_file_is_fetched_again(self, server: Server) -> None:
        path = image(server.root / "set/a.jpg", 1)
        url = f"{server.url}/set"
        before = read_rgb(open_place(url) / "a.jpg")
        size = path.stat().st_size
        image(path, 2)
        path.write_bytes(path.read_bytes()[:size].ljust(size, b"\0"))
        os.utime(path, (1_700_000_000, 1_700_000_000))
        assert open_place(url).place.stamp("a.jpg") != (size, 0) and path.stat().st_size == size
        assert not np.array_equal(read_rgb(open_place(url) / "a.jpg"), before)
        make_class_folders(server.root / "classes")
        assert len(open_dataset(f"{server.url}/classes")) == 5
        image(server.root / "classes/train/Iris/new.png")
        assert len(open_dataset(f"{server.url}/classes")) == 6

    def test_offline_reads_what_is_here_and_nothing_else(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        make_class_folders(server.root / "set")
        url = f"{server.url}/set"
        table = open_dataset(url)
        seen = read_rgb(table.image_path(0))
        asked = sum(server.asked.values())
        with no_network(True):
            again = open_dataset(url)
            assert again.batch.equals(table.batch) and np.array_equal(read_rgb(again.image_path(0)), seen)
            with pytest.raises(FetchError, match=r"/set/\S+: is not in the cache \(.*downloads are off \(--offline"):
                read_rgb(again.image_path(1))
            with pytest.raises(FetchError, match=r"/other: is not in the cache .*Run once without"):
                open_place(f"{server.url}/other")
        assert sum(server.asked.values()) == asked and "HEADSTART_OFFLINE" not in os.environ
        monkeypatch.setenv("HEADSTART_OFFLINE", "1")
        with no_network(True), pytest.raises(FetchError):
            open_place(f"{server.url}/other")
        assert os.environ["HEADSTART_OFFLINE"] == "1"

    def test_failures_are_tried_again_and_are_no_bad_images(self, server: Server) -> None:
        image(server.root / "set/a.jpg")
        server.broken = 2
        assert read_rgb(open_place(f"{server.url}/set") / "a.jpg").shape == (30, 40, 3)
        image(server.root / "set/b.jpg")
        server.broken = 99
        with pytest.raises(FetchError, match=r"/set/b\.jpg: cannot be fetched \(ClientResponseError: 503") as caught:
            read_rgb(open_place(f"{server.url}/set") / "b.jpg")
        assert not isinstance(caught.value, DataError), "such an image must not be skipped as a bad one"

    def test_a_server_that_went_away_takes_no_file_out_of_the_cache(self, server: Server) -> None:
        """Its driver calls that "no such file", too; what was said before stays."""
        image(server.root / "set/a.jpg")
        table = open_place(f"{server.url}/set")
        size = (table / "a.jpg").size()
        later = open_place(f"{server.url}/set")
        server.close()
        with pytest.raises(FetchError, match=r"/set/a\.jpg: cannot be fetched \(.*or does not answer"):
            (later / "a.jpg").size()
        with no_network(True):
            assert (open_place(f"{server.url}/set") / "a.jpg").size() == size

    def test_the_cache_is_bounded(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        for k in range(8):
            (server.root / "set").mkdir(exist_ok=True)
            (server.root / f"set/{k}.bin").write_bytes(os.urandom(100_000))
        monkeypatch.setenv("HEADSTART_REMOTE_CACHE_GB", "0.00035")
        place = open_place(f"{server.url}/set").place
        for k in range(8):
            assert place.read(f"{k}.bin") == (server.root / f"set/{k}.bin").read_bytes()
            kept = list(Fetched().folder.glob("??/*"))
            assert sum(path.stat().st_size for path in kept) <= 350_000
        assert place.read("7.bin") and server.gets("7.bin") == 1, "the newest stays"

    def test_a_damaged_cached_file_is_fetched_again(self, server: Server) -> None:
        image(server.root / "set/a.jpg")
        place = open_place(f"{server.url}/set").place
        whole = place.read("a.jpg")
        (kept,) = Fetched().folder.glob("??/*")
        kept.write_bytes(whole[:100])
        assert place.read("a.jpg") == whole and server.gets("a.jpg") == 2

    def test_unwritable_cache_costs_time_only(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        image(server.root / "set/a.jpg")
        (server.root / "file").write_text("")
        monkeypatch.setenv("HEADSTART_CACHE", str(server.root / "file"))
        assert read_rgb(open_place(f"{server.url}/set") / "a.jpg").shape == (30, 40, 3)
        with pytest.raises(FetchError, match="Set HEADSTART_CACHE to a folder"):
            Remote(f"{server.url}/set").fetch("a.jpg")

    def test_large_files_are_read_in_pieces_or_streamed_to_disk(
        self, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(remote, "STREAMED_BYTES", 1_000_000)
        content = os.urandom(6_000_000)
        (tmp_path / "big").mkdir()
        (tmp_path / "big/x.bin").write_bytes(content)
        put(tmp_path / "big", f"{s3}/big")
        path: DataPath = open_place(f"{s3}/big") / "x.bin"
        with path.open() as file:
            file.seek(2_500_000)
            assert file.read(1000) == content[2_500_000:2_501_000]
        assert not list(Fetched().folder.glob("??/*")), "a piece was read, not the file"
        assert path.read_bytes() == content and len(list(Fetched().folder.glob("??/*"))) == 1


def shape(path: DataPath) -> tuple[int, ...]:
    return read_rgb(path).shape


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_forked_and_spawned_processes_have_their_own_connections(server: Server, method: str) -> None:
    for k in range(6):
        image(server.root / f"set/{k}.png")
    root = open_place(f"{server.url}/set")
    assert shape(root / "0.png") == (30, 40, 3) and pickle.loads(pickle.dumps(root)) == root
    with ProcessPoolExecutor(2, get_context(method)) as workers:
        assert list(workers.map(shape, [root / f"{k}.png" for k in range(6)])) == [(30, 40, 3)] * 6


def test_an_archive_at_a_url_is_fetched_once(server: Server, tmp_path: Path) -> None:
    make_voc(tmp_path / "set")
    shutil.make_archive(str(server.root / "x"), "zip", tmp_path / "set")
    for _ in range(2):
        table = open_dataset(f"{server.url}/x.zip")
    assert len(table) == 4 and str(table.image_path(0)) == f"{server.url}/x.zip/JPEGImages/a.jpg"
    assert server.gets("x.zip") == 1 and open_place(f"{server.url}/x.zip/Annotations/a.xml").is_file()
    with pytest.raises(DataError, match=r"x\.zip/no: the archive .*x\.zip has no such file or folder"):
        open_place(f"{server.url}/x.zip/no")
