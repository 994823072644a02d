"""Rules for what can be read and trained on, and is hardly meant."""

from __future__ import annotations

from headstart.doctor.rule import Rule

ODDITIES: dict[str, Rule] = {
    "boxes-never-scored": Rule(
        "error",
        "Splits whose every box is left out of scores",
        "Boxes of crowds, groups and difficult objects are neither to be found nor missed: nothing is scored.",
        "Take the flag from the boxes of single objects.",
    ),
    "boxes-fractions": Rule(
        "error",
        "Boxes within the first pixel",
        "All numbers lie between 0 and 1: they are fractions of the image where the format has pixels.",
        "Multiply them by the image's width and height.",
    ),
    "box-below-pixel": Rule(
        "warning", "Boxes smaller than a pixel", "Nothing of the image can tell them.", "Redraw or remove them."
    ),
    "area-differs": Rule(
        "warning",
        "Areas that do not fit their boxes",
        "Scores by size, and COCO's small, medium and large, go by the area that the file says.",
        "Compute the areas again, or take them out.",
    ),
    "label-contradicts": Rule(
        "error",
        "Classes that an image has and has not",
        "The file lists them as absent where it has boxes or says that they are present.",
        "Correct one of the two.",
    ),
    "classes-alike": Rule(
        "warning",
        "Classes whose names hardly differ",
        "Objects of one kind are trained as two.",
        "Give both one name, or names that differ.",
    ),
    "mask-palette-differs": Rule(
        "warning",
        "Masks with different palettes",
        "The same number is drawn in two colors, so it may stand for two classes.",
        "Save all masks with one palette.",
    ),
    "mask-anti-aliased": Rule(
        "error",
        "Masks with smoothed edges",
        "Values between two classes are drawn at their edges, and stand for other classes or none.",
        "Draw or resize masks without smoothing.",
    ),
    "image-dark": Rule(
        "warning",
        "Images of fewer bits than they are stored with",
        "They are shown by the upper byte of 16 bits, and so nearly black.",
        "Scale the values to 16 bits, or save 8 bits.",
    ),
}
