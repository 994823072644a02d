"""XML files of data sets, in whatever encoding they declare; entities are not followed.

The parser of Python's library knows no encoding of several bytes a letter but UTF-8 and UTF-16, and takes `utf8` for
one of a single byte; so texts are decoded here.
"""

from __future__ import annotations

import codecs
import re
import xml.etree.ElementTree as ElementTree

from headstart.errors import DataError
from headstart.places.paths import DataPath

DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._:\-]+)["']""")
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0?\0", "utf-16-le"),
    (b"\0<\0?", "utf-16-be"),
)
"""First bytes that tell the encoding, whatever is declared."""
WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs"}
"""Encodings that programs declare while they write letters of a wider one."""
DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
SECOND_TRY = "utf-8"
"""What is read where the declared encoding is unknown, or would need two bytes a letter where there is one."""


class _WithoutDoctype(ElementTree.TreeBuilder):
    """Refuses entities before any is expanded: they can only be declared in a document type."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise DataError("it declares a document type")


def xml_root(path: DataPath) -> tuple[ElementTree.Element | None, str, str]:
    """(the outermost element, "", ""); or (None, why it cannot be read, what to do)."""
    try:
        text = _text(path.read_bytes())
        parser = ElementTree.XMLParser(target=_WithoutDoctype())
        parser.feed(DECLARATION.sub("", text, count=1))
        return parser.close(), "", ""
    except DataError as error:
        return None, f"{error}, and entities of XML are not followed", "Remove the DOCTYPE line; VOC files need none."
    except (UnicodeDecodeError, LookupError) as error:
        why = f"not readable as XML ({error})"
        return None, why, 'Write the encoding that it has into its first line, <?xml version="1.0" encoding="..."?>.'
    except (ElementTree.ParseError, OSError, ValueError) as error:
        return None, f"not readable as XML ({error})", "Export or fetch the file again."


def _text(content: bytes) -> str:
    """Raises UnicodeDecodeError, and LookupError for an encoding that there is not."""
    marked = next((name for mark, name in MARKS if content.startswith(mark)), None)
    if marked:
        return content.decode(marked).removeprefix("\ufeff")
    declared = DECLARED.match(content)
    name = declared[1].decode("ascii") if declared else SECOND_TRY
    try:
        plain = codecs.lookup(name).name.replace("-", "_")
        if plain.startswith(("utf_16", "utf_32")):  # Programs of Windows declare it of what they write as UTF-8.
            return content.decode(SECOND_TRY)
        return content.decode(WIDER.get(plain, name))
    except LookupError:
        try:
            return content.decode(SECOND_TRY)
        except UnicodeDecodeError:
            raise LookupError(f"the encoding {name!r} that it declares is not known") from None
