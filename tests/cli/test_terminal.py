"""What is printed: no name from elsewhere commands the terminal, and all of it goes through one place."""

import ast
import io
import json
import logging
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.study.executors.events import Event
from headstart.study.jobs import Job
from headstart.study.progress import ProgressDisplay
from headstart.terminal import printable, say, tell

RED = "\x1b[31mred\x1b[0m"
TITLE = "\x1b]0;owned\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, café, 日本, \ttab\nline", "plain, café, 日本, \ttab\nline"),
        (RED, r"\x1b[31mred\x1b[0m"),
        (TITLE, r"\x1b]0;owned\x07"),
        ("all is well\rerror", r"all is well\x0derror"),
        ("a\x9b1mb\x7f", r"a\x9b1mb\x7f"),
        ("gpj.\u202egnp", r"gpj.\u202egnp"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
    ],
)
def test_what_commands_a_terminal_is_shown_as_its_code(text, shown):
    assert printable(text) == shown


def test_a_line_of_a_table_stays_one_line():
    assert printable("a\nb\tc\x1b", one_line=True) == r"a\nb\tc\x1b"


def test_what_a_terminal_has_no_characters_for_is_shown_as_codes(monkeypatch):
    plain = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", plain)
    say("café")
    plain.flush()
    assert plain.buffer.getvalue() == b"caf\\xe9\n"


def test_everything_is_printed_in_one_place():
    root = Path(headstart.__file__).parent
    others = []
    for path in root.rglob("*.py"):
        if path != root / "terminal.py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if called in ("print", "sys.stdout.write", "sys.stderr.write", "typer.echo", "rich.print"):
                    others.append(f"{path.relative_to(root)}:{node.lineno}")
    assert not others, "use headstart.terminal"


@pytest.fixture
def folder(tmp_path):
    """Class folders, two of them with names that command a terminal."""
    for name in (RED, "all is well\r", "plain"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name / "a.png")
    (tmp_path / RED / "broken\x1b[2J.png").write_bytes(b"no image")
    return tmp_path


def test_names_of_classes_and_files_are_escaped_by_check(folder, command):
    _, out, err = command("check", folder, "--images")
    assert r"\x1b[31mred" in out
    assert r"broken\x1b[2J.png" in out
    assert r"all is well\x0d" in out
    assert not set("\x1b\r") & set(out + err)


def test_paths_in_faults_are_escaped(tmp_path, command):
    for words in (["check", tmp_path / TITLE], ["weights", "verify", tmp_path / f"{RED}.pth"]):
        code, out, err = command(*words)
        assert code == 2
        assert r"\x1b" in err
        assert not set("\x1b\x07") & set(out + err)


def test_names_of_classes_in_scores_are_escaped(tmp_path, command):
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4]}
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": f"{RED}\n99.99"}]}
    truth["annotations"] = [box | {"id": 1, "area": 16, "iscrowd": 0}]
    for name, content in (("gt.json", truth), ("dt.json", [box | {"score": 0.9}])):
        (tmp_path / name).write_text(json.dumps(content))
    code, out, _ = command("evaluate", tmp_path / "dt.json", tmp_path / "gt.json", "--bootstrap", 0)
    assert code == 0
    assert "\x1b" not in out
    assert next(line for line in out.splitlines() if "red" in line).split() == [
        r"\x1b[31mred\x1b[0m\n99.99",
        "1",
        "100.00",
        "100.00",
    ]


def test_the_display_of_a_run_escapes_labels_messages_and_warnings():
    stream = io.StringIO()
    job = Job("draw", {}, label=f"draw {RED}")
    with ProgressDisplay(1, stream=stream) as display:
        display(Event("known", known=(job,), done=frozenset()))
        display(Event("failed", job, message=TITLE, seconds=1.0))
        logging.getLogger("headstart.data").warning("left out: %s", RED)
    tell(RED, stream)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count(r"\x1b[31mred") == 3
