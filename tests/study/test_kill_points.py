"""SIGKILL at each operation that changes a run's folder, and every file of a finished run damaged: the same command
ends in the same bytes, does nothing twice and leaves nothing behind.

Here a few points and one damage of each kind of file; all of them in the nightly suite (HEADSTART_KILL_POINTS=n: so
many, evenly spaced).
"""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from headstart.store.files import TEMPORARY
from support.kill_points import Trial, points, run

STUDY = """\
name = "small"
seeds = [0]
backbone = "shapes-resnet"
bootstrap = 100

[sets]
images = { world = "base", count = 8, size = 32 }
test = { world = "base", count = 8, first = 8, size = 32 }

[pretraining.labels]
images = "images"
supervision = "labels"
early = 0.5
recipe = { name = "l", updates = 2, batch_size = 4, lr = 2e-3, head = "linear" }

[[weights]]
name = "labels"
pretraining = "labels"
default = true

[[tasks]]
name = "classify"
kind = "classify"
train = ["images"]
test = ["test"]
recipe = { name = "c", updates = 2, batch_size = 4, lr = 1e-3, head = "linear" }
"""


@dataclass(frozen=True)
class Subject:
    """A command that is killed: its words, the folder that it writes, the file of results in it, and how often each
    line of its log may say that a job ended."""

    name: str
    command: tuple[str, ...]
    out: str
    results: str
    environment: tuple[tuple[str, str], ...] = (("HEADSTART_SAVE_SECONDS", "0"),)

    def run(self, folder: Path, at: int = 0) -> Trial:
        command = [sys.executable, "-m", "headstart", *self.command]
        return run(command, folder / self.out, folder, at, dict(self.environment))

    def read(self, folder: Path) -> bytes:
        return (folder / self.out / self.results).read_bytes()


SUBJECTS = [Subject("run", ("run", "small.toml", "--out", "out", "--workers", "1"), "out", "metrics.json")]


@pytest.fixture(scope="module", params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request) -> Subject:
    return request.param


@pytest.fixture(scope="module")
def whole(subject, tmp_path_factory) -> tuple[Path, Trial]:
    """The folder of a run that nobody disturbed, and its operations."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.toml").write_text(STUDY)
    trial = subject.run(folder)
    assert trial.code == 0, trial.said
    return folder, trial


def finished(out: Path) -> set[str]:
    return {path.name for path in (out / "store").glob("[!.]*")}


def started(out: Path) -> list[str]:
    log = out / "log.txt"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return [words[2] for line in lines if len(words := line.split(" ")) > 2 and words[1] == "started"]


def strays(out: Path) -> list[Path]:
    """What should not be there when a run has ended."""
    return [
        *(path for path in out.rglob("*") if TEMPORARY.fullmatch(path.name) or path.name.startswith(".tmp")),
        *(out / "partial").glob("*"),
        *(out / "store").glob("*/resume"),
    ]


def killed_and_continued(subject: Subject, whole: tuple[Path, Trial], folder: Path, at: int) -> None:
    shutil.copy(whole[0] / "small.toml", folder)
    trial = subject.run(folder, at)
    out = folder / subject.out
    assert trial.code is None or at > len(trial.operations), trial.said
    where = f"killed at {at}: {trial.operations[at - 1] if at <= len(trial.operations) else 'the end'}"
    done, before = finished(out), len(started(out))
    again = subject.run(folder)
    assert again.code == 0, f"{where}\n{again.said}"
    assert "Traceback" not in again.said, f"{where}\n{again.said}"
    assert subject.read(folder) == subject.read(whole[0]), where
    assert not done & {*started(out)[before:]}, f"{where}: a finished job was run twice"
    assert finished(out) == finished(whole[0] / subject.out), where
    assert strays(out) == [], where


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.2, 0.55, 0.9])
def test_killed_at_some_operations(subject, whole, tmp_path, share):
    killed_and_continued(subject, whole, tmp_path, round(share * len(whole[1].operations)))


@pytest.mark.nightly
def test_killed_at_every_operation(subject, whole, tmp_path):
    count = len(whole[1].operations)
    faults = []
    for at in points(count, int(os.environ.get("HEADSTART_KILL_POINTS", count))):
        folder = tmp_path / str(at)
        folder.mkdir()
        try:
            killed_and_continued(subject, whole, folder, at)
        except AssertionError as fault:
            faults.append(str(fault)[:600])
            continue
        shutil.rmtree(folder)
    assert faults == []


def flip(path: Path) -> None:
    """One bit of the byte in the middle; the size and the time of last change stay."""
    content, facts = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def victims(out: Path) -> Iterator[Path]:
    """Every file of a finished run that says something. study.toml is the user's: changing it is no damage."""
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.name not in ("study.toml", "log.txt", ".lock") and path.stat().st_size:
            yield path.relative_to(out)


OF_RESULTS = Path("digests.json")


def damaged_and_mended(subject: Subject, whole: tuple[Path, Trial], folder: Path, names: list[Path], spoil) -> None:
    shutil.copytree(whole[0], folder, dirs_exist_ok=True)
    out = folder / subject.out
    for name in names:
        spoil(out / name)
    again = subject.run(folder)
    assert again.code == 0, f"{names}\n{again.said}"
    assert "Traceback" not in again.said, f"{names}\n{again.said}"
    for name in names:
        told = name.parts[1] if name.parts[0] == "store" else name.name
        # A bit of the digests of the results may be in the name of a file: then nothing that is vouched for differs.
        assert told in again.said or name == OF_RESULTS, f"{name} is not named\n{again.said}"
    assert subject.read(folder) == subject.read(whole[0]), names
    assert {*victims(out)} == {*victims(whole[0] / subject.out)}
    assert strays(out) == []


@pytest.mark.parametrize("spoil", [flip, cut])
def test_a_damaged_file_of_each_kind_is_named_and_made_again(subject, whole, tmp_path, spoil):
    """One of each name, of as many jobs as there are, in one go."""
    chosen: dict[str, Path] = {}
    for name in victims(whole[0] / subject.out):
        if name != OF_RESULTS or spoil is cut:
            chosen.setdefault(name.name, name)
    damaged_and_mended(subject, whole, tmp_path, [*chosen.values()], spoil)


@pytest.mark.nightly
@pytest.mark.parametrize("spoil", [flip, cut])
def test_every_damaged_file_is_named_and_made_again(subject, whole, tmp_path, spoil):
    for number, name in enumerate(victims(whole[0] / subject.out)):
        damaged_and_mended(subject, whole, tmp_path / str(number), [name], spoil)
        shutil.rmtree(tmp_path / str(number))
