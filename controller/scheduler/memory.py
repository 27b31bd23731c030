"""The memory engine: simulates containers in process, for a look around without Docker, for tests and for scale."""

import asyncio
import hashlib
import ipaddress
import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from controller.clock import Clock
from controller.errors import ContainerGone, EngineError, EngineUnavailable, ImageMissing
from proto.dockrunner import v1 as pb

from .engine import LABEL_SERVICE, LABEL_SLOT, CreateRequest, EngineEvent, Image, Observed, Progress, Usage
from .memory_images import MemoryImages

State = pb.ContainerStatus

# Exit codes of a process that a signal ended: 128 and the signal's number.
KILLED = 137
STOPPED = 143

# Addresses are given out one by one from here on, for each network of each container.
FIRST_ADDRESS = ipaddress.IPv4Address("10.0.0.2")


@dataclass
class _Container:
    """One simulated container."""

    id: str
    request: CreateRequest
    restart: str
    addresses: Mapping[str, str]
    resources: pb.Resources = field(default_factory=pb.Resources)
    status: pb.ContainerStatus = field(default_factory=pb.ContainerStatus)
    output: list[str] = field(default_factory=list)
    cpus: float = 0.0  # how many it keeps busy, since when on the monotonic clock, and the seconds before that
    busy_since: float = 0.0
    cpu_seconds: float = 0.0


class MemoryEngine:
    """Containers that only seem to run.

    Every image is there. What people do to containers in Docker can be done here: :meth:`kill`, :meth:`crash`,
    :meth:`discard`, and :meth:`go_away` for the engine itself.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._containers: dict[str, _Container] = {}
        self._ids: dict[str, str] = {}  # by uid, so that a repeated create finds its first try
        self._serial = itertools.count(1)
        self._addresses = itertools.count(int(FIRST_ADDRESS))
        # Told in the order in which they came.
        self._subscribers: dict[asyncio.Queue[EngineEvent | None], None] = {}
        self._away = False
        self._images = MemoryImages()
        self.networks: dict[str, pb.NetworkDefinition] = {}
        """Those that were made, by name."""
        self._volumes: dict[str, Mapping[str, str]] = {}

    # The port.

    @property
    def is_local(self) -> bool:
        return True

    async def ping(self) -> None:
        self._answer()

    async def list(self) -> Sequence[Observed]:
        self._answer()
        return [self._observed(container, inspected=False) for container in self._containers.values()]

    async def inspect(self, container_id: str) -> Observed:
        return self._observed(self._get(container_id), inspected=True)

    async def pull(self, image: str, progress: Progress) -> None:
        self._answer()
        self._images.pull(image)
        progress("simulated")

    async def image(self, reference: str) -> Image | None:
        self._answer()
        return self._images.find(reference)

    async def digest_of(self, image: str) -> str:
        self._answer()
        return self._images.digest_of(image)

    async def remove_image(self, reference: str) -> bool:
        self._answer()
        return self._images.remove(reference, {container.status.image_id for container in self._containers.values()})

    async def ensure_network(self, name: str, definition: pb.NetworkDefinition) -> None:
        self._answer()
        if not definition.external:  # each external one is there
            self.networks[name] = definition

    async def remove_network(self, name: str) -> None:
        self._answer()
        if not any(name in container.request.networks for container in self._containers.values()):
            self.networks.pop(name, None)

    async def volumes(self) -> Mapping[str, Mapping[str, str]]:
        self._answer()
        return dict(self._volumes)

    async def remove_volume(self, name: str) -> bool:
        self._answer()
        if any(name in _volumes_of(container.request) for container in self._containers.values()):
            return False
        self._volumes.pop(name, None)
        return True

    async def create(self, request: CreateRequest) -> str:
        self._answer()
        image = self._images.find(request.template.image)
        if image is None:
            raise ImageMissing(f"no such image: {request.template.image}")
        if (known := self._ids.get(request.uid)) in self._containers:
            return str(known)
        docker_id = hashlib.sha256(f"{request.uid}/{next(self._serial)}".encode()).hexdigest()
        addresses = {
            name: request.networks[name].ipv4_address or str(ipaddress.IPv4Address(next(self._addresses)))
            for name in sorted(request.networks)
        }
        self._volumes = {**_volumes_of(request), **self._volumes}
        container = self._containers[docker_id] = _Container(docker_id, request, request.restart, addresses)
        self._ids[request.uid] = docker_id
        container.status.state = State.CREATED
        container.status.docker_id = docker_id
        container.status.image_id = image.id
        container.status.ports.extend(request.template.ports)
        self._emit("create", container)
        return docker_id

    async def start(self, container_id: str) -> None:
        container = self._get(container_id)
        if container.status.state != State.RUNNING:
            self._begin(container)

    async def update(self, container_id: str, restart: str, resources: pb.Resources) -> None:
        container = self._get(container_id)
        container.restart, container.resources = restart, resources

    def effective(self, resources: pb.Resources) -> pb.Resources:
        return resources

    async def last_lines(self, container_id: str, count: int) -> Sequence[str]:
        return self._get(container_id).output[-count:]

    async def usage(self, container_id: str) -> Usage:
        container = self._get(container_id)
        if container.status.state != State.RUNNING:
            raise EngineError("it does not run, so it uses nothing")
        return Usage(self._cpu_seconds(container), self._clock.now())

    async def stop(self, container_id: str, grace: float) -> None:  # noqa: ARG002  # simulated processes obey at once
        self._end(self._get(container_id), STOPPED)

    async def remove(self, container_id: str) -> None:
        self._answer()
        if (container := self._containers.pop(container_id, None)) is not None:
            self._ids.pop(container.request.uid, None)
            self._emit("destroy", container)

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        self._answer()
        queue: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        self._subscribers[queue] = None
        try:
            yield EngineEvent("subscribed", "")
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._subscribers.pop(queue, None)

    async def close(self) -> None:
        self._end_streams()

    # What else happens to containers.

    def newest(self, service: str, slot: int) -> str | None:
        """The id of the container that was made last for a slot of a service, if one is there."""
        wanted = (service, str(slot))
        ids = [
            container.id
            for container in self._containers.values()
            if (container.request.labels.get(LABEL_SERVICE), container.request.labels.get(LABEL_SLOT)) == wanted
        ]
        return ids[-1] if ids else None

    def kill(self, container_id: str) -> None:
        """As ``docker kill``: Docker's restart policy leaves it alone."""
        self._end(self._get(container_id), KILLED)

    def crash(self, container_id: str, exit_code: int = 1) -> None:
        """The process ends by itself; brought back when the restart policy says so."""
        container = self._get(container_id)
        self._end(container, exit_code)
        if container.restart in ("always", "unless-stopped") or (
            container.restart.startswith("on-failure") and exit_code != 0
        ):
            container.status.restart_count += 1
            self._begin(container)

    def discard(self, container_id: str) -> None:
        """As ``docker rm -f``."""
        container = self._get(container_id)
        self._end(container, KILLED)
        del self._containers[container_id]
        self._emit("destroy", container)

    def work(self, container_id: str, cpus: float) -> None:
        """From now on it keeps so many processors busy."""
        container = self._get(container_id)
        container.cpu_seconds = self._cpu_seconds(container)
        container.cpus, container.busy_since = cpus, self._clock.monotonic()

    def lose_image(self, image: str) -> None:
        """The image is not there until it is pulled."""
        self._images.lose(image)

    def publish(self, image: str) -> str:
        """A tag moves: its registry has another image from now on, whose digest is returned."""
        return self._images.publish(image)

    def go_away(self) -> None:
        """The engine no longer answers; its containers go on."""
        self._away = True
        self._end_streams()

    def come_back(self) -> None:
        """The engine answers again."""
        self._away = False

    # Inside.

    def _answer(self) -> None:
        if self._away:
            raise EngineUnavailable("the simulated engine is away")

    def _get(self, container_id: str) -> _Container:
        self._answer()
        try:
            return self._containers[container_id]
        except KeyError:
            raise ContainerGone(f"no such container: {container_id:.12}") from None

    def _cpu_seconds(self, container: _Container) -> float:
        return container.cpu_seconds + container.cpus * (self._clock.monotonic() - container.busy_since)

    def _begin(self, container: _Container) -> None:
        container.cpus = container.cpu_seconds = 0.0
        container.status.state = State.RUNNING
        container.status.started_at.FromDatetime(self._clock.now())
        container.status.addresses.update(container.addresses)
        self._emit("start", container)

    def _end(self, container: _Container, exit_code: int) -> None:
        if container.status.state not in (State.RUNNING, State.PAUSED):
            return
        container.status.state = State.EXITED
        container.status.exit_code = exit_code
        container.status.addresses.clear()
        container.status.finished_at.FromDatetime(self._clock.now())
        self._emit("die", container)

    def _observed(self, container: _Container, *, inspected: bool) -> Observed:
        status = pb.ContainerStatus()
        status.CopyFrom(container.status)
        request = container.request
        return Observed(
            container.id, request.name, request.labels, status, inspected, container.restart, container.resources
        )

    def _emit(self, action: str, container: _Container) -> None:
        event = EngineEvent(action, container.id, container.request.labels)
        for queue in self._subscribers:
            queue.put_nowait(event)

    def _end_streams(self) -> None:
        for queue in self._subscribers:
            queue.put_nowait(None)


def _volumes_of(request: CreateRequest) -> Mapping[str, Mapping[str, str]]:
    """The labels of the named volumes that come to be with a container, by name; each external one is there."""
    service = {LABEL_SERVICE: request.labels.get(LABEL_SERVICE, "")}
    return {
        mount.source: {**mount.definition.labels, **service}
        for mount in request.template.volumes
        if mount.type in ("", "volume") and mount.source and not mount.definition.external
    }
