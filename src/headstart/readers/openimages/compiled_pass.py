"""One compiled pass over the bytes of an Open Images CSV. Importing this module imports numba.

A chunk of whole lines goes in, columns come out: no string is made of a field. Coordinates become integers of 10^-9,
class ids are found by their bytes in a small table, and an image id is kept once for each run of rows that have it.
What cannot be read so is told by line and byte; the caller judges it from its text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from headstart.readers.openimages.fields import (
    COMMA,
    MINUS,
    NEWLINE,
    RETURN,
    SPACE,
    UNIT,
    ZERO,
    Bytes,
    class_of,
    field_end,
    in_floats,
    in_parts,
    name_end,
    number,
    same_bytes,
)

IGNORED, IMAGE, LABEL, CONFIDENCE, X1, Y1, X2, Y2, FLAG = range(9)
"""What a column is. A flag's column is FLAG plus the number of its bit."""
GOOD, TOO_SHORT, TOO_LONG, NO_IMAGE, UNKNOWN_LABEL, NO_NUMBER, NO_FLAG, NO_CONFIDENCE, BLANK = range(9)
"""What is wrong with a row. A blank line is nothing, and told so that lines can be counted."""
BEYOND = 0.01
"""By so much a coordinate may leave 0 to 1; farther off it is no fraction of the image."""
ROWS, RUNS, ID_BYTES, LINE, FIRST_RUN, FAULTS, HARD, TOO_FINE, AT = range(9)
"""Places in the array `state`. So far: rows, runs, bytes of ids, lines, the file's first run. Of this call: faults and
hard numbers, whether a coordinate does not fit integers of UNIT, and up to which byte the chunk was read (short of its
end when lists are full)."""
UNKNOWN_BIT = 7


@njit(cache=True, nogil=True)
def odd_bytes(chunk: Bytes) -> tuple[int, int]:
    """How many quotes a chunk holds, and how many bytes beyond ASCII."""
    quotes, high = 0, 0
    for b in chunk:
        quotes += b == 34
        high += b > 127
    return quotes, high


@njit(cache=True, nogil=True)
def hashes(names: Bytes, offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """FNV-1a (Fowler, Noll, Vo) of names that lie end to end."""
    out = np.empty(len(offsets) - 1, np.uint64)
    for k in range(len(out)):
        code = np.uint64(14695981039346656037)
        for p in range(offsets[k], offsets[k + 1]):
            code = (code ^ np.uint64(names[p])) * np.uint64(1099511628211)
        out[k] = code
    return out


@njit(cache=True, nogil=True)
def suspects(boxes: NDArray[Any], one: int) -> NDArray[np.int64]:
    """Rows (x1, y1, x2, y2) without extent, off the unit square, whose side is `one`, or far beyond it."""
    rows = np.empty(len(boxes), np.int64)
    count, least, most = 0, -BEYOND * one, (1 + BEYOND) * one
    for k in range(len(boxes)):
        x1, y1, x2, y2 = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]
        good = x1 < x2 and y1 < y2 and x1 < one and y1 < one and x2 > 0 and y2 > 0
        if not (good and x1 >= least and y1 >= least and x2 <= most and y2 <= most):
            rows[count] = k
            count += 1
    return rows[:count].copy()


@njit(cache=True, nogil=True)
def _set(entry: NDArray[np.int64], values: tuple[Any, ...]) -> None:
    for k, value in enumerate(values):
        entry[k] = value


@njit(cache=True, nogil=True)
def parse(
    chunk: Bytes,
    end: int,
    roles: NDArray[np.int8],
    names: Bytes,
    name_offsets: NDArray[np.int64],
    slots: NDArray[np.int32],
    boxes: NDArray[Any],
    labels: NDArray[Any],
    flags: Bytes,
    run_rows: NDArray[np.int64],
    run_ids: NDArray[np.int64],
    id_bytes: Bytes,
    state: NDArray[np.int64],
    faults: NDArray[np.int64],
    hard: NDArray[np.int64],
) -> None:
    """Rows of chunk[:end], which are whole lines, appended to the columns. The chunk has two spare bytes at its end.

    roles: what each column is. boxes (rows, 4) x1 y1 x2 y2, int32 in parts of UNIT or float64; the confidence of files
    without boxes goes into `flags`: 1 present, 0 absent. labels: -1 for rows at fault. run_rows and run_ids: first row
    and first byte in `id_bytes` of each run of rows of one image; one entry more closes the last. faults (f, 5): line,
    first byte of the line, what is wrong, column, row (-1 where no image is known, and so none was made). hard (h, 3):
    row, coordinate and first byte of numbers with too many digits for exact arithmetic, for the caller to fill in.
    """
    row, run, used, line = state[ROWS], state[RUNS], state[ID_BYTES], state[LINE]
    num_faults, num_hard, last, whole = 0, 0, len(roles) - 1, boxes.itemsize == 4
    id_first = run_ids[run - 1] if run else 0
    p = state[AT]
    while p < end and num_faults < len(faults) and num_hard + 4 <= len(hard):
        start, wrong, column, num_hard_before = p, GOOD, 0, num_hard
        image, image_end, same, label, flag = p, p, False, 0, np.int64(0)
        line += 1
        while chunk[p] == SPACE or chunk[p] == RETURN:
            p += 1
        wrong, p = (BLANK, p) if chunk[p] == NEWLINE else (GOOD, start)
        for column in range(last + 1 if wrong == GOOD else 0):
            role, first = roles[column], p
            if role == IGNORED:
                p = field_end(chunk, p)
            elif role == IMAGE:
                same = run > state[FIRST_RUN] and same_bytes(id_bytes, id_first, chunk, p, used - id_first)
                p = name_end(chunk, p + used - id_first if same else p)
                same = same and p == first + used - id_first
                ended = chunk[p] == COMMA or chunk[p] == NEWLINE or chunk[p] == RETURN
                wrong = GOOD if p > first and ended else NO_IMAGE
                image, image_end = first, p if ended else first
            elif role == LABEL:
                label, p = class_of(chunk, p, names, name_offsets, slots)
                wrong = GOOD if label >= 0 else UNKNOWN_LABEL
            elif role >= FLAG:
                minus = chunk[p] == MINUS
                digit = np.int64(chunk[p + minus]) - ZERO
                wrong = GOOD if digit == 1 or (digit == 0 and not minus) else NO_FLAG
                flag |= digit << (UNKNOWN_BIT if minus else role - FLAG)
                p += 1 + minus if wrong == GOOD else 0  # A line may end here: its break must be found below.
            else:
                digits, decimals, p, exact = number(chunk, p)
                if p < 0:
                    wrong, p = NO_NUMBER, first
                elif role == CONFIDENCE:
                    flag, exact = in_parts(digits, decimals, exact)
                    wrong = GOOD if exact and (flag == 0 or flag == UNIT) else NO_CONFIDENCE
                    flag = flag == UNIT
                elif whole:
                    boxes[row, role - X1], exact = in_parts(digits, decimals, exact)
                    state[TOO_FINE] |= not exact
                else:
                    boxes[row, role - X1], exact = in_floats(digits, decimals, exact)
                    if not exact:
                        _set(hard[num_hard], (row, role - X1, first))
                        num_hard += 1
            if wrong != GOOD:
                break
            if chunk[p] == COMMA and column < last:
                p += 1
                continue
            p += chunk[p] == RETURN and chunk[p + 1] == NEWLINE
            if chunk[p] != NEWLINE or column < last:
                wrong = TOO_SHORT if chunk[p] == NEWLINE else TOO_LONG if chunk[p] == COMMA else NO_NUMBER
                break
        while chunk[p] != NEWLINE:
            p += 1
        p += 1
        if wrong != GOOD:
            label = -1
            _set(faults[num_faults], (line, start, wrong, column, row if image_end > image else -1))
            num_faults += 1
            num_hard = num_hard_before  # of a row at fault no number is read, and this one may be none
            if image == image_end:
                continue
        if not same:
            length = image_end - image
            id_bytes[used : used + length] = chunk[image:image_end]
            run_rows[run], run_ids[run], id_first = row, used, used
            used += length
            run += 1
        labels[row], flags[row] = label, flag
        row += 1
    run_rows[run], run_ids[run] = row, used
    state[ROWS], state[RUNS], state[ID_BYTES], state[LINE] = row, run, used, line
    state[FAULTS], state[HARD], state[AT] = num_faults, num_hard, p
