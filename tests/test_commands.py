"""Every command that a page shows is given, in its page's order, on miniatures: what is documented works."""

from __future__ import annotations

import multiprocessing
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from headstart.cli.main import main
from headstart.study import compare
from headstart.study.compare import Effort
from headstart.study.executors import pools
from headstart.tasks.table import trained_tasks
from support.documents.commands import Shown, as_given, shown_by
from support.documents.miniatures import MADE_THERE, MAKERS, OF_PAGE, named_in
from support.documents.place import DOCS, ROOT, Place

PAGES = [page for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))) if shown_by(page)]
COMMANDS = {shown.text: shown for page in PAGES for shown in shown_by(page)}

RAY = "needs a Ray cluster: the suite `ray` has one"
FETCHES = "downloads weights"
NOT_RUN = {
    "headstart run study.toml --out /shared/runs/a --executor ray --address auto": RAY,
    "headstart run study.toml --executor ray": RAY,
    "headstart run study.toml --out /shared/runs/a --executor ray --address HEAD:6379": RAY,
    'exec headstart run study.toml --out /shared/runs/a --executor ray --address "$head:6379"': RAY,
    "headstart pretrain COCO --recipe sniper-coco --weights sniper-openimages-r101 --processes 2": FETCHES,
    "torchrun --nproc-per-node 8 -m headstart pretrain COCO --recipe sniper-coco "
    "--weights sniper-openimages-r101": FETCHES,
    "headstart compare DATA": FETCHES,
    "headstart compare DATA --license commercial --max-ms 200 --max-hours 5": FETCHES,
    "headstart weights verify openimages-faster-rcnn-r50": FETCHES,
    "headstart weights verify hf:org/name@revision": FETCHES,
    "headstart compare path/to/data -w hf:PekingU/rtdetr_v2_r18vd#whole "
    "-w hf:ustc-community/dfine-small-coco#whole": FETCHES,
}
"""With why."""
LONG = "takes hours"
MINUTES = "takes minutes"
PLANNED = {
    "headstart run shapes-full": LONG,
    "headstart run shapes-factorial": MINUTES,
    "headstart run shapes-full --noise 0.5": LONG,
    "headstart run paper --data-root DIR": LONG,
    "headstart run paper --data voc=VOCdevkit --data coco=coco --data ...": LONG,
    "headstart run paper --miniature": f"{MINUTES}: tests/study/miniature/test_paper_in_small.py runs it",
    "headstart run tiny-imagenet --data tiny-imagenet=tiny-imagenet-200 "
    "--data tiny-imagenet-novel=tiny-imagenet-200": LONG,
    "headstart run tiny-imagenet --data tiny-imagenet=tiny-imagenet-200 --data tiny-imagenet-novel=tiny-imagenet-200 "
    "--data flowers17=flowers17 --data oxford-pets=oxford_pets3": LONG,
    "headstart run tiny-imagenet --miniature": MINUTES,
}
"""Of these `plan` is given in place of `run`."""


class Bench:
    """A folder for each page, and one where what pages name is made once and copied from."""

    def __init__(self, base: Path) -> None:
        self.base = base
        (base / "kept").mkdir()
        self.kept = Place(base / "kept", self._run, self._make)

    def _make(self, name: str) -> None:
        if not (self.kept.folder / name).exists():
            with chdir(self.kept.folder):
                MAKERS[name](self.kept, name)

    def _run(self, command: str) -> None:
        code, said = given(["headstart", *command.split()])
        assert code == 0, f"{command}\n{said[-3000:]}"

    def bring(self, name: str, folder: Path) -> None:
        """Into a page's folder."""
        target = folder / name
        if target.exists():
            return
        if name in MADE_THERE:
            MAKERS[name](Place(folder, self._run, partial(self.bring, folder=folder)), name)
            return
        self._make(name)
        source = self.kept.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        if name.endswith(".toml"):
            for other in named_in(re.findall('"(.+?)"', source.read_text())):
                self.bring(other, folder)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Trainings of three updates on small images, and workers that are forked, so that they import nothing."""
    import headstart.report.build
    import headstart.study.runners.table  # noqa: F401

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pools, "SPAWNED", multiprocessing.get_context("fork"))
        for budget in ("quick", "normal"):
            patch.setitem(compare.EFFORTS, budget, Effort(seeds=2, pixels=64 * 64, search="first"))
        patch.setattr(compare, "LONGEST", 1)
        for task in trained_tasks().values():
            patch.setattr(task, "updates", {"quick": 3, "normal": 3})
            patch.setattr(task, "size_hw", None)
        yield Bench(tmp_path_factory.mktemp("bench"))


def given(words: list[str]) -> tuple[int, str]:
    """Exit code of a command, and what it says."""
    words = [one_of(word) for word in words]
    if words[0] == "truncate":
        return subprocess.run(words, check=False).returncode, ""
    before, sys.argv = sys.argv, ["headstart", *words[1:]]
    with TemporaryFile("w+") as said:  # a file, as a terminal is one to the workers
        try:
            with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as ended:
                main()
        finally:
            sys.argv = before
        said.seek(0)
        return int(ended.value.code or 0), without_keys(said.read())


def one_of(word: str) -> str:
    """The path to a job of another key, here: of several the one with the fewest files, of which some were dropped."""
    found = re.fullmatch(r"(.+/[a-z]+)-[0-9a-f]{16}(.*)", word)
    if not found:
        return word
    jobs = sorted(Path().glob(f"{found[1]}-*"), key=lambda job: len(list(job.iterdir())))
    return f"{jobs[0]}{found[2]}"


def without_keys(text: str) -> str:
    return re.sub(r"-[0-9a-f]{16}", "-KEY", text).replace(f"{Path.cwd()}/", "")


def check(shown: Shown, code: int, said: str) -> None:
    """That it ends as the page says, and, where it was not planned only, that its lines begin as the page's do."""
    found = any(re.match(r"\d+ errors?, ", line) for line in shown.told)
    assert code == (2 if shown.error else int(found)), f"{shown.text}: {code}\n{said[-3000:]}"
    lacking = [line for line in shown.error if without_keys(line).removesuffix("...").strip() not in said]
    lines = said.splitlines()
    labels = shown.labels if shown.text not in PLANNED else set()
    lacking += [label for label in labels if not any(line.startswith(f"{label}: ") for line in lines)]
    assert not lacking, f"{shown.text}: {lacking}\n{said[-3000:]}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_do_what_it_says(page: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bench.base / page.name
    folder.mkdir()
    monkeypatch.chdir(folder)
    in_place = OF_PAGE.get(page.name, {})
    for shown in shown_by(page):
        if shown.text in NOT_RUN:
            continue
        if not shown.prompt:  # it begins where nothing ran before
            for run in Path().glob("runs/*"):
                shutil.rmtree(run)
        text = shown.text.replace("headstart run", "headstart plan") if shown.text in PLANNED else shown.text
        for words in as_given(text):
            words = [in_place.get(word, word) for word in words]
            for name in named_in(words):
                bench.bring(name, folder)
            code, said = given(words)
            check(shown, code, said)
    shutil.rmtree(folder)


PAGE = """\
# A page

    headstart store ls|du RUN [--days 1] ...   what it does
    headstart compare DATA -w W1 ... -w W3 \\
        --full

    $ headstart check DATA
    error: DATA: no box
    ...
    more
    $ cat DATA

    with its head: headstart predict RUN IMAGES

headstart check DATA

    $ headstart compare DATA -w ... -w ...
    weights: two
"""


def test_commands_are_read_from_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    store, three, wrong, two = shown_by(page)
    assert as_given(store.text) == [["headstart", "store", word, "RUN"] for word in ("ls", "du")]
    assert as_given(three.text) == [["headstart", "compare", "DATA", "-w", "W1", "-w", "W2", "-w", "W3", "--full"]]
    assert as_given(two.text) == [["headstart", "compare", "DATA", "-w", "W1", "-w", "W2"]]
    assert [shown.prompt for shown in (store, three, wrong, two)] == [False, False, True, True]
    assert (wrong.error, two.error, two.labels) == (("error: DATA: no box",), (), {"weights"})


def test_a_command_that_does_otherwise_is_found() -> None:
    wrong = Shown("headstart check DATA", True, ("error: DATA: no box in 3 images ...",))
    check(wrong, 2, "error: DATA: no box in 3 images: a, b, c\n")
    for code, said in ((0, "error: DATA: no box in 3 images"), (2, "error: DATA: no box in 4 images")):
        with pytest.raises(AssertionError):
            check(wrong, code, said)
    with pytest.raises(AssertionError, match="report"):
        check(Shown("headstart run RUN", True, ("weights: two", "report: RUN")), 0, "weights: two\n")


def test_what_is_not_run_is_shown_by_a_page() -> None:
    assert not (NOT_RUN.keys() | PLANNED.keys()) - COMMANDS.keys()
    assert not NOT_RUN.keys() & PLANNED.keys()
