"""Classes and backgrounds of the worlds that `shapes.py` draws: one to pre-train on, one to transfer to.

No two classes share a name, a glyph (even turned or mirrored) or a hue; the novel hues lie in the gaps between the base
ones. Textures and outlines are shared, by pairs that no two classes of a world have in common. Novel backgrounds are
finer, more colorful and crossed by thicker strokes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class World:
    """One endless world. Class c has glyph c, hue c, texture c and outline c."""

    name: str
    seed: int
    glyphs: dict[str, str]
    """Class name -> five rows of the glyph, `#` for its color."""
    hues: tuple[float, ...]
    """Hue of each class, 0..1."""
    textures: tuple[int, ...]
    """Texture of each class, an index into `shapes_drawing.TEXTURES`."""
    outlines: tuple[int, ...]
    """Outline of each class: ellipse, box, peanut, trefoil, quatrefoil, six lobes."""
    octaves: tuple[float, float, float, float]
    """Amplitudes (0..255) of the background's noise, coarse to fine."""
    chroma: float
    """Amplitude of the background's noise of color."""
    saturation: tuple[float, float]
    """Range of the background's saturation."""
    stroke_width: tuple[float, float]
    """Range of the half width of strokes, as a fraction of the image's side."""
    gray_parts: bool = False
    """Parts have no colors: the glyph alone tells the class."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; labels index them."""
        return tuple(self.glyphs)


BASE = World(
    name="base",
    seed=1,
    glyphs={
        "plus": "..#.. ..#.. ##### ..#.. ..#..",
        "saltire": "#...# .#.#. ..#.. .#.#. #...#",
        "ring": ".###. #...# #...# #...# .###.",
        "bar": "..... ##### ##### ##### .....",
        "tee": "##### ..#.. ..#.. ..#.. ..#..",
        "ell": "#.... #.... #.... #.... #####",
        "arrow": "..#.. .###. #.#.# ..#.. ..#..",
        "cup": "#...# #...# #...# #...# #####",
        "zig": "##### ...#. ..#.. .#... #####",
        "fork": "#.#.# #.#.# ##### ..#.. ..#..",
        "chess": "#.#.# .#.#. #.#.# .#.#. #.#.#",
        "wedge": "#.... ##... ###.. ####. #####",
    },
    hues=tuple(k / 12 for k in range(12)),
    textures=tuple(k % 6 for k in range(12)),
    outlines=tuple((5 * k + k // 6) % 6 for k in range(12)),
    octaves=(80.0, 45.0, 25.0, 16.0),
    chroma=40.0,
    saturation=(0.05, 0.35),
    stroke_width=(0.008, 0.022),
)
NOVEL = World(
    name="novel",
    seed=2,
    glyphs={
        "dot": "..... .###. .###. .###. .....",
        "eye": "##### #...# #.#.# #...# #####",
        "ladder": "#...# ##### #...# ##### #...#",
        "aitch": "#...# #...# ##### #...# #...#",
        "diamond": "..#.. .###. ##### .###. ..#..",
        "vee": "#...# #...# .#.#. .#.#. ..#..",
        "comb": "##### #.... ##### #.... #####",
        "corners": "##.## #...# ..... #...# ##.##",
        "steps": "##... .##.. ..##. ...## ....#",
        "hourglass": "##### .###. ..#.. .###. #####",
    },
    hues=tuple((2 * k + 1) / 24 for k in (0, 1, 2, 3, 4, 6, 7, 8, 9, 10)),
    textures=tuple((k + 3) % 6 for k in range(10)),
    outlines=tuple((k + 1 + k // 6) % 6 for k in range(10)),
    octaves=(45.0, 45.0, 45.0, 35.0),
    chroma=75.0,
    saturation=(0.2, 0.5),
    stroke_width=(0.012, 0.03),
)
GRAY = tuple(replace(world, name=f"{world.name}-gray", gray_parts=True) for world in (BASE, NOVEL))
WORLDS = {world.name: world for world in (BASE, NOVEL, *GRAY)}
