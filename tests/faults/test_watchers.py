"""Two hundred watchers, one of which does not read: writers do not notice, and all the others miss nothing."""

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import grpc

from proto.dockrunner import v1 as pb
from tests.system.program import Program, eventually

WATCHERS = 200
PART = 50
# Calls after which a watcher that does not read must have been closed.
MOST = 2000

logger = logging.getLogger(__name__)


class Watcher(threading.Thread):
    """Reads a watch to its end and keeps what it has seen."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.stream: Any = program.api.Watch(pb.WatchRequest(send_initial_events=True))
        self.known: dict[str, pb.Service] = {}
        self.versions: list[int] = []
        self.failure: grpc.RpcError | None = None

    def run(self) -> None:
        try:
            for change in self.stream:
                if change.type == pb.BOOKMARK:
                    continue
                self.versions.append(int(change.resource_version))
                if change.type == pb.DELETED:
                    self.known.pop(change.service.metadata.name)
                else:
                    self.known[change.service.metadata.name] = change.service
        except grpc.RpcError as error:
            self.failure = error


class Writer:
    """Declares one service after the other, and knows how long each call took."""

    def __init__(self, program: Program) -> None:
        self._api = program.api
        self._number = 0

    def write(self, times: int) -> list[float]:
        """Seconds for each call."""
        took = []
        for _ in range(times):
            self._number += 1
            spec = pb.ServiceSpec(image=f"web:{self._number}", replicas=0)
            service = pb.Service(metadata=pb.Metadata(name=f"s{self._number % 10}"), spec=spec)
            began = time.monotonic()
            self._api.Apply(pb.ApplyRequest(service=service))
            took.append(time.monotonic() - began)
        return took


@contextmanager
def stalled_client(program: Program) -> Iterator["subprocess.Popen[str]"]:
    """A `dock-runner watch` that has begun to read, and is stopped."""
    client = subprocess.Popen(
        program.command("watch", "-o", "json", "--server", f"unix:{program.socket}"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert client.stdout is not None
        assert client.stdout.readline()
        client.send_signal(signal.SIGSTOP)
        yield client
    finally:
        client.kill()
        client.wait()


def test_a_stalled_watcher_is_closed_and_nobody_else_notices(tmp_path: Path) -> None:
    with Program(tmp_path, "--engine", "memory", "--log-level", "warning") as program:
        program.start()
        writer = Writer(program)
        writer.write(10)
        watchers = [Watcher(program) for _ in range(WATCHERS - 1)]
        for watcher in watchers:
            watcher.start()
        alone = writer.write(PART)
        with stalled_client(program) as stalled:
            beside: list[float] = []
            while program.metric("dock_runner_watchers", kind="Service") == WATCHERS:
                assert len(beside) < MOST, "the stalled watcher is let go on"
                beside += writer.write(PART)
            stalled.send_signal(signal.SIGCONT)
            _, words = stalled.communicate(timeout=60)
            assert (stalled.returncode, "resource exhausted" in words) == (1, True), words
        alone += writer.write(PART)  # before and after, as the machine may have been busier by then
        for watcher in watchers:
            eventually(partial(_is_exact, watcher, program))
            assert watcher.failure is None
            assert watcher.versions == sorted(set(watcher.versions)), "in order, and nothing twice"
            watcher.stream.cancel()
            watcher.join(30)
        before, after = median(alone), median(beside)
        logger.info("Apply, median: %.1f ms; beside a stalled watcher: %.1f ms", before * 1000, after * 1000)
        assert after < 1.5 * before + 0.005


def _is_exact(watcher: Watcher, program: Program) -> bool:
    listed = program.api.List(pb.ListRequest()).services
    return watcher.known == {service.metadata.name: service for service in listed}
