"""The kinds of object that ``get`` knows: how to list, to follow and to show each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from proto.dockrunner import v1 as pb

from . import rows
from .client import Client
from .tables import Row


@dataclass(frozen=True)
class Resource:
    """One kind. ``names`` are what an object answers to; ``must_exist`` whether a name that finds none is an error."""

    kind: str
    aliases: tuple[str, ...]
    heads: tuple[str, ...]
    heads_wide: tuple[str, ...]
    row: Callable[..., Row]
    names: Callable[[Any], tuple[str, ...]]
    list_pages: Callable[[Client, str], Iterator[Any]]
    follow: Callable[[Client, str, str], Iterator[Any]]
    must_exist: bool = True
    has_labels: bool = True

    def find(self, client: Client, names: Sequence[str], selector: str) -> tuple[list[Any], str]:
        """The objects, those with these names when there are any, and the version that a watch goes on from."""
        objects: list[Any] = []
        version = ""
        for page in self.list_pages(client, selector):
            objects += getattr(page, f"{self.kind}s")
            version = page.resource_version
        return [obj for obj in objects if self.answers(obj, names)], version

    def answers(self, obj: Any, names: Sequence[str]) -> bool:
        """Whether an object is among those asked for."""
        return not names or any(name in names for name in self.names(obj))

    def missing(self, objects: Sequence[Any], names: Sequence[str]) -> list[str]:
        """The names that found nothing."""
        if not self.must_exist:
            return []
        found = {name for obj in objects for name in self.names(obj)}
        return [name for name in dict.fromkeys(names) if name not in found]

    def stream(self, client: Client, names: Sequence[str], selector: str, version: str) -> Iterator[Any]:
        """The changes after a version, without bookmarks."""
        for change in self.follow(client, selector, version):
            if change.type != pb.BOOKMARK and self.answers(getattr(change, self.kind), names):
                yield change


SERVICES = Resource(
    "service", ("services", "svc"), rows.SERVICE_HEADS, rows.SERVICE_HEADS_WIDE, rows.service_row,
    names=lambda service: (service.metadata.name,),
    list_pages=lambda client, selector: client.pages(client.stub.List, pb.ListRequest(label_selector=selector)),
    follow=lambda client, selector, version: client.stub.Watch(
        pb.WatchRequest(label_selector=selector, resource_version=version)
    ),
)  # fmt: skip

CONTAINERS = Resource(
    "container", ("containers", "c"), rows.CONTAINER_HEADS, rows.CONTAINER_HEADS_WIDE, rows.container_row,
    names=lambda container: (container.metadata.name, container.spec.service),
    list_pages=lambda client, selector: client.pages(
        client.stub.ListContainers, pb.ListContainersRequest(label_selector=selector)
    ),
    follow=lambda client, selector, version: client.stub.WatchContainers(
        pb.WatchContainersRequest(label_selector=selector, resource_version=version)
    ),
)  # fmt: skip

EVENTS = Resource(
    "event", ("events", "ev"), rows.EVENT_HEADS, rows.EVENT_HEADS_WIDE, rows.event_row,
    names=lambda event: (event.regarding.name, event.regarding.service),
    list_pages=lambda client, _: client.pages(client.stub.ListEvents, pb.ListEventsRequest()),
    follow=lambda client, _, version: client.stub.WatchEvents(pb.WatchEventsRequest(resource_version=version)),
    must_exist=False,
    has_labels=False,
)  # fmt: skip

BY_NAME = {name: resource for resource in (SERVICES, CONTAINERS, EVENTS) for name in (resource.kind, *resource.aliases)}
