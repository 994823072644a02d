"""Drives headless Chromium through its DevTools protocol over two pipes: standard library only.

Used by the browser tests and by hand:
`python tests/support/reports/browser.py page.html shot.png --width 390 --height 844 --dark`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headstart.report.printed.pdf import find_chromium

FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


@dataclass
class Visit:
    """What a page did while it was open."""

    dom: str
    console: list[str] = field(default_factory=list)
    """Errors and warnings: of scripts, of the content policy, of the network."""
    requests: list[str] = field(default_factory=list)
    """Every URL asked for, the page itself and data URIs left out."""
    scroll_width: int = 0
    """Width of the content; larger than the window's when the page scrolls sideways."""


class Browser:
    """One running Chromium. Use as `with browser() as b: b.visit(path)`."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read, self._write = read_fd, write_fd
        self._buffer = b""
        self._last = 0
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable", self.session)

    def call(self, method: str, session: str | None = None, /, **params: Any) -> dict[str, Any]:
        """Send one command and wait for its answer; events that arrive meanwhile are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(30.0)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._events.append(answer)

    def _receive(self, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._read, 1 << 20) if ready else b""
            if not chunk:
                raise RuntimeError("Chromium did not answer" if not ready else "Chromium closed its pipe")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def visit(self, page: Path, width: int = 1280, height: int = 800, dark: bool = False, media: str = "") -> Visit:
        """Open a local file in a window of that size and wait until it has loaded."""
        phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            self.session,
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", self.session, media=media, features=[scheme])
        self._events.clear()
        url = page.resolve().as_uri()
        self.call("Page.navigate", self.session, url=url)
        while not any(e.get("method") == "Page.loadEventFired" for e in self._events):
            self._events.append(self._receive(30.0))
        visit = Visit(self.evaluate("document.documentElement.outerHTML"))
        self.evaluate("new Promise(done => setTimeout(done, 100))")
        visit.scroll_width = self.evaluate("document.documentElement.scrollWidth")
        for event in self._events:
            self._note(event, url, visit)
        return visit

    @staticmethod
    def _note(event: dict[str, Any], url: str, visit: Visit) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            asked = params["request"]["url"]
            if asked != url and not asked.startswith("data:"):
                visit.requests.append(asked)
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            visit.console.append(params["entry"]["text"])
        elif method == "Runtime.exceptionThrown" or (
            method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning")
        ):
            visit.console.append(json.dumps(params))

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression on the open page."""
        answer = self.call(
            "Runtime.evaluate", self.session, expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self, out: Path, full: bool = False, top: int | None = None, height: int = 800) -> Path:
        """PNG of the window, of the whole page (`full`), or of `height` pixels from `top` on."""
        params: dict[str, Any] = {"format": "png"}
        if full or top is not None:
            size = self.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
            clip = {"x": 0, "y": top or 0, "width": size[0], "height": size[1] if full else height, "scale": 1}
            params |= {"captureBeyondViewport": True, "clip": clip}
        out.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", self.session, **params)["data"]))
        return out

    def pdf(self, out: Path) -> Path:
        """The page as printed, on A4."""
        printed = self.call("Page.printToPDF", self.session, paperWidth=8.27, paperHeight=11.69, printBackground=True)
        out.write_bytes(base64.b64decode(printed["data"]))
        return out


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A fresh Chromium with a profile of its own; it is gone when the block ends."""
    program = find_chromium()
    if program is None:
        raise FileNotFoundError("no Chromium found: install it, or set CHROMIUM to its path")
    flags = (*FLAGS, *(("--no-sandbox",) if os.geteuid() == 0 else ()))
    # Chromium reads commands from descriptor 3 and answers on 4; ours are moved out of the way of both first.
    pairs = [os.pipe(), os.pipe()]
    (child_read, to_child), (from_child, child_write) = (
        tuple(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in pair) for pair in pairs
    )
    for fd in (fd for pair in pairs for fd in pair):
        os.close(fd)
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        command = [program, *flags, f"--user-data-dir={profile}", "about:blank"]
        script = f'exec "$@" 3<&{child_read} 4>&{child_write}'
        process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command],
            pass_fds=(child_read, child_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(child_read)
        os.close(child_write)
        try:
            opened = Browser(from_child, to_child)
            yield opened
            with contextlib.suppress(RuntimeError, OSError):
                opened.call("Browser.close")
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(from_child)
            os.close(to_child)


def main() -> None:
    """Take a screenshot by hand."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--top", type=int, help="take `height` pixels from here on")
    arguments = parser.parse_args()
    with browser() as opened:
        seen = opened.visit(arguments.page, arguments.width, arguments.height, arguments.dark)
        opened.screenshot(arguments.out, arguments.full, arguments.top, arguments.height)
    print(f"{arguments.out}: content width {seen.scroll_width}, console {seen.console}, requests {seen.requests}")


if __name__ == "__main__":
    main()
