"""Which devices there are, which of them `--device` asks for, and which one this process works on. Imports no torch.

Planning has to know the kind of device, since results depend on it, and planning is quick: so GPUs are counted through
the driver, and torch's build is read off its version file.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from headstart.errors import UsageError

LOADERS = 8
"""Processes that make batches for one that trains, at most, unless told otherwise."""


@dataclass(frozen=True)
class Devices:
    """What jobs that want a GPU run on: all of one kind."""

    kind: str = "cpu"
    indices: tuple[int, ...] = ()
    """Of the GPUs; none on the CPU."""

    @property
    def names(self) -> tuple[str, ...]:
        """As torch names them, such as cuda:0; none on the CPU."""
        return tuple(f"{self.kind}:{index}" for index in self.indices)

    def __str__(self) -> str:
        return ", ".join(self.names) or "cpu"


ON_CPU = Devices()


def chosen_devices(text: str, there: dict[str, int] | None = None) -> Devices:
    """What `--device` asks for: auto, cpu, KIND, or KIND:INDEX,INDEX. there: GPUs by kind; None: those of this machine.

    Raises UsageError that says what is there.
    """
    if text == "cpu":
        return ON_CPU
    there = gpus_there() if there is None else there
    if text == "auto":
        kind, count = next(iter(there.items()), ("cpu", 0))
        return Devices(kind, tuple(range(count)))
    kind, colon, rest = text.partition(":")
    indices = [part.strip() for part in rest.split(",")]
    if not kind.isidentifier() or (colon and not all(part.isdecimal() for part in indices)):
        raise UsageError(f"--device {text}: write auto, cpu, cuda, or some GPUs such as cuda:0,1. {_told(there)}")
    if kind not in there:
        raise UsageError(f"--device {text}: there is no such device here. {_told(there)}")
    numbers = tuple(int(part) for part in indices) if colon else tuple(range(there[kind]))
    if len(set(numbers)) != len(numbers):
        raise UsageError(f"--device {text}: a GPU is named twice. {_told(there)}")
    if missing := [number for number in numbers if number >= there[kind]]:
        raise UsageError(f"--device {text}: there is no {kind}:{missing[0]} here. {_told(there)}")
    return Devices(kind, numbers)


def _told(there: dict[str, int]) -> str:
    gpus = [f"{kind}:{index}" for kind, count in there.items() for index in range(count)]
    return f"There are: cpu, {', '.join(gpus)}." if gpus else "There is only the CPU here."


@cache
def gpus_there() -> dict[str, int]:
    """GPUs that torch can use, by kind: {"cuda": 2}. Empty without any; CUDA_VISIBLE_DEVICES counts."""
    built_for = _cuda_of_torch()
    if not built_for:
        return {}
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return {}
    version, count = ctypes.c_int(), ctypes.c_int()
    failed = driver.cuInit(0) or driver.cuDriverGetVersion(ctypes.byref(version))
    if failed or version.value // 1000 < built_for or driver.cuDeviceGetCount(ctypes.byref(count)):
        return {}
    return {"cuda": count.value} if count.value else {}


def _cuda_of_torch() -> int:
    """Major version of CUDA that torch was built for; 0 for none."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return 0
    text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    match = re.search(r"^cuda\b.*= '(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0


def usual_loaders(training: int) -> int:
    """Processes that make batches for each of so many that train: the CPUs that it has to itself, less one."""
    return min(LOADERS, max(0, usable_cpus() // training - 1))


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Seat:
    """Where a worker process does its jobs."""

    device: str = "cpu"
    loaders: int = 0
    """Processes that make batches for a training."""


_seat = Seat()


def take_seat(seat: Seat) -> None:
    """What a worker process does once, as it begins."""
    global _seat
    _seat = seat


def seat() -> Seat:
    """That of this process: the CPU, and batches made where they are trained on, unless `take_seat` said otherwise."""
    return _seat


def usual_precision(kind: str) -> str:
    """Of a forward pass that trains, where a recipe states none."""
    return "fp32" if kind == "cpu" else "bf16"


def precision_on(kind: str, stated: str | None) -> str:
    """In which a recipe that states `stated` (None: nothing) is trained here, on this kind of device."""
    if stated == "auto":
        return "bf16" if kind != "cpu" or cpu_multiplies_bf16() else "fp32"
    return stated or usual_precision(kind)


@cache
def cpu_multiplies_bf16(facts: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU has instructions for bf16 (without, it is slower than fp32); False where that cannot be read."""
    try:
        text = facts.read_text(encoding="utf-8")
    except OSError:
        return False
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return bool(flags and {"avx512_bf16", "amx_bf16", "bf16"} & set(flags[1].split()))
