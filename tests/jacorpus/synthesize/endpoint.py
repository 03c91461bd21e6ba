"""A scripted chat endpoint on the loopback: it answers by a function, counts what it answered, and stops by itself."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.small import prose


@dataclass
class Reply:
    """What one request gets. usage: (prompt, completion) tokens, None tells nothing. held: never answered."""

    content: Any = "はい。"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None
    usage: tuple[int, int] | None = (10, 5)
    ended: str = "stop"
    delay: float = 0.0
    held: bool = False

    def text(self) -> str:
        if self.raw is not None:
            return self.raw
        content = self.content if isinstance(self.content, str) else json.dumps(self.content, ensure_ascii=False)
        choice = {"message": {"role": "assistant", "content": content}, "finish_reason": self.ended}
        usage = {"prompt_tokens": self.usage[0], "completion_tokens": self.usage[1]} if self.usage else None
        return json.dumps({"choices": [choice], "usage": usage})


Script = Callable[[dict[str, Any]], Reply]


class Endpoint:
    """``with Endpoint(script) as endpoint``. answered: requests with status 200, by their whole body."""

    def __init__(self, script: Script) -> None:
        self.script, self.bodies, self.headers = script, [], []
        self.answered: Counter[str] = Counter()
        self.lock, self.done = threading.Lock(), threading.Event()

    def __enter__(self) -> "Endpoint":
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.bodies.append(body)
                    outer.headers.append(dict(self.headers))
                    reply = outer.script(body)
                    if reply.status == 200 and not reply.held:
                        outer.answered[json.dumps(body, sort_keys=True)] += 1
                if reply.held or outer.done.wait(reply.delay):
                    outer.done.wait(30)
                    self.close_connection = True
                    return
                data = reply.text().encode()
                self.send_response(reply.status)
                for name, value in {**reply.headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that was killed
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


def number_of(body: dict[str, Any]) -> int:
    """A number that stands for what was asked."""
    return int.from_bytes(sha256(json.dumps(body, sort_keys=True).encode()).digest()[:4], "big")


def answers_of(schema: dict[str, Any] | None, number: int) -> Any:
    """A valid answer: prose where there is no schema, else the smallest value of the schema with prose in it."""
    if schema is None:
        return prose(number, 4)
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    kind = schema["type"]
    if kind == "object":
        return {name: answers_of(part, number + i) for i, (name, part) in enumerate(schema["properties"].items())}
    if kind == "array":
        return [answers_of(schema["items"], 2 * number + i) for i in range(schema.get("minItems", 1))]
    text = prose(number, 1 + schema.get("minLength", 0) // 30)[: schema.get("maxLength", 200)]
    return text if kind == "string" else schema.get("minimum", 1)


def schema_of(body: dict[str, Any]) -> dict[str, Any] | None:
    """The schema that the system message ends with, None where it names none."""
    system = body["messages"][0]["content"] if body["messages"][0]["role"] == "system" else ""
    start = system.find("{")
    return json.loads(system[start:]) if start >= 0 else None


def fluent(body: dict[str, Any]) -> Reply:
    """A model that always answers as it was told to."""
    return Reply(answers_of(schema_of(body), number_of(body)))
