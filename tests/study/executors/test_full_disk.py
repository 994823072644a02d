"""A disk that is full from any operation on, or at one of them only, and one that has become read-only: a sentence that
says what, where and what to do; nothing is torn, and the same command afterwards ends in the same bytes.

Here three points; the nightly suite takes all (HEADSTART_KILL_POINTS as in `test_kill_points.py`).
"""

import errno
import os
import re
import shutil

import pytest

from study.test_kill_points import TRIAL, chosen_points, undisturbed
from support.kill_points import Chosen
from support.killed import SUBJECTS, differences, finished, results, strays

FAULTS = {
    "full": (errno.ENOSPC, False),
    "full once": (errno.ENOSPC, True),
    "read-only": (errno.EROFS, False),
}
"""The error, and whether it hits one operation only."""


def failed_and_continued(subject, whole, folder, chosen, forks=None) -> str:
    """Returns what the command said."""
    trial = subject.run(subject.prepare(folder), chosen, forks)
    out, number = folder / subject.out, min(chosen.at, len(trial.operations))
    where = f"{os.strerror(chosen.error)} at {chosen.at}: {trial.operations[number - 1]}\n{trial.said[-2500:]}"
    assert "Traceback" not in trial.said, where
    if trial.code == 0:  # what is not needed may fail: progress, times, deletions
        assert differences(results(out), whole) == [], where
    else:
        assert trial.code in (1, 2), where
        told = [line for line in trial.said.splitlines() if os.strerror(chosen.error) in line]
        assert told, f"the fault is not told; {where}"
        assert all(re.search(r"(?i)make room|make it writable", line) for line in told), where
        assert all(str(out.name) in line or "store/" in line for line in told), f"no place is told; {where}"
    before = finished(out)
    again = subject.run(folder, 0, forks)
    where = f"{where}\nthen:\n{again.said}"
    assert again.code == 0 and "Traceback" not in again.said and "damaged" not in again.said, where
    assert (differences(results(out), whole), strays(out)) == ([], []), where
    assert before.items() <= finished(out).items(), f"a finished job was run twice; {where}"
    return trial.said


@pytest.mark.slow
def test_a_disk_that_fails_at_some_operations(tmp_path):
    (subject,) = (s for s in SUBJECTS if s.name == "labels")
    with subject.forks(tmp_path / "any") as forks:
        whole, operations = undisturbed(subject, tmp_path, forks)
        flushed = next(k for k, line in enumerate(operations, 1) if re.match("fsync /partial/.*/job.json", line))
        for fault, at in {"full": flushed, "full once": round(0.7 * len(operations)), "read-only": 3}.items():
            error, once = FAULTS[fault]
            said = failed_and_continued(subject, whole, tmp_path / TRIAL, Chosen(at, error, once), forks)
            assert said.count("error: ") == 1 and "then run the same command again" in said, said
            shutil.rmtree(tmp_path / TRIAL)


@pytest.mark.nightly
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_a_disk_that_fails_at_every_operation(subject, fault, tmp_path_factory):
    folder, (error, once) = tmp_path_factory.mktemp(subject.name), FAULTS[fault]
    faults, tried = [], []
    with subject.forks(folder / "any") as forks:
        whole, operations = undisturbed(subject, folder, forks)
        for at in chosen_points(operations, os.environ.get("HEADSTART_KILL_POINTS", str(len(operations)))):
            if operations[at - 1].startswith(("unlink", "rmdir")):
                continue
            tried.append(at)
            try:
                failed_and_continued(subject, whole, folder / TRIAL, Chosen(at, error, once), forks)
            except AssertionError as found:
                faults.append(str(found)[:2500])
                print(f"{at}: {faults[-1]}", flush=True)
            shutil.rmtree(folder / TRIAL, ignore_errors=True)
    print(f"{subject.name}, {fault}: {len(tried)} of {len(operations)} points, {len(faults)} faults")
    assert faults == []
