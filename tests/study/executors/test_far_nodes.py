"""Nodes of a real Ray cluster that do not see the run directory: an empty file system lies over it there."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.errors import Interrupted
from headstart.readers.place import DataPlace
from headstart.store.store import Store
from headstart.study.executors.cluster import connected
from headstart.study.executors.local import run_jobs
from headstart.study.files import load_study
from headstart.study.jobs import Job
from headstart.study.run import run
from support.killed import STUDY
from support.small_studies import LABELS_AND_RANDOM
from support.tiny_runners import Adding, Counting, Pace, expansion_of

TESTS = Path(__file__).parents[2]
TINY = "support.tiny_runners:ON_RAY"
MOUNT = 'mount -t tmpfs none "$0" && exec "$@"'
UNSHARE = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]

pytestmark = pytest.mark.ray


def alive(head):
    return sum(node["Alive"] for node in head.global_state.node_table())


@contextmanager
def far_node(head, hidden: Path):
    """A node with one CPU that sees an empty folder in place of `hidden`. It ends, with all that runs there, at once.
    One after the other: two that start at the same time take the same socket."""
    before = alive(head)
    address = ["--address", head.address, "--num-cpus", "1"]
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", *address, "--block"]
    ports = ["--min-worker-port", "0", "--max-worker-port", "0", "--dashboard-agent-listen-port", "0"]
    alone = ["--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*UNSHARE, *alone, "sh", "-c", MOUNT, str(hidden), *ray, *ports, "--object-store-memory", "150000000"]
    node = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until = time.monotonic() + 60
        while alive(head) == before:
            assert node.poll() is None and time.monotonic() < until, "the node does not start"
            time.sleep(0.1)
        yield node
    finally:
        lose(node)


def lose(node: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        os.killpg(node.pid, signal.SIGKILL)
    node.wait()


@pytest.fixture(scope="module")
def hidden(tmp_path_factory):
    return tmp_path_factory.mktemp("hidden")


@pytest.fixture(scope="module")
def cluster(hidden, tmp_path_factory):
    """A head without CPUs, where the command runs, and a node that does not see the folder of runs."""
    if subprocess.run([*UNSHARE, "sh", "-c", MOUNT, str(hidden), "true"], capture_output=True).returncode:
        pytest.skip("this user may not lay a file system over a folder (unshare, mount)")
    from ray.cluster_utils import Cluster

    variables = {"PYTHONPATH": os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)]), "HEADSTART_SEND_SECONDS": "0"}
    variables["HEADSTART_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        head = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        with ExitStack() as nodes:
            yield head, nodes, [nodes.enter_context(far_node(head, hidden))]
        head.shutdown()


def run_tiny(jobs, store, address, on_event=lambda event: None):
    with connected(address, 1, 1) as there:
        return run_jobs(lambda: expansion_of(jobs, store), store, 1, 1, on_event=on_event, runners=TINY, cluster=there)


def test_a_study_gives_the_same_metrics(cluster, hidden, tmp_path):
    """On photographs that the node sees; folds are views, whose pixels lie in another job."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
    for k, image in enumerate(pixels):
        file = tmp_path / "photos" / ("cat", "dog")[k % 2] / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    random = LABELS_AND_RANDOM[LABELS_AND_RANDOM.index('[[weights]]\nname = "random"') :]
    text = STUDY.replace(random, "")
    fold = 'path = "photos", task = "classify", fold = 0, folds = 2, size_hw = [32, 32]'
    for drawn, role in (("count = 8", "trainval"), ("count = 8, first = 8", "test")):
        text = text.replace(f'{{ world = "base", {drawn}, size = 32 }}', f'{{ {fold}, role = "{role}" }}')
    (tmp_path / "small.toml").write_text(text)
    study, base = load_study(str(tmp_path / "small.toml"))
    how = {"source": tmp_path / "small.toml", "base": base, "on_event": lambda event: None}
    local = run(study, out=tmp_path / "local", workers=1, **how)
    with connected(cluster[0].address, 1, 2) as there:
        far = run(study, out=hidden / "far", cluster=there, **how)
    assert local.outcome.complete and far.outcome.complete, far.outcome
    assert [*(hidden / "far" / "store").glob("view-*")]
    assert (hidden / "far" / "metrics.json").read_bytes() == (tmp_path / "local" / "metrics.json").read_bytes()
    assert not list((hidden / "far").rglob("*.tmp")) and not Store(hidden / "far").verify()
    assert not list(Path(os.environ["HEADSTART_CACHE"]).glob("nodes/*"))


def test_a_training_of_a_lost_node_goes_on_from_what_was_sent(cluster, hidden):
    """Its states come every second here; the node that takes over has never seen it."""
    head, nodes, (first,) = cluster
    store, job = Store(hidden / "lossy"), Job("pretrain", Counting(40), {}, Pace(0.1), label="count to 40")
    state, retried = store.partial(job.name) / "resume" / "count", []

    def lose_its_node(event):
        if event.what == "progress" and state.is_file() and first.poll() is None:
            lose(first)
        if event.what == "retried":
            retried.append(event.message)
            nodes.enter_context(far_node(head, hidden))

    outcome = run_tiny([job], store, head.address, lose_its_node)
    assert outcome.complete and len(retried) == 1 and "lost" in retried[0]
    assert json.loads((store.path(job.name) / "metrics.json").read_text())["first"] > 0
    assert sorted(path.name for path in store.path(job.name).iterdir()) == [
        "digests.json",
        "job.json",
        "metrics.json",
        "pid.txt",
    ]


def test_a_training_that_is_asked_to_stop_saves_and_what_it_saved_comes(cluster, hidden):
    store, job = Store(hidden / "stopped"), Job("transfer", {}, label="save")

    def stop(event):
        if event.what == "started":
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        run_tiny([job], store, cluster[0].address, stop)
    assert (store.partial(job.name) / "saved").read_text() == "in time"


def test_data_that_a_node_does_not_see_are_named_with_the_node(cluster, hidden):
    """What failed on the node is told with its name, too, and its log comes."""
    (hidden / "data").mkdir()
    store = Store(hidden / "blind")
    jobs = [Job("add", Adding(1), {}, DataPlace(str(hidden / "data")), label="pictures"), Job("bad", {}, label="bad")]
    jobs.append(Job("surroundings", {}, label="look"))
    failed = dict(run_tiny(jobs, store, cluster[0].address).failed)
    assert sorted(failed) == ["bad", "pictures"] and failed["bad"].startswith("tiny.jpg: not an image")
    node = os.uname().nodename
    assert failed["pictures"].startswith(f"node {node} does not see {hidden / 'data'}, which the job reads: data and")
    assert "said by a runner" in (hidden / "blind" / "logs" / f"{jobs[2].name}.txt").read_text()
