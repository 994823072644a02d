"""Jobs on real worker processes: order, failures, deaths, interruptions, going on."""

import io
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.store.store import Store
from headstart.study.executors import pools
from headstart.study.executors.local import run_jobs
from headstart.study.executors.pools import default_workers
from headstart.study.jobs import Job
from headstart.study.progress import ProgressDisplay
from support.tiny_runners import Adding, Counting, Dying, Napping, Pace, expansion_of

TINY = "support.tiny_runners:RUNNERS"


def adds(value, cost=1.0, **inputs):
    return Job("add", Adding(value), inputs, label=f"add {value}", cost=cost)


def run(store, jobs, workers=2, threads=1, events=None):
    take = (lambda event: None) if events is None else events.append
    return run_jobs(lambda: expansion_of(jobs, store), store, workers, threads, on_event=take, runners=TINY)


def metrics(store, job):
    return json.loads((store.path(job.name) / "metrics.json").read_text())


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_jobs_run_after_their_inputs_and_are_stored_with_their_facts(store):
    a, b = adds(1), adds(20)
    both = adds(300, left=a, right=b)
    events = []
    outcome = run(store, [adds(4000, all=both)], events=events)
    assert (outcome.finished, outcome.failed, outcome.left, outcome.complete) == (4, [], [], True)
    assert metrics(store, both) == {"value": 321}
    assert metrics(store, adds(4000, all=both)) == {"value": 4321}
    facts = json.loads((store.path(both.name) / "job.json").read_text())
    assert facts["inputs"] == {"left": a.key, "right": b.key}
    assert (facts["kind"], facts["version"], facts["key"], facts["label"]) == ("add", 1, both.key, "add 300")
    assert store.verify() == []
    assert list((store.root / "partial").iterdir()) == []
    ends = [e.job.label for e in events if e.what == "finished"]
    assert set(ends[:2]) == {"add 1", "add 20"}
    assert ends[2:] == ["add 300", "add 4000"]
    known = [len(e.done) for e in events if e.what == "known"]  # Two that end together are told of at once.
    assert known[0] == 0 and known[-1] == 4 and known == sorted(set(known))


def test_what_the_longest_chain_waits_for_starts_first(store):
    """With one worker: 3 + 4 seconds hang on the first of the chain, so it goes before the single job of 5."""
    first, single = adds(1, cost=3.0), adds(2, cost=5.0)
    events = []
    run(store, [adds(10, cost=4.0, left=first), single, adds(3, cost=1.0)], workers=1, events=events)
    assert [e.job.label for e in events if e.what == "finished"] == ["add 1", "add 2", "add 10", "add 3"]


def test_nothing_left_to_do_starts_no_process(store, monkeypatch):
    job = adds(1)
    run(store, [job], workers=1)
    monkeypatch.setattr(pools, "ProcessPoolExecutor", None)
    again = run(store, [job])
    assert (again.finished, again.complete) == (0, True)


def test_an_input_that_proves_damaged_is_made_again_first(store, monkeypatch, caplog):
    """Large files are only read when a job is to start on them: by then the plan counted on them."""
    monkeypatch.setattr("headstart.store.store.SMALL", 3)
    first = adds(1)
    run(store, [first], workers=1)
    note = store.path(first.name) / "note.txt"
    note.write_text("addeD\n")
    fresh = Store(store.root)
    outcome = run(fresh, [adds(10, first=first)], workers=1)
    assert (outcome.finished, outcome.complete, outcome.failed) == (2, True, [])
    assert metrics(fresh, adds(10, first=first)) == {"value": 11}
    assert note.read_text() == "added\n"
    assert f"store/{first.name} is damaged (note.txt has changed since it was written)" in caplog.text


def test_what_measures_time_runs_alone_and_last(store):
    events, running = [], set()
    timed = [Job("time", Napping(0.05 + k / 1000), label=f"time {k}", cost=100) for k in range(2)]
    others = [Job("naps", Napping(0.1 + k / 1000), label=f"nap {k}") for k in range(3)]
    assert run(store, [*timed, *others], workers=3, events=events).complete
    order = [(e.what, e.job.label) for e in events if e.what in ("started", "finished")]
    for what, label in order:
        if what == "finished":
            running.remove(label)
            continue
        assert not running if label.startswith("time") else not any(name.startswith("time") for name in running)
        running.add(label)
    assert [label[:4] for what, label in order if what == "started"] == ["nap "] * 3 + ["time"] * 2


def test_results_may_add_jobs(store):
    def next_jobs():
        first = adds(1)
        jobs = [first] + ([adds(10, first=first)] if store.find(first.name, first.key) else [])
        return expansion_of(jobs, store)

    outcome = run_jobs(next_jobs, store, 1, 1, on_event=lambda event: None, runners=TINY)
    assert (outcome.finished, outcome.complete) == (2, True)
    assert metrics(store, adds(10, first=adds(1))) == {"value": 11}


def test_the_longest_job_starts_first(store):
    events = []
    run(store, [adds(1, cost=2), adds(2, cost=9), adds(3, cost=5)], workers=1, events=events)
    assert [e.job.cost for e in events if e.what == "started"] == [9, 5, 2]


def test_a_failing_job_stops_only_what_needs_it(store):
    bad = Job("bad", {}, label="prepare photos")
    bug = Job("bug", {}, label="count photos")
    after = adds(1, needs=bad)
    outcome = run(store, [after, bug, adds(2)])
    assert outcome.finished == 1
    assert not outcome.complete
    assert outcome.left == ["add 1"]
    failed = dict(outcome.failed)
    assert sorted(failed) == ["count photos", "prepare photos"]
    assert failed["prepare photos"] == "tiny.jpg: not an image; delete it or convert it"
    unforeseen = r"KeyError: 'absent' \(tiny_runners\.py, line \d+\); the traceback is in log\.txt"
    assert re.fullmatch(unforeseen, failed["count photos"])
    said = (store.root / "log.txt").read_text()
    assert "Traceback (most recent call last)" in said
    assert 'return {"value": {}["absent"]}' in said
    assert store.find(adds(2).name, adds(2).key)


def test_workers_have_their_threads_and_print_into_the_log(store, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    job = Job("surroundings", {})
    run(store, [job], workers=1, threads=3)
    found = metrics(store, job)
    assert found["threads"] == 3
    assert found["pid"] != os.getpid()
    assert found["missing"] is None
    assert (os.environ["OMP_NUM_THREADS"], os.environ.get("MKL_NUM_THREADS")) == ("7", None)
    assert "said by a runner" in (store.root / "log.txt").read_text()


def test_warnings_of_jobs_are_told_and_collected(store):
    job, stream = Job("warns", {}, label="look"), io.StringIO()
    with ProgressDisplay(1, quiet=True, stream=stream) as display:
        assert run(store, [job], workers=1).complete
    assert stream.getvalue() == "look: 3 of 9 images are gray\n" and display.warnings == [
        "look: 3 of 9 images are gray"
    ]
    said = (store.root / "logs" / f"{job.name}.txt").read_text()
    assert said.count("3 of 9 images are gray") == 2 and "read as COCO" in said
    assert list((store.path(job.name)).glob("*.txt")) == []


def test_a_job_whose_process_died_is_tried_again(store):
    events = []
    job = Job("dies", Dying(1), label="fragile")
    outcome = run(store, [job], workers=1, events=events)
    assert (outcome.finished, outcome.failed) == (1, [])
    assert metrics(store, job) == {"deaths": 1}
    retried = [e for e in events if e.what == "retried"]
    assert [e.message for e in retried] == ["a worker process died (killed, or out of memory) while running: fragile"]


def test_a_waiting_worker_that_is_killed_does_not_stop_the_others_for_ever(store, monkeypatch):
    """It holds the lock of the queue that all of a pool wait at."""
    monkeypatch.setattr(pools, "END_SECONDS", 1.0)
    slow, quick, killed = Job("counts", Counting(20), {}, Pace(0.1), label="slow", cost=9), Job("surroundings", {}), []

    def take(event):
        if event.what == "progress" and store.find(quick.name, quick.key) and not killed:
            killed.append(metrics(store, quick)["pid"])
            os.kill(killed[0], signal.SIGKILL)

    outcome = run_jobs(lambda: expansion_of([slow, quick], store), store, 2, 1, on_event=take, runners=TINY)
    assert killed and (outcome.finished, outcome.complete, outcome.failed) == (2, True, [])
    assert metrics(store, slow)["first"] > 0
    assert (store.root / "log.txt").read_text().count("slow is tried again, alone") == 1


def test_a_pool_whose_waiting_worker_was_killed_takes_further_jobs(store, monkeypatch):
    """From Python 3.12 on it would wait for the other worker for ever, which waits at the queue."""
    monkeypatch.setattr(pools, "END_SECONDS", 1.0)
    first = [Job("naps", Napping(0.2 + k / 100), label=f"first {k}") for k in range(2)]
    last, killed = Job("naps", Napping(0.3), label="last"), []

    def expand():
        known = [*first, *([last] if killed else [])]
        if not killed and all(store.find(job.name, job.key) for job in first):
            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.5)  # the pool sees it
            known.append(last)
        return expansion_of(known, store)

    outcome = run_jobs(expand, store, 2, 1, on_event=lambda event: None, runners=TINY)
    assert killed and (outcome.finished, outcome.failed) == (3, [])


def test_a_job_that_always_kills_its_process_fails_and_its_neighbor_does_not(store):
    fatal = Job("dies", Dying(9), label="fatal", cost=5)
    neighbor = Job("naps", Napping(0.8), label="neighbor", cost=9)
    outcome = run(store, [fatal, neighbor, adds(1)])
    assert [label for label, _ in outcome.failed] == ["fatal"]
    assert "died when tried again alone, too; see log.txt" in outcome.failed[0][1]
    assert outcome.finished == 2
    assert store.find(neighbor.name, neighbor.key)


SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from headstart.errors import HeadstartError
from headstart.store.store import Store
from headstart.study.jobs import Job
from support.tiny_runners import Adding
from test_executors import counting, expansion_of, TINY
from headstart.study.executors.local import run_jobs

if __name__ == "__main__":
    store = Store(Path(sys.argv[1]))
    try:
        run_jobs(lambda: expansion_of([counting(0.5)], store), store, 1, 1, on_event=lambda event: None, runners=TINY)
    except HeadstartError as fault:
        print(fault)
        sys.exit(fault.exit_code)
"""


def counting(nap):
    return Job("counts", Counting(40), {}, Pace(nap), label="count to 40")


def started(script, tmp_path):
    return subprocess.Popen(
        [sys.executable, script, tmp_path / "run", Path(__file__).parents[1], Path(__file__).parent],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what runs in its background with Ctrl-C ignored, and that would be inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def start_counting(tmp_path):
    """Start a run in a process of its own and return it with its worker's id once the job has got somewhere."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = started(script, tmp_path)
    partial = tmp_path / "run" / "partial" / counting(0).name
    give_up = time.monotonic() + 30
    while not ((partial / "resume" / "count").exists() and int((partial / "resume" / "count").read_text()) >= 2):
        assert time.monotonic() < give_up and process.poll() is None, process.communicate()
        time.sleep(0.02)
    return process, int((partial / "pid.txt").read_text())


def is_alive(pid):
    """Whether the process still runs (one that ended and was not collected yet does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_ends_its_workers_and_goes_on_later(tmp_path, number):
    process, worker = start_counting(tmp_path)
    # Ctrl-C reaches every process of the terminal's foreground group
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "stopped; the same command goes on\n", "")
    assert not is_alive(worker)
    store = Store(tmp_path / "run")
    job = counting(0)
    assert store.find(job.name, job.key) is None
    assert run(store, [job], workers=1).finished == 1
    assert metrics(store, job)["first"] >= 2
    assert not (store.path(job.name) / "resume").exists()


@linux
def test_a_training_saves_its_state_when_the_run_is_stopped(tmp_path):
    training = Job("transfer", Adding(1), label="train")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("counting(0.5)", 'Job("transfer", Adding(1), label="train")'))
    process = started(script, tmp_path)
    partial = tmp_path / "run" / "partial" / training.name
    give_up = time.monotonic() + 30
    while not (partial / "pid.txt").exists():
        assert time.monotonic() < give_up and process.poll() is None, process.communicate()
        time.sleep(0.02)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "stopped; the same command goes on\n")
    assert err == "stopping when the updates under way are done; Ctrl-C again stops at once\n"
    assert (partial / "saved").read_text() == "in time"
    assert not is_alive(int((partial / "pid.txt").read_text()))


@linux
def test_workers_die_with_a_killed_parent(tmp_path):
    process, worker = start_counting(tmp_path)
    process.kill()
    process.communicate()
    give_up = time.monotonic() + 10
    while is_alive(worker):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    job = counting(0)
    store = Store(tmp_path / "run")
    assert run(store, [job], workers=1).complete


def test_default_workers_fill_the_machine_and_never_vanish():
    assert default_workers(10**6) == 1
    assert default_workers(1) >= default_workers(2) >= 1
