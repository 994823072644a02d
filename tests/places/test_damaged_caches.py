"""One bit flipped in every file of the caches, or the file cut: whatever is read through them is as it was."""

import hashlib
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headstart.api import check, open_dataset
from headstart.batches.image_sets import read_image
from headstart.places import archives, times, url_cache
from headstart.places.cache import cache_folder
from headstart.places.times import Timed
from headstart.places.trust import require_trusted, trusting
from headstart.store import batches
from places.test_remote import Server
from support.corruptions.spoilt import cut, flip
from support.miniatures import make_voc

TIMED = Timed("resnet18", "", (224, 224), "cpu", 1, 8, 7, ms_per_image=12.5, lowest=12.0, highest=13.0)


def as_in_a_new_process() -> None:
    for compared in (batches._intact, archives._INTACT, url_cache._INTACT):
        compared.clear()


@pytest.fixture
def places(tmp_path: Path):
    """The same images in a folder, in an archive that is compressed as a whole, and on a server."""
    folder = tmp_path / "www" / "voc"
    make_voc(folder)
    with tarfile.open(tmp_path / "voc.tar.gz", "w:gz") as archive:
        archive.add(folder, "voc")
    with tarfile.open(tmp_path / "www" / "voc.tar", "w") as archive:
        archive.add(folder, "voc")
    settled = time.time() - 60
    for path in (*tmp_path.rglob("*"), tmp_path):
        os.utime(path, (settled, settled))
    server = Server(tmp_path / "www")
    yield [str(folder), str(tmp_path / "voc.tar.gz"), f"{server.url}/voc.tar"]
    server.close()


def answers(places: list[str], out: Path) -> list[Any]:
    """What is read of them, and what this machine remembers besides."""
    found: list[Any] = [known.ms_per_image if (known := times.known(TIMED)) else None]
    for place in places:
        table = open_dataset(place)
        pixels = [hashlib.sha256(read_image(table, row).tobytes()).hexdigest() for row in range(len(table))]
        facts = check(place, images=True, out=out).facts
        found += [table.fingerprint, pixels, table.boxes_of(0).xyxy.tolist(), facts.get("findings"), facts.get("twins")]
    return found


def cached() -> list[Path]:
    return sorted(path for path in cache_folder().rglob("*") if path.is_file() and path.suffix not in (".nbi", ".nbc"))


@pytest.mark.slow
def test_every_damaged_file_of_the_caches_changes_nothing(places, tmp_path):
    times.keep(TIMED)
    code = tmp_path / "code.py"
    code.write_text("x = 1\n")
    with trusting(True):
        require_trusted(code, code.read_bytes(), "code.py:x")
    whole = answers(places, tmp_path / "out")
    as_in_a_new_process()
    assert answers(places, tmp_path / "out") == whole
    kept = cached()
    rooms = {path.relative_to(cache_folder()).parts[0] for path in kept}
    assert rooms >= {"annotations", "archives", "remote", "thumbnails", "times"}, rooms
    faults = []
    spoils: list[Callable[[Path], None]] = [flip, cut]
    for path in kept:
        for spoil in spoils:
            before = path.read_bytes() if path.exists() else None
            if before is None:
                continue
            spoil(path)
            as_in_a_new_process()
            now = answers(places, tmp_path / "out")
            if now[1:] != whole[1:] or now[0] not in (whole[0], None):
                faults.append(f"{path.relative_to(cache_folder())}, {spoil.__name__}")
            path.write_bytes(before)
    print(f"{len(kept)} files of {', '.join(sorted(rooms))}")
    assert faults == []
