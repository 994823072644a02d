"""Jobs in this process: their warnings and failures are written down, and a shared store's jobs are done once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.errors import DataError
from headstart.store.files import write_json
from headstart.store.shared import open_store
from headstart.store.store import Store
from headstart.study.executors.events import Event
from headstart.study.executors.here import run_here
from headstart.study.executors.telling import told_to
from headstart.study.jobs import Job
from headstart.train.distributed import ALONE
from support.tiny_runners import Adding, expansion_of


def here(store: Store, job: Job, told: Callable[[Event], None]) -> int:
    tiny = "support.tiny_runners:RUNNERS"
    return run_here(lambda: expansion_of([job], store), store, told, ALONE, runners=tiny)


def test_what_a_job_warns_of_is_in_its_log(tmp_path: Path) -> None:
    store, warning = Store(tmp_path), Job("warns", {}, label="look")
    assert here(store, warning, print) == 1
    log = tmp_path / "logs" / f"{warning.name}.txt"
    assert log.read_text().splitlines() == ["3 of 9 images are gray", "3 of 9 images are gray", "read as COCO"]
    quiet = Job("add", Adding(1), label="add 1")
    assert here(store, quiet, print) == 1 and list((tmp_path / "logs").iterdir()) == [log]


def test_a_failure_is_an_event_and_is_raised(tmp_path: Path) -> None:
    events: list[Event] = []
    file = tmp_path / "events.jsonl"
    bad = Job("bad", {}, label="read")
    with pytest.raises(DataError, match=r"tiny\.jpg: not an image"), told_to(events.append, file) as both:
        here(Store(tmp_path / "run"), bad, both)
    assert [event.what for event in events] == ["known", "started", "failed"]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["event"], line.get("message")) for line in lines[-2:]] == [
        ("failed", "tiny.jpg: not an image; delete it or convert it"),
        ("ended", "failed"),
    ]


def test_a_job_that_another_run_works_at_is_waited_for(tmp_path: Path) -> None:
    job = Job("add", Adding(7), label="add 7")
    shared = tmp_path / "shared"
    other, ours = open_store(tmp_path / "other", shared), open_store(tmp_path / "ours", shared)
    assert other.take(job.name)

    def finish() -> None:
        time.sleep(0.3)
        write_json(other.partial(job.name) / "metrics.json", {"value": 7, "by": 1})
        other.commit(job.name, job.key, job.info(1.0))
        other.release(job.name)

    working = threading.Thread(target=finish)
    working.start()
    events: list[Event] = []
    assert here(ours, job, events.append) == 0
    working.join()
    assert {event.what for event in events} == {"known"} and events[-1].done == {job.name}
    assert json.loads((tmp_path / "ours" / "store" / job.name / "metrics.json").read_text()) == {"value": 7, "by": 1}
    assert ours.leases is not None and job.name not in ours.leases
