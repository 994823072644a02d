"""The command line: quick help, one-line faults, exit codes, and nothing between it and the API but parsing."""

import inspect
import json
import re
import subprocess
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import typer

import headstart
from headstart import api as real
from headstart.cli.main import app, main
from headstart.cli.show import print_mapping, print_table
from headstart.errors import Interrupted, StudyError, TrainingError
from headstart.store.store import Store
from headstart.terminal import bytes_text


@dataclass
class Summary:
    out: Path = Path("runs/x")
    failed: list = field(default_factory=list)
    report: Path = Path("runs/x/report.html")
    lines: list = field(default_factory=lambda: ["report: runs/x/report.html"])
    done_already: bool = False
    count: int = 0
    exit_code: int = 0
    warnings: tuple = ()


@dataclass
class Said:
    said: str
    good: bool = True

    def text(self):
        return self.said


@pytest.fixture
def api(monkeypatch):
    """An API of which each test fills in what it needs."""
    fake = types.ModuleType("headstart.api")
    monkeypatch.setitem(sys.modules, "headstart.api", fake)
    monkeypatch.setattr(headstart, "api", fake, raising=False)
    return fake


def taken(seen, function, answer):
    """A stand-in that refuses what `function` would refuse, and keeps the arguments that differ from its defaults."""
    signature = inspect.signature(function)

    def take(*given, **named):
        arguments = signature.bind(*given, **named).arguments
        seen.append({k: v for k, v in arguments.items() if v != signature.parameters[k].default})
        return answer

    return take


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["evaluate", "--help"], ["judge", "--help"], ["store", "--help"]]
)
def test_help_imports_nothing_slow(words):
    # Typer itself loads pydantic for the options of a command; the parts of ours that read settings must not.
    code = "import sys; from headstart.cli.main import app\n"
    code += "early = 'pydantic' in sys.modules\n"
    code += "try: app(sys.argv[1:], prog_name='headstart')\nexcept SystemExit: pass\n"
    code += "slow = ('torch', 'numpy', 'numba', 'pyarrow', 'PIL', 'jinja2', 'headstart.config', 'headstart.api')\n"
    code += "print(early, [m for m in slow if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert "Usage: headstart" in done.stdout
    assert done.stderr == "False []\n"


def test_help_names_every_command(command):
    code, out, _ = command("--help")
    assert code == 0
    for name in ("run", "plan", "compare", "predict", "evaluate", "judge", "report", "weights", "store", "env"):
        assert f"\n│ {name} " in out


def test_run_hands_everything_to_the_api(api, command):
    seen = []
    api.run_study = taken(seen, real.run_study, Summary())
    assert command("run", "shapes") == (0, "report: runs/x/report.html\n", "")
    assert seen == [{"study": "shapes"}]
    assert command("run", "paper", "--data", "voc=v", "--data", "coco=c")[0] == 0
    assert seen.pop() == {"study": "paper", "data": {"voc": Path("v"), "coco": Path("c")}}
    assert command("run", "paper", "--data", "voc")[:2] == (2, "")
    words = ("run", "a.toml", "--out", "r", "--workers", 3, "--device", "cuda:0,1", "--offline", "--overwrite", "-q")
    assert command(*words) == (0, "", "")
    named = {"study": "a.toml", "out": Path("r"), "workers": 3, "device": "cuda:0,1"}
    assert seen[1] == named | {"offline": True, "overwrite": True, "quiet": True}


def test_run_with_failures_names_them_and_ends_with_1(api, command):
    failed = [("voc from random, seed 1", "the loss is not finite")]
    api.run_study = lambda *given, **named: Summary(failed=failed, exit_code=1)
    code, out, err = command("run", "shapes")
    assert code == 1
    assert out == "report: runs/x/report.html\n"
    assert err == "failed: voc from random, seed 1: the loss is not finite\n"


def test_a_run_whose_input_cannot_be_read_ends_with_2(api, command):
    api.run_study = lambda *given, **named: Summary(failed=[("prepare train", "a.jpg: cannot be decoded")], exit_code=2)
    code, _, err = command("run", "shapes")
    assert (code, err) == (2, "failed: prepare train: a.jpg: cannot be decoded\n")


def test_run_as_json(api, command):
    api.run_study = lambda *given, **named: Summary(failed=[("a", "b")], done_already=True, warnings=("gray",))
    code, out, err = command("run", "shapes", "--json")
    assert code == 1
    assert json.loads(out) == {
        "out": "runs/x",
        "report": "runs/x/report.html",
        "done_already": True,
        "failed": [{"job": "a", "message": "b"}],
        "warnings": ["gray"],
    }
    assert err == "failed: a: b\n"


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (StudyError("a.toml: tasks.voc: no set named 'trian'"), 2, "error: a.toml: tasks.voc: no set named 'trian'\n"),
        (TrainingError("the loss is not finite"), 1, "error: the loss is not finite\n"),
        (Interrupted("stopped; the same command goes on"), 130, "stopped; the same command goes on\n"),
    ],
)
def test_faults_are_one_line(api, command, fault, code, said):
    def run_study(*given, **named):
        raise fault

    api.run_study = run_study
    assert command("run", "a.toml") == (code, "", said)


def test_an_interrupt_ends_with_130(api, command):
    def run_study(*given, **named):
        raise KeyboardInterrupt

    api.run_study = run_study
    code, _, err = command("run", "shapes")
    assert code == 130
    assert "Traceback" not in err


def test_unforeseen_faults_keep_their_traceback(api, monkeypatch):
    def run_study(*given, **named):
        raise ZeroDivisionError

    api.run_study = run_study
    monkeypatch.setattr(sys, "argv", ["headstart", "run", "shapes"])
    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "Missing argument"),
        (["run", "shapes", "--workers", "0"], "Invalid value for '--workers'"),
        (["pretrain", "photos", "--supervision"], "requires an argument"),
        (["compare", "photos", "-w", "random:resnet50", "--budget", "huge"], "huge"),
        (["train", "photos"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(command, words, said):
    code, _, err = command(*words)
    assert code == 2
    assert said in err


def test_compare_hands_everything_to_the_api(api, command):
    seen = []
    api.compare = taken(seen, real.compare, Summary())
    words = ("compare", "photos", "-w", "random:resnet50", "-w", "timm:resnet50.a1_in1k", "--task", "detect")
    assert command(*words, "--seeds", 5, "--budget", "quick", "--out", "r", "--offline")[0] == 0
    assert command("compare", "photos", "-w", "card.toml", "--device", "cpu")[0] == 0
    both = ["random:resnet50", "timm:resnet50.a1_in1k"]
    assert seen == [
        {
            "data": "photos",
            "weights": both,
            "task": "detect",
            "seeds": 5,
            "budget": "quick",
            "out": Path("r"),
            "read": {},
            "offline": True,
        },
        {"data": "photos", "weights": ["card.toml"], "device": "cpu", "read": {}},
    ]
    planned = []
    api.plan_comparison = taken(planned, real.plan_comparison, Said("12 jobs"))
    code, out, _ = command(*words, "--seeds", 5, "--budget", "quick", "--out", "r", "--offline", "--plan")
    assert (code, out, planned) == (0, "12 jobs\n", seen[:1])
    code, _, err = command("compare", "photos", "-w", "card.toml", "--plan", "--screen", 2)
    assert code == 2 and "--screen looks at the weights" in err and len(seen) == 2


def test_plan_predict_report_weights_and_env(api, command):
    planned = []
    told = Said("study shapes\n2 jobs on auto, noise 0.5")
    api.plan_study = taken(planned, real.plan_study, told)
    api.predict = lambda *given, **_: Summary(lines=[repr(given[3])], failed=[("a.jpg", "not an image")])
    api.build_report = lambda run, format="html": run / f"report.{format}"
    api.write_figures = lambda run, out, format: [out / f"{run.name}.{format}"]
    api.describe_weights = lambda weights, trust_code: Said(f"{weights}\nlicense: MIT")
    asked = []
    row = {"weights": "random:resnet50", "lineage": "none", "license": "mit", "published": "70.1 top-1, ImageNet"}
    api.list_weights = lambda *given: asked.append(given) or [row]
    api.environment = lambda: {"python": "3.11", "caches": {"timm": "there"}}
    assert command("plan", "shapes", "--noise", "0.5") == (0, "study shapes\n2 jobs on auto, noise 0.5\n", "")
    assert command("plan", "paper", "--data", "voc=v", "--data-root", "d", "--miniature")[0] == 0
    places = {"data": {"voc": Path("v")}, "data_root": Path("d"), "miniature": True}
    assert planned == [{"study": "shapes", "noise": 0.5}, {"study": "paper"} | places]
    assert command("predict", "m", "i", "--threshold", "0.25") == (1, "0.25\n", "failed: a.jpg: not an image\n")
    assert command("report", "runs/x") == (0, "runs/x/report.html\n", "")
    assert command("report", "runs/x", "--format", "pdf") == (0, "runs/x/report.pdf\n", "")
    assert command("report", "runs/x", "runs/y", "--figures", "f", "--figures-as", "png")[1] == "f/x/x.png\nf/y/y.png\n"
    assert command("weights", "show", "random:x") == (0, "random:x\nlicense: MIT\n", "")
    listed = "weights          lineage  license  published\nrandom:resnet50  none     mit      70.1 top-1\n"
    assert command("weights", "list") == (0, listed, "")
    assert command("weights", "list", "--supervision", "boxes", "--licence", "commercial")[0] == 0
    assert command("weights", "list", "--license", "mit", "--json")[0] == 0
    assert asked == [(None, None, False), ("boxes", "commercial", False), (None, "mit", True)]
    kept = []
    api.import_weights = taken(kept, real.import_weights, Said("written: o"))
    api.verify_weights = lambda w, **how: Said("all well") if w == "a.pth" else Said("WARNING: look", good=False)
    assert command("weights", "import", "a.pth", "o", "--overwrite", "--offline") == (0, "written: o\n", "")
    assert kept == [{"weights": "a.pth", "out": Path("o"), "offline": True, "overwrite": True}]
    api.export_weights = taken(kept, real.export_weights, Said("written: o.pkl"))
    written = command("weights", "export", "a.pth", "o.pkl", "--to", "detectron2", "--fold")
    assert written == (0, "written: o.pkl\n", "")
    assert kept[1] == {"weights": "a.pth", "out": Path("o.pkl"), "to": "detectron2", "fold": True}
    assert command("weights", "export", "a.pth", "o.pkl", "--to", "caffe")[0] == 2
    assert command("weights", "verify", "a.pth") == (0, "all well\n", "")
    assert command("weights", "verify", "b.pth") == (1, "WARNING: look\n", "")
    assert command("env") == (0, "python: 3.11\ncaches:\n  timm: there\n", "")
    assert json.loads(command("env", "--json")[1]) == {"python": "3.11", "caches": {"timm": "there"}}


@pytest.fixture
def finished(tmp_path):
    store = Store(tmp_path / "run")
    for key, label in (("a" * 64, "draw base"), ("b" * 64, "draw novel")):
        (store.partial(f"draw-{key[:16]}") / "images.npy").write_bytes(b"x" * 2000)
        store.commit(f"draw-{key[:16]}", key, {"label": label, "seconds": 2.25})
    (store.partial("pretrain-1") / "state").write_bytes(b"y" * 500)
    return store


def test_store_lists_and_measures(finished, command):
    code, out, _ = command("store", "ls", finished.root)
    assert code == 0
    assert out.splitlines()[0].split() == ["name", "seconds", "size", "job"]
    size = bytes_text(finished.entries()[0].size).split()
    assert out.splitlines()[1].split() == ["draw-aaaaaaaaaaaaaaaa", "2.2", *size, "draw", "base"]
    rows = json.loads(command("store", "du", finished.root, "--json")[1])
    assert [(row["kind"], row["jobs"]) for row in rows] == [("draw", 2), ("unfinished", 1), ("all", 3)]
    assert rows[0]["size"] + rows[1]["size"] == rows[2]["size"] == finished.size()
    assert rows[1]["size"] == 500
    assert "500 B" in command("store", "du", finished.root)[1]


def test_store_verify_names_what_changed(finished, command):
    assert command("store", "verify", finished.root) == (0, "2 finished jobs, every file as it was written\n", "")
    (finished.path("draw-" + "b" * 16) / "images.npy").write_bytes(b"z" * 2000)
    code, out, _ = command("store", "verify", finished.root)
    assert code == 1
    assert out.splitlines()[0] == "draw-bbbbbbbbbbbbbbbb: images.npy has changed since it was written"
    assert "run the study again" in out


def test_store_of_no_run(tmp_path, command):
    code, out, err = command("store", "du", tmp_path)
    assert (code, out) == (2, "")
    assert err == f"error: {tmp_path}: no run here (it has no store/ folder); name the directory given to `run --out`\n"


def test_tables_and_sizes(capsys):
    print_table([{"name": "a", "n": 5, "lineage": ["x", "y"]}, {"name": "bcd", "n": 12, "lineage": None}])
    print_table([])
    print_mapping({"a": {"b": [1, 2]}})
    assert capsys.readouterr().out == "name   n  lineage\na      5  x, y\nbcd   12  -\na:\n  b: 1, 2\n"
    sizes = [bytes_text(n) for n in (0, 999, 1000, 1234567, 25_000_000, 999_600)]
    assert sizes == ["0 B", "999 B", "1.0 kB", "1.2 MB", "25 MB", "1.0 MB"]


def command_names(group, before=""):
    for name, item in group.commands.items():
        yield f"{before}{name}"
        if hasattr(item, "commands"):
            yield from command_names(item, f"{before}{name} ")


def test_the_list_of_commands_in_the_documents_is_whole():
    text = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    names = set(command_names(typer.main.get_command(app)))
    assert {"run", "weights list", "weights import", "store ls"} <= names
    assert set(re.findall("## `headstart ([^`]+)`", text)) == names, "make docs"
    for option in ("--overwrite", "--offline", "--budget", "--threshold", "--license"):
        assert option in text, "make docs"
