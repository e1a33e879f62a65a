"""A headless browser driven through its DevTools pipe: nothing but what the system has installed."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((path for name in NAMES if (path := shutil.which(name))), None)
MISSING = f"no browser to look with: none of {', '.join(NAMES)} is installed"


class Tab:
    """One page of a running browser. Messages go and come as JSON, each ended by a zero byte."""

    def __init__(self, write: int, read: int) -> None:
        self.write, self.read, self.number, self.held = write, read, 0, b""
        self.session: str | None = None
        # What the page wrote to its console, or its policy refused.
        self.said: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> Any:
        """A command and its result; what the page says meanwhile is kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.held:
            block = os.read(self.read, 1 << 20)
            assert block, "the browser has ended"
            self.held += block
        text, _, self.held = self.held.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if message.get("method") == "Log.entryAdded":
            self.said.append(message["params"]["entry"]["text"])
        if message.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.said.append(json.dumps(message["params"]))
        return message

    def open(self, address: str, width: int, height: int = 900, dark: bool = False) -> None:
        """Show an address on a screen of a size and wait until it has loaded."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.send("Emulation.setEmulatedMedia", features=[scheme, still])
        self.send("Page.navigate", url=address)
        while self._next().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        """The value of an expression, awaited where it is a promise, as JSON can hold it."""
        found = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        code, text = {"Tab": (9, ""), "Enter": (13, "\r")}[key]
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text,
                      windowsVirtualKeyCode=code)  # fmt: skip

    def picture(self, path: Path) -> None:
        """The whole page as a PNG file."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def paper(self, path: Path) -> None:
        """The page as it prints, as a PDF file of A4."""
        shot = self.send("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.7)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A browser with a profile of its own, for as long as the block runs."""
    theirs, write = os.pipe()
    read, to_us = os.pipe()
    for end in (theirs, to_us):
        os.set_inheritable(end, True)
    # The browser reads its third and writes its fourth descriptor.
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               "--remote-debugging-pipe", f"--user-data-dir={profile}"]  # fmt: skip
    shell = 'in=$1 out=$2; shift 2; eval "exec \\"\\$@\\" 3<&$in 4>&$out"'
    running = subprocess.Popen(
        ["bash", "-c", shell, "browser", str(theirs), str(to_us), *command],
        pass_fds=(theirs, to_us), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    os.close(to_us)
    try:
        yield Tab(write, read)
    finally:
        os.close(write)
        os.close(read)
        running.terminate()
        running.wait(10)
