"""Jobs on a real Ray cluster of three nodes with one CPU each, on this machine: the same results as without it, also
when nodes are lost in the middle."""

import json
import os
import sys
from pathlib import Path

import pytest

from headstart.errors import UsageError
from headstart.places.trust import trusting
from headstart.store.store import Store
from headstart.study.executors.cluster import connected, placed
from headstart.study.executors.local import run_jobs
from headstart.study.files import load_study
from headstart.study.jobs import Job
from headstart.study.run import run
from headstart.train.devices import ON_CPU
from support.killed import STUDY
from support.tiny_runners import Adding, Counting, Dying, Pace, Together, expansion_of

TINY = "support.tiny_runners:ON_RAY"
TESTS = Path(__file__).parents[2]

with_ray = pytest.mark.ray


@pytest.fixture(scope="module")
def nodes():
    """A cluster whose head has no CPU, and the three nodes that have one."""
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield cluster, [cluster.add_node(num_cpus=1) for _ in range(3)]
    cluster.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.toml").write_text(STUDY.replace("epochs = 1,", "epochs = 80,"))
    return folder / "small.toml"


def run_study(study, out, cluster=None, on_event=lambda event: None):
    settings, base = load_study(str(study))
    result = run(settings, study, base, out, on_event=on_event, workers=2, cluster=cluster)
    assert result.outcome.complete, result.outcome
    return (out / "metrics.json").read_bytes()


def run_tiny(jobs, store, cluster, on_event=lambda event: None, devices=ON_CPU):
    how = {"runners": TINY, "cluster": cluster, "devices": devices}
    return run_jobs(lambda: expansion_of(jobs, store), store, 1, 1, on_event=on_event, **how)


@with_ray
def test_metrics_equal_those_of_this_machine_and_outlive_all_nodes(nodes, study, tmp_path):
    """In the middle of the pre-training all nodes that there are go, and another one comes."""
    cluster, workers = nodes
    local = run_study(study, tmp_path / "local")
    events, fresh = [], []

    def lose_nodes(event):
        events.append(event)
        if event.what == "progress" and event.job.kind == "pretrain" and event.fraction > 0 and not fresh:
            while workers:  # at once: the training takes seconds, and so does a node to come up
                cluster.remove_node(workers.pop())
            fresh.extend(cluster.add_node(num_cpus=1) for _ in range(3))

    with connected(cluster.address, 1, 2) as there:
        assert there.cpus == 3 and there.devices("auto") == ON_CPU
        assert run_study(study, tmp_path / "quiet", there) == local
        assert run_study(study, tmp_path / "lossy", there, lose_nodes) == local
    workers.extend(fresh)
    retried = [event.job.kind for event in events if event.what == "retried"]
    assert retried.count("pretrain") == 1 and set(retried) <= {"pretrain", "transfer"}
    log = (tmp_path / "lossy" / "log.txt").read_text()
    assert (log.count(" retried pretrain-") == 1 and "its node was lost" in log) or "its process or its node" in log
    assert log.count(" finished pretrain-") == 1


@with_ray
def test_a_lost_job_goes_on_where_it_was_and_its_neighbors_are_left_alone(nodes, tmp_path):
    cluster, workers = nodes
    store = Store(tmp_path)
    jobs = [Job("counts", Counting(20 + k), {}, Pace(0.2), label=f"count to {20 + k}") for k in range(3)]
    begun, retried = set(), []

    def lose_a_node(event):
        if event.what == "progress" and event.fraction > 0.2:
            begun.add(event.job.name)
            if len(begun) == 3 and not retried and len(workers) == 3:
                cluster.remove_node(workers.pop())
        retried.extend([event.job] if event.what == "retried" else [])

    with connected(cluster.address, 1, 2) as there:
        outcome = run_tiny(jobs, store, there, lose_a_node)
    assert (outcome.finished, outcome.complete, len(retried)) == (3, True, 1)
    first = {job.name: json.loads((store.path(job.name) / "metrics.json").read_text())["first"] for job in jobs}
    assert {name: count > 0 for name, count in first.items()} == {job.name: job is retried[0] for job in jobs}
    workers.append(cluster.add_node(num_cpus=1))


@with_ray
def test_what_fails_and_what_dies_is_told_as_elsewhere(nodes, tmp_path):
    store = Store(tmp_path)
    bad, once, always = (
        Job("bad", {}, label="bad"),
        Job("dies", Dying(1), label="once"),
        Job("dies", Dying(9), label="x"),
    )
    with connected(nodes[0].address, 1, 2) as there:
        outcome = run_tiny([bad, once, always, Job("add", Adding(3))], store, there)
    failed = dict(outcome.failed)
    assert outcome.finished == 2 and sorted(failed) == ["bad", "x"]
    assert failed["bad"] == "tiny.jpg: not an image; delete it or convert it"
    assert failed["x"].startswith("its process or its node was lost, for the 4th time")
    said = (tmp_path / "log.txt").read_text()
    assert said.count("retried") == 4 and store.find(once.name, once.key)


@with_ray
def test_threads_and_words_of_a_node_are_those_of_a_worker(nodes, tmp_path):
    store, job = Store(tmp_path), Job("surroundings", {}, label="look")
    with connected(nodes[0].address, 1, 2) as there:
        assert run_tiny([job], store, there).complete
    assert json.loads((store.path(job.name) / "metrics.json").read_text())["threads"] == 1
    assert "said by a runner" in (tmp_path / "logs" / f"{job.name}.txt").read_text()


@with_ray
def test_processes_that_train_together_have_what_each_needs_on_one_node(nodes, tmp_path):
    """The other nodes have one CPU. Ray is told of GPUs that there are not; nobody computes on them. The second time
    they may run code of others, as the command's own processes may then."""
    cluster, store = nodes[0], Store(tmp_path)
    node = cluster.add_node(num_cpus=2, num_gpus=2)
    for device, gpus in (("cpu", 0), ("auto", 2)):
        job = Job("proposals", {"device": device}, {}, Together(2), label="together")
        with connected(cluster.address, 1, 2) as there, trusting(gpus > 0):
            assert run_tiny([job], store, there, devices=there.devices(device)).complete
        given = json.loads((store.path(job.name) / "metrics.json").read_text())
        assert given == {"cpus": 2, "gpus": gpus, "told": gpus, "seen": gpus, "trusts": gpus > 0}
    cluster.remove_node(node)


@with_ray
def test_no_cluster_at_an_address(tmp_path):
    with pytest.raises(UsageError, match="no Ray cluster to be had there"), connected("127.0.0.1:1", 1, 1):
        pass


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'headstart\[ray\]'"), connected(None, 1, 1):
        pass


def test_an_address_goes_with_ray():
    with pytest.raises(UsageError, match="--address goes with ray"):
        placed("local", "auto", "cpu", threads=1, workers=1).__enter__()
    with placed("local", None, "cpu", threads=1, workers=1) as at:
        assert at == (None, ON_CPU)
