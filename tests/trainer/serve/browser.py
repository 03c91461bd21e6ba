"""Chromium, driven over its debugging pipe: JSON texts with a zero byte between, by file descriptors 3 and 4."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking "
    "--disable-extensions --hide-scrollbars --remote-debugging-pipe"
)


def chromium() -> str | None:
    """The browser's path; None where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One tab. complaints: what the page wrote to the console as an error or warning, and errors nobody caught."""

    def __init__(self, sends: int, receives: int) -> None:
        self.sends, self.receives = sends, receives
        self.rest, self.number, self.session = b"", 0, ""
        self.complaints: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.sends, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while time.monotonic() < end:
            found = self._next(end)
            if found.get("id") == self.number:
                assert "error" not in found, found
                return dict(found["result"])
            self._hear(found)
        raise TimeoutError(method)

    def _next(self, end: float) -> dict[str, Any]:
        while b"\0" not in self.rest:
            if not select.select([self.receives], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser says nothing")
            part = os.read(self.receives, 1 << 16)
            assert part, "the browser ended"
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return dict(json.loads(message))

    def _hear(self, event: dict[str, Any]) -> None:
        about, kind = event.get("params", {}), event.get("method")
        failed = kind == "Runtime.exceptionThrown" or (
            kind == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert")
        )
        if failed or (kind == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning")):
            self.complaints.append(json.dumps(about)[:500])

    def run(self, script: str) -> Any:
        """Value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 30) -> Any:
        """The expression's value as soon as it is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, f"still not: {script}\n{self.run('document.body.innerText')[:1500]}"
            time.sleep(0.03)
        return value

    def open(self, url: str) -> None:
        """Go to a page, from another one: a change of the address after # alone would load nothing."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        self.wait(
            f"location.href.startsWith({json.dumps(url.partition('#')[0])}) && document.readyState === 'complete'"
        )

    def size(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Of the window; dark: what the reader prefers."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def key(self, key: str) -> None:
        """Press and release a key."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def mouse(self, selector: str, press: bool = False) -> None:
        """Move to the middle of an element; press: and click."""
        box = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        place = {"x": box[0], "y": box[1]}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
        for kind in ("mousePressed", "mouseReleased") if press else ():
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def picture(self, path: Path) -> None:
        """A PNG of the window."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def browser(path: str, profile: Path) -> Iterator[Browser]:
    """A browser for a while."""
    (theirs_in, sends), (receives, theirs_out) = os.pipe(), os.pipe()
    command = [path, *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"]
    shell = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *command]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(shell, pass_fds=(theirs_in, theirs_out), **quiet) as process:
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Browser(sends, receives)
        finally:
            os.close(sends)
            os.close(receives)
            process.terminate()
