"""URLs as places, through fsspec (extra `remote`): https://, s3://, and whatever else fsspec has a driver for.

What is fetched is kept in the cache folder (`headstart.places.url_cache`), said once, and not fetched when offline.
A server is asked anew what a file is whenever a place is opened, so a change is noticed by its ETag, time or size.
Options of a driver come from the environment, as fsspec reads them: FSSPEC_S3_ANON=true, AWS_ENDPOINT_URL, ...
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote, unquote

from headstart.errors import DataError, FetchError, UsageError
from headstart.places.kinds import is_archive
from headstart.places.network import is_offline
from headstart.places.paths import DataPath, Place, Stamp
from headstart.places.url_cache import Fetched
from headstart.terminal import tell

VERSION_FIELDS = (
    "ETag",
    "etag",
    "md5Hash",
    "Content-MD5",
    "LastModified",
    "Last-Modified",
    "last_modified",
    "mtime",
    "created",
    "updated",
)
"""What drivers call that by which a changed file is told, the surest first."""
ATTEMPTS, WAIT_SECONDS = 3, 0.5
STREAMED_BYTES = 16_000_000
"""Larger files are written to disk as they come, and opened in pieces where a server allows that."""
BLOCK_BYTES = 1 << 20
IN_MEMORY = "memory"
T = TypeVar("T")


@dataclass(frozen=True)
class RemoteFacts:
    """Of a file or folder. size: None where the server does not say it."""

    is_folder: bool
    size: int | None = None
    version: str = ""

    def stamp(self) -> Stamp:
        code = int(hashlib.sha256(self.version.encode()).hexdigest()[:16], 16)
        return (self.size or 0, code % 10**18)  # Below any time in ns of these years: never taken for a fresh change.


class Remote(Place):
    """Files under a URL."""

    def __init__(self, root: str) -> None:
        """Raises UsageError when fsspec or its driver is not installed."""
        self.root = root.rstrip("/")
        self._protocol = root.partition("://")[0]
        self._kept = Fetched()
        self._listed: dict[str, dict[str, RemoteFacts]] = {}
        self._known: dict[str, RemoteFacts | None] = {}
        self._driver: tuple[int, Any] = (0, None)
        self._said = False
        self._filesystem()

    def __reduce__(self) -> tuple[Any, ...]:
        return Remote, (self.root,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    @property
    def address(self) -> str:
        return self.root

    def entries(self, folder: str) -> dict[str, bool]:
        return {name: facts.is_folder for name, facts in self._list(folder).items()}

    def kind(self, name: str) -> str:
        facts = self._facts(name)
        return "" if facts is None else "folder" if facts.is_folder else "file"

    def stamp(self, name: str) -> Stamp | None:
        """The second number is of the file's version, not a time. A folder's is of the names in it."""
        facts = self._facts(name, ask=True)
        if facts is None or not facts.is_folder:
            return facts.stamp() if facts else None
        names = sorted(self._list(name).items())
        return RemoteFacts(True, 0, repr([(entry, facts.is_folder) for entry, facts in names])).stamp()

    def read(self, name: str) -> bytes:
        """Raises FileNotFoundError; FetchError when the file cannot be fetched, or must not be."""
        content = self._fetch(name)
        return content.read_bytes() if isinstance(content, Path) else content

    def open(self, name: str) -> BinaryIO:
        """Large files that are not here yet are read in pieces, where the server gives pieces."""
        facts = self._file(name)
        pieces = self._protocol not in ("http", "https")  # Of these, too many send the whole file for each piece.
        if pieces and (facts.size or 0) > STREAMED_BYTES and not self._here(name, facts):
            self._announce(name)
            return self._try(name, lambda fs, path: fs.open(path, "rb", block_size=BLOCK_BYTES))
        content = self._fetch(name)
        return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)

    def fetch(self, name: str) -> Path:
        """The whole file on this machine's disk, in the cache folder. Raises as `read`; FetchError for a full disk."""
        file = self._fetch(name, on_disk=True)
        if isinstance(file, Path):
            return file
        raise FetchError(
            f"{self.where(name)}: cannot be kept in {self._kept.folder}. Set HEADSTART_CACHE to a folder "
            "that can be written to, and has room."
        )

    # What servers say

    def _list(self, folder: str) -> dict[str, RemoteFacts]:
        if folder not in self._listed:
            self._listed[folder] = self._ask("list", folder, self._listing, {})
        return self._listed[folder]

    def _facts(self, name: str, ask: bool = False) -> RemoteFacts | None:
        """From the listing of the folder that it is in, unless the server has to be asked for its size or version."""
        if not name:
            return RemoteFacts(True) if self._list("") else None
        if name not in self._known:
            above, _, last = name.rpartition("/")
            listed = self._list(above)
            facts = listed.get(last)
            if listed and (facts is None or facts.is_folder or facts.version or not ask):
                return facts
            self._known[name] = self._ask("info", name, self._info_of_listed if facts else self._info, None)
        return self._known[name]

    def _file(self, name: str) -> RemoteFacts:
        facts = self._facts(name, ask=True)
        if facts is None or facts.is_folder:
            raise FileNotFoundError(2, "no such file", self.where(name))
        return facts

    def _ask(self, kind: str, name: str, how: Callable[[Any, str], T], nothing: T) -> T:
        """The server's answer, `nothing` where there is no such file or folder; offline, its last answer."""
        url = self.where(name)
        if self._offline():
            try:
                return self._from_json(self._kept.told(kind, url))
            except KeyError:
                raise self._refused(name) from None
        try:
            answer = self._try(name, how)
        except FileNotFoundError:
            answer = nothing
        self._kept.tell(kind, url, self._to_json(answer))
        return answer

    @staticmethod
    def _to_json(answer: Any) -> Any:
        if isinstance(answer, dict):
            return {"entries": {name: vars(facts) for name, facts in answer.items()}}
        return answer and vars(answer)

    @staticmethod
    def _from_json(said: Any) -> Any:
        if said and "entries" in said:
            return {name: RemoteFacts(**facts) for name, facts in said["entries"].items()}
        return said and RemoteFacts(**said)

    def _listing(self, filesystem: Any, path: str) -> dict[str, RemoteFacts]:
        above = path.rstrip("/") + "/"
        out = {}
        for info in filesystem.ls(above if self._is_http else path, detail=True):
            full = unescape(info["name"])
            is_folder = info["type"] == "directory"
            if (self._is_http and "?" in full) or not full.lstrip("/").startswith(above.lstrip("/")):
                continue  # Links that sort the page, and those to elsewhere.
            name = full.lstrip("/").removeprefix(above.lstrip("/")).rstrip("/")
            name = unquote(name) if self._is_http else name
            if name and "/" not in name:
                out[name] = RemoteFacts(is_folder, None if is_folder else info.get("size"), _version(info))
        return out

    def _info(self, filesystem: Any, path: str) -> RemoteFacts:
        info = filesystem.info(path)
        return RemoteFacts(info["type"] == "directory", info.get("size"), _version(info))

    def _info_of_listed(self, filesystem: Any, path: str) -> RemoteFacts:
        """Of a file that its folder lists: drivers say that it is missing, too, where a busy server refused them."""
        try:
            return self._info(filesystem, path)
        except FileNotFoundError as fault:
            raise ConnectionError("its folder lists it, but the server does not have it, or does not answer") from fault

    # Bytes

    def _here(self, name: str, facts: RemoteFacts) -> Path | None:
        return self._kept.find(self.where(name), facts.version, facts.size)

    def _fetch(self, name: str, on_disk: bool = False) -> Path | bytes:
        facts = self._file(name)
        if path := self._here(name, facts):
            return path
        self._announce(name)
        part = self._kept.begin(self.where(name), facts.version)
        if part is None or not (on_disk or (facts.size or 0) > STREAMED_BYTES):
            content = self._try(name, lambda fs, path: fs.cat_file(path))
            self._require(name, facts, len(content))
            try:
                if part:
                    part.write_bytes(content)
                    self._kept.finish(part)
            except OSError:
                if part:
                    part.unlink(missing_ok=True)
            return content
        try:
            self._try(name, lambda fs, path: fs.get_file(path, str(part)))
            self._require(name, facts, part.stat().st_size)
            return self._kept.finish(part)
        finally:
            part.unlink(missing_ok=True)

    def _require(self, name: str, facts: RemoteFacts, size: int) -> None:
        if facts.size is not None and size != facts.size:
            raise FetchError(f"{self.where(name)}: {size:,} bytes came of {facts.size:,}. Run again.")

    def _announce(self, name: str) -> None:
        if self._offline():
            raise self._refused(name)
        if not self._said and self._protocol != IN_MEMORY:
            tell(f"fetching files of {self.root} into {self._kept.folder} (HEADSTART_OFFLINE=1 forbids it)")
        self._said = True

    def _offline(self) -> bool:
        return is_offline() and self._protocol != IN_MEMORY

    def _refused(self, name: str) -> FetchError:
        return FetchError(
            f"{self.where(name)}: is not in the cache ({self._kept.folder}) and downloads are off "
            "(--offline, HEADSTART_OFFLINE or HF_HUB_OFFLINE). Run once without."
        )

    # fsspec

    @property
    def _is_http(self) -> bool:
        return self._protocol in ("http", "https")

    def _filesystem(self) -> Any:
        """The driver of this process: what drivers hold (loops, connections) does not outlive a fork."""
        if self._driver[0] != os.getpid():
            self._driver = (os.getpid(), _driver(self.root, self._protocol))
        return self._driver[1]

    def _try(self, name: str, how: Callable[[Any, str], T]) -> T:
        """`how(filesystem, path)`, tried again when the network fails. Raises FileNotFoundError, FetchError."""
        filesystem = self._filesystem()
        root = filesystem._strip_protocol(self.root)
        path = f"{root}/{quote(name) if self._is_http else name}" if name else root
        for attempt in range(ATTEMPTS):
            try:
                return how(filesystem, path)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise FileNotFoundError(2, "no such file", self.where(name)) from error
            except Exception as error:  # Each driver has its own.
                if attempt + 1 == ATTEMPTS or isinstance(error, PermissionError):
                    raise FetchError(
                        f"{self.where(name)}: cannot be fetched ({type(error).__name__}: {error}). Check "
                        "the address, the network and your rights; options of the driver come from "
                        "variables such as FSSPEC_S3_ANON=true."
                    ) from error
                time.sleep(WAIT_SECONDS * 2**attempt)
        raise AssertionError("not reached")


def open_remote(url: str) -> DataPath:
    """The root of the folder or archive at `url`, or a file in its folder. An archive is fetched whole, once.

    Raises DataError when there is nothing; FetchError, UsageError.
    """
    if url.startswith("file://"):
        raise UsageError(f"{url}: a file of this machine. Give its path: {url.removeprefix('file://')}")
    from headstart.places.archives import Archive  # That module imports this one's neighbors.

    parts = url.rstrip("/").split("/")
    for k in range(4, len(parts) + 1):
        if is_archive(parts[k - 1]):
            archive = "/".join(parts[:k])
            path = Remote("/".join(parts[: k - 1])).fetch(parts[k - 1])
            inside = DataPath(Archive(archive, path), "/".join(parts[k:]))
            if not inside.exists():
                raise DataError(f"{url}: the archive {archive} has no such file or folder.")
            return inside
    root = Remote(url)
    if root.entries(""):
        return DataPath(root)
    above, _, name = root.root.rpartition("/")
    if not above.endswith("/") and (file := DataPath(Remote(above), unquote(name))).is_file():
        return file
    raise DataError(
        f"{url}: there is nothing, or the server does not list its folders. Check the address; files of a "
        "server without listings can be had as one zip or tar file."
    )


def _version(info: dict[str, Any]) -> str:
    return next((f"{field}={info[field]}" for field in VERSION_FIELDS if info.get(field)), "")


def _driver(url: str, protocol: str) -> Any:
    try:
        import fsspec

        options = {"encoded": True} if protocol in ("http", "https") else {}
        return fsspec.filesystem(protocol, skip_instance_cache=True, **options)
    except ImportError as error:
        raise UsageError(
            f"{url}: reading {protocol}:// needs a library that is not installed ({error}). "
            "Run: pip install 'headstart[remote]'; it brings https and S3."
        ) from error
    except ValueError as error:
        raise UsageError(f"{url}: {error}. Known are https://, s3:// and what fsspec has drivers for.") from error
