"""`headstart judge`: what it prints, writes and refuses; its page; and the page of documentation that shows it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.judging.judge import judge_table
from headstart.report.judge import page

ROOT = Path(__file__).parents[2]
DRAW = ROOT / "examples" / "drawn_leaderboard.py"
PAGE = ROOT / "docs" / "judge.md"
HOSTILE = "<script>alert(1)</script>"


def draw(folder: Path, *words: str) -> None:
    subprocess.run([sys.executable, str(DRAW), *words], cwd=folder, check=True)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    draw(tmp_path, "scores.csv", "--datasets", "8", "--models", "3", "--holes", "2", "--step", "6")
    return tmp_path / "scores.csv"


def test_lines_json_and_page_say_the_same(table, command, tmp_path) -> None:
    code, out, err = command("judge", table, "--out", tmp_path / "page")
    assert (code, err) == (0, "")
    assert out == judge_table(table).text() + f"\n\npage: {tmp_path / 'page' / 'index.html'}\n"
    code, out, _ = command("judge", table, "--json")
    found, written = json.loads(out), json.loads((tmp_path / "page" / "judgement.json").read_text())
    assert found | {"page": None} == written | {"page": None} and found["verdict"]["leader"] == "model-a"
    assert command("judge", table, "-q") == (0, "", "")


def test_options_reach_the_table(table, command) -> None:
    text = table.read_text().replace("model,seed,mAP", "net,seed,cost")
    table.write_text(text)
    words = ("--columns", "model=net", "--columns", "score=cost", "--better", "lower", "--unit", "ms", "--standardize")
    code, out, _ = command("judge", table, *words)
    assert code == 0 and "cost: ms, lower is better; nothing was converted" in out
    assert "best: model-c" in out and "compared in standard deviations" in out


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "the file is empty"), ("data set,model,score\na,x,1\nb,x,2\n", "one model only"), (None, "no such file")],
)
def test_what_cannot_be_judged_ends_with_2_and_one_line(tmp_path, command, content, said) -> None:
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_text(content)
    code, out, err = command("judge", path)
    assert (code, out) == (2, "") and err.startswith(f"error: {path}") and said in err and err.count("\n") == 1


def test_the_page_holds_everything_and_loads_nothing(table) -> None:
    html = page(judge_table(table))
    sections = re.findall(r'<section id="(\w+)"', html)
    assert sections == ["answer", "groups", "otherwise", "precision", "unknown", "read"]
    assert "model-a" in html and "No score of" in html and html.count("<tr>") > 8
    assert not re.search(r'(?:src|href)="(?!#|data:)', html)


def test_a_hostile_table_stays_text(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("data set,model,score\n" + "".join(f"s{d},{m},{d}\n" for d in range(3) for m in (HOSTILE, "b")))
    html = page(judge_table(path))
    assert HOSTILE not in html and "&lt;script&gt;" in html


def test_a_large_table_shows_its_first_data_sets(tmp_path) -> None:
    draw(tmp_path, "scores.csv", "--datasets", "1300", "--models", "4", "--means")
    html = page(judge_table(tmp_path / "scores.csv"))
    assert "the first 1250 data sets; 50 more are not shown" in html


def test_the_documentation_shows_what_its_commands_print(tmp_path) -> None:
    """The block below each command of docs/judge.md is its whole output; `...` stands for lines left out."""
    shown = 0
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(), re.M):
        lines = [line[4:] for line in block.strip("\n").splitlines()]
        if not lines[0].startswith("python examples/drawn_leaderboard.py"):
            continue
        commands = [line for line in lines if line.startswith(("python ", "headstart judge "))]
        for line in commands:
            program, *words = line.split()
            start = [str(DRAW), *words[1:]] if program == "python" else ["-m", "headstart", *words]
            done = subprocess.run([sys.executable, *start], cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        said = "\n".join(lines[lines.index(commands[-1]) + 1 :]).strip()
        pattern = ".*".join(map(re.escape, said.split("...")))
        assert re.fullmatch(pattern, done.stdout.strip(), re.S), f"{line} prints:\n{done.stdout}"
        shown += 1
    assert shown == 2
