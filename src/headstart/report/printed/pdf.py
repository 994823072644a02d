"""The page as PDF, printed by a Chromium or Chrome that is on the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from headstart.errors import UsageError
from headstart.store.files import replacing

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)
SECONDS = 180
"""That a page of 2,000 images may take to print."""


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome on this machine ($CHROMIUM first), or None."""
    known = (os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), *(p for p in PLACES if Path(p).is_file()))
    return next(filter(None, known), None)


def print_page(page: Path, out: Path) -> Path:
    """Print a page of ours, which asks for nothing from the network, into `out`; whole or not at all.

    Raises UsageError where there is no such browser, or it prints nothing.
    """
    program = find_chromium()
    if program is None:
        raise UsageError(
            "--format pdf prints the page with Chromium or Chrome, and none was found. Install one, or set CHROMIUM to "
            f"its path; or open {page} in any browser and print it."
        )
    flags = ["--headless", "--disable-gpu", "--disable-extensions", "--no-first-run", "--no-pdf-header-footer"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to run for root with it
    with tempfile.TemporaryDirectory(prefix="headstart-print-", ignore_cleanup_errors=True) as folder:
        made = Path(folder) / "report.pdf"
        places = [f"--user-data-dir={folder}/profile", f"--print-to-pdf={made}", page.resolve().as_uri()]
        try:
            done = subprocess.run([program, *flags, *places], capture_output=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"{program} did not print {page}: {error}") from error
        if not made.is_file() or not made.stat().st_size:
            last = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise UsageError(f"{program} did not print {page}; it said: {last}")
        with replacing(out) as new:
            shutil.copyfile(made, new)
    return out
