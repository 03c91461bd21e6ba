"""Serves the page and its numbers on this machine, to read and never to write.

    /                                       the page
    /api/about                              names of the folders
    /api/cycles                             cycles of the first folder; /api/other/cycles of the second
    /api/cycle/12?sort=reward&group=3&offset=0&limit=64
    /api/answer/12/5
    /api/match?prompt_id=q1&draw=0&cycle=12

A request is answered only under a name of this machine: a page of another site whose name was pointed here (DNS
rebinding) asks under that name. No path of a request ever becomes a path of a file.
"""

import base64
import hashlib
import ipaddress
import json
import math
import re
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jacorpus.errors import InputError, JacorpusError, RecipeError
from trainer.serve.rollouts import Folder

PAGE = Path(__file__).with_name("page.html")
MOST = 512
"""Answers in one reply."""

_NUMBERED = re.compile(r"(cycle|answer)/(\d{1,8})(?:/(\d{1,9}))?")


class Server(ThreadingHTTPServer):
    """Listens on ``host`` at ``port`` (0: a free one); ``serve_forever`` answers. Raises RecipeError where it can't."""

    daemon_threads = True

    def __init__(self, folders: Sequence[Folder], host: str = "127.0.0.1", port: int = 0) -> None:
        self.folders, self.host = tuple(folders), host
        page = PAGE.read_bytes()
        script = page.partition(b"<script>")[2].partition(b"</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
        self.page = page
        self.policy = (
            f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        try:
            super().__init__((host, port), Handler)
        except OSError as error:
            raise RecipeError(f"can't listen on {host}, port {port} ({error}); --port 0 takes a free one") from error

    @property
    def url(self) -> str:
        """Where a browser finds the page."""
        return f"http://{self.host}:{self.server_address[1]}/"

    def knows(self, host: str) -> bool:
        """Whether a request's Host names this machine: localhost, the name given, or an address of numbers."""
        name = host.lower()
        try:
            name = urlsplit(f"//{host}").hostname or ""
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in ("localhost", self.host.lower())
        return address.is_loopback or name == self.host or self.host in ("0.0.0.0", "")

    def answer(self, path: str, query: dict[str, list[str]]) -> dict[str, Any] | None:
        """What /api/PATH says; None where there is no such path. Raises InputError or RecipeError."""
        if path == "about":
            return {"folders": [folder.about() for folder in self.folders]}
        which = int(path.startswith("other/"))
        path = path.removeprefix("other/")
        if which >= len(self.folders):
            return None
        folder = self.folders[which]
        if path == "cycles":
            return folder.cycles()
        if path == "match":
            return folder.matches(query.get("prompt_id", [""])[0], _whole(query, "draw", 0), _whole(query, "cycle", 0))
        found = _NUMBERED.fullmatch(path)
        if found is None or (found[1] == "answer") == (found[3] is None):
            return None
        if found[1] == "answer":
            return folder.answer(int(found[2]), int(found[3]))
        group = _whole(query, "group", -1)
        sort = query.get("sort", ["group"])[0]
        pages = max(0, _whole(query, "offset", 0)), min(MOST, _whole(query, "limit", 64))
        return folder.answers(int(found[2]), sort, None if group < 0 else group, *pages)


class Handler(BaseHTTPRequestHandler):
    """One request; GET and HEAD alone."""

    server: Server
    server_version, sys_version = "jacorpus", ""
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """The page, or JSON."""
        split = urlsplit(self.path)
        if not self.server.knows(self.headers.get("Host", "")):
            self._send(403, {"error": f"open {self.server.url} itself; this name is not this machine's"})
        elif split.path == "/":
            self._send(200, self.server.page)
        elif not split.path.startswith("/api/"):
            self._send(404, {"error": "there is nothing here; the page is at /"})
        else:
            try:
                found = self.server.answer(split.path.removeprefix("/api/"), parse_qs(split.query))
                self._send(*((404, {"error": "no such path"}) if found is None else (200, found)))
            except JacorpusError as error:
                self._send(404 if isinstance(error, InputError) else 400, {"error": str(error)})

    do_HEAD = do_GET

    def _send(self, status: int, body: bytes | dict[str, Any]) -> None:
        html = isinstance(body, bytes)
        data = body if isinstance(body, bytes) else json.dumps(_plain(body), ensure_ascii=False).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", f"{'text/html' if html else 'application/json'}; charset=utf-8")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Security-Policy", self.server.policy)
            for name in ("X-Content-Type-Options: nosniff", "Cache-Control: no-store", "Referrer-Policy: no-referrer"):
                self.send_header(*name.split(": "))
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)
        except ConnectionError:  # the reader left
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is the command's."""


def _whole(query: dict[str, list[str]], name: str, default: int) -> int:
    """A whole number of a query. Raises RecipeError for another thing."""
    given = query.get(name, [str(default)])[0]
    if not re.fullmatch(r"-?\d{1,9}", given):
        raise RecipeError(f"{name} must be a whole number, got {given[:40]!r}")
    return int(given)


def _plain(value: Any) -> Any:
    """JSON has no word for numbers that are not finite: they become "NaN", "Infinity" and "-Infinity"."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
