"""`headstart store`: the finished jobs of a run, or of a store that runs share."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headstart.cli.flags import Device
from headstart.cli.show import print_table
from headstart.errors import UsageError
from headstart.terminal import bytes_text, say

if TYPE_CHECKING:
    from headstart.store.store import Store

app = typer.Typer(
    help="Finished jobs of a run, or of a store that runs share: list, measure, verify, prune.", no_args_is_help=True
)

Run = Annotated[Path, typer.Argument(help="A run directory, or a store that runs share.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("ls")
def ls(run: Run, as_json: AsJson = False) -> None:
    """List finished jobs."""
    rows = [
        {"name": e.name, "seconds": round(e.seconds, 1), "size": _size(e.size, as_json), "job": e.label}
        for e in _open(run).entries()
    ]
    print_table(rows, as_json)


@app.command("du")
def du(run: Run, as_json: AsJson = False) -> None:
    """Say how much room each kind of job takes."""
    store = _open(run)
    kinds: dict[str, list[int]] = {}
    for entry in store.entries():
        kinds.setdefault(entry.kind, []).append(entry.size)
    finished = sum(map(sum, kinds.values()))
    unfinished = store.unfinished()
    rows = [
        *((kind, len(sizes), sum(sizes)) for kind, sizes in sorted(kinds.items())),
        ("unfinished", unfinished, store.size() - finished),
        ("all", sum(map(len, kinds.values())) + unfinished, store.size()),
    ]
    print_table([{"kind": k, "jobs": jobs, "size": _size(size, as_json)} for k, jobs, size in rows], as_json)


@app.command("verify")
def verify(run: Run) -> None:
    """Read every file and compare it with the digest taken when it was written. Ends with 1 when one has changed."""
    store = _open(run)
    damaged = store.verify()
    for damage in damaged:
        say(f"{damage.name}: {damage.what}")
    if damaged:
        say("delete these folders of the run's store and run the study again: only they are made again")
        raise typer.Exit(1)
    entries = store.entries()
    lacking = sum(entry.lacks for entry in entries)
    gone = f"; large files of {lacking} were dropped, since nothing needs them" if lacking else ""
    say(f"{len(entries)} finished jobs, every file as it was written{gone}")


@app.command("prune")
def prune(
    run: Run,
    device: Device = "auto",
    days: Annotated[
        float, typer.Option(min=0, help="Of a shared store: only jobs that were not changed for so many days.")
    ] = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; delete nothing.")] = False,
) -> None:
    """Delete jobs that the run's study does not ask for; of a shared store those that no run uses."""
    from headstart.store.lock import RunLock
    from headstart.store.store import freed_by
    from headstart.study.planning.pruning import needed

    store = _open(run)
    stays = needed(run, device, days)
    with nullcontext() if dry_run else RunLock(run):
        paths = store.superfluous(stays.names, stays.older_than)
        rows = [{"name": str(path.relative_to(run)), "size": bytes_text(freed_by(path))} for path in paths]
        freed = sum(map(freed_by, paths)) if dry_run else store.prune(stays.names, stays.older_than)
    if rows:
        print_table(rows, as_json=False)
    say(f"{len(rows)} {'would be' if dry_run else 'were'} deleted, {bytes_text(freed)} ({stays.why})")


def _size(count: int, exact: bool) -> int | str:
    return count if exact else bytes_text(count)


def _open(run: Path) -> Store:
    from headstart.store.store import Store

    if not (run / "store").is_dir():
        raise UsageError(f"{run}: no run here (it has no store/ folder); name the directory given to `run --out`")
    return Store(run)
