"""Seals beside files, and pieces of jobs under way."""

import logging

import pytest

from headstart.store.sealing import begin_anew_if_damaged, discard_damaged, recorded, seal, seal_piece

NAMES = ("env.json", "report.html")


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_text(f"{name}\n")
    seal(tmp_path, NAMES)
    return tmp_path


def test_a_seal_is_written_once_and_grows(folder):
    facts = (folder / "digests.json").stat()
    seal(folder, NAMES)
    assert (folder / "digests.json").stat().st_mtime_ns == facts.st_mtime_ns, "nothing was new"
    (folder / "metrics.json").write_text("{}")
    seal(folder, ["metrics.json", "gone.json"])
    assert set(recorded(folder)) == {*NAMES, "metrics.json"}


@pytest.mark.parametrize("text", ["env.jsom\n", "env", ""])
def test_what_has_changed_is_named_and_deleted(folder, caplog, text):
    (folder / "env.json").write_text(text)
    (folder / "mine.txt").write_text("mine")
    with caplog.at_level(logging.WARNING):
        discard_damaged(folder, (*NAMES, "mine.txt"))
    assert caplog.messages == [f"{folder / 'env.json'} is damaged: it is made again"]
    assert sorted(p.name for p in folder.iterdir()) == ["digests.json", "mine.txt", "report.html"]


def test_what_was_deleted_or_never_sealed_is_no_damage(tmp_path, folder, caplog):
    (folder / "env.json").unlink()
    discard_damaged(folder, NAMES)
    other = tmp_path / "other"
    other.mkdir()
    (other / "env.json").write_text("of an earlier version")
    discard_damaged(other, NAMES)
    assert caplog.messages == [] and (other / "env.json").exists() and (folder / "report.html").exists()


@pytest.mark.parametrize("text", ["", "[1]", '{"env.json": 3}', '{"env.json": {"bytes": 9}}'])
def test_a_damaged_seal_vouches_for_nothing(folder, caplog, text):
    (folder / "digests.json").write_text(text)
    discard_damaged(folder, NAMES)
    assert list(folder.iterdir()) == [] and len(caplog.messages) == 3


@pytest.fixture
def job(tmp_path):
    """A job under way that has made one piece and saved a state."""
    (tmp_path / "early.safetensors").write_bytes(b"weights")
    seal_piece(tmp_path, "early.safetensors")
    (tmp_path / "resume" / "state").write_text("state")
    return tmp_path


def test_a_job_goes_on_with_its_pieces(job):
    begin_anew_if_damaged(job)
    assert (job / "resume" / "state").exists()
    begin_anew_if_damaged(job / "nothing")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda job: (job / "early.safetensors").write_bytes(b"weighty"), "early.safetensors has changed"),
        (lambda job: (job / "early.safetensors").write_bytes(b""), "early.safetensors has 0 bytes, not 7"),
        (lambda job: (job / "early.safetensors").unlink(), "early.safetensors is missing"),
        (lambda job: (job / "resume" / "pieces.json").write_text("{"), "pieces.json is missing or unreadable"),
    ],
)
def test_a_job_with_a_damaged_piece_begins_anew(job, caplog, spoil, said):
    spoil(job)
    begin_anew_if_damaged(job)
    assert list(job.iterdir()) == []
    assert said in caplog.text and "the job begins anew" in caplog.text
