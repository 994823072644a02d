"""What every test gets: a cache folder of its own, and one thread: tests run side by side, one on each core."""

import os

# Before anything imports numpy or torch. More threads than cores wait for each other in busy loops.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402

from support import kernels  # noqa: E402


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before xdist starts its workers."""
    if session.config.getoption("numprocesses", None) and not hasattr(session.config, "workerinput"):
        kernels.compile_once()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("cache")))
