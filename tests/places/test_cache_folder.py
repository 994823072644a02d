"""Where caches are, in a container whose user has no home, too."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from headstart import api
from headstart.places import cache, trust
from headstart.progress import silent
from headstart.study.environment import machine
from headstart.world.shapes import write_coco


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without HOME and without an entry in the list of users; gives the folder of temporary files."""

    def nobody(*_: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("HOME", "HEADSTART_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return temporary


def test_without_a_home_it_is_a_private_folder(homeless: Path) -> None:
    folder = cache.cache_folder()
    assert folder == homeless / f"headstart-{os.getuid()}" == cache.cache_folder()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert trust.memory() is None


@pytest.mark.parametrize("taken", ["link", "writable", "file"])
def test_a_folder_that_others_could_write_is_not_taken(homeless: Path, taken: str) -> None:
    usual = homeless / f"headstart-{os.getuid()}"
    if taken == "link":
        (homeless / "elsewhere").mkdir()
        usual.symlink_to(homeless / "elsewhere")
    elif taken == "file":
        usual.write_text("")
    else:
        usual.mkdir()
        usual.chmod(0o777)
    folder = cache.cache_folder()
    assert folder != usual and folder.parent == homeless and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ.pop("HEADSTART_CACHE") == str(folder)  # so that other processes of this run find it


def test_a_home_that_cannot_be_written_is_no_place(
    homeless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    assert cache.cache_folder().parent == homeless
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new" / "cache"))
    assert cache.cache_folder() == tmp_path / "new" / "cache" / "headstart"


def test_kernels_are_kept_where_it_is_possible(homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    cache.keep_kernels()
    assert "NUMBA_CACHE_DIR" not in os.environ, "beside the modules"
    monkeypatch.setattr(os, "access", lambda *_: False)
    cache.keep_kernels()
    assert os.environ["NUMBA_CACHE_DIR"] == str(homeless / f"headstart-{os.getuid()}" / "numba")


def test_data_is_checked_without_a_home(homeless: Path, tmp_path: Path) -> None:
    write_coco("base", 3, 0, 48, out=tmp_path / "shapes", progress=silent)
    assert "findings" in repr(api.check(tmp_path / "shapes", images=True, out=tmp_path / "checked"))
    assert machine()["torch_cache"] == "no home: nowhere/torch"
