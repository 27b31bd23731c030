"""The Engine port: what Dock Runner asks of whatever runs containers. One file beside this one per engine."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from proto.dockrunner import v1 as pb

LABEL_INSTANCE = "dock-runner.instance"
LABEL_SERVICE = "dock-runner.service"
LABEL_SLOT = "dock-runner.slot"
LABEL_UID = "dock-runner.uid"
LABEL_REVISION = "dock-runner.revision"
LABEL_MANAGER = "dock-runner.manager"
LABEL_JOINED = "dock-runner.joined"
LABEL_FOLLOWS = "dock-runner.follows"
LABEL_RUN = "dock-runner.run"
"""Of a scheduled service: when the run that the container is of was due, as in RFC 3339."""
LABEL_DEFINITION = "dock-runner.definition"
"""On a network: what it was made as, as a hash."""


@dataclass(frozen=True)
class Observed:
    """One container as the engine has it.

    ``status`` is complete (state, exit code, restart count, ports, times …) when ``inspected``; out of a list only
    ``state``, ``health``, ``docker_id`` and ``image_id`` are set. ``ready`` is not the engine's to decide.
    ``restart`` is the engine's own restart policy in the form of ``ServiceSpec.restart``, ``resources`` are the limits
    that it has; both are known when inspected.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    status: pb.ContainerStatus
    inspected: bool
    restart: str = ""
    resources: pb.Resources = field(default_factory=pb.Resources)


@dataclass(frozen=True)
class EngineEvent:
    """A hint that something happened to a container of ours: ``action`` is Docker's word (``die``, ``start`` …)."""

    action: str
    id: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FileMount:
    """A file of this machine that a container sees, and cannot write: ``source`` is here, ``target`` there."""

    source: str
    target: str


@dataclass(frozen=True)
class CreateRequest:
    """A container to be made.

    ``labels`` are all of its labels, ours among them. ``networks`` says by the name of a network in the engine what it
    is and how to attach the container, the first one first. ``network_mode`` in place of networks of its own: ``none``,
    ``host``, or ``container:ID``. ``template`` has one published port per entry, or none; its volumes are named as in
    the engine, and no placeholders are left. Its limits are not the template's but ``resources``, and ``files`` are
    mounted besides its volumes.
    """

    name: str
    uid: str
    template: pb.ServiceSpec
    restart: str
    labels: Mapping[str, str]
    networks: Mapping[str, pb.NetworkAttachment]
    network_mode: str = ""
    resources: pb.Resources = field(default_factory=pb.Resources)
    files: Sequence[FileMount] = ()


@dataclass(frozen=True)
class Image:
    """An image that the engine has: ``digests`` are the names by which registries know it, ``repo@sha256:…``."""

    id: str
    digests: Sequence[str] = ()


@dataclass(frozen=True)
class Usage:
    """What a container uses at one moment.

    ``cpu_seconds`` is all the processor time that it has used since it was started: two samples make a rate.
    ``sampled`` is when, by the engine's wall clock. ``memory`` is in bytes, without what is only cached of files.
    """

    cpu_seconds: float
    sampled: datetime
    memory: int = 0


Progress = Callable[[str], None]


class Engine(Protocol):
    """Runs containers of one instance; sees no others.

    Every call has a deadline. Each may raise ``EngineUnavailable`` when no answer came, so that nothing is known,
    and ``EngineError`` with the engine's own words when it refused. Calls that name a container raise
    ``ContainerGone`` when there is none of that id. Any call may be repeated: create finds what an earlier try
    with the same uid made, and stop and remove of what is stopped or gone succeed.
    """

    @property
    def is_local(self) -> bool:
        """Whether its containers can have files of this machine."""

    async def ping(self) -> None:
        """Returns when the engine accepts new work, over a new connection: one that shuts down does not."""

    async def list(self) -> Sequence[Observed]:
        """Every container of this instance, running or not."""

    async def inspect(self, container_id: str) -> Observed:
        """One container in full."""

    async def image(self, reference: str) -> Image | None:
        """The image that is on this machine under a reference or an id; None when there is none."""

    async def pull(self, image: str, progress: Progress) -> None:
        """Fetches an image, with the credentials that the machine has for its registry.

        ``progress`` is told of it in a few words at most about once a second, and at the end.

        Raises:
            PullError: it could not be fetched.
        """

    async def digest_of(self, image: str) -> str:
        """The digest, ``sha256:…``, that the image's registry has for it now. Nothing is fetched.

        Raises:
            PullError: the registry does not say.
        """

    async def remove_image(self, reference: str) -> bool:
        """Removes an image by a reference or an id; one with further names only loses this one. False when it is not
        there, or in use: by a container, running or not, by another image, or under several names by its id."""

    async def ensure_network(self, name: str, definition: pb.NetworkDefinition) -> None:
        """Makes the instance's network of that name unless it is there; an external one has to be there.

        One of another definition is left to the containers that use it, and goes with the last of them.
        """

    async def remove_network(self, name: str) -> None:
        """Removes the instance's network of that name, unless a container is attached to it, running or not."""

    async def volumes(self) -> Mapping[str, Mapping[str, str]]:
        """The labels of each named volume that was made for this instance, by its name."""

    async def remove_volume(self, name: str) -> bool:
        """Removes the instance's volume of that name; False when a container has it, running or not."""

    async def create(self, request: CreateRequest) -> str:
        """Makes a container, or finds the one that an earlier try made, and returns its id.

        Raises:
            ImageMissing: its image is not on this machine.
        """

    async def start(self, container_id: str) -> None:
        """Starts a container; one that runs is left as it is."""

    async def update(self, container_id: str, restart: str, resources: pb.Resources) -> None:
        """Changes the restart policy and the limits in place; a limit of 0 is taken away."""

    def effective(self, resources: pb.Resources) -> pb.Resources:
        """What limits come to on this machine: one beyond what it has is none."""

    async def last_lines(self, container_id: str, count: int) -> Sequence[str]:
        """The last lines that a container has put out, oldest first, each cut to a readable length."""

    async def usage(self, container_id: str) -> Usage:
        """One sample of what a container that runs uses. Never waits for calls of another kind, nor they for it.

        Raises:
            EngineError: it does not run.
        """

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
