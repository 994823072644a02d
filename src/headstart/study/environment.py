"""What a run depends on besides its study: versions, the machine, its devices."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from headstart.config.study import Study
from headstart.places.cache import cache_folder, folder_of_user
from headstart.train.devices import ON_CPU, Devices, chosen_devices, usual_precision

VERSIONS_OF = (
    *("headstart", "torch", "torchvision", "timm", "numpy", "numba", "scipy"),
    *("pillow", "simplejpeg", "safetensors"),
)


def environment(study: Study | None, workers: int | None, devices: Devices = ON_CPU) -> dict[str, Any]:
    """Versions and machine, without importing what it names; with a study, how it is run."""
    versions = {}
    for name in VERSIONS_OF:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    facts: dict[str, Any] = {
        "versions": versions,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.machine(),
    }
    if study is None:
        return facts
    precision = f"{usual_precision(devices.kind)}, where a recipe states no other"
    return facts | {"threads": study.threads, "workers": workers, "device": str(devices), "precision": precision}


def machine() -> dict[str, Any]:
    """Versions, devices and what `--device auto` would take, cache folders. Imports torch."""
    import torch

    auto, cache = chosen_devices("auto"), folder_of_user("XDG_CACHE_HOME", ".cache") or "no home: nowhere"
    gpus = [f"cuda:{k} ({torch.cuda.get_device_name(k)})" for k in range(torch.cuda.device_count())]
    return environment(None, None) | {
        "devices": ["cpu", *gpus],
        "device_auto": f"{auto}, training in {usual_precision(auto.kind)}",
        "cpus": os.cpu_count(),
        "cache": str(cache_folder()),
        "torch_cache": os.environ.get("TORCH_HOME", f"{cache}/torch"),
        "hf_cache": os.environ.get("HF_HOME", f"{cache}/huggingface"),
    }
