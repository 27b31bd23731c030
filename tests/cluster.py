"""The whole program but its API and file, against the memory engine and under a moved clock."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import handlers.container
import handlers.service  # noqa: F401  # the handlers declare themselves
from controller.errors import EngineUnavailable
from controller.framework import Operator, on
from controller.metrics import Metrics
from controller.scheduler import EngineEvent, Informer, Observed
from controller.scheduler.engine import CreateRequest, Progress
from controller.scheduler.memory import MemoryEngine
from controller.store import CONTAINER, EVENT, SERVICE, Recorder, Store
from handlers.admission import ServiceAdmission
from handlers.in_flight import InFlight
from handlers.instance import Instance
from handlers.orphans import Orphans
from handlers.policy import Policy
from proto.dockrunner import v1 as pb
from tests.clock import ManualClock

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
        subscribers, self._subscribers = self._subscribers, set()
        await super().create(request)
        self._subscribers = subscribers
        raise EngineUnavailable("the answer was lost")

    async def start(self, container_id: str) -> None:
        self.calls["start"] += 1
        await self._wait("start")
        await super().start(container_id)

    async def stop(self, container_id: str, grace: float) -> None:
        self.calls["stop"] += 1
        await self._wait("stop")
        await super().stop(container_id, grace)

    async def update(self, container_id: str, restart: str) -> None:
        self.calls["update"] += 1
        await super().update(container_id, restart)

    async def remove(self, container_id: str) -> None:
        self.calls["remove"] += 1
        await super().remove(container_id)

    def say(self, event: EngineEvent) -> None:
        """Sends an event though nothing happened."""
        for queue in self._subscribers:
            queue.put_nowait(event)


class Cluster:
    """One run of the program."""

    def __init__(self, engine: CountingEngine, clock: ManualClock) -> None:
        self.engine, self.clock = engine, clock
        self.metrics = Metrics()
        self.store = Store(clock)
        self.recorder = Recorder(self.store, clock)
        self.orphans = Orphans(self.store, self.recorder)
        instance = Instance("default")
        policy = Policy()
        self.informer = Informer(engine, self.store, clock, self.metrics, instance.adopt)
        self.admission = ServiceAdmission(self.store, clock, self.orphans, policy)
        self.in_flight = InFlight(lambda name: self.operator.containers.queue.add(name))
        inject: dict[str, Any] = {
            "engine": engine, "informer": self.informer, "instance": instance, "recorder": self.recorder,
            "orphans": self.orphans, "in_flight": self.in_flight, "policy": policy,
        }  # fmt: skip
        self.operator = Operator(on.default, self.store, self.recorder, clock, self.metrics, workers=4, inject=inject)
        self.informer.on_adopted(self.operator.containers.remember)
        self.informer.on_recovered(self.operator.containers.resync)
        self.informer.on_drift(self.operator.containers.queue.add)

    def declare(self, name: str, image: str = "web:1", replicas: int = 1, manager: str = "api", **spec: Any) -> None:
        """Creates the service or changes its spec."""
        wanted = pb.Service(metadata=pb.Metadata(name=name, manager=manager))
        wanted.spec.MergeFrom(pb.ServiceSpec(image=image, replicas=replicas, **spec))
        (admitted,) = self.admission.admit([wanted], [])
        if self.store.find(SERVICE, name) is None:
            self.store.create(SERVICE, admitted)
        else:
            self.store.update(SERVICE, name, lambda edited: edited.spec.CopyFrom(admitted.spec))

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
    engine: CountingEngine, clock: ManualClock, declare: Callable[[Cluster], None] = lambda _: None
) -> AsyncIterator[Cluster]:
    """A run of the program from its start to its end; the engine goes on. ``declare`` is what its file says."""
    made = Cluster(engine, clock)
    following = asyncio.create_task(made.informer.run())
    await made.settle(0)
    declare(made)
    await made.operator.start()
    await made.settle()
    try:
        yield made
    finally:
        stopping = asyncio.create_task(made.operator.stop(1))
        await clock.settle()
        await stopping
        await made.in_flight.close()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
