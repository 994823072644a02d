"""Times of networks, kept for the machine: one number for one network, size, device and number of threads."""

from dataclasses import replace

import pytest

from headstart.places import times
from headstart.places.times import Timed, keep, known, listed
from headstart.weights.listing import how_timed, narrow, rows

MEASURED = Timed("resnet50", "", (224, 224), "cpu", 2, 8, 7, 61.5, 60.0, 70.0)


def test_what_was_measured_is_found_by_everything_that_time_depends_on(monkeypatch):
    asked = Timed("resnet50", "", (224, 224), "cpu", 2)
    assert known(asked) is None
    keep(MEASURED)
    assert known(asked) == MEASURED
    for other in ({"backbone": "resnet18"}, {"backbone_digest": "ab"}, {"size_hw": (224, 256)}, {"threads": 1}):
        assert known(replace(asked, **other)) is None
    assert known(replace(asked, device="A GPU")) is None
    monkeypatch.setattr(times, "machine", lambda: "another machine, that shares the cache")
    assert known(asked) is None
    assert listed() == {}


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"backbone": "resnet50"}', "null"])
def test_a_damaged_file_is_measured_anew(damage):
    keep(MEASURED)
    (path,) = times.cache_folder().glob("times/*.json")
    path.write_text(damage)
    assert known(MEASURED) is None
    assert listed() == {}


def test_a_cache_that_cannot_be_written_stops_nothing(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "file" / "cache"))
    keep(MEASURED)
    assert known(MEASURED) is None


def test_the_list_shows_times_of_one_size_and_place():
    assert "ms" not in narrow(rows())[0] and how_timed() == ""
    keep(MEASURED)
    keep(replace(MEASURED, backbone="resnet101", ms_per_image=104.25))
    keep(replace(MEASURED, threads=1, ms_per_image=99.0))
    keep(replace(MEASURED, size_hw=(64, 64), ms_per_image=5.0))
    shown = {row["weights"]: row["ms"] for row in narrow(rows())}
    assert shown["tv:ResNet50_Weights.IMAGENET1K_V1"] == shown["tv:ResNet50_Weights.IMAGENET1K_V2"] == "61.5"
    assert shown["tv:ResNet101_Weights.IMAGENET1K_V2"] == "104"
    assert shown["tv:ResNet18_Weights.IMAGENET1K_V1"] == ""
    assert how_timed().startswith("ms: an image of 224 x 224 pixels in batches of 8 on the CPU, 2 threads; median of 7")


def test_the_list_with_times_fits_80_columns(command):
    keep(replace(MEASURED, ms_per_image=1234.5))
    _, out, _ = command("weights", "list")
    assert all(len(line) <= 80 for line in out.splitlines()[:-1])
    assert "1.23e+03" not in out
