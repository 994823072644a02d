"""How numbers of documents are held against their records: each one that is changed is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.documents.records import RECORDS, ROOT, Part, fault_of, file_of, parts_of, records_of, says

WITH_RECORDS = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if file_of(page).is_file()]


def test_every_number_that_is_changed_is_found() -> None:
    """On all pages, each number with its last digit changed, in its place."""
    changed = missed = 0
    for page in WITH_RECORDS:
        records = records_of(page)
        for part in parts_of(page):
            if part.kind != "record":
                continue
            said, record = part.numbers, records[part.name]
            told = [*record["numbers"].values()] if isinstance(record["numbers"], dict) else said
            for number, value in zip(said, told, strict=True):
                other = number[:-1] + str((int(number[-1]) + 5) % 10)
                changed, missed = changed + 1, missed + says(other, value)
    assert changed > 2000 and missed == 0
    assert len([*RECORDS.glob("*.json")]) == len(WITH_RECORDS)


PAGE = """# Title

Made of 12 parts, as version 1.2.3 of `a-4` says.

## Measured

<!-- record: one -->

    kind   CPU s
    new    1,234.5   -0.25  [+0.1, .7]

```
# 3 no heading
```

<!-- no record: set -->

At most 5 MB, IoU 0.5.
"""


def test_parts_numbers_and_what_looks_measured(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    parts = [part for part in parts_of(tmp_path / "page.md") if part.text.strip()]
    assert [(part.heading, part.kind, part.name) for part in parts] == [
        ("Title", "", ""),
        ("Measured", "record", "one"),
        ("Measured", "no record", "set"),
    ]
    assert [part.numbers for part in parts] == [["12"], ["1,234.5", "-0.25", "+0.1", ".7", "3"], ["5", "0.5"]]
    assert [part.measured for part in parts] == [[], ["1,234.5", "-0.25", "+0.1"], ["5"]]


@pytest.mark.parametrize(
    ("shown", "value", "same"),
    [
        ("9.3", 9.2725, True),
        ("9.2", 9.2725, False),
        ("-8.0", -7.9756, True),
        ("8.0", -7.9756, False),
        ("1,200", 1200, True),
        ("0.10", "0.1", False),
        ("0.1", "0.1", True),
    ],
)
def test_whether_a_number_says_a_value(shown: str, value: str | float, same: bool) -> None:
    assert says(shown, value) == same


def test_differences_are_named() -> None:
    part = Part("Times", "record", "one", "It took 1.5 s and 3 s.")
    assert fault_of(part, {"numbers": ["1.5 3"]}) == fault_of(part, {"numbers": {"first": 1.52, "second": 3}}) == ""
    fault = "Times, one: second is 4 in the record, and the page says 3"
    assert fault_of(part, {"numbers": {"first": 1.52, "second": 4}}) == fault
    assert "number 2 is 2 in the record" in fault_of(part, {"numbers": ["1.5 2"]})
    assert fault_of(part, {"numbers": ["1.5"]}) == "Times, one: 2 numbers for 1 of the record: ['3']"
