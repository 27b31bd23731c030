"""A world for tests of the framework: a store, a clock that stands still, and the handlers of one registry."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from controller.errors import Invalid
from controller.framework import FINALIZER, USERS_FINALIZER, Operator, Registry
from controller.metrics import Metrics
from controller.store import CONTAINER, EVENT, SERVICE, Listing, Record, Recorder, Store
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock

# Seconds of the machine's own clock within which a thread does what a test waits for.
PATIENCE = 10.0


class World:
    """One run of the framework. ``after`` is the run before: its clock goes on, what it kept and declared is there.

    As in the program, the status of a service does not outlive a run.
    """

    def __init__(self, registry: Registry, *, after: "World | None" = None) -> None:
        self.clock: ManualClock = ManualClock() if after is None else after.clock
        self.store = Store(self.clock)
        self.metrics = Metrics()
        self.recorder = Recorder(self.store, self.clock)
        self.kept: dict[tuple[str, str], Record] = {} if after is None else dict(after.kept)
        self.operator = Operator(
            registry, self.store, self.recorder, self.clock, self.metrics, workers=2,
            inject={"answer": 42, "engine": "the engine"}, keep=self._keep,
        )  # fmt: skip
        if after is not None:
            for service in after.store.list(SERVICE):
                restored = pb.Service(metadata=service.metadata, spec=service.spec)
                self.store.restore(SERVICE, restored)
            self.operator.load(after.kept.values())

    def _keep(self, record: Record) -> None:
        if record.data is None:
            self.kept.pop((record.kind, record.name), None)
        else:
            self.kept[record.kind, record.name] = record

    # What people do.

    def create(
        self, name: str = "web", image: str = "web:1", labels: Mapping[str, str] | None = None, **spec: Any
    ) -> None:
        """Stores a new service, past admission."""
        metadata = pb.Metadata(name=name, labels=labels or {})
        self.store.create(SERVICE, pb.Service(metadata=metadata, spec=pb.ServiceSpec(image=image, **spec)))

    def edit(self, change: Callable[[pb.Service], None], name: str = "web") -> None:
        """Changes what is declared."""
        self.store.update(SERVICE, name, change)

    def change(self, image: str, name: str = "web") -> None:
        """Changes the image."""

        def edit(service: pb.Service) -> None:
            service.spec.image = image

        self.edit(edit, name)

    def label(self, key: str, value: str | None, name: str = "web") -> None:
        """Sets a label, or takes it off."""

        def edit(service: pb.Service) -> None:
            service.metadata.labels.pop(key, None)
            if value is not None:
                service.metadata.labels[key] = value

        self.edit(edit, name)

    def write_status(self, replicas: int, name: str = "web") -> None:
        """Changes the status alone."""

        def edit(service: pb.Service) -> None:
            service.status.replicas = replicas

        self.store.update_status(SERVICE, name, edit)

    def delete(self, name: str = "web") -> None:
        """Asks for the deletion of a service."""
        self.store.delete(SERVICE, name)

    def release(self, name: str = "web") -> None:
        """What ``delete --force`` does besides."""
        self.operator.release(self.service(name))

    def create_container(self, name: str = "web-1-abcde", service: str = "web") -> None:
        self.store.create(
            CONTAINER, pb.Container(metadata=pb.Metadata(name=name), spec=pb.ContainerSpec(service=service))
        )

    async def declare(
        self, name: str = "web", image: str = "web:1", labels: Mapping[str, str] | None = None, *,
        dry_run: bool = False, **spec: Any,
    ) -> pb.Service:  # fmt: skip
        """Declares a service through admission, as the API does; what was let in.

        Raises:
            Invalid, AdmissionFailed: it was not.
        """
        wanted = pb.Service(metadata=pb.Metadata(name=name, labels=labels or {}))
        wanted.spec.MergeFrom(pb.ServiceSpec(image=image, **spec))
        admission, old = self.operator.admission, self.store.find(SERVICE, name)
        complete: pb.Service = await admission.complete(SERVICE, wanted, old, dry_run=dry_run)
        others = [other for other in self.store.list(SERVICE) if other.metadata.name != name]
        beside = Listing(lambda: others, len(others))
        if found := await admission.violations(SERVICE, complete, old, beside, dry_run=dry_run):
            raise Invalid(found)
        if dry_run:
            return complete
        if old is None:
            return self.store.create(SERVICE, complete)

        def edit(service: pb.Service) -> None:
            service.spec.CopyFrom(complete.spec)

        return self.store.update(SERVICE, name, edit)

    # What is to be seen.

    def service(self, name: str = "web") -> pb.Service:
        return self.store.get(SERVICE, name)

    def is_there(self, name: str = "web") -> bool:
        return self.store.find(SERVICE, name) is not None

    def is_held(self, name: str = "web") -> bool:
        """Whether a finalizer of the framework is on the service."""
        return bool({FINALIZER, USERS_FINALIZER} & set(self.service(name).metadata.finalizers))

    def said(self, reason: str = "HandlerFailed") -> list[str]:
        """What the events of that reason say, in the order in which they were first said."""
        events = sorted(self.store.list(EVENT), key=lambda event: int(event.metadata.resource_version))
        return [event.message for event in events if event.reason == reason]

    def condition(self, type_: str, name: str = "web") -> pb.Condition | None:
        conditions = self.service(name).status.conditions
        return next((condition for condition in conditions if condition.type == type_), None)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"controller": "service", **labels})

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits for what a thread does; the time of the world stands still."""
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110  # a thread may set no event of the loop by itself
                await asyncio.sleep(0)
        await self.clock.settle()


@asynccontextmanager
async def running(registry: Registry, *, after: World | None = None, grace: float = 1.0) -> AsyncIterator[World]:
    """A run of the framework from its start to its end."""
    world = World(registry, after=after)
    await world.operator.start()
    try:
        yield world
    finally:
        stopping = asyncio.create_task(world.operator.stop(grace))
        await world.clock.settle()
        await stopping


def failing(calls: list[Any], error: Callable[[], Exception], times: int = 1) -> Callable[..., Any]:
    """A handler that notes its calls and fails so many times."""

    async def handler(spec: pb.ServiceSpec, retry: int, **_: Any) -> None:
        calls.append((spec.image, retry))
        if len(calls) <= times:
            raise error()

    return handler


@contextmanager
def stubborn() -> Iterator[Callable[[], Awaitable[None]]]:
    """Something to wait for that ignores that it is cancelled, until the end of the block."""
    end = asyncio.Event()

    async def wait() -> None:
        while not end.is_set():
            with suppress(asyncio.CancelledError):
                await end.wait()

    try:
        yield wait
    finally:
        end.set()


def noting(calls: list[Any], *names: str) -> Callable[..., Any]:
    """A handler that notes the arguments of these names: one alone as it is, several as a tuple."""

    async def handler(**arguments: Any) -> None:
        noted = tuple(arguments[name] for name in names)
        calls.append(noted[0] if len(noted) == 1 else noted)

    return handler
