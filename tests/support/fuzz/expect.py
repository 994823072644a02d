"""What a test asks of a target."""

from __future__ import annotations

import os
from pathlib import Path

from support.fuzz.campaign import Result, run
from support.fuzz.targets import TARGETS

FEW, MANY = 50, 2000
"""Inputs in every run of the tests, and in the slow suite."""


def sound(name: str, inputs: int, folder: Path) -> Result:
    """The target's first inputs read in `folder`. Fails, with the inputs, where one ends otherwise than it may."""
    caches = [Path(os.environ[key]) for key in ("HEADSTART_CACHE", "XDG_CONFIG_HOME")]
    result = run(TARGETS[name], range(inputs), folder, tuple(caches))
    for number, finding in enumerate(result.findings.values()):
        (folder / f"found-{number}-{Path(finding.file).name}").write_bytes(finding.content)
    told = "\n".join(map(str, result.findings.values()))
    assert not result.findings, f"{len(result.findings)} kinds of faults; their inputs are kept in {folder}\n{told}"
    assert result.inputs == inputs and result.counts["accepted"] and result.counts["refused"]
    return result
