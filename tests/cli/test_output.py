"""Output that is closed or cannot be written: as users see it, in processes of their own."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
COMMANDS = [("weights", "list"), ("check", "--formats"), ("--version",), ("evaluate", "--help"), ("--help",)]


def started(*words, stdout):
    """A command whose output is kept back until there is enough of it, as it is behind a pipe."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, "-m", "headstart", *words], stdout=stdout, stderr=subprocess.PIPE, env=environment
    )


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_closed_output_ends_quietly(words):
    """`headstart weights list | head -1`: the status is that of what SIGPIPE ends, 128 + 13, and nothing is said."""
    reader, writer = os.pipe()
    os.close(reader)
    process = started(*words, stdout=writer)
    os.close(writer)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (141, b"")


@pytest.mark.skipif(not FULL.exists(), reason="Linux has it")
@pytest.mark.parametrize("words", COMMANDS[:3], ids=" ".join)
def test_an_output_on_a_full_disk_is_said(words):
    with FULL.open("w") as full:
        process = started(*words, stdout=full)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert said.decode().startswith(f"error: standard output: {os.strerror(errno.ENOSPC)}. Check the path")
    assert said.count(b"\n") == 1


def test_a_fault_is_told_where_nobody_reads_the_answer():
    reader, writer = os.pipe()
    os.close(reader)
    process = started("evaluate", "/nowhere.json", "/nowhere", stdout=writer)
    os.close(writer)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2 and said.decode().startswith("error: /nowhere: does not exist")
