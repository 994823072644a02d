"""What --device asks for, and what it says of what is not there."""

import pytest

from headstart.errors import UsageError
from headstart.recipes.schema import recipe_of
from headstart.train import devices
from headstart.train.devices import (
    ON_CPU,
    Devices,
    chosen_devices,
    cpu_multiplies_bf16,
    precision_on,
    usual_loaders,
    usual_precision,
)

TWO = {"cuda": 2}


@pytest.mark.parametrize(
    ("text", "there", "chosen"),
    [
        ("auto", {}, ON_CPU),
        ("auto", TWO, Devices("cuda", (0, 1))),
        ("cpu", TWO, ON_CPU),
        ("cuda", TWO, Devices("cuda", (0, 1))),
        ("cuda:1", TWO, Devices("cuda", (1,))),
        ("cuda:1,0", TWO, Devices("cuda", (1, 0))),
    ],
)
def test_what_is_asked_for(text, there, chosen):
    assert chosen_devices(text, there) == chosen


@pytest.mark.parametrize(
    ("text", "there", "words"),
    [
        ("cuda", {}, r"--device cuda: there is no such device here\. There is only the CPU here"),
        ("cuda:2", TWO, r"there is no cuda:2 here\. There are: cpu, cuda:0, cuda:1"),
        ("cuda:0,0", TWO, "a GPU is named twice"),
        ("cuda:one", TWO, "write auto, cpu, cuda, or some GPUs such as cuda:0,1"),
        ("cuda:", TWO, "write auto"),
        ("gpu", TWO, "there is no such device here"),
        ("0", TWO, "write auto"),
    ],
)
def test_what_is_refused(text, there, words):
    with pytest.raises(UsageError, match=words):
        chosen_devices(text, there)


def test_names():
    assert (Devices("cuda", (0, 2)).names, str(Devices("cuda", (0, 2)))) == (("cuda:0", "cuda:2"), "cuda:0, cuda:2")
    assert (ON_CPU.names, str(ON_CPU)) == ((), "cpu")


def test_gpus_are_counted_by_the_driver_and_only_where_torch_could_use_them(monkeypatch):
    class Driver:
        """What libcuda answers on a machine with two GPUs, whose driver knows CUDA 12.4."""

        def cuInit(self, flags):
            return 0

        def cuDriverGetVersion(self, version):
            version._obj.value = 12040
            return 0

        def cuDeviceGetCount(self, count):
            count._obj.value = 2
            return 0

    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: Driver())
    for built_for, counted in ((12, {"cuda": 2}), (11, {"cuda": 2}), (13, {}), (0, {})):
        monkeypatch.setattr(devices, "_cuda_of_torch", lambda built_for=built_for: built_for)
        devices.gpus_there.cache_clear()
        assert devices.gpus_there() == counted
    devices.gpus_there.cache_clear()


def test_what_torch_was_built_for_is_what_torch_says():
    import torch

    version = devices._cuda_of_torch()
    assert version == int((torch.version.cuda or "0").split(".")[0])


def test_precision_follows_the_device_unless_a_recipe_states_one():
    assert [usual_precision(kind) for kind in ("cpu", "cuda")] == ["fp32", "bf16"]
    assert recipe_of({"name": "r", "updates": 1, "batch_size": 1, "lr": 1.0, "head": "linear"}).precision is None


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ("flags\t\t: fpu sse2 avx512f avx512_bf16 avx512_fp16\n", "bf16"),
        ("flags : fpu amx_bf16\n", "bf16"),
        ("Features\t: fp asimd bf16 sve\n", "bf16"),
        ("flags : fpu avx2\nbugs : avx512_bf16\n", "fp32"),
        ("", "fp32"),
    ],
)
def test_auto_is_bf16_where_the_cpu_multiplies_in_it(tmp_path, monkeypatch, facts, expected):
    (tmp_path / "cpuinfo").write_text(facts)
    there = cpu_multiplies_bf16(tmp_path / "cpuinfo")
    monkeypatch.setattr(devices, "cpu_multiplies_bf16", lambda: there)
    assert precision_on("cpu", "auto") == expected
    assert [precision_on("cuda", "auto"), precision_on("cpu", None), precision_on("cpu", "fp64")] == [
        "bf16",
        "fp32",
        "fp64",
    ]
    assert not cpu_multiplies_bf16(tmp_path / "none")


def test_loaders_share_the_cpus(monkeypatch):
    monkeypatch.setattr(devices, "usable_cpus", lambda: 16)
    assert [usual_loaders(n) for n in (1, 2, 4, 16)] == [8, 7, 3, 0]
