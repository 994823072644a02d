"""The documents name what there is: modules, files, commands, options, pages; numbers are those of the records."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import typer

import headstart
import headstart.api
from headstart.cli.main import app
from support.documents.commands import commands_of
from support.documents.records import fault_of as differs
from support.documents.records import file_of, parts_of, records_of

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "headstart"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
WRITTEN_BY_HAND = [page for page in PAGES if page.name != "commands.md"]
CODE = [*sorted(SOURCE.rglob("*.py")), *sorted(SOURCE.rglob("*.toml")), *sorted((ROOT / "examples").glob("*.*"))]

DOTTED = re.compile(r"(?<![\w/.-])headstart(?:\.[A-Za-z_]\w*)+")
PYTHON_FILE = re.compile(r"(?<![\w/.-])(?:[a-z_][\w-]*/)+[\w-]+\.py\b")
RENEW = "If it was measured again, run: python tests/support/documents/records.py"
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def names_in(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Names that statements bind, those in `if` and `try` too."""
    bound: dict[str, ast.stmt] = {}
    for item in body:
        if isinstance(item, ast.FunctionDef | ast.ClassDef):
            bound[item.name] = item
        elif isinstance(item, ast.Assign):
            bound |= {name.id: item for t in item.targets for name in ast.walk(t) if isinstance(name, ast.Name)}
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            bound[item.target.id] = item
        elif isinstance(item, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name: item for alias in item.names}
        elif isinstance(item, ast.If | ast.Try):
            bound |= names_in(item.body)
    return bound


@cache
def module_names(path: Path) -> dict[str, ast.stmt]:
    return names_in(ast.parse(path.read_text()).body)


def is_there(dotted: str) -> bool:
    """Whether a name such as `headstart.data.boxes.CONVENTIONS` is a module, or something in one."""
    place, parts = SOURCE, dotted.split(".")[1:]
    if parts[0] in headstart.__all__:
        return hasattr(headstart, parts[0]) and len(parts) == 1
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    module = place / "__init__.py"
    if parts and (place / f"{parts[0]}.py").is_file():
        module = place / f"{parts.pop(0)}.py"
    bound = module_names(module)
    for part in parts:
        if part not in bound:
            return False
        item = bound[part]
        bound = names_in(item.body) if isinstance(item, ast.ClassDef) else {}
    return True


def options_of(command: object) -> set[str]:
    return {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}  # type: ignore[attr-defined]


def fault_of(words: list[str]) -> str:
    """What is wrong with a command that a page shows, "" if nothing."""
    command, words = typer.main.get_command(app), list(words)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"no command {words[0]}"
        command = command.commands[words.pop(0)]
    asked = {word.partition("=")[0].rstrip(",.;:)") for word in words if word.startswith("-") and len(word) > 1}
    unknown = {option for option in asked if not option[1:].isdigit()} - options_of(command)
    return f"no option {', '.join(sorted(unknown))}" if unknown else ""


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=lambda p: p.name)
def test_pages_name_modules_files_and_pages_that_there_are(page: Path) -> None:
    text = page.read_text()
    assert not [name for name in DOTTED.findall(text) if not is_there(name)]
    files = set(PYTHON_FILE.findall(text))
    assert not [name for name in files if not (ROOT / name).is_file() and not (SOURCE / name).is_file()]
    assert not [link for link in LINK.findall(text) if not (page.parent / link).exists()]


def test_the_site_and_its_list_for_programs_name_every_page_once() -> None:
    """`mkdocs.yml` and `docs/llms.txt`; the generators say of links that lead nowhere."""
    pages = sorted(page.name for page in (ROOT / "docs").glob("*.md"))
    assert sorted(re.findall(r": ([a-z-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)) == pages
    assert sorted(re.findall(r"\]\(([a-z-]+\.md)\)", (ROOT / "docs" / "llms.txt").read_text())) == pages


def test_the_reference_has_every_public_name() -> None:
    told = set(re.findall(r"^::: headstart\.api\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    errors = {name for name in headstart.__all__ if hasattr(headstart.errors, name)}
    assert told == set(headstart.__all__) - errors - {"__version__"}


def test_docstrings_and_messages_name_modules_that_there_are() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in CODE
        for name in DOTTED.findall(path.read_text())
        if not is_there(name)
    ]
    assert not wrong, wrong


@pytest.mark.parametrize("page", WRITTEN_BY_HAND, ids=lambda p: p.name)
def test_commands_that_a_page_shows_can_be_given(page: Path) -> None:
    faults = [f"{piece}: {fault}" for piece, words in commands_of(page) if (fault := fault_of(words))]
    assert not faults, faults


def test_commands_in_docstrings_and_messages_can_be_given() -> None:
    faults = [
        f"{path.name}: {piece}: {fault}"
        for path in CODE
        for piece, words in commands_of(path)
        if (fault := fault_of(words))
    ]
    assert not faults, faults


def test_the_documents_show_commands_at_all() -> None:
    shown = [words for page in WRITTEN_BY_HAND for _, words in commands_of(page)]
    assert len(shown) > 30 and {"pretrain", "compare", "evaluate", "check"} <= {words[0] for words in shown}


@pytest.mark.parametrize("page", [page for page in PAGES if file_of(page).is_file()], ids=lambda p: p.name)
def test_numbers_are_those_of_the_records(page: Path) -> None:
    records, parts = records_of(page), [part for part in parts_of(page) if part.kind == "record"]
    assert {part.name for part in parts} == set(records), "every record is used, and every name is one"
    assert len(parts) == len(records), "a name stands for one part of a page"
    assert all(record["from"] for record in records.values()), "what made it"
    files = {name for record in records.values() for name in PYTHON_FILE.findall(record["from"])}
    assert not [name for name in files if not (ROOT / name).is_file()]
    faults = [fault for part in parts if (fault := differs(part, records[part.name]))]
    assert not faults, f"{faults}. {RENEW} {page.relative_to(ROOT)}"


@pytest.mark.parametrize("page", [page for page in WRITTEN_BY_HAND if page.name != "weights.md"], ids=lambda p: p.name)
def test_what_looks_measured_has_a_record(page: Path) -> None:
    bare = [f"{part.heading}: {part.measured[:5]}" for part in parts_of(page) if not part.kind and part.measured]
    assert not bare, f"{bare}: put `<!-- record: NAME -->` or `<!-- no record: why -->` before them (CONTRIBUTING.md)"


@pytest.mark.parametrize(
    "words, fault",
    [
        ("pretrain COCO --recipe sniper-coco --set epochs=2", ""),
        ("weights list --license commercial", ""),
        ("weights lists", "no command lists"),
        ("pretrain COCO --epochs=3 --recipe=x", "no option --epochs"),
    ],
)
def test_what_is_wrong_with_a_command(words: str, fault: str) -> None:
    assert fault_of(words.split()) == fault


@pytest.mark.parametrize(
    "name, there",
    [
        ("headstart.data.boxes.CONVENTIONS", True),
        ("headstart.study.jobs.Job.key", True),
        ("headstart.pretraining", True),
        ("headstart.data.formats.open_dataset", False),
        ("headstart.study.jobs.Job.kez", False),
    ],
)
def test_whether_a_name_is_there(name: str, there: bool) -> None:
    assert is_there(name) == there
