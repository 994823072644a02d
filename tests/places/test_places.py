"""Names of a `DataPath`, as `pathlib` has them, and what lists mean by a name."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.places.paths import DataPath, Folder
from headstart.readers.file_names import NamedFiles, named
from support.miniatures import image

PART = st.text("ab.\u732b -", min_size=1, max_size=5).filter(lambda part: part not in (".", ".."))


def test_the_folder_a_command_runs_in_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages and folders are named after it: "of classes that  does not have" was said of one."""
    inner = tmp_path / "photos" / "more"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert DataPath(Folder(".")).name == DataPath(Folder("")).name == "more"
    assert DataPath(Folder("..")).name == "photos"


@settings(deadline=None, derandomize=True)
@given(st.lists(PART, min_size=1, max_size=4))
def test_parts_of_names_are_those_of_pathlib(parts: list[str]) -> None:
    path, expected = DataPath(Folder("top"), "/".join(parts)), PurePosixPath("/".join(parts))
    assert (path.name, path.stem, path.suffix) == (expected.name, expected.stem, expected.suffix)
    assert path.parent.relative == ("" if len(parts) == 1 else str(expected.parent))
    assert DataPath(Folder("top/ab.c")).name == "ab.c"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("x.jpg", "in/x.jpg"),
        ("./x.jpg", "in/x.jpg"),
        ("../y.jpg", "y.jpg"),
        ("..\\y.jpg", "y.jpg"),
        ("../../y.jpg", None),
        ("TOP/y.jpg", "y.jpg"),
        ("/etc/passwd", None),
        ("C:\\y.jpg", None),
        ("TOP/../y.jpg", None),
        ("y.jpg", None),
        ("\0", None),
        ("z" * 5000, None),
        ("..", None),
        ("", None),
    ],
)
def test_what_a_list_means_by_a_name(tmp_path: Path, name: str, found: str | None) -> None:
    image(tmp_path / "in/x.jpg")
    image(tmp_path / "y.jpg")
    folder = DataPath(Folder(str(tmp_path))) / "in"
    path = NamedFiles().find([folder], name.replace("TOP", str(tmp_path)))
    assert (path.relative if path else None) == found


def test_names_in_places_that_are_no_folder_of_this_machine() -> None:
    class Elsewhere(Folder):
        def local(self, name: str) -> None:
            return None

    top = DataPath(Elsewhere("https://host/set"), "in")
    assert named(top, "/data/x.jpg") is None and named(top, "../x.jpg") == DataPath(top.place, "x.jpg")
