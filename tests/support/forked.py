"""Commands of headstart in children of a process that has imported all of it, so that a trial costs its work alone.

As a program it reads a request a line and answers with the exit code of each (-9: killed). `Forks` is its other side,
and gives the trials that `kill_points.run` gives. What is started with it: the library that counts operations, which
counts nothing before a child begins with it. Workers of a study are forked here, where users' are fresh processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.kill_points import Chosen, Trial, library, remaining

ROOT = Path(__file__).parents[1]


class Forks:
    """One such process; used as a context manager. notes: a folder of its own. warm: commands that it runs itself at
    first, so that everything that they import is there."""

    def __init__(self, notes: Path, warm: list[list[str]], environment: dict[str, str]) -> None:
        self.notes, self.warm = notes, warm
        self.library = library(notes)
        self.environment = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}

    def __enter__(self) -> Forks:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.forked", str(self.library), json.dumps(self.warm)],
            cwd=self.notes,
            env={**self.environment, "LD_PRELOAD": str(self.library)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *fault: object) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()

    def run(self, words: list[str], below: Path, cwd: Path, chosen: Chosen) -> Trial:
        """As `kill_points.run`, of `headstart WORDS`."""
        counter, log, said = (self.notes / name for name in ("counter", "log", "said"))
        counter.write_bytes(chosen.packed())
        log.unlink(missing_ok=True)
        asked = {"words": words, "cwd": str(cwd), "said": str(said), "begin": [str(below), str(counter), str(log)]}
        self.process.stdin.write(json.dumps(asked) + "\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        session, code = json.loads(self.process.stdout.readline())  # type: ignore[union-attr]
        told = said.read_text(encoding="utf-8", errors="replace")
        left = remaining(session)
        assert not left, f"processes outlived the command: {left}\n{told}"
        operations = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return Trial(None if code == -signal.SIGKILL else code, told, operations)


def _serve(counting: ctypes.CDLL, warm: list[list[str]]) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _forked_workers()
    for words in warm:
        if words[0] == "run":
            _work_here(Path(words[1]), Path(words[3]))
        code = _command(words)
        assert code == 0, f"{words} ended with {code}"
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            answers.close()
            _child(counting, asked)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        print(json.dumps([child, os.waitstatus_to_exitcode(status)]), file=answers, flush=True)


def _child(counting: ctypes.CDLL, asked: dict[str, Any]) -> None:
    os.setsid()
    os.chdir(asked["cwd"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    said = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(said, stream)
    counting.kill_points_begin(*(os.fsencode(path) for path in asked["begin"]))
    code = _command(asked["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _command(words: list[str]) -> int:
    from headstart.cli.main import main

    sys.argv = ["headstart", *words]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


def _work_here(file: Path, out: Path) -> None:
    """All jobs of a study, in this process."""
    from headstart.store.store import Store
    from headstart.study.executors.here import run_here
    from headstart.study.files import load_study
    from headstart.study.plan import Planner
    from headstart.study.run import claim, lookup, settle
    from headstart.train.distributed import ALONE

    study, base = load_study(str(file))
    planner, store = Planner(study, base, offline=True), Store(out)
    claim(study, file, base, out, overwrite=False)
    out.mkdir()
    settle(study, file, base, out)
    run_here(lambda: planner.expand(lookup(store)), store, lambda event: None, ALONE)


def _forked_workers() -> None:
    """Let the workers of a study be children of the process that has everything, too."""
    import multiprocessing

    import torch

    import headstart.report.build
    import headstart.study.runners.table  # noqa: F401
    from headstart.study.executors import pools

    torch.set_num_threads(1)
    pools.SPAWNED = multiprocessing.get_context("fork")  # type: ignore[assignment]


if __name__ == "__main__":
    _serve(ctypes.CDLL(sys.argv[1]), json.loads(sys.argv[2]))
