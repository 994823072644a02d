"""Which files of which libraries are recognized without a hint, and how far the features are from the library's own.

Every network is built by its library with random weights, saved as the library saves it, resolved as `file:PATH`, and
run beside the library's own on one image, through the preprocessing that was found. The table in `docs/weights.md` is
`docs/weights_layouts.md`, which this writes.

    python benchmarks/weights_layouts.py [WORD..]     only cases whose title has one of the words; then only printed
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headstart.errors import WeightsError
from headstart.store.files import write_text
from headstart.weights import proof
from headstart.weights.cards import resolve
from headstart.weights.checkpoint import load

OUT = Path(__file__).parents[1] / "src" / "headstart" / "weights" / "public" / "layouts.md"
Expected = Callable[[nn.Module, Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Case:
    """A network of a library."""

    library: str
    title: str
    build: Callable[[], nn.Module]
    expected: Expected
    side: int = 64
    shrink: float = 1.0
    """Times that the backbone makes the image smaller: patches of 14 pixels."""
    save: Callable[[nn.Module, Path], Path] | None = None


def image(side: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    noise = (torch.rand(1, 3, n, n, generator=generator) for n in (2, 8, side))
    mixed = sum(F.interpolate(part, (side, side), mode="bilinear") for part in noise) / 3
    return (255 * mixed).round().to(torch.uint8)


def randomize(model: nn.Module) -> nn.Module:
    """Random statistics and scales, which keep activations near 1."""
    generator = torch.Generator().manual_seed(5)
    for part in model.modules():
        if getattr(part, "running_var", None) is not None:
            shape = part.running_var.shape
            part.running_var.data = 0.5 + torch.rand(shape, generator=generator)
            part.running_mean.data = 0.1 * torch.randn(shape, generator=generator)
            if part.weight is not None:
                part.weight.data = 0.4 + 0.4 * torch.rand(shape, generator=generator)
                part.bias.data = 0.1 * torch.randn(shape, generator=generator)
    for name, value in model.named_parameters():
        if value.numel() and ("layer_scale" in name or "gamma" in name or ".ls" in name or "grn" in name):
            value.data = 0.1 + 0.1 * torch.rand(value.shape, generator=generator)
        elif value.numel() and (value.ndim == 1 or "pos" in name or "token" in name) and not value.any():
            value.data = 0.05 * torch.randn(value.shape, generator=generator)
    return model.eval()


def by_state_dict(model: nn.Module, folder: Path) -> Path:
    path = folder / "weights.pth"
    torch.save(model.state_dict(), path)
    return path


def by_hub(model: Any, folder: Path) -> Path:
    """As transformers saves: the hub's names, `config.json` beside."""
    model.save_pretrained(folder)
    return folder / "model.safetensors"


def difference(case: Case, folder: Path) -> tuple[str, float]:
    """(backbone, largest difference of a stage as a fraction of its largest value). Raises WeightsError."""
    torch.manual_seed(11)
    model = randomize(case.build())
    spec = resolve(f"file:{(case.save or by_state_dict)(model, folder)}")
    with patch.object(proof, "FINGERPRINT_SIDE", 64):
        loaded = load(spec, 0)
    pixels = image(case.side)
    inputs = loaded.preprocessing.apply(pixels)
    theirs = inputs
    if case.shrink != 1:
        size = round(case.side * case.shrink)
        theirs = F.interpolate(inputs, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    with torch.no_grad():
        got, worst = loaded.backbone.eval()(inputs), 0.0
        for stage, values in case.expected(model, theirs).items():
            name = stage if stage in got else list(got)[-1]  # a network whose last stage has a stride of 16
            if got[name].shape != values.shape:
                raise WeightsError(f"{name} has shape {tuple(got[name].shape)}, not {tuple(values.shape)}")
            worst = max(worst, float((got[name] - values).abs().max() / values.abs().max()))
    return spec.backbone, worst


def hooked(*names: str) -> Expected:
    """Outputs of these modules, the last is C5."""

    def run(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        first = 6 - len(names)
        hooks = [
            model.get_submodule(name).register_forward_hook(
                lambda _, __, out, key=f"C{first + k}": maps.__setitem__(key, out.clone())
            )
            for k, name in enumerate(names)
        ]
        model(inputs)
        for hook in hooks:
            hook.remove()
        return maps

    return run


def cases() -> Iterator[Case]:
    from weights_layouts_cases import all_cases

    yield from all_cases()


def main(words: list[str]) -> None:
    lines = ["| library | layout | recognized as | largest relative difference |", "|---|---|---|---:|"]
    for case in cases():
        if words and not any(word.lower() in f"{case.library} {case.title}".lower() for word in words):
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                backbone, worst = difference(case, Path(folder))
                told = [f"`{backbone}`", f"{worst:.1e}"]
            except WeightsError as error:
                said = str(error).replace(folder, "").removeprefix("/weights.pth").removeprefix("/model.safetensors")
                said = said.lstrip(": ")
                told = [f"no: {said.splitlines()[0][:150]}", ""]
        lines.append(f"| {case.library} | {case.title} | {told[0]} | {told[1]} |")
        print(lines[-1], flush=True)
    if not words:
        write_text(OUT, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
