"""Damages of Open Images' CSV files and their companions; see `corruptions`."""

from __future__ import annotations

import json
import random

from support.corruptions import damage as c

COLUMNS = {"ImageID": 0, "LabelName": 2, "XMin": 4, "XMax": 5, "YMin": 6, "YMax": 7}
BOXES, LABELS = "*-annotations-bbox.csv", "*-imagelabels-boxable.csv"


def cut_line(data: bytes, draw: random.Random) -> bytes | None:
    """The file ends in the middle of a line: after the header, before the last comma of some line."""
    lines = data.splitlines(keepends=True)
    k = draw.randrange(1, len(lines))
    return b"".join(lines[:k]) + lines[k][: draw.randrange(1, lines[k].rfind(b",") + 1)]


def other_column(name: str) -> c.Apply:
    return lambda data, draw: data.replace(name.encode(), draw.choice((b"X", b"", b"Source")), 1)


def reordered(data: bytes, draw: random.Random) -> bytes:
    """Columns in another order, in all lines alike."""
    rows = [line.split(",") for line in data.decode().splitlines()]
    order = list(range(len(rows[0])))
    draw.shuffle(order)
    return "".join(",".join(row[k] for k in order) + "\n" for row in rows).encode()


def rows_reordered(data: bytes, draw: random.Random) -> bytes:
    """Images in another order; the boxes of each in their own."""
    header, *rows = data.decode().splitlines()
    ids = sorted({row.partition(",")[0] for row in rows}, key=lambda _: draw.random())
    return "".join(f"{row}\n" for row in [header, *sorted(rows, key=lambda r: ids.index(r.partition(",")[0]))]).encode()


def quoted(data: bytes, draw: random.Random) -> bytes:
    return b"".join(b'"' + line.replace(b",", b'","') + b'"\n' for line in data.splitlines())


def a_quote(data: bytes, draw: random.Random) -> bytes:
    """Before a field, without its end."""
    at = draw.choice([k for k in range(data.index(b"\n"), len(data) - 1) if data[k] in b"\n,"])
    return data[: at + 1] + b'"' + data[at + 1 :]


def table(kit: c.Kit, files: str, needed: tuple[str, ...]) -> None:
    """Any of the CSV files with a header."""
    c.plain_text(kit, files)
    kit.add("cut in a line", files, True, cut_line, "line")
    kit.add("cut at its end", files, False, lambda d, r: d.rstrip())
    kit.add("columns reordered", files, False, reordered)
    kit.add("images reordered", files, False, rows_reordered)
    kit.add("all fields quoted", files, False, quoted)
    kit.add("a quote too many", files, True, a_quote, "line")
    kit.add("a field more", files, True, c.set_field(",", 1, ("a,b",), 1), "line")
    kit.add("a field less", files, True, c.drop_field(",", 1, 1), "line")
    kit.add("no header", files, True, lambda d, r: d.partition(b"\n")[2], "column")
    kit.add("unknown class", files, True, c.set_field(",", 2, ("/m/0", "", "cat", "/m/01yrxx", "\u732b"), 1), "class")
    kit.add("no image", files, True, c.set_field(",", 0, ("", "../x", "a/b", "a b", "\x00"), 1), "image id")
    for name in needed:
        kit.add(f"no column {name}", files, True, other_column(name), name)


def openimages() -> c.Kit:
    kit = c.Kit()
    table(kit, BOXES, tuple(COLUMNS))
    for name in ("XMin", "XMax", "YMin", "YMax"):
        wrong = (*c.NOT_NUMBERS, *c.HUGE, "-0.5", "640", "")
        kit.add(f"{name} no fraction", BOXES, True, c.set_field(",", COLUMNS[name], wrong, 1), "line")
    for a, b in (("XMin", "XMax"), ("YMin", "YMax")):
        kit.add(f"{a} and {b} swapped", BOXES, True, c.swap_fields(",", COLUMNS[a], COLUMNS[b], 1), "line")
    for column in range(8, 13):
        kit.add(f"flag {column}", BOXES, True, c.set_field(",", column, ("2", "-2", "", "0.5", "yes", "00"), 1), "line")
    table(kit, LABELS, ("ImageID", "LabelName", "Confidence"))
    kit.add("a confidence between", LABELS, True, c.set_field(",", 3, ("0.5", "2", "-1", "", "nan", "1e9"), 1), "line")
    described = "class-descriptions-boxable.csv"
    c.plain_text(kit, described)
    kit.add("another id", described, True, lambda d, r: d.replace(b"/m/01yrx", b"/m/01yrz"))
    kit.add("an id twice", described, True, lambda d, r: d.replace(b"/m/01yrx", b"/m/0jbk"), "again")
    kit.add("a name less", described, True, c.drop_field(",", 1))
    kit.add("a header", described, False, lambda d, r: b"LabelName,DisplayName\n" + d)
    tree = "bbox_labels_600_hierarchy.json"
    c.plain_text(kit, tree)
    kit.add("cut", tree, True, c.cut(b"}"))
    kit.add("nested too deeply", tree, True, lambda d, r: b'{"Subcategory": ' * 50_000)
    kit.add("unknown class in the tree", tree, True, lambda d, r: d.replace(b"/m/01yrx", b"/m/01yrz"), "/m/01yrz")
    kit.add("a class above itself", tree, True, lambda d, r: d.replace(b"/m/01yrx", b"/m/0jbk"), "above itself")
    kit.add("names of no kind", tree, True, c.in_json(lambda whole, draw: whole.update(LabelName=[1]) is None))
    kit.add("children of no kind", tree, True, c.in_json(lambda whole, draw: whole.update(Subcategory=7) is None))
    kit.add("spread over lines", tree, False, lambda d, r: json.dumps(json.loads(d), indent=4).encode())
    return kit
