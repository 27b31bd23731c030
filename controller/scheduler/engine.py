"""The Engine port: what Dock Runner asks of whatever runs containers. One file beside this one per engine."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from proto.dockrunner import v1 as pb

LABEL_INSTANCE = "dock-runner.instance"
LABEL_SERVICE = "dock-runner.service"
LABEL_SLOT = "dock-runner.slot"
LABEL_UID = "dock-runner.uid"
LABEL_REVISION = "dock-runner.revision"
LABEL_MANAGER = "dock-runner.manager"


@dataclass(frozen=True)
class Observed:
    """One container as the engine has it.

    ``status`` is complete (state, exit code, restart count, ports, times …) when ``inspected``; out of a list only
    ``state``, ``health``, ``docker_id`` and ``image_id`` are set. ``ready`` is not the engine's to decide.
    ``restart`` is the engine's own restart policy in the form of ``ServiceSpec.restart``; known when inspected.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    status: pb.ContainerStatus
    inspected: bool
    restart: str = ""


@dataclass(frozen=True)
class EngineEvent:
    """A hint that something happened to a container of ours: ``action`` is Docker's word (``die``, ``start`` …)."""

    action: str
    id: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CreateRequest:
    """A container to be made. ``labels`` are all of its labels, ours among them; ``networks`` maps the name of a
    network in the engine to the DNS aliases there. ``template`` has one published port per entry, or none."""

    name: str
    uid: str
    template: pb.ServiceSpec
    restart: str
    labels: Mapping[str, str]
    networks: Mapping[str, Sequence[str]]


Progress = Callable[[str], None]


class Engine(Protocol):
    """Runs containers of one instance; sees no others.

    Every call has a deadline. Each may raise ``EngineUnavailable`` when no answer came, so that nothing is known,
    and ``EngineError`` with the engine's own words when it refused. Calls that name a container raise
    ``ContainerGone`` when there is none of that id. Any call may be repeated: create finds what an earlier try
    with the same uid made, and stop and remove of what is stopped or gone succeed.
    """

    async def ping(self) -> None:
        """Returns when the engine accepts new work, over a new connection: one that shuts down does not."""

    async def list(self) -> Sequence[Observed]:
        """Every container of this instance, running or not."""

    async def inspect(self, container_id: str) -> Observed:
        """One container in full."""

    async def pull(self, image: str, progress: Progress) -> None:
        """Fetches an image; ``progress`` is told of it in a few words now and then.

        Raises:
            PullError: it could not be fetched.
        """

    async def ensure_network(self, name: str) -> None:
        """Makes the instance's network of that name unless it is there."""

    async def create(self, request: CreateRequest) -> str:
        """Makes a container, or finds the one that an earlier try made, and returns its id.

        Raises:
            ImageMissing: its image is not on this machine.
        """

    async def start(self, container_id: str) -> None:
        """Starts a container; one that runs is left as it is."""

    async def update(self, container_id: str, restart: str) -> None:
        """Changes the restart policy in place."""

    async def stop(self, container_id: str, grace: float) -> None:
        """Asks its process to stop, and kills it after ``grace`` seconds."""

    async def remove(self, container_id: str) -> None:
        """Removes a stopped container with its anonymous volumes."""

    def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Subscribes to what happens to containers of this instance; ends or raises when the connection does.

        The subscription stands when the first item arrives: it is an event with the action ``subscribed``, so that
        a list made after it misses nothing; events from shortly before it may come too.
        """

    async def close(self) -> None:
        """Ends every open call and subscription."""
