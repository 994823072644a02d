"""`headstart check`: the data doctor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from headstart.cli.flags import AsJson, Format, Quiet, Read
from headstart.terminal import over, say


def _formats(wanted: bool) -> None:
    if wanted:
        from headstart.readers.formats import layouts

        say("\n".join(layouts()))
        raise typer.Exit


def check(
    data: Annotated[str, typer.Argument(help="Folder, archive, URL or description file of a data set.")],
    images: Annotated[bool, typer.Option("--images", help="Decode every image and mask, and look for twins.")] = False,
    against: Annotated[
        str | None, typer.Option("--against", help="Another data set: which of its images are in this one, too?")
    ] = None,
    fix: Annotated[
        Path | None, typer.Option("--fix", help="Write a clean copy of the annotations into this new folder.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where the page and findings.json are written.")] = None,
    format: Format = None,
    formats: Annotated[
        bool, typer.Option("--formats", callback=_formats, is_eager=True, help="List the formats that are known.")
    ] = False,
    read: Read = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """What is in this data set, and what is wrong with it? Ends with 0: clean; 1: findings; 2: unreadable."""
    from headstart import api
    from headstart.readers.options import assigned

    done = api.check(
        data,
        images,
        against=against,
        fix=fix,
        out=out,
        format=format,
        read=assigned(read or []),
        progress=_shown(quiet or as_json),
    )
    if as_json:
        say(json.dumps(done.facts, indent=1))
    elif not quiet:
        say("\n".join(done.lines))
    if not done.clean:
        raise typer.Exit(1)


def _shown(quiet: bool) -> Callable[[int, int, str], None]:
    """A line that is overwritten, on a terminal only."""

    def show(done: int, of: int, what: str) -> None:
        if not quiet:
            over(f"{what}: {done:,}/{of:,} ", done == of)

    return show
