"""Write `src/headstart/weights/public/inputs.txt`: networks of timm whose published weights do not all take images with
ImageNet's mean and deviation. Run after an upgrade of timm.

    python benchmarks/network_inputs.py            some seconds; nothing is downloaded
"""

from __future__ import annotations

from collections import defaultdict

import timm

from headstart.models.backbones.preprocessing import IMAGENET, Preprocessing
from headstart.store.files import write_text
from headstart.weights.importers.networks import INPUTS, SEVERAL, WAYS


def main() -> None:
    words: dict[str, set[str]] = defaultdict(set)
    for name in timm.list_pretrained():
        facts = timm.get_pretrained_cfg(name)
        taken = Preprocessing(mean=tuple(facts.mean), std=tuple(facts.std))
        known = next((word for word, way in WAYS.items() if way == taken), SEVERAL)
        words[name.partition(".")[0]].add("" if taken == IMAGENET else known)
    names: dict[str, list[str]] = defaultdict(list)
    for name, found in sorted(words.items()):
        if found != {""}:
            names[next(iter(found)) if len(found) == 1 else SEVERAL].append(name)
    lines = [
        f"# Networks of timm {timm.__version__} by what their published weights take; {SEVERAL}: not all the same."
    ]
    lines += [f"{word} {' '.join(of_word)}" for word, of_word in sorted(names.items())]
    write_text(INPUTS, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
