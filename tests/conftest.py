"""What every test gets: a cache folder of its own, and one thread: tests run side by side, one on each core.

What it may ask for: a command line.
"""

import os
import shutil
import sys
from collections.abc import Iterator

# Before anything imports numpy or torch. More threads than cores wait for each other in busy loops.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402

from headstart.places import trust  # noqa: E402
from support import kernels  # noqa: E402


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before xdist starts its workers."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        kernels.compile_once()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Removed after the test: five thousand caches with drawn images and features filled a disk."""
    own = tmp_path_factory.mktemp("own")
    for name, variable in (("cache", "HEADSTART_CACHE"), ("config", "XDG_CONFIG_HOME")):
        (own / name).mkdir()
        monkeypatch.setenv(variable, str(own / name))
    monkeypatch.delenv(trust.SOME, raising=False)
    yield
    shutil.rmtree(own, ignore_errors=True)


@pytest.fixture
def trusted_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under --trust-code."""
    monkeypatch.setenv(trust.ALL, "1")


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command line; gives its exit code, standard output and standard error."""

    def run(*words):
        from headstart.cli.main import main

        monkeypatch.setattr(sys, "argv", ["headstart", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run
