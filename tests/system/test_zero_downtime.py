"""A web service behind a real haproxy, under load: updates, bad ones among them, that no client notices.

``REQUESTS=20000 pytest tests/system/test_zero_downtime.py`` goes on until so many requests were made.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proto.dockrunner import v1 as pb
from tests.private_engine import IMAGE, PrivateEngine

from .program import Program, eventually

REQUESTS = int(os.environ.get("REQUESTS", "2000"))
REPLICAS = 4
FIRST_PORT, LAST_PORT = 18080, 18089
FRONT = 18000
WORKERS = 8

# Busybox's httpd behind a shell that drains: asked to stop it fails its health check first, and ends when nobody sends
# it anything any more.
SERVER = (
    "echo ok > /www/health; httpd -f -p 80 -h /www & P=$!; "
    "trap 'rm -f /www/health; sleep 2; kill $P; exit 0' TERM; while :; do wait $P; done"
)

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")


def declaration(image: str, command: str = SERVER, at_once: int = 0, **environment: str) -> str:
    """``at_once``: how many are replaced together; all by default, so that what goes too early is missed at once."""
    return f"""
[services.web]
image = "{image}"
replicas = {REPLICAS}
command = ["sh", "-c", {json.dumps(command)}]
environment = {{ {", ".join(f'{name} = "{value}"' for name, value in environment.items())} }}
ports = ["{FIRST_PORT}-{LAST_PORT}:80"]

[services.web.healthcheck]
test = ["CMD", "wget", "-q", "-O-", "http://127.0.0.1/health"]
interval = "500ms"
retries = 2

[services.web.update]
order = "start-first"
parallelism = {at_once}
failure_action = "rollback"
deadline = "8s"
"""


class Load:
    """Constant load in the network of the tests' engine, through the proxy."""

    def __init__(self, engine: PrivateEngine) -> None:
        command = [*engine.enter(), sys.executable, "-m", "tests.system.load", str(FRONT), str(WORKERS)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def counts(self) -> dict[str, Any]:
        """``requests`` so far, and ``failures`` by what went wrong."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        counts: dict[str, Any] = json.loads(self._process.stdout.readline())
        return counts

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.communicate(timeout=20)


@pytest.fixture
def private(shared_engine: PrivateEngine | str) -> PrivateEngine:
    """The tests' own engine, whose network can be entered."""
    if isinstance(shared_engine, str):
        pytest.skip(shared_engine)
    return shared_engine


@pytest.fixture
def proxy(tmp_path: Path, private: PrivateEngine) -> Iterator[None]:
    """A haproxy before the service's range of ports."""
    servers = "\n".join(
        f"    server port-{port} 127.0.0.1:{port} maxconn 8 check inter 100ms fall 1 rise 1"
        for port in range(FIRST_PORT, LAST_PORT + 1)
    )
    config = tmp_path / "haproxy.cfg"
    config.write_text(f"""
defaults
    mode http
    timeout connect 2s
    timeout client 10s
    timeout server 10s
    timeout queue 10s
    retries 3
    option redispatch
frontend front
    bind 127.0.0.1:{FRONT}
    default_backend web
backend web
    option httpchk GET /health
{servers}
""")
    process = subprocess.Popen([*private.enter(), "haproxy", "-db", "-f", str(config)], stderr=subprocess.DEVNULL)
    yield
    process.terminate()
    process.wait(20)


@pytest.fixture
def load(private: PrivateEngine) -> Iterator[Load]:
    load = Load(private)
    yield load
    load.close()


def images(program: Program) -> set[str]:
    return {it.spec.template.image for it in program.containers("web") if it.status.ready}


def rollout(program: Program) -> pb.Rollout:
    return program.service("web").status.rollout


def rolled_back(program: Program) -> bool:
    return rollout(program).state == pb.Rollout.ROLLED_BACK


def test_updates_good_and_bad_drop_no_request(
    program: Program, proxy: None, second_image: str, request: pytest.FixtureRequest
) -> None:
    program.declare(declaration(IMAGE))
    program.start("--config", str(program.config))
    program.until_converged(web=REPLICAS)
    load: Load = request.getfixturevalue("load")
    eventually(lambda: load.counts()["requests"])
    first = load.counts()["failures"]
    assert first == {}, "the proxy has found its servers before"

    def changed(text: str) -> None:
        """Declares, and waits until it has come about."""
        generation = program.service("web").metadata.generation
        program.declare(text)
        eventually(lambda: program.service("web").metadata.generation > generation)
        eventually(lambda: program.converged(web=REPLICAS), 120)

    turn = 0
    while not turn or load.counts()["requests"] < REQUESTS:
        turn += 1
        changed(declaration(second_image, at_once=1, LEVEL=f"debug {turn}"))  # image and environment
        assert images(program) == {second_image}
        changed(declaration(IMAGE, LEVEL=f"info {turn}"))
        assert images(program) == {IMAGE}
        for bad in (
            declaration("dock-runner-test:is-not-there", LEVEL=f"{turn}"),
            declaration(IMAGE, "echo broken >&2; exit 3", LEVEL=f"{turn}"),
            declaration(IMAGE, "sleep 1000", LEVEL=f"{turn}"),  # never healthy
        ):
            program.declare(bad)
            eventually(lambda: rolled_back(program), 90)
            assert images(program) == {IMAGE}
            assert len(program.containers("web")) == REPLICAS
            changed(declaration(IMAGE, LEVEL=f"info {turn}"))
    counts = load.counts()
    sys.stdout.write(f"{counts['requests']} requests in {turn} turns, failures: {counts['failures']}\n")
    assert counts["failures"] == {}
