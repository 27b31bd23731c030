"""The whole program but its API and file, against the memory engine and under a moved clock."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from controller.errors import EngineUnavailable
from controller.metrics import Metrics
from controller.program import Program
from controller.scheduler import EngineEvent, Observed
from controller.scheduler.engine import CreateRequest, Progress, Usage
from controller.scheduler.memory import MemoryEngine
from controller.store import CONTAINER, EVENT, SERVICE, Journal, NoJournal
from controller.testing.clock import ManualClock
from controller.testing.run import running
from handlers.admission import fill_in
from proto.dockrunner import v1 as pb

State = pb.ContainerStatus


class CountingEngine(MemoryEngine):
    """A memory engine that counts the calls of the port."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.calls: Counter[str] = Counter()
        self.held: dict[str, asyncio.Event] = {}
        self.lost: set[str] = set()
        self.refusals: dict[str, Callable[[], Exception]] = {}
        self.mute: set[str] = set()

    def hold(self, operation: str) -> asyncio.Event:
        """Lets no call of the operation go on until the event is set."""
        return self.held.setdefault(operation, asyncio.Event())

    def lose_answers(self, operation: str) -> None:
        """Calls of the operation take effect, and nobody hears of it: neither answer nor event."""
        self.lost.add(operation)

    def refuse(self, operation: str, error: Callable[[], Exception]) -> None:
        """Has every call of the operation fail."""
        self.refusals[operation] = error

    async def _wait(self, operation: str) -> None:
        if operation in self.refusals:
            raise self.refusals[operation]()
        if operation in self.held:
            await self.held[operation].wait()

    async def pull(self, image: str, progress: Progress) -> None:
        self.calls["pull"] += 1
        await self._wait("pull")
        await super().pull(image, progress)

    async def list(self) -> Sequence[Observed]:
        self.calls["list"] += 1
        return await super().list()

    async def inspect(self, container_id: str) -> Observed:
        self.calls["inspect"] += 1
        if container_id in self.mute:
            raise EngineUnavailable("no answer in time")
        return await super().inspect(container_id)

    async def create(self, request: CreateRequest) -> str:
        self.calls["create"] += 1
        await self._wait("create")
        if "create" not in self.lost:
            return await super().create(request)
        with self.unheard():
            await super().create(request)
        raise EngineUnavailable("the answer was lost")

    async def start(self, container_id: str) -> None:
        self.calls["start"] += 1
        await self._wait("start")
        await super().start(container_id)

    async def usage(self, container_id: str) -> Usage:
        self.calls["usage"] += 1
        await self._wait("usage")
        return await super().usage(container_id)

    async def stop(self, container_id: str, grace: float) -> None:
        self.calls["stop"] += 1
        await self._wait("stop")
        await super().stop(container_id, grace)

    async def update(self, container_id: str, restart: str, resources: pb.Resources) -> None:
        self.calls["update"] += 1
        await super().update(container_id, restart, resources)

    async def remove(self, container_id: str) -> None:
        self.calls["remove"] += 1
        await super().remove(container_id)

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """Within it nobody is told of what happens."""
        subscribers, self._subscribers = self._subscribers, {}
        try:
            yield
        finally:
            self._subscribers = subscribers

    def say(self, event: EngineEvent) -> None:
        """Sends an event though nothing happened."""
        for queue in self._subscribers:
            queue.put_nowait(event)


class Cluster(Program):
    """One run of the program, with nothing of the runs before it kept but by the engine, and the journal if any."""

    engine: CountingEngine

    def __init__(self, engine: CountingEngine, clock: ManualClock, journal: Journal | None = None) -> None:
        super().__init__(engine, journal or NoJournal(), clock, Metrics(), workers=4)
        self.clock = clock

    def declare(self, name: str, image: str = "web:1", replicas: int = 1, manager: str = "api", **spec: Any) -> None:
        """Creates the service or changes its spec."""
        wanted = pb.Service(metadata=pb.Metadata(name=name, manager=manager))
        wanted.spec.MergeFrom(pb.ServiceSpec(image=image, replicas=replicas, **spec))
        fill_in(wanted.spec)
        if self.store.find(SERVICE, name) is None:
            self.store.create(SERVICE, wanted)
        else:
            self.store.update(SERVICE, name, lambda edited: edited.spec.CopyFrom(wanted.spec))

    def containers(self, name: str = "web") -> list[pb.Container]:
        return self.store.list(CONTAINER, index="service", value=name)

    def running(self, name: str = "web") -> list[str]:
        """The engine's ids of what runs for a service, by slot."""
        staying = sorted(self.containers(name), key=lambda it: it.spec.slot)
        return [it.status.docker_id for it in staying if it.status.state == State.RUNNING]

    def condition(self, type_: str, name: str = "web") -> pb.Condition:
        service = self.store.get(SERVICE, name)
        return next(condition for condition in service.status.conditions if condition.type == type_)

    def reasons(self) -> list[str]:
        return [event.reason for event in self.store.list(EVENT)]

    async def settle(self, seconds: float = 1.0) -> None:
        await self.clock.advance(seconds)


@asynccontextmanager
async def cluster(
    engine: CountingEngine, clock: ManualClock, declare: Callable[[Cluster], None] = lambda _: None,
    journal: Journal | None = None,
) -> AsyncIterator[Cluster]:  # fmt: skip
    """A run of the program from its start to its end; the engine goes on. ``declare`` is what its file says."""
    made = Cluster(engine, clock, journal)
    async with running(made, clock, declare=lambda: declare(made), grace=1):
        await made.settle()
        yield made
