"""Commands that pages show, as they are written and as they can be given."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMMAND = re.compile(r"(?:^|[\s\"/=])headstart ((?:[^\s|]+ *)+)")
LINE = re.compile(r"(\$ )?((?:exec |torchrun .+ -m )?(?:[\w.-]+/)*headstart [a-z].*|truncate .*)")
"""Of an indented block: a command, after a prompt or not."""
LABEL = re.compile(r"([a-z][a-z ]*): ")


def joined(text: str) -> str:
    """Lines that go on in the next one are one."""
    return re.sub(r"\s*\\\n\s*", " ", text)


def code_of(page: Path) -> Iterator[str]:
    """Pieces of code in a page: lines of indented or fenced blocks, joined where they go on, and spans in backticks.
    In a source file the spans alone."""
    text = page.read_text()
    if page.suffix == ".md":
        for line in joined(text).splitlines():
            if line.startswith("    "):
                yield line.strip()
    yield from (" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text))


def commands_of(page: Path) -> Iterator[tuple[str, list[str]]]:
    """(piece of code, words after `headstart`)."""
    for piece in code_of(page):
        for found in COMMAND.finditer(piece.partition("  # ")[0]):
            yield piece, re.split(r"\s{2,}", found[1].strip())[0].split()


@dataclass(frozen=True)
class Shown:
    """A command in an indented block. text: without prompt and comment. told: the lines below it, what it prints. With
    a prompt it belongs to a session, and what was given before it is done; without one it stands for itself."""

    text: str
    prompt: bool
    told: tuple[str, ...]

    @property
    def error(self) -> tuple[str, ...]:
        """What it fails with, up to where the page leaves something out; () for one that does not fail."""
        if not self.told or not self.told[0].startswith("error: "):
            return ()
        return tuple(itertools.takewhile(lambda line: line.strip() != "...", self.told))

    @property
    def labels(self) -> set[str]:
        """What stands before the colons of the lines that it prints, where that is words alone."""
        return {found[1] for line in self.told if (found := LABEL.match(line))}


def shown_by(page: Path) -> list[Shown]:
    """The commands of a page's indented blocks, in its order. Those within what a command prints are none."""
    found: list[tuple[str, bool, list[str]]] = []
    inside = False
    for line in joined(page.read_text()).splitlines():
        block, code = line.startswith("    "), line[4:]
        if block and (command := LINE.fullmatch(code)):
            found.append((re.split(r"\s{2,}", command[2])[0], bool(command[1]), []))
            inside = True
        elif block and inside and not code.startswith("$ "):
            found[-1][2].append(code)
        else:
            inside = inside and not line  # what is printed may have empty lines
    return [Shown(text, prompt, tuple(told)) for text, prompt, told in found]


def as_given(text: str) -> list[list[str]]:
    """The commands that a shown one stands for, as lists of words from the program on.

    Optional parts (in brackets, after a space) are left out; of alternatives (`a|b`) each is given; `-w W1 ... -w W3`
    are three, `-w ... -w ...` the first two, other dots stand for nothing.
    """
    text = re.sub(r" \[[^\]]*\]", "", text)
    text = re.sub(r"-w W1 \.\.\. -w W(\d)", lambda last: _weights(int(last[1])), text)
    text = re.sub(r"-w \.\.\. -w \.\.\.", _weights(2), text)
    text = re.sub(r" (--data )?\.\.\.", "", text)
    return [list(words) for words in itertools.product(*(word.split("|") for word in shlex.split(text)))]


def _weights(count: int) -> str:
    return " ".join(f"-w W{k + 1}" for k in range(count))


def block_after(page: Path, start: str) -> str:
    """The indented block of a page whose first line this is."""
    lines = page.read_text().splitlines()
    block = itertools.takewhile(lambda line: not line or line.startswith("    "), lines[lines.index(f"    {start}") :])
    return "".join(f"{line[4:]}\n" for line in block)
