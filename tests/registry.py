"""Registries of the tests' own, on the loopback address of a private daemon's network: a real one, and a liar.

Docker speaks plain HTTP with registries on 127.0.0.0/8.
"""

import contextlib
import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker as sdk

from .private_engine import IMAGE, PrivateEngine, Unavailable

USER, PASSWORD = "robot", "correct horse"
# The line of an htpasswd file for them: bcrypt, the only hash that the registry takes.
_HTPASSWD = f"{USER}:$2b$05$2PI5hfbb30/0khM260nRO.rWm8nv03xQhMyZ1S8i/UPBQ2AWNAHKa\n"
_CONFIG = """
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: {folder}/images}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:0"}}
"""
_AUTH = 'auth: {{htpasswd: {{realm: test, path: "{folder}/htpasswd"}}}}\n'
_CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def real_registry(engine: PrivateEngine, folder: Path, *, auth: bool = False) -> Iterator[str]:
    """Debian's docker-registry, as ``127.0.0.1:PORT``; with ``auth`` it lets in USER with PASSWORD alone.

    Raises:
        Unavailable: it is not installed, or does not start.
    """
    if shutil.which("docker-registry") is None:
        raise Unavailable("not installed: docker-registry")
    folder.mkdir(parents=True)
    (folder / "htpasswd").write_text(_HTPASSWD)
    config = folder / "registry.yml"
    config.write_text((_CONFIG + (_AUTH if auth else "")).format(folder=folder))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*engine.enter(), "docker-registry", "serve", str(config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        yield f"127.0.0.1:{_port_in(folder / 'log', process)}"
    finally:
        process.kill()
        process.wait(10)


def _port_in(log: Path, process: subprocess.Popen[bytes]) -> int:
    """The port that the registry says it listens on."""
    deadline = time.monotonic() + 20
    while not (found := re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text(errors="replace"))):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Unavailable(f"docker-registry did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
    return int(found[1])


def push(api: sdk.APIClient, reference: str, *, auth: bool = False, forgotten: bool = True, command: str = "") -> str:
    """Puts an image that no one else has under a name into a registry and returns its digest.

    It runs as the test image does, or a ``command`` of the shell. The daemon then knows it no longer, but for when it
    is not to be ``forgotten``.
    """
    repository, _, tag = reference.rpartition(":")
    made = api.create_container(IMAGE, labels={"made": os.urandom(8).hex()})["Id"]
    changes = [f'CMD ["sh", "-c", {json.dumps(command)}]'] if command else None
    api.commit(made, repository, tag, changes=changes)
    api.remove_container(made)
    credentials = {"username": USER, "password": PASSWORD} if auth else {}
    lines = list(api.push(repository, tag, stream=True, decode=True, auth_config=credentials))
    assert not any("error" in line for line in lines), lines
    if forgotten:
        api.remove_image(reference)
    return str(next(line["aux"]["Digest"] for line in lines if "aux" in line))


def forget(api: sdk.APIClient, registry: str) -> None:
    """Removes all that came from a registry from the daemon."""
    for image in api.images():
        for name in [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]:
            if name.startswith(f"{registry}/"):
                with contextlib.suppress(sdk.errors.ImageNotFound):
                    api.remove_image(name, force=True)


def listen(engine: PrivateEngine) -> socket.socket:
    """A socket that listens on a free port of 127.0.0.1 in the daemon's network: it stays where it was made."""
    made: list[socket.socket | OSError] = []

    def enter_and_make() -> None:  # in a thread of its own, which alone enters
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/var/run/netns/{engine.name}") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                made.append(OSError(ctypes.get_errno(), "setns"))
                return
        made.append(socket.create_server(("127.0.0.1", 0)))

    thread = threading.Thread(target=enter_and_make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


Answer = Callable[[BaseHTTPRequestHandler], None]
"""Answers one GET or HEAD in whatever way."""


@contextlib.contextmanager
def lying_registry(engine: PrivateEngine, answer: Answer) -> Iterator[str]:
    """A server that answers what it is told to, as ``127.0.0.1:PORT``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        do_HEAD = do_GET  # noqa: N815  # the name is given

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is given
            """Says nothing."""

    with listen(engine) as listening:
        server = ThreadingHTTPServer(listening.getsockname(), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = listening
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def reply(request: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    """One whole answer; an underscore in a header's name is a dash."""
    request.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
