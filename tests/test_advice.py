"""What messages and pages advise can be done: every option that they name exists, on the commands that would say it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from headstart.cli.main import app
from headstart.readers.options import ReadOptions

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "headstart"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTION = re.compile(r"(?<![\w\-/.])--[a-z](?:[a-z]|-(?=[a-z]))*(?![\w-]|\.\w)")
READING = ("compare", "evaluate", "pretrain")
"""Commands that read a data set as it is and stop at its faults; what readers advise must be possible on each."""
OWN_CASES = {"--fix", "--formats", "--offline", "--allow-unknown", "--split", "--trust-code"}
"""Named where they are explained or were given: what `check` writes, servers, detections, code in model folders."""
OF_CLUSTERS = {
    *("--head", "--port", "--num-cpus", "--num-gpus", "--block"),
    *("--nodes", "--ntasks-per-node", "--cpus-per-task", "--gpus-per-node", "--time", "--signal", "--overlap"),
}
"""Options of Ray and of SLURM."""
OF_OTHERS = {"--si", "--nproc-per-node", "--upgrade", "--logdir"}
"""Of du, torchrun and pip."""
SCRIPTS = [
    path for folder in ("benchmarks", "tests", "examples", "src") for path in sorted((ROOT / folder).rglob("*.py"))
]


def commands(group: object, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """(name, its options) of every command, those of groups too."""
    for word, command in getattr(group, "commands", {}).items():
        full = f"{name} {word}".strip()
        yield from commands(command, full)
        yield full, {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}


OPTIONS = dict(commands(typer.main.get_command(app)))
ANY = {"--version"}.union(*OPTIONS.values())


def texts(path: Path) -> Iterator[str]:
    """The texts of a module: its messages and its docstrings."""
    tree = ast.parse(path.read_text())
    yield from (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def options_in(folders: tuple[str, ...]) -> set[tuple[str, str]]:
    """(module, option) of all texts below these folders."""
    paths = [path for folder in folders for path in sorted((SOURCE / folder).rglob("*.py"))]
    return {(path.name, option) for path in paths for text in texts(path) for option in OPTION.findall(text)}


def test_there_are_commands_and_options() -> None:
    assert {"check", "compare", "weights list"} <= OPTIONS.keys() and "--formats" in OPTIONS["check"]


def added(paths: list[Path]) -> set[str]:
    """Options that scripts take by argparse."""
    return {o for path in paths for o in re.findall(r"add_argument\(\s*\"(--[a-z-]+)", path.read_text())}


def test_options_in_messages_exist() -> None:
    style = {option for _, option in options_in(("page", "report"))}  # Style sheets have variables.
    known = ANY | style | OF_OTHERS | added(sorted(SOURCE.rglob("*.py")))
    assert {(name, option) for name, option in options_in(("",)) if option not in known} == set()


@pytest.mark.parametrize("command", READING)
def test_what_readers_advise_can_be_given(command: str) -> None:
    named = {(name, option) for name, option in options_in(("places", "data", "readers")) if option not in OWN_CASES}
    assert {"--format", "--read", "--on-bad-box"} <= {option for _, option in named}
    assert {(name, option) for name, option in named if option not in OPTIONS[command]} == set()


def test_values_of_read_are_options_of_readers() -> None:
    known = {field.name for field in fields(ReadOptions)}
    written = [*(text for path in SOURCE.rglob("*.py") for text in texts(path)), *(p.read_text() for p in PAGES)]
    named = {name for text in written for name in re.findall(r"--read ([a-z_]+)=", text)}
    assert "images" in named and named <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_options_in_pages_exist(page: Path) -> None:
    elsewhere = OF_CLUSTERS if page.name == "cluster.md" else set()
    assert set(OPTION.findall(page.read_text())) <= ANY | OF_OTHERS | elsewhere | added(SCRIPTS)
