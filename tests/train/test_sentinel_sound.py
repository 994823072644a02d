"""No alarm in a hundred sound trainings, and every seeded fault named: `benchmarks/sentinel.py`, whose numbers are in
docs/sentinel.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sentinel.py"


@pytest.mark.nightly
def test_a_hundred_sound_trainings_raise_no_alarm() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--runs", "100"], capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0 and "100 sound trainings, 0 alarms" in done.stdout, done.stdout + done.stderr
