"""Jobs that time a network: once for an architecture and size, while nothing else runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.places.times import LISTED_HW, Timed, keep, known
from headstart.progress import Progress
from headstart.store.files import write_json
from headstart.study.runners.shared import Inputs, Metrics
from headstart.study.settings import TimePlace, TimeSettings
from headstart.train.devices import seat
from headstart.weights.catalogue import CATALOGUE

if TYPE_CHECKING:
    from torch import nn


def timed(settings: TimeSettings, place: TimePlace, inputs: Inputs, out: Path, progress: Progress) -> Metrics:
    """Writes `time.json`; there are no metrics, since times are no results. What was measured on this machine before
    is not measured again. Of a network that `weights list` shows, its time at that list's size is kept, too."""
    device = seat().device
    asked = Timed(settings.backbone, settings.backbone_digest, settings.size_hw, _named(device), settings.threads)
    wanted = [asked]
    if settings.backbone in {entry.backbone for entry in CATALOGUE}:
        wanted.append(replace(asked, size_hw=LISTED_HW))
    write_json(out / "time.json", asdict(_found(wanted, device, place)[0]))
    return {}


def at_listed_size(backbone: str, device: str) -> Timed:
    """What `weights list` shows of a backbone, measured now on `device` where it was not before on this machine."""
    return _found([Timed(backbone, "", LISTED_HW, _named(device), threads=1)], device, TimePlace(backbone, ""))[0]


def _named(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device)


def _found(wanted: Sequence[Timed], device: str, place: TimePlace) -> list[Timed]:
    """Each of one network, measured where it is not known."""
    found = [known(each) for each in wanted]
    if not all(found):
        import torch

        from headstart.models.backbones.building import build_backbone

        torch.manual_seed(0)
        backbone = build_backbone(place.backbone, Path(place.base)).to(device).to(memory_format=torch.channels_last)
        return [before or _measured(each, backbone) for each, before in zip(wanted, found, strict=True)]
    return [each for each in found if each]


def _measured(asked: Timed, backbone: nn.Module) -> Timed:
    from headstart.models.backbones.timing import BATCH_SIZE, milliseconds
    from headstart.train.memory import memory_for_images

    with memory_for_images("timing a network on images", asked.size_hw):
        runs = milliseconds(backbone, asked.size_hw)
    answer = replace(
        asked,
        batch_size=BATCH_SIZE,
        runs=len(runs),
        ms_per_image=statistics.median(runs),
        lowest=min(runs),
        highest=max(runs),
    )
    keep(answer)
    return answer
