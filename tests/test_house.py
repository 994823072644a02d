"""The house: imports point one way, nothing slow is imported early, files stay short, nothing private is committed."""

import ast
import graphlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "headstart"
MODULES = sorted(SOURCE.rglob("*.py"))

LEAVES = ("metrics", "stats", "page", "store")
ORDER = [
    ("errors", "names", "processes", "progress", "terminal", "texts"),
    ("recipes",),
    ("config", *LEAVES),
    ("places",),
    ("data",),
    ("readers",),
    ("doctor", "world", "batches"),
    ("models",),
    ("weights",),
    ("train",),
    ("tasks",),
    ("pretraining",),
    ("explain", "evaluation", "judging", "screening"),
    ("study",),
    ("report",),
    ("api",),
    ("cli",),
]
RANKS = {name: rank for rank, names in enumerate(ORDER) for name in names}
OUTSIDE = {"__init__", "__main__"}  # the package itself: may show the API and start the command line

WITHOUT_TORCH = [
    "headstart",
    "headstart.api",
    "headstart.batches.image_sets",
    "headstart.cli.main",
    "headstart.evaluation.evaluate",
    "headstart.explain.findings",
    "headstart.evaluation.protocol_rules",
    "headstart.study.executors.local",
    "headstart.study.environment",
    "headstart.study.executors.pools",
    "headstart.study.executors.worker",
    "headstart.study.jobs",
    "headstart.study.plan",
    "headstart.study.progress",
    "headstart.study.run",
    "headstart.names",
    "headstart.tasks.detection_scores",
    "headstart.tasks.linear_probes",
    "headstart.tasks.protocol",
    "headstart.tasks.table",
    "headstart.tasks.truth",
    "headstart.train.devices",
    "headstart.weights.cards",
    "headstart.weights.catalogue",
    "headstart.weights.containers",
    "headstart.weights.importers.layouts",
    "headstart.weights.listing",
]
WITHOUT_TORCH_FOLDERS = (
    "cli",
    "config",
    "data",
    "doctor",
    "judging",
    "metrics",
    "page",
    "places",
    "readers",
    "recipes",
    "report",
    "stats",
    "store",
    "world",
)


ASSERTS = re.compile(r"Assert\(|'(?:raises|warns|assert_\w+)'")


def dotted(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree, package):
    """Full names of the modules that any statement of the tree imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from headstart import api` imports a stage; `from headstart.data import x` is told by its module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def stage(name):
    """`headstart.readers.coco.coco.read` -> `data`; None for anything that is not ours."""
    parts = name.split(".")
    return parts[1] if parts[0] == "headstart" and len(parts) > 1 else None


def wrong_imports(path, text):
    here = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]
    for name in imported(ast.parse(text), package):
        there = stage(name)
        if there is None or there == here or here in OUTSIDE:
            continue
        if there not in RANKS or RANKS[there] >= RANKS[here]:
            yield f"{path.relative_to(ROOT)}: {here} imports {name}"


def test_every_module_belongs_to_a_stage():
    stages = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in MODULES}
    assert stages - OUTSIDE <= set(RANKS)


@pytest.mark.parametrize(
    ("name", "line", "wrong"),
    [
        ("data/images.py", "import headstart.models.backbones.building", True),
        ("places/images.py", "from headstart.store.files import read_json", False),
        ("stats/bootstrap.py", "from headstart.metrics.boxes import iou", True),
        ("stats/bootstrap.py", "from ..errors import DataError", False),
        ("stats/bootstrap.py", "from ..page import lines", True),
        ("study/plan.py", "def f():\n    from headstart import api", True),
        ("cli/main.py", "from headstart import api", False),
    ],
)
def test_the_check_of_imports_itself(name, line, wrong):
    assert bool(list(wrong_imports(SOURCE / name, line))) == wrong


def test_imports_point_one_way():
    assert [fault for path in MODULES for fault in wrong_imports(path, path.read_text())] == []


def test_stages_have_a_docstring_and_import_nothing():
    for path in SOURCE.rglob("__init__.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        if path.parent not in (SOURCE, SOURCE / "api"):  # these two show what is in them
            assert len(tree.body) == 1, f"{path}: only a docstring"


def without_torch(*modules):
    """What a fresh process says that imports them, one after the other: nothing, or the fault of the first."""
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    code += "    if 'torch' in sys.modules: sys.exit(f'{name} imports torch')"
    done = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True)
    assert bool(done.returncode) == bool(done.stderr.strip()), done.stderr
    return done.stderr.strip()


def test_what_a_finished_study_needs_imports_no_torch():
    folders = [sorted((SOURCE / folder).rglob("*.py")) for folder in WITHOUT_TORCH_FOLDERS]
    assert all(folders), "a folder of the list has no modules"
    assert without_torch(*WITHOUT_TORCH, *(dotted(p) for paths in folders for p in paths)) == ""


def test_the_check_of_torch_itself():
    assert without_torch("headstart.errors", "headstart.train.loop") == "headstart.train.loop imports torch"
    assert "No module named 'headstart.renamed'" in without_torch("headstart.errors", "headstart.renamed")


def test_the_package_itself_imports_nothing():
    code = "import sys; import headstart; dir(headstart); headstart.__all__\n"
    code += "print([m for m in ('typer', 'numpy', 'pydantic', 'torch', 'headstart.api') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def graph_of_imports():
    """File -> files that any of its import statements names, also inside functions and for type checkers only.

    `from headstart import __version__` asks the package itself, which imports nothing when it is imported."""
    modules = {dotted(path): path for path in MODULES}
    graph = {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        given = set(imported(ast.parse(path.read_text()), package))
        # `headstart.stats.intervals.LEVEL` is a name in a module, `headstart.stats.intervals` the module
        named = {n for full in given for n in (full, full.rpartition(".")[0]) if n in modules and n != name}
        graph[name] = {n for n in named if modules[n].name != "__init__.py"}
    return graph


def circle(graph):
    """One circle of the graph, its first node repeated at the end; empty where there is none."""
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_files_import_each_other_in_a_circle():
    graph = graph_of_imports()
    assert "headstart.stats.intervals" in graph["headstart.stats.arms"]
    assert "headstart.study.run" in graph["headstart.api.studies"], "statements inside functions count"
    assert circle(graph) == []
    assert len(circle(graph | {"headstart.stats.intervals": {"headstart.stats.arms"}})) == 3


def test_tests_share_by_support_alone():
    """A test module that imports another one needs it to be collected before; what they share lies in support/."""
    modules = sorted((ROOT / "tests").rglob("*.py"))
    shared = [(p.name, n) for p in modules for n in imported(ast.parse(p.read_text()), "") if re.match(r"test_", n)]
    assert shared == []


def calls(function):
    """Names of the functions that it calls by name alone."""
    return {n.func.id for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


def test_no_two_files_of_tests_have_one_name():
    """pytest imports them by it, and reads neither where two are asked for together."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]


def test_every_test_can_fail():
    """Each has an assertion, or calls something of its module that has one."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        functions = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
        asserting = {f.name for f in functions if ASSERTS.search(ast.dump(f))}
        for test in (f for f in functions if f.name.startswith("test")):
            asserts = test.name in asserting or calls(test) & asserting
            assert asserts, f"{path.relative_to(ROOT)}: {test.name} asserts nothing"


def test_no_room_is_more_than_a_fifth_of_the_code():
    lines = Counter()
    for path in MODULES:
        lines[path.relative_to(SOURCE).parts[0]] += path.read_text().count("\n")
    room, largest = lines.most_common(1)[0]
    share = largest / lines.total()
    assert share <= 0.2, f"{room} has {share:.0%} of the code; split it where its parts do not need each other"


def test_no_folder_has_more_than_25_files():
    for top in (SOURCE, ROOT / "tests"):
        for folder in [top, *(p for p in top.rglob("*/") if p.is_dir() and p.name != "__pycache__")]:
            count = sum(1 for p in folder.iterdir() if p.is_file())
            assert count <= 25, f"{folder.relative_to(ROOT)} has {count} files; make rooms of it"


def test_the_picture_of_the_house_is_the_house():
    text = (ROOT / "docs" / "house.md").read_text()
    rows = re.findall(r"^ {6}(\w+)(/|\.py) +(.*)$", text, re.MULTILINE)
    drawn = [name for name, *_ in rows]
    rooms = {p.relative_to(SOURCE).parts[0].removesuffix(".py") for p in MODULES} - OUTSIDE
    assert sorted(drawn) == sorted(rooms)
    for name, kind, said in rows:
        assert (SOURCE / name).is_dir() == (kind == "/"), name
        for part in re.findall(r"(\w+)/", said):
            assert (SOURCE / name / part).is_dir(), f"docs/house.md: {name}/ has no folder {part}/"
    arrows = re.search(r"^ {4}(errors.*?)\n\n", text, re.MULTILINE | re.DOTALL).group(1)
    said = [tuple(re.findall(r"\w+", names)) for names in arrows.split("<-")]
    assert [sorted(names) for names in said] == [sorted(names) for names in ORDER]


METHODS = {"write_text", "write_bytes", "savez", "savez_compressed", "tofile"}
FUNCTIONS = {"save_file", "write_table", "save"}
ONE_WRITER = ("store/files.py", "store/arrays.py", "store/batches.py")
LOCKS = ("batches/chips/epochs.py",)  # opens its lock's file, whose content is nothing


def direct_writes(text):
    """Calls that write a file by a library's own function, and not to the temporary name (`part`) of `replacing`."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        is_method = isinstance(node.func, ast.Attribute)
        name = node.func.attr if is_method else getattr(node.func, "id", "")
        values = {ast.unparse(value) for value in (*node.args, *(k.value for k in node.keywords))}
        opens = name == "open" and values & {f"'{mode}{kind}'" for mode in "wxa" for kind in ("", "b", "t", "+", "b+")}
        writes = name in METHODS if is_method else name in FUNCTIONS
        onto = ast.unparse(node.func.value) if is_method else ""
        if (writes or opens or (onto in ("np", "numpy") and name == "save")) and "part" not in {onto, *values}:
            yield ast.unparse(node)


def test_files_are_written_by_the_one_writer():
    """`store.files.replacing` and what is built on it."""
    exempt = {SOURCE / name for name in (*ONE_WRITER, *LOCKS)}
    lines = [line for path in MODULES if path not in exempt for line in direct_writes(path.read_text())]
    assert lines == ["self._log_path().open('a', encoding='utf-8')"], "only the run's log grows in place"


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("path.write_text('x')", 1),
        ("np.save(path, array)", 1),
        ("save_file(tensors, path)", 1),
        ("path.open('wb')", 1),
        ("open(path, mode='w')", 1),
        ("write_text(path, 'x')", 0),
        ("path.open('rb')", 0),
        ("save_file(tensors, part)", 0),
        ("part.write_bytes(b'')", 0),
    ],
)
def test_the_check_of_writers_itself(line, count):
    assert len([*direct_writes(line)]) == count


def test_files_are_short_and_named_for_what_they_do():
    for path in [*MODULES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))]:
        lines = path.read_text().count("\n")
        assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines; split it"
        assert not re.search(r"util|helper|misc|common", path.stem), f"{path}: name it for what it does"


def files(*options):
    """Paths that git lists; skips where this is no checkout."""
    try:
        done = subprocess.run(["git", "ls-files", "-z", *options], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


# Written in parts, so that this file does not name them either.
PRIVATE = re.compile(
    "|".join(
        [
            r"files\.python" + "hosted",
            r"https?://[^\s/]+/sim" + r"ple\b",
            r"index" + "-url",
            r"(?<![\w.])/(?:wo" + "rk|ho" + "me|ro" + "ot|Us" + r"ers)/[\w.]",
        ]
    )
)


def test_no_file_names_a_package_index_or_a_path_of_one_machine():
    for path in files("--cached", "--others", "--exclude-standard"):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = PRIVATE.search(text)
        assert found is None, f"{path.relative_to(ROOT)}: names {found.group()!r}"


def test_the_lock_that_names_hosts_is_not_tracked():
    assert ROOT / "uv.lock" not in files("--cached")


def test_the_lock_pins_every_requirement_with_a_hash():
    first, *rest = (ROOT / "requirements.lock").read_text().splitlines()
    assert first.startswith("#") and "make lock" in first
    pins = [line for line in rest if line and not line.startswith((" ", "#"))]
    assert len(pins) > 20
    assert all(re.match(r"[a-z0-9-]+==\S+ (; .*)?\\$", pin) for pin in pins)
    text = "\n".join(rest)
    assert all("--hash=sha256:" in part for part in re.split(r"\n(?=[a-z0-9-]+==)", text))


def test_links_between_documents_lead_somewhere():
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: no {target}"
