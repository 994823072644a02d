"""Lines of events: by the published schema, whatever happens."""

import json
from pathlib import Path

import jsonschema
import pytest

from headstart.errors import Interrupted
from headstart.store.store import Store
from headstart.study.executors.events import Event
from headstart.study.executors.local import run_jobs
from headstart.study.executors.telling import schema, told_to
from headstart.study.jobs import Job
from support.tiny_runners import Adding, Dying, expansion_of

PUBLISHED = Path(__file__).parents[3] / "docs" / "events.schema.json"


def lines_of(path):
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        jsonschema.validate(line, json.loads(PUBLISHED.read_text(encoding="utf-8")))
    return lines


def test_the_published_schema_is_that_of_the_lines():
    assert PUBLISHED.read_text(encoding="utf-8") == schema(), "run: make docs"


def test_every_event_of_a_run_is_a_line(tmp_path):
    store, path, shown = Store(tmp_path / "run"), tmp_path / "events.jsonl", []
    first = Job("add", Adding(1), label="add 1")
    jobs = [Job("add", Adding(2), {"first": first}, label="add 2"), Job("bad", {}, label="bad")]
    jobs.append(Job("dies", Dying(1), label="fragile"))
    (tmp_path / "run").mkdir()
    with told_to(shown.append, path) as on_event:
        told = {"on_event": on_event, "runners": "support.tiny_runners:RUNNERS"}
        run_jobs(lambda: expansion_of(jobs, store), store, 1, 1, **told)
    lines = lines_of(path)
    assert [line["event"] for line in lines[:-1]] == [event.what for event in shown]
    assert lines[0] | {"time": ""} == {"version": 1, "time": "", "event": "known", "known": 4, "done": 0}
    ends = {line["label"]: line for line in lines if line["event"] in ("finished", "failed")}
    assert ends["bad"]["message"] == "tiny.jpg: not an image; delete it or convert it"
    assert ends["add 1"]["job"] == first.name and ends["add 1"]["kind"] == "add" and ends["add 1"]["seconds"] >= 0
    assert "retried" in {line["event"] for line in lines if line.get("label") == "fragile"}
    assert lines[-1]["message"] == "failed"


def test_how_a_run_ended_is_the_last_line(tmp_path):
    job = Job("add", Adding(1), label="add 1")
    with told_to(lambda event: None, tmp_path / "a") as on_event:
        on_event(Event("progress", job, 0.25, "update 1 of 4"))
    progress, end = lines_of(tmp_path / "a")
    assert (progress["fraction"], progress["message"], end["message"]) == (0.25, "update 1 of 4", "complete")
    with pytest.raises(Interrupted), told_to(lambda event: None, tmp_path / "a"):
        raise Interrupted("stopped")
    assert [line["event"] for line in lines_of(tmp_path / "a")] == ["progress", "ended", "ended"]
    with told_to(print, None) as on_event:
        assert on_event is print
