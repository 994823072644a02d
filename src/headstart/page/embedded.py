"""Data and scripts inside a page. A page that has scripts names their digest in its content policy, so that nothing
else can run: no text from data, whatever it says."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

SCRIPTS = ("copying", "address", "painting", "explorer")
"""Files of scripts/, in this order."""


@cache
def script() -> str:
    """All scripts of a page, as one."""
    folder = Path(__file__).parent / "scripts"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "\n})();\n"


@cache
def script_source() -> str:
    """The content policy's name of `script`."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script().encode()).digest()).decode('ascii')}'"


def data_block(kind: str, value: Any) -> Markup:
    """JSON that scripts read and that is no script: no `<` stands in it, so nothing in it can end it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup('<script type="application/json" class="{}">{}</script>').format(kind, Markup(text))
