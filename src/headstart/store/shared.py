"""A store that several runs share: which one a run uses, and which jobs of it are still used by some run.

A run that uses one says so in its `shared.json`, and has links to its jobs in `store/`: so a run's directory has its
own jobs and no others, wherever they are. The shared store keeps a list of its runs in `runs/`.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from headstart.errors import StoreError
from headstart.store.files import read_json, write_json
from headstart.store.leases import this_machine
from headstart.store.sealing import sha256_of_text
from headstart.store.store import Store

FILE = "shared.json"
VARIABLE = "HEADSTART_STORE"


def chosen_store(out: Path, asked: Path | None, of_study: Path | None) -> Path | None:
    """The shared store of a run: as asked for, the one it began with, that of the study, HEADSTART_STORE; else None."""
    if asked is not None:
        return asked.absolute()
    if (out / FILE).is_file():
        return Path(str(read_json(out / FILE).get("store")))
    if of_study is not None:
        return of_study.absolute()
    return Path(named).absolute() if (named := os.environ.get(VARIABLE)) else None


def open_store(out: Path, shared: Path | None) -> Store:
    """The store of a run that is going to work, written down in it; the run's own where `shared` is None.

    Raises StoreError where the store that a run began with is not there: jobs would silently be made again.
    """
    if shared is None:
        return Store(out)
    began = (out / FILE).is_file() and read_json(out / FILE).get("store") == str(shared)
    if began and not (shared / "runs").is_dir():
        raise StoreError(
            f"{shared}: the store that {out} shares is not there. Mount it, or name where it is now: --store DIR"
        )
    if shared.resolve() == out.resolve() or (shared / "study.json").is_file():
        raise StoreError(f"{shared}: a run directory cannot be a shared store. Give --store another folder")
    out.mkdir(parents=True, exist_ok=True)
    _write_run(out, shared)
    if not began:
        write_json(out / FILE, {"store": str(shared)})
    return Store(out, shared)


def close_store(store: Store, keeps: Collection[str] | None = None) -> None:
    """Give back what the run held, and write down which jobs it uses. keeps: those of them whose large files it needs,
    now that its results are complete; None: it may need those of all."""
    if store.leases is not None:
        store.leases.close()
        _write_run(store.root, store.home, keeps)


def needed_by_others(store: Store, name: str) -> bool:
    """Whether another run that shares the store needs the large files of a job, or may come to need them: its results
    are not complete."""
    if store.leases is None:
        return False
    own = _record(store.root, store.home)
    for file in sorted((store.home / "runs").glob("[!.]*.json")):
        said = read_json(file)
        keeps = said.get("keeps")
        if file != own and not _is_gone(said) and name in (_jobs_of(said) if keeps is None else keeps):
            return True
    return False


def _jobs_of(said: dict[str, Any]) -> set[str]:
    """Of a run, as its record in the store and its own links say."""
    return {*said["jobs"], *(path.name for path in (Path(said["run"]) / "store").glob("[!.]*"))}


def _is_gone(said: dict[str, Any]) -> bool:
    """Whether a run is there no more. One of another machine that cannot be seen from here is taken to be there."""
    return not (Path(said["run"]) / FILE).is_file() and said["machine"] == this_machine().partition(" ")[0]


def _record(out: Path, shared: Path) -> Path:
    """Where the store has what is known of a run."""
    name = sha256_of_text(f"{this_machine().partition(' ')[0]} {out.absolute()}")[:16]
    return shared / "runs" / f"{name}.json"


def _write_run(out: Path, shared: Path, keeps: Collection[str] | None = None) -> None:
    run, machine = str(out.absolute()), this_machine().partition(" ")[0]
    (shared / "runs").mkdir(parents=True, exist_ok=True)
    jobs = sorted(path.name for path in (out / "store").glob("[!.]*"))
    said = {"run": run, "machine": machine, "jobs": jobs, "keeps": None if keeps is None else sorted(keeps)}
    write_json(_record(out, shared), said)


def used_by_runs(shared: Path) -> tuple[set[str], list[str]]:
    """Names of jobs that some run uses, and the runs that are there no more.

    A run of another machine whose directory cannot be seen from here is taken to be there.
    """
    used: set[str] = set()
    gone = []
    for file in sorted((shared / "runs").glob("[!.]*.json")):
        said = read_json(file)
        if _is_gone(said):
            gone.append(said["run"])
        else:
            used |= _jobs_of(said)
    return used, gone
