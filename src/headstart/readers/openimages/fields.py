"""Single fields of a CSV, read from its bytes: names, classes, decimals. Importing this module imports numba.

Every function gets the bytes and where the field begins, and gives back where it ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

UNIT = 1_000_000_000
"""Coordinates are integers in parts of it: nine decimals, and all of int32 up to 2.1."""
NEWLINE, RETURN, SPACE, COMMA, MINUS, PLUS, POINT, ZERO = 10, 13, 32, 44, 45, 43, 46, 48
PARTS = 10 ** np.arange(9, -1, -1)
LARGEST = (2**31 - 1) // PARTS
EXACT_DIGITS, EXACT_POWER = 2**53, 22
"""Up to which digits and powers of ten are float64 numbers, so that one division rounds correctly."""
TENS = 10.0 ** np.arange(EXACT_POWER + 1)
Bytes = NDArray[np.uint8]
Int = Any
"""A whole number of whatever width the compiled code uses."""


@njit(cache=True, nogil=True)
def slots_of(names: Bytes, offsets: NDArray[np.int64]) -> NDArray[np.int32]:
    """An open-addressing table of the class ids `names`, end to end: hash (linear probing) -> class, -1 for none."""
    size = 16
    while size < 4 * len(offsets):
        size *= 2
    slots = np.full(size, -1, np.int32)
    for k in range(len(offsets) - 1):
        code = np.uint64(0)
        for p in range(offsets[k], offsets[k + 1]):
            code = code << np.uint64(8) | np.uint64(names[p])
        place = _spread(code) & (size - 1)
        while slots[place] >= 0:
            place = (place + 1) & (size - 1)
        slots[place] = k
    return slots


@njit(cache=True, nogil=True)
def _spread(code: Int) -> Int:
    """A hash of a word: the upper bits of its product with 2^64 over the golden ratio (Knuth, TAOCP 3, Sec. 6.4)."""
    return np.int64((code * np.uint64(11400714819323198485)) >> np.uint64(32))


@njit(cache=True, nogil=True)
def field_end(chunk: Bytes, p: int) -> int:
    """Of any field."""
    while chunk[p] != COMMA and chunk[p] != NEWLINE:
        p += 1
    return p - (chunk[p] == NEWLINE and chunk[p - 1] == RETURN)


@njit(cache=True, nogil=True)
def name_end(chunk: Bytes, p: int) -> int:
    """Where a field ends that may name a file, or what may not: blanks, control characters, / and \\."""
    while chunk[p] != COMMA and chunk[p] > 32 and chunk[p] != 47 and chunk[p] != 92 and chunk[p] != 127:
        p += 1
    return p


@njit(cache=True, nogil=True)
def same_bytes(a: Bytes, first: int, b: Bytes, start: int, length: int) -> bool:
    """Whether the bytes a[first:first + length] and b[start:start + length] are equal."""
    for i in range(length):  # noqa: SIM110  Numba compiles no `all` of a generator.
        if a[first + i] != b[start + i]:
            return False
    return True


@njit(cache=True, nogil=True)
def class_of(
    chunk: Bytes, p: int, names: Bytes, offsets: NDArray[np.int64], slots: NDArray[np.int32]
) -> tuple[int, int]:
    """The class whose id begins at p (-1 for none), and where the field ends. The hash is of the last eight bytes."""
    first, code = p, np.uint64(0)
    while chunk[p] != COMMA and chunk[p] != NEWLINE and chunk[p] != RETURN:
        code = code << np.uint64(8) | np.uint64(chunk[p])
        p += 1
    place = _spread(code) & (len(slots) - 1)
    while slots[place] >= 0:
        k = slots[place]
        if offsets[k + 1] - offsets[k] == p - first and same_bytes(names, offsets[k], chunk, first, p - first):
            return k, p
        place = (place + 1) & (len(slots) - 1)
    return -1, p


@njit(cache=True, nogil=True)
def _exponent(chunk: Bytes, p: int) -> tuple[Int, int]:
    """The power of ten after an `e`, as in 5e-06, and where it ends; -1 when there is none."""
    negative = chunk[p] == MINUS
    p += negative or chunk[p] == PLUS
    power, first = np.int64(0), p
    while chunk[p] >= ZERO and chunk[p] <= ZERO + 9:
        power = min(power * 10 + (np.int64(chunk[p]) - ZERO), np.int64(9999))
        p += 1
    return -power if negative else power, p if p > first else -1


@njit(cache=True, nogil=True)
def number(chunk: Bytes, p: int) -> tuple[Int, Int, int, bool]:
    """Digits, power of ten that divides them, where the number ends (-1: it is none), whether all digits fitted."""
    negative = chunk[p] == MINUS
    p += negative
    digits, count, first = np.int64(0), 0, p
    while chunk[p] >= ZERO and chunk[p] <= ZERO + 9:
        digits = digits * 10 + (np.int64(chunk[p]) - ZERO)
        p += 1
    count, decimals = p - first, 0
    if chunk[p] == POINT:
        p += 1
        first = p
        while chunk[p] >= ZERO and chunk[p] <= ZERO + 9:
            digits = digits * 10 + (np.int64(chunk[p]) - ZERO)
            p += 1
        decimals = p - first
    count += decimals
    if count == 0:
        p = -1
    elif chunk[p] | 32 == 101:
        power, p = _exponent(chunk, p + 1)
        decimals -= power
    return -digits if negative else digits, decimals, p, count <= 18


@njit(cache=True, nogil=True)
def in_parts(digits: Int, decimals: Int, exact: bool) -> tuple[Int, bool]:
    """digits / 10^decimals in parts of UNIT, and whether that is exact and in int32."""
    while decimals > 9 and digits % 10 == 0 and digits:
        digits //= 10
        decimals -= 1
    if digits == 0 and exact:
        return 0, True
    if not exact or decimals < 0 or decimals > 9 or abs(digits) > LARGEST[decimals]:
        return 0, False
    return digits * PARTS[decimals], True


@njit(cache=True, nogil=True)
def in_floats(digits: Int, decimals: Int, exact: bool) -> tuple[float, bool]:
    """digits / 10^decimals, and whether it is correctly rounded."""
    if not exact or abs(digits) > EXACT_DIGITS or abs(decimals) > EXACT_POWER:
        return 0.0, False
    return (digits / TENS[decimals] if decimals >= 0 else digits * TENS[-decimals]), True
