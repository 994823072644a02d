"""What a run shows while it works: time left, plain lines, bars."""

import io
import logging
from dataclasses import replace

import pytest

from headstart.study.executors.events import Event
from headstart.study.jobs import Job
from headstart.study.progress import ProgressDisplay, TimeLeft, about, clock
from support.tiny_runners import Adding


def test_time_left_is_corrected_by_what_jobs_took():
    jobs = [Job("draw", {"n": n}, cost=10) for n in range(3)] + [Job("pretrain", {}, cost=100)]
    left = TimeLeft(2, {job.name: job for job in jobs})
    assert left.seconds() is None
    left.finished(jobs[0], 20)
    left.done = frozenset({jobs[0].name})
    # all jobs: (20 + 20) / (10 + 20) = 4/3; draw: (20 + 20 * 4/3) / (10 + 20) = 14/9; the longest alone takes 400/3
    assert left.seconds() == pytest.approx(400 / 3)
    left.fractions[jobs[3].name] = 0.9
    # two workers share 2 * 10 * 14/9 + 10 * 4/3 seconds
    assert left.seconds() == pytest.approx((280 / 9 + 40 / 3) / 2)


def test_clock_and_about():
    assert [clock(7.4), clock(750), clock(11100)] == ["0:07", "12:30", "3:05:00"]
    assert [about(12), about(480), about(9000)] == ["less than a minute", "about 8 min", "about 2.5 h"]


def events_of_a_run():
    good, bad = Job("add", Adding(1), label="add 1", cost=1.0), Job("bad", {}, label="prepare [photos]")
    return [
        Event("known", known=(good, bad)),
        Event("started", good),
        Event("progress", good, 0.5, "half [way]"),
        Event("finished", good, 1.0, seconds=65),
        Event("started", bad),
        Event("failed", bad, message="tiny.jpg: not an image"),
    ]


def test_plain_lines_where_there_is_no_terminal():
    stream = io.StringIO()
    with ProgressDisplay(2, stream=stream) as display:
        for event in events_of_a_run():
            display(event)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0] == "[1 of 2 jobs, 0:00 so far, less than a minute left] add 1: done in 1:05"
    assert lines[1].endswith("prepare [photos]: failed: tiny.jpg: not an image")


def test_jobs_that_are_not_known_yet_are_said_not_to_be_in_the_time_left():
    stream = io.StringIO()
    with ProgressDisplay(2, stream=stream) as display:
        known, *others = events_of_a_run()
        for event in (replace(known, hidden=13), *others[:3]):
            display(event)
    said = "[1 of 2 jobs, 0:00 so far, less than a minute left for these; 13 or more follow] add 1: done in 1:05\n"
    assert stream.getvalue() == said


def test_a_terminal_shows_bars_and_keeps_failures(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    with ProgressDisplay(2, stream=stream) as display:
        for event in events_of_a_run()[:3]:
            display(event)
        display._view.bars.refresh()
        for event in events_of_a_run()[3:]:
            display(event)
    said = stream.getvalue()
    assert "half [way]" in said
    assert "prepare [photos]: failed: tiny.jpg: not an image" in said
    assert "0 of 2 jobs" in said
    assert "\x1b[3" not in said  # no colors


def test_quiet_shows_warnings_only():
    stream = io.StringIO()
    with ProgressDisplay(2, quiet=True, stream=stream) as display:
        for event in events_of_a_run():
            display(event)
        logging.getLogger("headstart.store").warning("store/x is damaged")
    assert stream.getvalue() == "store/x is damaged\n"
