"""The kinds of object that the store holds, and what it must know of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from proto.dockrunner import v1 as pb


class Stored(Protocol):
    """A message that can be an object: it has ``metadata``. Once stored it is shared and never mutated."""

    @property
    def metadata(self) -> pb.Metadata: ...


T = TypeVar("T", pb.Service, pb.Container, pb.Event, pb.ServiceRevision)


@dataclass(frozen=True, eq=False)
class Kind(Generic[T]):
    """One kind of object.

    ``labels`` are what selectors see; ``owner`` is the key of the Service whose controller must learn of a change
    from old to new when ``concerns_owner`` says so; ``indices`` name the look-ups that the store keeps up to date,
    besides ``uid`` and ``owner`` (the uids of its owners), which every kind has.
    """

    name: str
    message: type[T]
    labels: Callable[[T], Mapping[str, str]]
    owner: Callable[[T], str | None] = lambda _: None
    concerns_owner: Callable[[T, T], bool] = lambda _old, _new: True
    indices: Mapping[str, Callable[[T], str]] = field(default_factory=dict)
    # Whether the journal keeps it; of the others Docker is asked.
    journaled: bool = False

    def spec(self, obj: T) -> Message | None:
        """What is wanted of the object; None for a kind that wants nothing."""
        found: Any = getattr(obj, "spec", None)
        return found if isinstance(found, Message) else None

    def __str__(self) -> str:
        return self.name


def _service_labels(service: pb.Service) -> Mapping[str, str]:
    return {**service.spec.labels, **service.metadata.labels}


SERVICE: Kind[pb.Service] = Kind("Service", pb.Service, labels=_service_labels, journaled=True)

_COMING_UP = frozenset(
    (pb.ContainerStatus.PENDING, pb.ContainerStatus.PULLING, pb.ContainerStatus.CREATED, pb.ContainerStatus.STARTING)
)


def _concerns_service(old: pb.Container, new: pb.Container) -> bool:
    """The steps of coming up are all one to a service, unless there is something to tell."""
    return (
        old.metadata.generation != new.metadata.generation
        or (new.spec.held and old.status.state != new.status.state)  # its predecessor waits for it
        or not {old.status.state, new.status.state} <= _COMING_UP
        or old.status.message != new.status.message
    )


CONTAINER: Kind[pb.Container] = Kind(
    "Container",
    pb.Container,
    labels=lambda container: container.metadata.labels,
    owner=lambda container: container.spec.service,
    concerns_owner=_concerns_service,
    indices={
        "service": lambda container: container.spec.service,
        "docker_id": lambda container: container.status.docker_id,
    },
)

EVENT: Kind[pb.Event] = Kind(
    "Event",
    pb.Event,
    labels=lambda event: event.metadata.labels,
    indices={"service": lambda event: event.regarding.service},
)

REVISION: Kind[pb.ServiceRevision] = Kind(
    "ServiceRevision",
    pb.ServiceRevision,
    labels=lambda revision: revision.metadata.labels,
    indices={"service": lambda revision: revision.service},
    journaled=True,
)

# Owners before what they own.
KINDS: tuple[Kind[Any], ...] = (SERVICE, REVISION, CONTAINER, EVENT)

_LABELS: Mapping[type, Callable[[Any], Mapping[str, str]]] = {kind.message: kind.labels for kind in KINDS}


def labels_of(obj: Any) -> Mapping[str, str]:
    """The labels that selectors see: of a service its own, and behind them those of its containers."""
    return _LABELS[type(obj)](obj)
