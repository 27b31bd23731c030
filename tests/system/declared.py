"""Services that come and go in one program's file: each as the file has it, as the API tells of it, as Docker sees it.

Several tests share a program, and each has services of its own in it, so that none waits for a start.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker as sdk

from controller.scheduler.engine import LABEL_INSTANCE, LABEL_SERVICE
from proto.dockrunner import v1 as pb
from tests.conftest import remove_instance

from .program import Program, eventually

# Obeys SIGTERM at once.
SLEEP = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"


class Declared:
    """The services of a running program."""

    def __init__(self, program: Program, docker: sdk.APIClient, instance: str) -> None:
        self.program = program
        self.docker = docker
        self.instance = instance
        self._tables: dict[str, str] = {}
        self._forgotten: list[str] = []

    def declare(self, name: str, body: str, *, tables: str = "") -> "Service":
        """Puts a service into the file, by the lines of its table and further ``tables``, or changes it."""
        service = self.program.service_or_none(name)
        generation = service.metadata.generation if service is not None else 0
        self._tables[name] = f"[services.{name}]\n{body}\n{tables}\n"
        self._write()
        eventually(lambda: self.generation(name) > generation)
        return Service(self, name)

    def generation(self, name: str) -> int:
        service = self.program.service_or_none(name)
        return service.metadata.generation if service is not None else 0

    def forget(self) -> None:
        """Takes all services out of the file."""
        self._forgotten += self._tables
        self._tables.clear()
        self._write()

    def until_gone(self) -> None:
        """Until the services that were taken out of the file are gone."""
        eventually(lambda: all(self.program.service_or_none(name) is None for name in self._forgotten))
        self._forgotten.clear()

    def _write(self) -> None:
        self.program.declare("\n".join(self._tables.values()) or "[services]\n")


class Service:
    """One of them."""

    def __init__(self, declared: Declared, name: str) -> None:
        self.program, self.docker, self.name = declared.program, declared.docker, name
        self._declared = declared

    # As the API tells of it.

    def condition(self, type_: str) -> pb.Condition:
        """The condition of that type; an empty one before the first pass."""
        conditions = self.program.service(self.name).status.conditions
        return next((it for it in conditions if it.type == type_), pb.Condition())

    @property
    def ready(self) -> int:
        """How many containers are ready."""
        return self.program.service(self.name).status.ready_replicas

    @property
    def rollout(self) -> pb.Rollout:
        return self.program.service(self.name).status.rollout

    @property
    def containers(self) -> list[pb.Container]:
        """Those that are to stay."""
        return self.program.containers(self.name)

    def state_names(self) -> list[str]:
        """What they do, in capitals."""
        return [pb.ContainerStatus.State.Name(it.status.state) for it in self.containers]

    @property
    def ids(self) -> dict[int, str]:
        """Docker's ids of those that are ready, by slot."""
        return self.program.ids(self.name)

    @property
    def revisions(self) -> list[pb.Revision]:
        """The newest first."""
        return list(self.program.api.ListRevisions(pb.ListRevisionsRequest(name=self.name)).revisions)

    def events(self, reason: str = "") -> list[pb.Event]:
        """What was told of it and its containers, the oldest first; of one reason or all."""
        found = self.program.api.ListEvents(pb.ListEventsRequest(service=self.name)).events
        return [event for event in found if reason in ("", event.reason)]

    def until_converged(self, replicas: int = 1, seconds: float = 30) -> None:
        eventually(lambda: self.program.converged(**{self.name: replicas}), seconds)

    def until_degraded(self, reason: str, message: str) -> None:
        """Until it is said to be degraded for a reason, in a message with those words."""

        def is_so() -> bool:
            found = self.condition("Degraded")
            return (found.status, found.reason) == ("True", reason) and message in found.message

        eventually(is_so)

    # As Docker sees it.

    def in_docker(self, *states: str) -> list[str]:
        """Docker's ids of its containers, in some states or all."""
        labels = [f"{LABEL_INSTANCE}={self._declared.instance}", f"{LABEL_SERVICE}={self.name}"]
        found = self.docker.containers(all=True, filters={"label": labels})
        return [it["Id"] for it in found if not states or it["State"] in states]

    def inspected(self) -> list[Any]:
        """What Docker has of each of its containers; on a full disk a list keeps the state of before, and this not."""
        found = []
        for container in self.in_docker():
            with contextlib.suppress(sdk.errors.NotFound):  # it went in between
                found.append(self.docker.inspect_container(container))
        return found

    def environment(self, name: str) -> list[str]:
        """What a variable is in each of its running containers."""
        running = [it["Config"]["Env"] for it in self.inspected() if it["State"]["Running"]]
        return sorted(it.partition("=")[2] for variables in running for it in variables if it.startswith(f"{name}="))

    def lives(self, since: float) -> list[tuple[int, str, str]]:
        """When its containers started and ended since a moment: nanoseconds, ``start`` or ``die``, and which.

        Docker keeps 256 events of all containers: with health checks they are soon forgotten.
        """
        labels = [f"{LABEL_INSTANCE}={self._declared.instance}", f"{LABEL_SERVICE}={self.name}"]
        seen = self.docker.events(
            since=int(since), until=int(time.time()) + 1, decode=True,
            filters={"type": "container", "event": ["start", "die"], "label": labels},
        )  # fmt: skip
        return [(it["timeNano"], it["Action"], it["id"]) for it in seen]

    def most_at_once(self, since: float) -> int:
        """The most of its containers that ran at one time since a moment."""
        running = most = 0
        for _, action, _ in sorted(self.lives(since)):
            running += 1 if action == "start" else -1
            most = max(most, running)
        return most


@contextlib.contextmanager
def shared_program(folder: Path, host: str, *options: str) -> Iterator[Declared]:
    """A program that watches its file and is ready, in an instance of its own; all that it made is gone afterwards."""
    instance = f"t{os.getpid()}{folder.name.replace('_', '-')}"
    with contextlib.closing(sdk.APIClient(host, version="auto", timeout=60)) as docker:
        arguments = ("--docker-host", host, "--instance", instance, "--allow-empty", *options)
        try:
            with Program(folder, *arguments) as program:
                program.declare("[services]\n")
                program.start("--config", str(program.config))
                yield Declared(program, docker, instance)
        finally:
            remove_instance(docker, instance)


def calls(program: Program, operation: str) -> int:
    """How often the engine was asked to do something, with whatever outcome."""
    return int(
        sum(
            value
            for (name, labels), value in program.metrics().items()
            if name == "dock_runner_engine_request_duration_seconds_count" and ("operation", operation) in labels
        )
    )
