"""From what a user names to the place that holds it."""

from __future__ import annotations

from pathlib import Path

from headstart.places.kinds import is_archive
from headstart.places.paths import DataPath, Folder


def open_place(path: str | Path) -> DataPath:
    """What `path` names: the root of a place, or a file or folder in it.

    A folder or an archive is a place; a file lies in its folder, one in a folder `annotations` in the folder above it,
    where its images are; `x.zip/inner` lies in the archive `x.zip`; a URL is a place, too.
    Raises DataError when there is nothing; FetchError when a server cannot be reached.
    """
    if "://" in str(path):
        from headstart.places.remote import open_remote  # Archives and servers are rare, and take long to load.

        return open_remote(str(path))
    here = Path(path)
    if here.is_dir():
        return DataPath(Folder(str(here)))
    if here.is_file() and not is_archive(here.name):
        above = here.absolute().parent
        if above.name == "annotations":
            return DataPath(Folder(str(above.parent)), f"annotations/{here.name}")
        return DataPath(Folder(str(here.parent)), here.name)
    from headstart.places.archives import open_archive

    return open_archive(here)
