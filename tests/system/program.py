"""The whole program as a user runs it: a process of its own, its file, its API and its metrics."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proto.dockrunner import v1 as pb
from proto.dockrunner.v1.control_plane_pb2_grpc import ControlPlaneStub

T = TypeVar("T")

# Seconds that a promise of "within seconds" may take on a busy machine of two cores.
PATIENCE = 30.0


def eventually(look: Callable[[], T], seconds: float = PATIENCE, every: float = 0.02) -> T:
    """Looks again and again until the answer is true, and returns it."""
    end = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < end, f"it did not come to be within {seconds:g} s"
        time.sleep(every)
    return answer


def free_port() -> int:
    """A TCP port of the loopback address that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Program:
    """``python -m controller`` in a folder of its own; ended when the ``with`` ends."""

    def __init__(self, folder: Path, *options: str, verb: str = "") -> None:
        self.folder = folder
        self.config = folder / "services.toml"
        self.socket = folder / "run" / "dock-runner.sock"
        self.metrics_port = free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: grpc.Channel | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if error is not None:
            sys.stderr.write(f"--- log of the program ---\n{self.log}")

    def command(self, *arguments: str) -> list[str]:
        """The command line of the program, or of a client verb."""
        return [sys.executable, "-m", "controller", *arguments]

    def start(self, *more: str, ready: bool = True) -> Self:
        """Starts the process; returns when it is ready, or at once."""
        log = (self.folder / "log").open("ab")
        options = (
            "--listen", f"unix:{self.socket}", "--metrics", f"127.0.0.1:{self.metrics_port}",
            "--state-dir", str(self.folder / "state"), *self._options, *more,
        )  # fmt: skip
        self._process = subprocess.Popen(self.command(*options), stderr=log, stdout=log, cwd=self.folder)
        log.close()
        if ready:
            eventually(self.is_ready)
        return self

    def is_ready(self) -> bool:
        """Whether it says so; fails when the process has ended."""
        assert self._process is not None
        assert self._process.poll() is None, f"it ended with {self._process.returncode}: {self.log}"
        return self.http("/readyz")[0] == 200

    def stop(self) -> int:
        """Asks it to end, as a service manager does; its exit status."""
        return self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once, wherever it is."""
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGKILL)
        self._disconnect()

    def signal(self, number: signal.Signals) -> int:
        """Sends a signal that ends it; its exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(timeout=15)
        self._disconnect()
        return status

    def hang_up(self) -> None:
        """SIGHUP: read the file again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Waits for its end; its exit status."""
        assert self._process is not None
        return self._process.wait(timeout=seconds)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """All that it has said so far."""
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    # Its faces.

    @property
    def api(self) -> ControlPlaneStub:
        """A client of its API."""
        return ControlPlaneStub(self.channel)

    @property
    def channel(self) -> grpc.Channel:
        if self._channel is None:
            self._channel = grpc.insecure_channel(f"unix:{self.socket}")
        return self._channel

    def http(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the metrics address; status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample, by name and sorted labels."""
        families = text_string_to_metric_families(self.http("/metrics")[1])
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def metric(self, name: str, /, **labels: str) -> float:
        return self.metrics()[name, tuple(sorted(labels.items()))]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A client verb against this program."""
        environment = {**os.environ, "DOCK_RUNNER_SERVER": f"unix:{self.socket}", "NO_COLOR": "1"}
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=60, cwd=self.folder, env=environment
        )

    # What it manages.

    def declare(self, text: str) -> None:
        """Writes the file, as an editor does: beside it, then in its place."""
        beside = self.config.with_suffix(".new")
        beside.write_text(text)
        beside.replace(self.config)

    def service(self, name: str) -> pb.Service:
        return self.api.Get(pb.GetRequest(name=name))

    def service_or_none(self, name: str) -> pb.Service | None:
        """The service, or None while there is none or nobody answers."""
        try:
            return self.service(name)
        except grpc.RpcError:
            return None

    def containers(self, service: str = "") -> list[pb.Container]:
        """The container objects that are to stay, by name."""
        found = self.api.ListContainers(pb.ListContainersRequest(service=service)).containers
        return [container for container in found if not container.metadata.HasField("delete_time")]

    def ids(self, service: str = "") -> dict[int, str]:
        """Docker's ids of the containers of a service that are ready, by slot."""
        return {it.spec.slot: it.status.docker_id for it in self.containers(service) if it.status.ready}

    def converged(self, **replicas: int) -> bool:
        """Whether each named service has so many ready replicas, and nothing is under way."""
        for name, wanted in replicas.items():
            service = self.service_or_none(name)
            if service is None:
                return False
            conditions = {condition.type: condition.status for condition in service.status.conditions}
            if (
                service.status.observed_generation != service.metadata.generation
                or service.spec.replicas != wanted
                or service.status.ready_replicas != wanted
                or (conditions.get("Ready"), conditions.get("Progressing")) != ("True", "False")
            ):
                return False
        return True

    def until_converged(self, **replicas: int) -> None:
        eventually(lambda: self.converged(**replicas))

    def events(self, reason: str) -> list[pb.Event]:
        """Events of that reason."""
        found = self.api.ListEvents(pb.ListEventsRequest()).events
        return [event for event in found if event.reason == reason]

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


@contextlib.contextmanager
def refused(code: grpc.StatusCode) -> Iterator[pytest.ExceptionInfo[grpc.RpcError]]:
    """Expects a call to be refused with a code."""
    with pytest.raises(grpc.RpcError) as caught:
        yield caught
    assert caught.value.code() is code, caught.value.details()
