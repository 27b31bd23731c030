"""What is around a service: the services that it depends on, and those whose network it shares."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from controller.store import CONTAINER, SERVICE, Change, Store
from proto.dockrunner import v1 as pb

from .revision_history import history
from .slots import State, completed
from .target import target_of
from .work_done import remembered

STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"


class Surroundings:
    """Answers out of the store; ``requeue`` has a service looked at again when those around it have moved."""

    def __init__(self, store: Store, requeue: Callable[[str], None]) -> None:
        self._store = store
        self.requeue = requeue
        self._dependents: defaultdict[str, set[str]] = defaultdict(set)
        for service in store.list(SERVICE):
            self._depends(service)
        store.subscribe(SERVICE, self._service_changed)
        store.subscribe(CONTAINER, self._container_changed)

    def waits_for(self, service: pb.Service) -> str:
        """What has to come before anything new of a service is begun, in a few words; empty: nothing."""
        return "; ".join(self._missing(service))

    def joined(self, service: pb.Service) -> Mapping[int, str] | None:
        """Which containers' networks those of a service share, by slot, as ``ContainerSpec.joined`` has it; None: they
        have their own. A service with fewer replicas lends the network of its first to the others."""
        host = host_of(service.spec)
        if host is None:
            return None
        # Of two in a slot the one that is ready, and else the newer one.
        running = {
            it.spec.slot: f"{it.metadata.uid}@{it.status.started_at.ToJsonString()}"
            for it in sorted(self._containers(host), key=_precedence)
            if it.status.state == State.RUNNING and not it.metadata.HasField("delete_time")
        }
        first = next((running[slot] for slot in sorted(running)), "")
        return {slot: running.get(slot, first) for slot in range(1, max([service.spec.replicas, *running]) + 2)}

    def follows(self, service: pb.Service) -> str:
        """The revisions of the services after whose updates those of this one are replaced, as in
        ``ContainerSpec.follows``."""
        found = {name: self._store.find(SERVICE, name) for name, it in service.spec.depends_on.items() if it.restart}
        return ",".join(f"{name}={it.status.revision}" for name, it in sorted(found.items()) if it is not None)

    def _depends(self, service: pb.Service) -> None:
        for name in neighbours(service.spec):
            self._dependents[name].add(service.metadata.name)

    def _service_changed(self, change: Change[pb.Service]) -> None:
        if change.old is not None:
            for name in neighbours(change.old.spec):
                self._dependents[name].discard(change.old.metadata.name)
        if change.new is not None and change.type != pb.DELETED:
            self._depends(change.new)
        about = change.new or change.old
        if about is not None:
            self._tell(about.metadata.name)

    def _container_changed(self, change: Change[pb.Container]) -> None:
        about = change.new or change.old
        if about is not None:
            self._tell(about.spec.service)

    def _tell(self, name: str) -> None:
        for dependent in self._dependents.get(name, ()):
            self.requeue(dependent)

    def _missing(self, service: pb.Service) -> Iterator[str]:
        for name, dependency in sorted(service.spec.depends_on.items()):
            other = self._store.find(SERVICE, name)
            if other is None:
                if not dependency.HasField("required") or dependency.required:
                    yield f"service {name}, which is not declared"
            elif missing := self._missing_of(other, dependency):
                yield missing

    def _missing_of(self, other: pb.Service, dependency: pb.Dependency) -> str:
        condition = dependency.condition or STARTED
        name, containers = other.metadata.name, self._containers(other.metadata.name)
        staying = [it for it in containers if not it.metadata.HasField("delete_time")]
        done = self._done(other, staying)
        if condition == COMPLETED:
            if any(done.values()):
                return f"service {name}, which failed"
            current = other.status.observed_generation == other.metadata.generation
            return "" if current and len(done) >= max(1, other.spec.replicas) else f"service {name} to complete"
        running = [it for it in staying if it.status.state == State.RUNNING]
        if dependency.restart and other.status.rollout.state == pb.Rollout.IN_PROGRESS:
            return f"service {name} to be updated"
        good = [it for it in running if condition == STARTED or it.status.ready]
        if good or (condition == STARTED and done):
            return ""
        return f"service {name} to be {'healthy' if condition == HEALTHY else 'started'}"

    def _done(self, other: pb.Service, containers: Iterable[pb.Container]) -> Mapping[int, int]:
        """The exit status of each slot of a job that has ended, also of those whose containers are there no more."""
        revisions = history(other, self._store)
        ended = [it for it in containers if completed(it, other.spec)]
        ended.sort(key=lambda it: it.spec.run.ToNanoseconds())  # of a service with a schedule the newest run counts
        return {
            **remembered(target_of(other, revisions), revisions),
            **{it.spec.slot: it.status.exit_code for it in ended},
        }

    def _containers(self, name: str) -> list[pb.Container]:
        return list(self._store.list(CONTAINER, index="service", value=name))


def _precedence(container: pb.Container) -> tuple[bool, int]:
    return container.status.ready, container.metadata.create_time.ToNanoseconds()


def host_of(spec: pb.ServiceSpec) -> str | None:
    """The service whose network is shared, with ``network_mode = "service:NAME"``."""
    kind, _, name = spec.network_mode.partition(":")
    return name if kind == "service" and name else None


def neighbours(spec: pb.ServiceSpec) -> set[str]:
    """The services that a service waits for: those it depends on, and the one whose network it shares."""
    host = host_of(spec)
    return {*spec.depends_on, host} if host else set(spec.depends_on)
