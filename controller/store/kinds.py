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


T = TypeVar("T", pb.Service, pb.Container, pb.Event)


@dataclass(frozen=True, eq=False)
class Kind(Generic[T]):
    """One kind of object.

    ``labels`` are what selectors see; ``owner`` is the key of the Service whose controller must learn of each
    change; ``indices`` name the look-ups that the store keeps up to date.
    """

    name: str
    message: type[T]
    labels: Callable[[T], Mapping[str, str]]
    owner: Callable[[T], str | None] = lambda _: None
    indices: Mapping[str, Callable[[T], str]] = field(default_factory=dict)

    def spec(self, obj: T) -> Message | None:
        """What is wanted of the object; None for a kind that wants nothing."""
        found: Any = getattr(obj, "spec", None)
        return found if isinstance(found, Message) else None

    def __str__(self) -> str:
        return self.name


def _service_labels(service: pb.Service) -> Mapping[str, str]:
    return {**service.spec.labels, **service.metadata.labels}


SERVICE: Kind[pb.Service] = Kind("Service", pb.Service, labels=_service_labels)

CONTAINER: Kind[pb.Container] = Kind(
    "Container",
    pb.Container,
    labels=lambda container: container.metadata.labels,
    owner=lambda container: container.spec.service,
    indices={
        "service": lambda container: container.spec.service,
        "uid": lambda container: container.metadata.uid,
        "docker_id": lambda container: container.status.docker_id,
    },
)

EVENT: Kind[pb.Event] = Kind(
    "Event",
    pb.Event,
    labels=lambda event: event.metadata.labels,
    indices={"service": lambda event: event.regarding.service},
)

KINDS: tuple[Kind[Any], ...] = (SERVICE, CONTAINER, EVENT)
