"""Signatures: arguments by keyword from the fifth on; a command and its function name and order their options alike."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import typer.main

from headstart import api
from headstart.cli.main import app
from headstart.recipes.pretraining import PretrainingOptions

SOURCE = Path(__file__).parents[1] / "src" / "headstart"

POSITIONAL = 4
RUNNER = ["settings", "place", "inputs", "out", "progress"]
"""What the runner of every kind of job takes, and a worker calls by position."""
TWIN = "called in turn with its compiled twin, by position"
CALLED_BY_POSITION = {
    "metrics/_plain_matching.py:match": TWIN,
    "metrics/_plain_matching.py:ranked": TWIN,
    "metrics/_plain_matching.py:sorted_detections": TWIN,
    "metrics/_plain_precision.py:plain_ap": TWIN,
    "pretraining/processes.py:_member": "the target of a process",
    "study/runners/training.py:_of_fold": "completed by `partial`, and called as any `Progress`",
    "weights/pickles.py:_typed": "called with what a pickle holds, as torch's own function is",
    "weights/rebuilding.py:tensor": "called with what a pickle holds, as torch's own function is",
    "weights/rebuilding.py:tensor_v3": "called with what a pickle holds, as torch's own function is",
    "weights/rebuilding.py:frombuffer": "called with what a pickle holds, as numpy's own function is",
}


def positional(function: ast.FunctionDef, is_method: bool) -> list[str]:
    """Names of the parameters that may be given by position, without `self` and `cls`."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    bound = is_method and not any(ast.unparse(d) == "staticmethod" for d in function.decorator_list)
    return names[1:] if bound else names


def exempt(function: ast.FunctionDef) -> bool:
    """Kernels, since compiled code calls them by position; commands, since typer does; `forward`, since torch does."""
    compiled = any(ast.unparse(d).startswith("njit") for d in function.decorator_list)
    return compiled or function.name == "forward"


def long_signatures(name: str, text: str) -> Iterator[str]:
    """`file:function` of functions that take more than four arguments by position without a reason."""
    tree = ast.parse(text)
    methods = {id(f) for c in ast.walk(tree) if isinstance(c, ast.ClassDef) for f in c.body}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or exempt(function) or name.startswith("cli/"):
            continue
        names = positional(function, id(function) in methods)
        if len(names) > POSITIONAL and names != RUNNER:
            yield f"{name}:{function.name}"


def test_arguments_are_by_keyword_from_the_fifth_on() -> None:
    sources = {str(path.relative_to(SOURCE)): path.read_text() for path in sorted(SOURCE.rglob("*.py"))}
    long = {function for name, text in sources.items() for function in long_signatures(name, text)}
    assert long - set(CALLED_BY_POSITION) == set(), "put `*,` after the fourth parameter"
    assert set(CALLED_BY_POSITION) - long == set(), "no longer needs an exemption"


@pytest.mark.parametrize(
    ("name", "text", "is_long"),
    [
        ("stats/a.py", "def f(a, b, c, d, e): pass", True),
        ("stats/a.py", "def f(a, b, c, d, *, e, f): pass", False),
        ("stats/a.py", "class A:\n    def f(self, a, b, c, d): pass", False),
        ("stats/a.py", "class A:\n    def f(self, a, b, c, d, e): pass", True),
        ("stats/a.py", "class A:\n    @staticmethod\n    def f(a, b, c, d, e): pass", True),
        ("stats/a.py", "def f(settings, place, inputs, out, progress): pass", False),
        ("stats/a.py", "@njit(cache=True)\ndef f(a, b, c, d, e): pass", False),
        ("cli/a.py", "def f(a, b, c, d, e): pass", False),
    ],
)
def test_the_check_of_signatures_itself(name: str, text: str, is_long: bool) -> None:
    assert bool([*long_signatures(name, text)]) == is_long


FUNCTIONS = {
    "run": api.run_study,
    "plan": api.plan_study,
    "compare": api.compare,
    "explain": api.explain_weights,
    "check": api.check,
    "evaluate": api.evaluate,
    "judge": api.judge,
    "screen": api.screen,
    "suite": api.suite,
    "pretrain": api.pretrain,
    "predict": api.predict,
    "report": api.build_report,
    "env": api.environment,
    "weights list": api.list_weights,
    "weights show": api.describe_weights,
    "weights import": api.import_weights,
    "weights export": api.export_weights,
    "weights verify": api.verify_weights,
}
OF_A_TERMINAL = {"as_json", "verbose", "wide"}
"""What is printed: functions return it."""
COMMANDS_ONLY = {
    ("compare", "on_bad_box"): "in `read`",
    ("compare", "on_bad_record"): "in `read`",
    ("compare", "plan"): "`plan_comparison`",
    ("explain", "on_bad_box"): "in `read`",
    ("explain", "on_bad_record"): "in `read`",
    ("screen", "on_bad_box"): "in `read`",
    ("screen", "on_bad_record"): "in `read`",
    ("evaluate", "on_bad_box"): "in `read`",
    ("evaluate", "on_bad_record"): "in `read`",
    ("evaluate", "seeds"): "several files as `detections`",
    ("pretrain", "on_bad_box"): "in `read`",
    ("pretrain", "on_bad_record"): "in `read`",
    ("pretrain", "show_chips"): "`api.show_chips`",
    ("check", "formats"): "`headstart.readers.formats.layouts`",
    ("report", "figures"): "`api.write_figures`",
    ("report", "figures_as"): "`api.write_figures`",
    ("report", "table"): "`api.report_table`",
    ("check", "quiet"): "`api.check` prints nothing but by `progress`",
    ("judge", "quiet"): "`api.judge` prints nothing",
}
FUNCTIONS_ONLY = {
    ("check", "progress"): "what the terminal shows",
    ("evaluate", "progress"): "what the terminal shows",
    ("pretrain", "progress"): "what the terminal shows",
    ("weights list", "every_fact"): "`--json` prints every fact",
}
OTHER_NAMES = {"set": "changes"}
"""`set` is Python's own."""
SHARED = (
    "out",
    "format",
    "on_bad_box",
    "on_bad_record",
    "read",
    "on_bad_image",
    "workers",
    "loaders",
    "processes",
    "device",
    "threads",
    "trust_pickle",
    "trust_code",
    "offline",
    "overwrite",
    "quiet",
    "store",
    "executor",
    "address",
    "events",
    "verbose",
    "as_json",
)
"""The order of what several commands have."""


def commands() -> dict[str, dict[str, Any]]:
    """Name of every command -> its options as the command line spells them -> their defaults."""
    group = typer.main.get_command(app)
    named = dict(group.commands)  # type: ignore[attr-defined]
    for name in [name for name, command in named.items() if hasattr(command, "commands")]:
        named |= {f"{name} {part}": command for part, command in named.pop(name).commands.items()}
    return {name: {spelled(p): plain(p.default) for p in command.params} for name, command in named.items()}


def spelled(parameter: Any) -> str:
    """`--on-bad-box` -> on_bad_box; `--json` -> as_json. Functions of Python spell it so."""
    longest = [o for o in parameter.opts if o.startswith("--")]
    name = longest[0][2:].replace("-", "_") if longest else parameter.name
    return {"json": "as_json", **OTHER_NAMES}.get(name, name)


def plain(default: Any) -> Any:
    """Defaults as they can be compared: an option that is not given is None, (), [] or "", as its type has it."""
    if callable(default):
        default = None
    value = default.value if isinstance(default, Enum) else default
    return None if value in ((), [], "", inspect.Parameter.empty) else value


def parameters(function: Any) -> dict[str, Any]:
    return {name: plain(p.default) for name, p in inspect.signature(function).parameters.items() if name != "options"}


def options() -> dict[str, Any]:
    """Fields of PretrainingOptions, which `api.pretrain` takes as one."""
    return {field.name: plain(field.default) for field in fields(PretrainingOptions)}


COMMANDS = commands()


def test_every_command_has_a_function() -> None:
    assert {name for name in COMMANDS if not name.startswith("store ")} == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_command_and_its_function_say_the_same(name: str) -> None:
    """Names and defaults are equal, and so is the order of each list of parameters."""
    there = COMMANDS[name]
    lists = [parameters(FUNCTIONS[name]), *([options()] if name == "pretrain" else [])]
    here = {key: value for part in lists for key, value in part.items()}
    assert set(there) - set(here) - OF_A_TERMINAL == {key for command, key in COMMANDS_ONLY if command == name}
    assert set(here) - set(there) == {key for command, key in FUNCTIONS_ONLY if command == name}
    for part in lists:
        assert [key for key in there if key in part] == [key for key in part if key in there]
    assert {key: value for key, value in there.items() if key in here} == {
        key: value for key, value in here.items() if key in there
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_what_several_commands_have_is_in_one_order(name: str) -> None:
    places = [SHARED.index(key) for key in COMMANDS[name] if key in SHARED]
    assert places == sorted(places)
