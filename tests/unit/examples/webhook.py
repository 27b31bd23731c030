"""A webhook for tests: a real HTTP server on this machine that notes what it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """``told`` are the messages that it has accepted, ``status`` is what it answers with."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.status = 204
        self.url = ""

    def events(self) -> list[str]:
        """Which events it was told of, and of which services."""
        return [f"{message['service']} {message['event']}" for message in self.told]


@contextmanager
def serving() -> Iterator[Webhook]:
    """A webhook that answers on a free port."""
    webhook = Webhook()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if webhook.status < 300:
                webhook.told.append(json.loads(body))
            self.send_response(webhook.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        webhook.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        try:
            yield webhook
        finally:
            server.shutdown()
            thread.join()
