"""What of a complete study stays, and which of its jobs are made again when something needs what was dropped."""

import pytest

from headstart.errors import StoreError, UsageError, WeightsError
from headstart.store.dropping import drop
from headstart.store.store import Store
from headstart.study.jobs import Job
from headstart.study.planning.keeping import Keeping, kept_by, large_files, settle_kept
from support.small_studies import by_label, drawn, everything, planner


class Lacking:
    """A store in which these jobs lack something."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def lacks(self, name: str) -> bool:
        return name in self.names


def chain() -> dict[str, Job]:
    """Images, a training, one that goes on from it, the test of that; inputs first."""
    images = Job("draw", "images")
    first = Job("transfer", "first", {"train": images})
    longer = Job("transfer", "longer", {"train": images, "before": first})
    test = Job("evaluate", "test", {"model0": longer, "test0": images})
    return {job.key: job for job in (images, first, longer, test)}


def test_what_a_waiting_job_reads_is_made_again_and_what_that_reads():
    known = chain()
    _, first, longer, test = known.values()
    keeping = Keeping(Lacking(first.name, longer.name), "needed")  # type: ignore[arg-type]
    assert keeping.again(known, {*known}) == set(), "all is done: nobody needs it"
    assert keeping.again(known, {*known} - {test.key}) == {longer.key, first.key}
    keeping.store = Lacking(first.name)  # type: ignore[assignment]
    assert keeping.again(known, {*known} - {test.key}) == set(), "the longer one is whole"
    assert keeping.again(known, {*known} - {test.key, longer.key}) == {first.key}


def test_all_of_it_or_one_that_is_wanted_is_made_again_without_a_reader():
    known = chain()
    _, first, longer, _ = known.values()
    store = Lacking(first.name, longer.name)
    assert Keeping(store, "all").again(known, {*known}) == {first.key, longer.key}  # type: ignore[arg-type]
    assert Keeping(store, "winner", {first.name}).again(known, {*known}) == {first.key}  # type: ignore[arg-type]


def test_a_plan_has_them_among_its_jobs_and_keeps_what_they_told():
    plan, jobs = planner(drawn()), by_label(planner(drawn()).expand(everything))
    tested = next(job for job in jobs.values() if job.kind == "evaluate")
    trained = tested.inputs["model0"]
    lookup = lambda job: None if job.key == tested.key else everything(job)  # noqa: E731
    whole = plan.expand(lookup)
    keeping = Keeping(Lacking(trained.name), "needed")  # type: ignore[arg-type]
    lacking = plan.expand(lookup, keeping.again)
    assert [job.key for job in whole.ready] == [tested.key]
    assert [job.key for job in lacking.ready] == [trained.key]
    assert lacking.again == {trained.name} and not lacking.complete
    assert [job.key for job in lacking.known] == [job.key for job in whole.known], "the search's answer still counts"


def test_a_choice_is_remembered(tmp_path):
    assert kept_by(tmp_path) == "needed"
    settle_kept(tmp_path, "needed")
    assert not (tmp_path / "keep.json").exists()
    settle_kept(tmp_path, kept_by(tmp_path, "all"))
    assert kept_by(tmp_path) == "all" and kept_by(tmp_path, "winner") == "winner"
    with pytest.raises(UsageError, match="--keep some: say one of needed, winner, all"):
        kept_by(tmp_path, "some")
    (tmp_path / "keep.json").write_text('{"keep": "some"}')
    with pytest.raises(StoreError, match=r"keep.json: not what is kept of a run. Delete it, or say so: --keep all"):
        kept_by(tmp_path)


def test_features_are_dropped_only_where_they_are_many(tmp_path):
    store = Store(tmp_path)
    for size, settings in ((1_000_000, "few"), (1_000_001, "many")):
        job = Job("features", settings)
        (store.partial(job.name) / "pooled.npz").write_bytes(bytes(size))
        store.commit(job.name, job.key, job.info(1.0))
        assert large_files(job, store) == ({"pooled.npz": size} if settings == "many" else {})


def test_a_model_that_was_dropped_is_said_with_what_to_do(tmp_path):
    from headstart.tasks.transfer import load_model

    store, job = Store(tmp_path / "out"), Job("transfer", "x")
    for name in ("model.json", "backbone.safetensors"):
        (store.partial(job.name) / name).write_text("{}")
    folder = store.commit(job.name, job.key, job.info(1.0))
    drop(store, job.name, ["backbone.safetensors"])
    with pytest.raises(WeightsError, match=r"were dropped .* make them again, .*: headstart run RUN --keep all"):
        load_model(folder)
