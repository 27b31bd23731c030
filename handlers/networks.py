"""Networks go when nobody names them any more."""

import logging
from collections.abc import Iterable, Iterator

from controller.errors import EngineError, EngineUnavailable
from controller.scheduler.engine import Engine
from controller.store import CONTAINER, SERVICE, Store
from proto.dockrunner import v1 as pb

from .instance import Instance

logger = logging.getLogger("dock_runner.container-controller")


class Networks:
    """Which networks containers are attached to, by their names in the engine.

    A service that is being deleted, and a container that is, name none: the last of them to leave the engine takes
    the networks along. The engine itself keeps those that still have containers.
    """

    def __init__(self, store: Store, engine: Engine, instance: Instance) -> None:
        self._store = store
        self._engine = engine
        self._instance = instance
        self._noted: dict[str, frozenset[str]] = {}

    def note(self, container: pb.Container) -> None:
        """Remembers the networks of a container that is about to leave: of an adopted one only its addresses tell."""
        known = self._noted.get(container.metadata.uid, frozenset())
        self._noted[container.metadata.uid] = known.union(self._of_container(container))

    async def left(self, container: pb.Container) -> None:
        """Removes the networks that nobody names now that the container has left the engine.

        One that cannot be removed holds up nobody: it stays.

        Raises:
            EngineUnavailable: no answer came; it may be tried again.
        """
        self.note(container)
        for name in sorted(self._unnamed(self._noted[container.metadata.uid])):
            try:
                await self._engine.remove_network(name)
            except EngineUnavailable:
                raise
            except EngineError as error:
                logger.warning("network %s cannot be removed: %s", name, error)
        del self._noted[container.metadata.uid]

    def _unnamed(self, names: Iterable[str]) -> set[str]:
        left = set(names)
        for named in self._named():
            if not left:
                break
            left.difference_update(named)
        return left

    def _named(self) -> Iterator[Iterable[str]]:
        for service in self._store.list(SERVICE):
            if not service.metadata.HasField("delete_time"):
                yield self._of_spec(service.metadata.name, service.spec)
        for container in self._store.list(CONTAINER):
            if not container.metadata.HasField("delete_time"):
                yield self._of_container(container)

    def _of_container(self, container: pb.Container) -> Iterable[str]:
        spec = container.spec
        if spec.HasField("template"):
            return self._of_spec(spec.service, spec.template)
        service = self._store.find(SERVICE, spec.service)
        declared = self._of_spec(spec.service, service.spec) if service is not None else ()
        return {*declared, *container.status.addresses}

    def _of_spec(self, service: str, spec: pb.ServiceSpec) -> Iterable[str]:
        networks = self._instance.networks(service, spec)
        return [name for name, attachment in networks.items() if not attachment.definition.external]
