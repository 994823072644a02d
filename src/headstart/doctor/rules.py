"""The rules that the doctor checks: a code, how bad a breach is, why it matters and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headstart.data.faults import Fault
from headstart.doctor.odd_rules import ODDITIES
from headstart.doctor.rule import Rule, Severity

RULES: dict[str, Rule] = {
    "data-unreadable": Rule(
        "error", "The data set cannot be read", "Nothing else could be checked.", "See the message."
    ),
    "annotation-unreadable": Rule(
        "error",
        "Annotation files that cannot be read",
        "Their images take no part.",
        "Export or fetch the files again.",
    ),
    "annotation-without-image": Rule(
        "error",
        "Annotation without its image",
        "The image cannot be trained on or scored.",
        "Put the image back, or take its annotation out.",
    ),
    "image-missing": Rule(
        "error", "Images that are not there", "Training stops at them.", "Put the files back, or take them out."
    ),
    "image-unreadable": Rule(
        "error",
        "Images that cannot be decoded",
        "Training stops at them, often hours in.",
        "Fetch them again, or leave them out with --on-bad-image skip.",
    ),
    "size-differs": Rule(
        "error",
        "Size in the annotation unlike the image's",
        "Boxes lie in the wrong places.",
        "Put back the image that was annotated, or correct the size.",
    ),
    "exif-rotation": Rule(
        "warning",
        "Boxes drawn on unturned pixels",
        "The image's EXIF orientation turns it for a viewer; its annotation was made for the pixels as stored. "
        "Headstart leaves such images unturned; other programs may not.",
        "Turn the pixels once and for all and remove the orientation.",
    ),
    "box-not-finite": Rule(
        "error", "Box positions that are no numbers", "They cannot be used.", "Correct the numbers."
    ),
    "box-without-extent": Rule(
        "error",
        "Boxes without extent",
        "They have no area, and losses on them are not finite.",
        "Redraw or remove them.",
    ),
    "box-outside": Rule(
        "error",
        "Boxes outside their image",
        "Nothing of them can be seen.",
        "Correct the numbers, or the image's size.",
    ),
    "box-leaves-image": Rule(
        "warning",
        "Boxes that leave their image",
        "They are clipped where they are trained on, and scored as they are.",
        "Clip them at the border.",
    ),
    "box-off-by-one": Rule(
        "warning",
        "Boxes off by one pixel",
        "The numbers count pixels from 0 where the format counts from 1, or the other way round.",
        "Shift the numbers, or say how they count (zero_based).",
    ),
    "box-duplicated": Rule(
        "warning",
        "The same box twice",
        "Every copy is a target to find; the second is always missed.",
        "Remove copies.",
    ),
    "box-two-labels": Rule(
        "warning", "One box with two labels", "A detector is punished for either.", "Keep the right label."
    ),
    "label-unknown": Rule("error", "Labels that no class list has", "They cannot be trained on.", "Correct the label."),
    "label-missing": Rule("error", "Objects without a label", "They cannot be trained on.", "Label them."),
    "box-missing": Rule("error", "Objects without a box", "They cannot be trained on.", "Draw the box."),
    **ODDITIES,
    "id-not-unique": Rule(
        "error", "Ids that stand for two records", "Results cannot be matched with them.", "Give each an id of its own."
    ),
    "id-missing": Rule(
        "error", "Records without a usable id", "Results cannot be matched with them.", "Give them ids."
    ),
    "size-impossible": Rule(
        "error", "Image sizes that no image has", "Boxes cannot be judged by them.", "Write the size in pixels."
    ),
    "outline-unreadable": Rule(
        "error", "Outlines that cannot be read", "No mask can be drawn from them.", "Export the outlines again."
    ),
    "outline-not-read": Rule(
        "warning", "Outlines that are not read", "Only the boxes around them are.", "Export the data as COCO."
    ),
    "keypoints-not-read": Rule(
        "warning", "Keypoints that are not read", "Only the boxes before them are.", "For boxes nothing is to be done."
    ),
    "element-twice": Rule(
        "error", "Elements that stand twice", "Which is meant cannot be known.", "Leave the right one."
    ),
    "element-misplaced": Rule(
        "error", "Boxes at an unexpected place", "They were not read.", "Put each into a <bndbox> of an <object>."
    ),
    "file-left-aside": Rule(
        "warning", "Files and folders left aside", "What is in them takes no part.", "See each message."
    ),
    "class-renamed": Rule(
        "warning", "Names of classes that say nothing", "Blank, or another's but for blanks.", "Name them anew."
    ),
    "val-is-train": Rule(
        "warning",
        "Validation by training images",
        "They are read as training images, so nothing is left to validate on.",
        "Name images of their own for val.",
    ),
    "class-without-examples": Rule(
        "warning",
        "Classes without examples",
        "A class that nothing shows is never learned, and is left out of the mean.",
        "Remove the class, or add examples.",
    ),
    "class-not-in-training": Rule(
        "warning",
        "Classes that are tested and never trained",
        "Their average precision is 0 by construction.",
        "Add training examples, or leave the class out.",
    ),
    "image-without-annotation": Rule(
        "warning",
        "Images without annotation",
        "They take no part. If they show nothing, an empty list says so.",
        "Annotate them, or remove them.",
    ),
    "image-not-listed": Rule(
        "warning", "Image files that no annotation names", "They take no part.", "Annotate them, or remove them."
    ),
    "split-same-image": Rule(
        "error",
        "The same image in two splits",
        "A test image that was trained on measures memory.",
        "Take it out of one split.",
    ),
    "split-near-duplicate": Rule(
        "warning",
        "Near-duplicates across splits",
        "Bursts and re-encodings of training images make a test easy.",
        "Keep near-duplicates in one split.",
    ),
    "in-the-other-set": Rule(
        "warning",
        "Images that the other data set has, too",
        "A model that was trained on one and tested on the other is measured on what it saw.",
        "Leave them out of one of the two.",
    ),
    "near-duplicate": Rule(
        "warning",
        "Near-duplicates within a split",
        "They count several times; intervals treat them as one.",
        "Keep one of each, or leave it: splits that Headstart makes keep them together.",
    ),
    "mask-unreadable": Rule("error", "Masks that cannot be read", "Training stops at them.", "Export them again."),
    "mask-missing": Rule("error", "Masks that are not there", "Their images take no part.", "Put the masks back."),
    "segment-not-drawn": Rule(
        "error",
        "Segments that no mask shows",
        "Masks and annotation are of two versions.",
        "Fetch both of one version.",
    ),
    "mask-size-differs": Rule(
        "error",
        "Masks of another size than their image",
        "Labels lie on the wrong pixels.",
        "Export masks at full size.",
    ),
    "mask-value-unknown": Rule(
        "error", "Mask values that are neither a class nor void", "They cannot be trained on.", "Name or correct them."
    ),
    "mask-value-unused": Rule(
        "warning",
        "Classes that no mask shows",
        "They are never learned, and left out of the mean.",
        "Remove the class.",
    ),
}
OTHER = Rule("error", "Records that cannot be used", "They were left out.", "See each message.")


@dataclass(frozen=True)
class Finding:
    """All breaches of one rule."""

    rule: str
    severity: Severity
    what: str
    why: str
    fix: str
    faults: tuple[Fault, ...]

    @property
    def count(self) -> int:
        return len(self.faults)


def findings(faults: Iterable[Fault]) -> tuple[Finding, ...]:
    """Faults gathered by rule: errors first, then the rules with most faults."""
    by_rule: dict[str, list[Fault]] = {}
    for fault in faults:
        by_rule.setdefault(fault.rule, []).append(fault)
    gathered = []
    for code, members in by_rule.items():
        rule = RULES.get(code, OTHER)
        what = rule.what if code in RULES else code.replace("-", " ").capitalize()
        gathered.append(Finding(code, rule.severity, what, rule.why, fix=rule.fix, faults=tuple(members)))
    return tuple(sorted(gathered, key=lambda f: (f.severity, -f.count, f.rule)))
