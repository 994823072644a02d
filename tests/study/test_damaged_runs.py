"""A file cut short, or one bit flipped: of a finished run, and of a pre-training that was killed after a checkpoint.
The same command names it, makes it again, and ends in the same bytes.

Here one file of each name, all in one go; the nightly suite takes every file, one at a time.
"""

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.corruptions.spoilt import cut, flip
from support.forked import Forks
from support.killed import SUBJECTS, Subject, differences, results, strays, victims

OF_RESULTS = Path("digests.json")


@dataclass(frozen=True)
class Whole:
    """A run: its folder, what it leaves, what starts its command; under `base` a copy of it, `sound`, and one of it
    half done, `half`."""

    subject: Subject
    folder: Path
    left: dict[str, Any]
    base: Path
    forks: Forks

    def again(self, source: str, names: list[Path], spoil) -> str:
        """What the command says where these files of a copy are spoilt, its workers in the log included. The copy takes
        the folder's place, which is part of what a run leaves."""
        out = self.folder / self.subject.out
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(self.base / source, out)
        for name in names:
            spoil(out / name)
        logged = (out / "log.txt").stat().st_size if (out / "log.txt").exists() else 0
        trial = self.subject.run(self.folder, 0, self.forks)
        assert trial.code == 0, f"{names}\n{trial.said}"
        assert "Traceback" not in trial.said, f"{names}\n{trial.said}"
        assert (differences(results(out), self.left), strays(out)) == ([], []), f"{names}\n{trial.said}"
        with (out / "log.txt").open("rb") as log:
            log.seek(logged)
            lines = log.read().decode().splitlines()
        warnings = [line for line in lines if not re.match(r"\d{4}-\d\d-\d\dT", line)]  # those are of the run
        return "\n".join([trial.said, *warnings])


MARKS = {"run": (), "chips": pytest.mark.slow}
"""The study is tried in every run of the tests; of the pre-trainings one in the slow suite, the others by hand."""
PARAMETERS = [pytest.param(s, marks=MARKS.get(s.name, pytest.mark.nightly), id=s.name) for s in SUBJECTS]


@pytest.fixture(scope="module", params=PARAMETERS)
def whole(request, tmp_path_factory) -> Iterator[Whole]:
    subject, base = request.param, tmp_path_factory.mktemp("damaged")
    folder = subject.prepare(base / "trial")
    with subject.forks(base / "any") as forks:
        trial = subject.run(folder, 0, forks)
        assert trial.code == 0, trial.said
        left = results(folder / subject.out)
        (folder / subject.out).rename(base / "sound")
        assert subject.run(folder, after_a_checkpoint(trial.operations), forks).code is None
        (folder / subject.out).rename(base / "half")
        yield Whole(subject, folder, left, base, forks)


def after_a_checkpoint(operations: list[str]) -> int:
    """The operation after the one that has the state on the disk that follows the first sealed checkpoint."""
    checkpoint = next(k for k, line in enumerate(operations) if re.match("rename .*/resume/pieces.json", line))
    rest = enumerate(operations[checkpoint:], checkpoint)
    return next(k for k, line in rest if re.match("rename .*/resume/state.safetensors", line)) + 3


def unnamed(said: str, name: Path) -> str:
    """What is missing in what was said about a spoilt file; nothing, where it names the file, or its job."""
    wanted = name.parts[1] if name.parts[0] in ("store", "partial") else name.name
    return "" if wanted in said else f"{name} is not named: {said}"


def one_of_each(names: Iterable[Path]) -> list[Path]:
    """Of files of one name the first."""
    return [*{name.name: name for name in reversed([*names])}.values()]


@pytest.mark.parametrize("spoil", [flip, cut])
def test_a_damaged_file_of_each_name_is_named_and_made_again(whole, spoil):
    chosen = [name for name in one_of_each(victims(whole.base / "sound")) if name != OF_RESULTS or spoil is cut]
    said = whole.again("sound", chosen, spoil)
    assert [fault for name in chosen if (fault := unnamed(said, name))] == []


def each_spoilt(whole: Whole, source: str, names: list[Path], spoil, quiet: Callable[[Path], bool]) -> None:
    """One after the other. quiet: of which no warning is expected, since nobody reads them as they are."""
    faults = []
    for name in names:
        try:
            said = whole.again(source, [name], spoil)
            assert quiet(name) or not (fault := unnamed(said, name)), fault
        except AssertionError as fault:
            faults.append(f"{name}: {str(fault)[:1500]}")
            print(faults[-1], flush=True)
    print(f"{whole.subject.name}, {source}, {spoil.__name__}: {len(names)} files, {len(faults)} faults")
    assert faults == []


@pytest.mark.nightly
@pytest.mark.parametrize("spoil", [flip, cut])
def test_every_damaged_file_is_named_and_made_again(whole, spoil):
    # A bit of the digests of the results may be in the name of a file: then nothing that is vouched for differs.
    each_spoilt(whole, "sound", [*victims(whole.base / "sound")], spoil, lambda name: name == OF_RESULTS)


@pytest.mark.nightly
@pytest.mark.parametrize("spoil", [flip, cut])
def test_every_damaged_file_of_half_a_run_is_named_and_made_again(whole, spoil):
    """But for what is written anew in any case, and for earlier states, which are read where the last is damaged."""
    left = [name for name in victims(whole.base / "half") if not any(p.endswith(".tmp") for p in name.parts)]
    each_spoilt(whole, "half", left, spoil, lambda name: name.name == "env.json" or name.match("state-*"))
