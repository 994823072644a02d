"""One compiled pass over the bytes of COCO's results, a list of records. Importing this module imports numba.

No object is made of a record: numbers go to columns, texts and outlines are told by where they stand. A number whose
digits do not fit a float64 exactly, in one multiplication or division, is copied out to be converted by others. What is
not as usual (another token, a key twice, a key missing) ends the pass, and is judged by the slow reader.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
IMAGE, CLASS, BOX, SCORE, OUTLINE, OTHER = 0, 1, 2, 3, 4, 5
"""What a key names."""
KEYS = np.frombuffer(b"image_idcategory_idbboxscoresegmentation", np.uint8)
KEY_ENDS = np.array([8, 19, 23, 28, 40])
NEEDED = (1 << IMAGE) | (1 << CLASS) | (1 << SCORE)
POWERS = 10.0 ** np.arange(23)
"""Powers of ten that a float64 holds exactly."""
EXACT = 1 << 53
ROWS, HARD, HARD_END, UNREAD, SEEN = 0, 1, 2, 3, 4
"""Places in the result of `scan`: records read, numbers copied out, end of their text, whether the pass ended early,
and bits of IMAGE and CLASS where one is a text, of OUTLINE where there is one, of BOX where one is missing."""


@njit(cache=True, nogil=True)
def _after_space(text: Bytes, at: int) -> int:
    """The next byte that is no white space; the end where there is none."""
    while at < len(text) and (text[at] == 32 or text[at] == 10 or text[at] == 13 or text[at] == 9):
        at += 1
    return at


@njit(cache=True, nogil=True)
def _text_end(text: Bytes, at: int) -> int:
    """The quote that ends the text whose first byte is `at`; -1 where none does."""
    while at < len(text):
        if text[at] == 34:
            return at
        at += 2 if text[at] == 92 else 1
    return -1


@njit(cache=True, nogil=True)
def _value_end(text: Bytes, at: int) -> int:
    """Behind a value of any kind that begins at `at`; -1 where it does not end."""
    depth = 0
    while at < len(text):
        b = text[at]
        if b == 34:
            at = _text_end(text, at + 1)
            if at < 0:
                return -1
        elif b == 91 or b == 123:
            depth += 1
        elif b == 93 or b == 125:
            if depth == 0:
                return at
            depth -= 1
            if depth == 0:
                return at + 1
        elif b == 44 and depth == 0:
            return at
        at += 1
    return -1


@njit(cache=True, nogil=True)
def _key(text: Bytes, begin: int, end: int) -> int:
    """What the key text[begin:end] names; -1 where it is not spelt plainly."""
    first = 0
    for i in range(begin, end):
        if text[i] == 92:  # An escape: what it spells may be one of ours.
            return -1
    for k in range(len(KEY_ENDS)):
        if KEY_ENDS[k] - first == end - begin:
            same = True
            for i in range(end - begin):
                same &= text[begin + i] == KEYS[first + i]
            if same:
                return k
        first = KEY_ENDS[k]
    return OTHER


@njit(cache=True, nogil=True)
def _number(text: Bytes, at: int) -> tuple[float, int, int]:
    """(value, end, kind) of the JSON number at `at`: 0 a whole number, 1 one with a point or exponent, 2 one to be
    converted by others, -1 no number."""
    negative = at < len(text) and text[at] == 45
    at += negative
    digits, mantissa, power, first = 0, 0, 0, at
    while at < len(text) and 48 <= text[at] <= 57:
        if digits < 18:
            mantissa = mantissa * 10 + (text[at] - 48)
            digits += mantissa > 0
        else:
            digits = 19
        at += 1
    if at == first or (text[first] == 48 and at > first + 1):
        return 0.0, at, -1
    kind = 0
    if at < len(text) and text[at] == 46:
        kind, first = 1, at + 1
        at += 1
        while at < len(text) and 48 <= text[at] <= 57:
            if digits < 18:
                mantissa = mantissa * 10 + (text[at] - 48)
                digits += mantissa > 0
                power -= 1
            else:
                digits = 19
            at += 1
        if at == first:
            return 0.0, at, -1
    if at < len(text) and (text[at] == 101 or text[at] == 69):
        kind, sign = 1, 1
        at += 1
        if at < len(text) and (text[at] == 43 or text[at] == 45):
            sign = 44 - text[at]
            at += 1
        first, exponent = at, 0
        while at < len(text) and 48 <= text[at] <= 57:
            exponent = min(exponent * 10 + (text[at] - 48), 10000)
            at += 1
        if at == first:
            return 0.0, at, -1
        power += sign * exponent
    if digits > 18 or mantissa > EXACT or power < -22 or power > 22:
        return 0.0, at, 2
    value = mantissa / POWERS[-power] if power < 0 else mantissa * POWERS[power]
    return -value if negative else value, at, kind


class Columns(NamedTuple):
    """What records are read into; rows beyond those that are read, and what a record does not give, stay as they are.

    numbers (d, 5): box and score, NaN for a box that is not given. ids (d, 2): image and class. spans (d, 3, 2): where
    the text of an image's name, a class's name and an outline begin and end, without quotes. hard_text: numbers to be
    converted, each with a line end; hard_places: their places in `numbers`, flat.
    """

    numbers: NDArray[np.float64]
    ids: NDArray[np.int64]
    spans: NDArray[np.int64]
    hard_text: Bytes
    hard_places: NDArray[np.int64]


@njit(cache=True, nogil=True)
def scan(text: Bytes, columns: Columns) -> NDArray[np.int64]:
    """Reads a list of records as long as it has records; a number for each of ROWS, HARD, HARD_END, UNREAD and SEEN."""
    out = np.zeros(5, np.int64)
    out[UNREAD] = 1
    at = _after_space(text, 0)
    if at == len(text) or text[at] != 91:
        return out
    at = _after_space(text, at + 1)
    more = at < len(text) and text[at] != 93
    while more:
        at = _record(text, at, columns, out)
        if at < 0:
            return out
        out[ROWS] += 1
        at = _after_space(text, at)
        if at >= len(text) or (text[at] != 44 and text[at] != 93):
            return out
        more = text[at] == 44
        if more:
            at = _after_space(text, at + 1)
    at = _after_space(text, at + 1)
    out[UNREAD] = int(at != len(text))
    return out


@njit(cache=True, nogil=True)
def _record(text: Bytes, at: int, columns: Columns, out: NDArray[np.int64]) -> int:
    """Behind the record that begins at `at`; -1 where it is not as usual."""
    row, seen, inside = out[ROWS], 0, True
    if at >= len(text) or text[at] != 123 or row == len(columns.ids):
        return -1
    while inside:
        at = _after_space(text, at + 1)
        if at >= len(text) or text[at] != 34:
            return -1
        end = _text_end(text, at + 1)
        if end < 0:
            return -1
        key = _key(text, at + 1, end)
        at = _after_space(text, end + 1)
        if at >= len(text) or text[at] != 58 or key < 0 or (key != OTHER and seen & (1 << key)):
            return -1
        seen |= 1 << key
        at = _after_space(text, at + 1)
        if at >= len(text):
            return -1
        if BOX <= key <= SCORE:
            at = _numbers(text, at, key, columns, out)
        elif key <= CLASS:
            at = _name(text, at, key, columns, out)
        else:
            end = _value_end(text, at)
            if key == OUTLINE and end >= 0:
                columns.spans[row, 2, 0], columns.spans[row, 2, 1] = at, end
                out[SEEN] |= 1 << OUTLINE
            at = end
        if at < 0:
            return -1
        at = _after_space(text, at)
        if at >= len(text) or (text[at] != 44 and text[at] != 125):
            return -1
        inside = text[at] == 44
    if seen & NEEDED != NEEDED or not seen & ((1 << BOX) | (1 << OUTLINE)):
        return -1
    if not seen & (1 << BOX):
        columns.numbers[row, :4] = np.nan
        out[SEEN] |= 1 << BOX
    return at + 1


@njit(cache=True, nogil=True)
def _name(text: Bytes, at: int, key: int, columns: Columns, out: NDArray[np.int64]) -> int:
    """Behind an id at `at`, a text or a whole number; -1 where it is neither."""
    row = out[ROWS]
    if text[at] == 34:
        end = _text_end(text, at + 1)
        if end < 0:
            return -1
        columns.spans[row, key, 0], columns.spans[row, key, 1] = at + 1, end
        out[SEEN] |= 1 << key
        return end + 1
    value, at, kind = _number(text, at)
    columns.ids[row, key] = int(value)
    return at if kind == 0 else -1


@njit(cache=True, nogil=True)
def _numbers(text: Bytes, at: int, key: int, columns: Columns, out: NDArray[np.int64]) -> int:
    """Behind a list of four numbers (BOX) or a single one (SCORE) at `at`; -1 where it is something else."""
    row = out[ROWS]
    first, count = (0, 4) if key == BOX else (4, 1)
    if key == BOX and text[at] != 91:
        return -1
    at += key == BOX
    for c in range(first, first + count):
        at = _after_space(text, at)
        begin = at
        value, at, kind = _number(text, at)
        if kind < 0:
            return -1
        if kind == 2:
            for i in range(begin, at):
                columns.hard_text[out[HARD_END]] = text[i]
                out[HARD_END] += 1
            columns.hard_text[out[HARD_END]] = 10
            columns.hard_places[out[HARD]] = 5 * row + c
            out[HARD] += 1
            out[HARD_END] += 1
        columns.numbers[row, c] = value
        if key == BOX:
            at = _after_space(text, at)
            if at >= len(text) or text[at] != (44 if c < 3 else 93):
                return -1
            at += 1
    return at
