"""Waiting until services are as declared, or gone: by watching, and again from the start when the watch breaks."""

import math
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TextIO

import click
import grpc

from controller.errors import DockRunnerError
from proto.dockrunner import v1 as pb

from . import rows
from .ages import short
from .client import Client, refusal

TIMEOUT = 300.0  # seconds
PATIENCE = 60.0  # seconds for a server that does not answer, where there is no other limit
_RETRY = 0.2  # seconds

# What a server that restarts, or a client that is slow, brings about: the next list mends it.
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
)

Services = Mapping[str, pb.Service]


def wait_converged(client: Client, generations: Mapping[str, int], timeout: float) -> None:
    """Returns when each service runs as declared at the generation given or a later one.

    Raises:
        DockRunnerError: ``timeout`` seconds passed, and why each is not; or one was deleted meanwhile, or its update
            failed.
    """
    progress = Progress()
    known: Services = {}
    for known in services(client, time.monotonic() + timeout):
        for name, generation in generations.items():
            if name not in known or known[name].metadata.HasField("delete_time"):
                raise DockRunnerError(f"{_what(name)} was deleted meanwhile")
            if _is_judged(known[name], generation) and (failure := rows.failed_rollout(known[name])):
                progress.show([])
                raise DockRunnerError(f"{_what(name)}: {failure}")
        waiting = [name for name, generation in generations.items() if not _reached(known[name], generation)]
        progress.show([f"{name} {rows.ready(known[name])}" for name in waiting])
        if not waiting:
            return
    progress.show([])
    late = [name for name, generation in generations.items() if name in known and not _reached(known[name], generation)]
    raise DockRunnerError(
        f"not ready after {lasting(timeout)}:" + "".join(f"\n  {_what(name)}: {why(known[name])}" for name in late)
        if late
        else f"the server could not be watched for {lasting(timeout)}"
    )


def wait_gone(client: Client, uids: Mapping[str, str], timeout: float) -> None:
    """Returns when no service of these names has the uid given any more.

    Raises:
        DockRunnerError: ``timeout`` seconds passed.
    """
    progress = Progress()
    there = list(uids)
    for known in services(client, time.monotonic() + timeout):
        there = [name for name, uid in uids.items() if name in known and known[name].metadata.uid == uid]
        progress.show(there)
        if not there:
            return
    progress.show([])
    raise DockRunnerError(f"still there after {lasting(timeout)}: {', '.join(map(_what, there))}")


def why(service: pb.Service) -> str:
    """Why it is not as declared, in a sentence."""
    if not rows.is_current(service):
        return "the controller has not looked at the new declaration yet"
    ready = rows.condition(service, "Ready")
    if ready is not None and ready.status != "True":
        return ready.message
    return rows.telling_condition(service).message


def _reached(service: pb.Service, generation: int) -> bool:
    return service.metadata.generation >= generation and rows.is_converged(service)


def _is_judged(service: pb.Service, generation: int) -> bool:
    """Whether its status speaks of the generation given or a later one."""
    return service.metadata.generation >= generation and rows.is_current(service)


def lasting(seconds: float) -> str:
    """How long something took."""
    return short(seconds) if seconds >= 1 else f"{seconds:g}s"


def _what(name: str) -> str:
    return f"service/{name}"


def services(client: Client, deadline: float, name: str = "") -> Iterator[Services]:
    """All services, or the one of that name, again after each change, until the deadline on the monotonic clock.

    Raises:
        Refused: the watch was refused; or there is no deadline, and the server has not answered for long.
    """
    answered = time.monotonic()
    while (left := deadline - time.monotonic()) > 0:
        known: dict[str, pb.Service] = {}
        complete = False
        try:
            request = pb.WatchRequest(name=name, send_initial_events=True)
            for change in client.stub.Watch(request, timeout=None if math.isinf(left) else left):
                if change.type == pb.DELETED:
                    known.pop(change.service.metadata.name, None)
                elif change.type != pb.BOOKMARK:
                    known[change.service.metadata.name] = change.service
                complete |= change.type == pb.BOOKMARK  # the first one ends what was there at the start
                if complete:
                    yield known
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return
            answered = time.monotonic() if complete else answered
            is_lost = math.isinf(deadline) and time.monotonic() - answered > PATIENCE
            if error.code() not in _PASSING or is_lost:
                raise refusal(error, client.address) from error
        time.sleep(min(_RETRY, max(0.0, deadline - time.monotonic())))


class Progress:
    """One line on a terminal that says what is waited for; nothing where no person looks. On standard error, unless
    another stream is given."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._on = self._stream.isatty()

    def show(self, waiting: list[str]) -> None:
        """Says what is waited for; nothing removes the line."""
        self.say(f"waiting for {', '.join(waiting)}" if waiting else "")

    def say(self, text: str) -> None:
        """Replaces the line."""
        if self._on:
            width = shutil.get_terminal_size().columns - 1
            click.echo(f"\r\x1b[K{text[:width]}", nl=False, file=self._stream)
