"""Numbers as a reader wants them: points with one decimal, a true minus sign, a dash where there is no value."""

from __future__ import annotations

import math
from collections.abc import Sequence

NO_VALUE = "–"
MINUS = "−"


def finite(value: object) -> float | None:
    """`value` as a float, or None where it is absent, not a number or not finite."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def fixed(value: object, decimals: int = 1, signed: bool = False) -> str:
    """`value` with a fixed number of decimals; never "-0.0"; the sign of positive numbers on request."""
    number = finite(value)
    if number is None:
        return NO_VALUE
    text = f"{abs(number):.{decimals}f}"
    if float(text) == 0:
        return text
    if number < 0:
        return MINUS + text
    return "+" + text if signed else text


def measured(value: object, unit: str = "points", signed: bool = False) -> str:
    """A measured value in its unit: fractions times 100 for points, others as they are; see `decimals`."""
    number = finite(value)
    if number is None:
        return NO_VALUE
    return fixed(number * factor(unit), decimals(unit), signed)


def factor(unit: str) -> float:
    """What a stored value is multiplied with for display: 100 for points (stored as fractions), else 1."""
    return 100.0 if unit == "points" else 1.0


def decimals(unit: str) -> int:
    """Decimals shown for a unit: 1 for points, 2 for percent, else 3."""
    return {"points": 1, "percent": 2}.get(unit, 3)


def bracket(lo: object, hi: object, unit: str = "points", signed: bool = False) -> str:
    """An interval in brackets; empty where an end is missing."""
    if finite(lo) is None or finite(hi) is None:
        return ""
    return f"[{measured(lo, unit, signed)}, {measured(hi, unit, signed)}]"


def p_value(value: object) -> str:
    """`p` to three decimals, "< 0.001" below that."""
    number = finite(value)
    if number is None:
        return NO_VALUE
    return "< 0.001" if number < 0.001 else f"{number:.3f}"


def count(value: object) -> str:
    """A whole number with groups of thousands."""
    number = finite(value)
    return NO_VALUE if number is None else f"{round(number):,}"


def magnitude(value: object) -> str:
    """A large count in short: 702 k, 25.6 M."""
    number = finite(value)
    if number is None:
        return NO_VALUE
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            scaled = number / size
            return f"{scaled:.{1 if scaled < 100 else 0}f} {letter}"
    return f"{number:.0f}"


def significant(value: object, digits: int = 3) -> str:
    """A number to some significant digits without trailing zeros: 0.0015, 12.3."""
    number = finite(value)
    if number is None:
        return NO_VALUE
    if number == 0:
        return "0"
    if 1e-4 <= abs(number) < 1e6:
        places = max(0, digits - 1 - math.floor(math.log10(abs(number))))
        text = f"{abs(number):.{places}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        mantissa, exponent = f"{abs(number):.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"{mantissa}e{int(exponent)}"
    return MINUS + text if number < 0 else text


def duration(seconds: object) -> str:
    """Seconds as a person says them: 42 s, 6 min 41 s, 3 h 07 min."""
    number = finite(seconds)
    if number is None:
        return NO_VALUE
    if number < 10:
        return f"{number:.1f} s"
    whole = round(number)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Words in a row: "a", "a and b", "a, b and c"."""
    items = list(words)
    if len(items) <= 1:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def mean(values: Sequence[object]) -> float | None:
    """Mean of the values that are there; None where none is."""
    present = [v for v in map(finite, values) if v is not None]
    return math.fsum(present) / len(present) if present else None
