"""Small objects for the tests of the store."""

from collections.abc import Callable
from typing import Any

from controller.store import SERVICE, Store
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock


def a_store(**options: Any) -> Store:
    return Store(ManualClock(), **options)


def a_service(name: str = "web", image: str = "busybox", **metadata: Any) -> pb.Service:
    return pb.Service(metadata=pb.Metadata(name=name, **metadata), spec=pb.ServiceSpec(image=image))


def a_container(name: str, service: str) -> pb.Container:
    return pb.Container(metadata=pb.Metadata(name=name), spec=pb.ContainerSpec(service=service))


def image(text: str) -> Callable[[pb.Service], None]:
    def edit(service: pb.Service) -> None:
        service.spec.image = text

    return edit


def label(**labels: str) -> Callable[[pb.Service], None]:
    return lambda service: service.metadata.labels.update(labels)


def finalizers(*names: str) -> Callable[[pb.Service], None]:
    def edit(service: pb.Service) -> None:
        service.metadata.finalizers[:] = names

    return edit


def replicas(number: int) -> Callable[[pb.Service], None]:
    """Of the status."""

    def edit(service: pb.Service) -> None:
        service.status.replicas = number

    return edit


def generation(store: Store, name: str = "web") -> int:
    return store.get(SERVICE, name).metadata.generation
