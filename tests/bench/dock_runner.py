"""Dock Runner: the real program as a process of its own, asked over its API."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import docker

from proto.dockrunner import v1 as pb
from tests.system.program import Program, eventually

from .contender import PATIENCE, Moments, Repair, TooSlow

INSTANCE = "bench"
SERVICE = "bench"


class DockRunner:
    """One program on the daemon, from beginning to end."""

    name = "Dock Runner"

    def __init__(self, host: str, image: str, concurrency: int, moments: Moments) -> None:
        self._image = image
        self._moments = moments
        self._docker = docker.APIClient(host, version="auto")
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        options = ("--docker-host", host, "--instance", INSTANCE, "--engine-concurrency", str(concurrency))
        self._program = Program(Path(self._folder.name), *options)

    def __enter__(self) -> Self:
        self._program.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.__exit__(kind, error, trace)
        self._docker.close()
        self._folder.cleanup()

    def scale(self, count: int) -> float:
        began = time.perf_counter()
        self._apply(count)
        return time.perf_counter() - began

    def stand(self) -> None:
        self._apply(1)

    def repair(self) -> Repair:
        request = pb.WatchContainersRequest(service=SERVICE, send_initial_events=True)
        stream = self._program.api.WatchContainers(request, timeout=PATIENCE)
        gone = _next_ready(stream, "")
        began, sent = time.perf_counter(), time.time()
        self._docker.kill(gone)
        replacement = _next_ready(stream, gone)
        ready = time.perf_counter() - began
        stream.cancel()
        eventually(lambda: self._program.converged(**{SERVICE: 1}))
        return self._moments.repair(gone, replacement, sent, ready)

    def clear(self) -> None:
        self._program.api.Delete(pb.DeleteRequest(name=SERVICE))
        eventually(lambda: self._program.service_or_none(SERVICE) is None, PATIENCE)

    def _apply(self, replicas: int) -> None:
        """Declares the service, and returns when the API says that it has converged."""
        spec = pb.ServiceSpec(image=self._image, replicas=replicas)
        declared = pb.Service(metadata=pb.Metadata(name=SERVICE), spec=spec)
        self._program.api.Apply(pb.ApplyRequest(service=declared))
        watch = pb.WatchRequest(name=SERVICE, send_initial_events=True)
        stream = self._program.api.Watch(watch, timeout=PATIENCE)
        for change in stream:
            if _converged(change.service, replicas):
                stream.cancel()
                return
        raise TooSlow("the watch ended")


def _converged(service: pb.Service, replicas: int) -> bool:
    status = service.status
    conditions = {condition.type: condition.status for condition in status.conditions}
    return (
        status.observed_generation == service.metadata.generation
        and status.ready_replicas == status.updated_replicas == replicas
        and (conditions.get("Ready"), conditions.get("Progressing")) == ("True", "False")
    )


def _next_ready(stream: Iterator[pb.WatchContainersResponse], unlike: str) -> str:
    """Docker's id of the next container that is ready and is another one."""
    for change in stream:
        if change.container.status.ready and change.container.status.docker_id != unlike:
            return change.container.status.docker_id
    raise TooSlow("the watch ended")
