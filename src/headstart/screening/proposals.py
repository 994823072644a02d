"""Which public weights to compare where none are named: of one architecture an ImageNet classifier, a detector, a
self-supervised network, and random values. Data only: imports no torch, downloads nothing.

One architecture, because only then does a difference come from the pre-training. Of each kind it is the entry of the
catalogue with the highest number of the kind's own measure, as its makers published it; entries that the tests read
back from the library's own model go before those that nobody has tried here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from headstart.weights.catalogue import CATALOGUE, IMAGENET_LABELS, UNKNOWN, PublicWeights
from headstart.weights.listing import has_licence, require_licence

KINDS = ("an ImageNet classifier", "a detector", "self-supervised")
"""In the order in which they are proposed; the first is what others are compared with."""
MEASURES = {KINDS[0]: "top-1", KINDS[1]: "box AP", KINDS[2]: "linear top-1"}
"""By which entries of a kind are compared; a number of another measure or of none counts as lower."""


@dataclass(frozen=True)
class Proposal:
    """Weights of one backbone. by_kind: of `KINDS`, those that there are."""

    backbone: str
    gflops: float
    """Of an image of 224 x 224 pixels."""
    by_kind: dict[str, PublicWeights]

    @property
    def uris(self) -> list[str]:
        """What to compare, random values last."""
        return [*(entry.address for entry in self.by_kind.values()), f"random:{self.backbone}"]

    @property
    def missing(self) -> list[str]:
        """Kinds that no public weights of this backbone are of."""
        return [kind for kind in KINDS if kind not in self.by_kind]

    def lines(self) -> list[str]:
        """For the terminal."""
        found = [f"no weights named; proposed, all {self.backbone}:"]
        for kind, entry in self.by_kind.items():
            facts = [f"{kind}: {' -> '.join(entry.lineage)}", f"license {entry.licence}"]
            facts += [f"published {entry.published}"] if entry.published else []
            facts += ["no real file of it was ever tried"] if entry.checked == "unverified" else []
            found += [f"  -w {entry.address}", *(f"       {fact}" for fact in facts)]
        found += [f"  -w random:{self.backbone}", "       what pre-training buys at all"]
        if self.missing:
            found.append(f"  known of no {self.backbone} with such terms: {', '.join(self.missing)}")
        return found


def proposals(licence: str | None = None) -> list[Proposal]:
    """What could be compared, best first: backbones of the most kinds, of these the one with the fewest operations.

    licence: a license's name, or "commercial". Raises UsageError for one that no weights have.
    """
    require_licence(licence)
    of: dict[str, dict[str, list[PublicWeights]]] = defaultdict(lambda: defaultdict(list))
    for kind, entry in _entries():
        if has_licence(entry, licence) and entry.gflops:
            of[entry.backbone][kind].append(entry)
    found = [
        Proposal(
            backbone,
            by_kind[next(iter(by_kind))][0].gflops or 0.0,
            {kind: max(by_kind[kind], key=lambda entry: _rank(kind, entry)) for kind in KINDS if kind in by_kind},
        )
        for backbone, by_kind in of.items()
    ]
    return sorted(found, key=lambda one: (-len(one.by_kind), one.gflops, one.backbone))


def _entries() -> Iterator[tuple[str, PublicWeights]]:
    """Of those that can be fetched by their name, and whose facts are known before that."""
    for entry in CATALOGUE:
        if not entry.uri or entry.uri.startswith("hf:"):
            continue
        if entry.lineage == (IMAGENET_LABELS,):
            yield KINDS[0], entry
        elif "boxes" in entry.supervision:
            yield KINDS[1], entry
        elif "self" in entry.supervision:
            yield KINDS[2], entry


def _rank(kind: str, entry: PublicWeights) -> tuple[bool, float, bool]:
    published = entry.published
    value = published.value if published and published.metric == MEASURES[kind] else 0.0
    return entry.checked != "unverified", value, entry.licence != UNKNOWN
